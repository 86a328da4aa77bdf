"""The losses that a recipe may name, in one table; torch is imported when one of them is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twinrun.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    # Logits (batch x classes) and targets to the loss, as fastai and its MixUp call one.
    LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What a training makes small.

    Attributes:
        name: In the settings.
        description: What it does, for help.
        gamma: What its focusing parameter is where the settings do not say it; None: it has none.
        make: Of class weights (float32, one a class; None: all 1), label smoothing and gamma.
    """

    name: str
    description: str
    gamma: float | None
    make: Callable[[Tensor | None, float, float | None], LossFunction]


def _cross_entropy(weights: Tensor | None, smoothing: float, gamma: float | None) -> LossFunction:
    del gamma
    from fastai.losses import CrossEntropyLossFlat

    loss: LossFunction = CrossEntropyLossFlat(weight=weights, label_smoothing=smoothing)
    return loss


def _of_targets(weights: Tensor | None, smoothing: float, gamma: float | None) -> LossFunction:
    from twinrun.target_loss import TargetLoss

    return TargetLoss(weights, smoothing, gamma or 0.0)


LOSSES: Registry[Loss] = Registry("loss", Loss, setting="loss")
"""What `loss.method` of a recipe may name; the first does without any other."""

CROSS_ENTROPY = LOSSES.add(
    Loss(
        name="cross_entropy",
        description="torch's cross entropy, the log loss of the label",
        gamma=None,
        make=_cross_entropy,
    )
)
LOSSES.add(
    Loss(
        name="focal",
        description="the same, an image the less the surer the network is of its label",
        gamma=2.0,
        make=_of_targets,
    )
)
LOSSES.add(
    Loss(
        name="soft_target",
        description="cross entropy of labels that are a share of each class, or one class",
        gamma=None,
        make=_of_targets,
    )
)
