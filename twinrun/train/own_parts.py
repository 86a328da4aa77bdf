"""What a competitor's own code makes of a training: network, loss, optimizer, callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.optimizer import OptimWrapper, _BaseOptimizer
from torch import Tensor, nn

from twinrun.config.identity import identity_settings
from twinrun.errors import InputError
from twinrun.hooks.calls import OwnHook, telling_mistakes
from twinrun.train.own_network import OwnNetwork, told


class OwnLoss:
    """A loss of the competitor's, as fastai and its MixUp call one.

    Args:
        hook: That gave it.
        own: A function or module: logits (batch x classes, float32) and targets (batch, int64) to
            one number, or to one for each image.

    Attributes:
        y_int: To MixUp: targets are numbers of classes, so that it mixes losses and not targets.
        reduction: "mean", or "none" while MixUp asks for each image's.
    """

    y_int = True

    def __init__(self, hook: OwnHook, own: Callable[..., Any]) -> None:
        self.hook, self.own, self.reduction = hook, own, "mean"

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        plain = logits.as_subclass(Tensor), targets.as_subclass(Tensor)
        with telling_mistakes():
            loss = self.own(*plain)
        if not isinstance(loss, Tensor) or loss.shape not in ((), (len(logits),)):
            raise self.hook.refuse(f"a function that gives {told(loss)}")
        if torch.is_grad_enabled() and not loss.requires_grad:
            raise self.hook.refuse("a function of whose number no gradient leads to the logits")
        if self.reduction == "mean":
            return loss.mean()
        if not loss.dim():
            raise InputError(
                f"{self.hook.place}: `loss` gives one number for a batch, and mixup mixes the "
                "losses of images",
                fix="Give a loss for each image, of the shape (batch,); or set mixup = 0.0, and "
                "cutmix_probability too.",
            )
        return loss


@dataclass(frozen=True)
class OwnParts(OwnNetwork):
    """The parts of a training that hooks.py may give; None where it does not."""

    def loss(self, classes: int, weights: Tensor | None) -> OwnLoss | None:
        """The loss, not tried yet.

        Raises:
            InputError: It cannot be called.
        """
        hook = self.settings.hook("loss")
        if hook is None:
            return None
        found = self._call(hook, classes=classes, weights=weights)
        if not callable(found):
            raise hook.refuse(told(found))
        return OwnLoss(hook, found)

    def optimizer(self) -> Callable[..., Any] | None:
        """What fastai's learner makes its optimizer with.

        Raises:
            InputError: It cannot be called, or the recipe asks for something of an optimizer.
        """
        hook = self.settings.hook("optimizer")
        if hook is None:
            return None
        deciding = identity_settings(self.member)
        asked = [name for name in ("optimizer", "weight_decay") if name in deciding]
        if asked:
            raise InputError(
                f"{hook.place}: `optimizer` makes the optimizer of {self.name}, whose recipe sets "
                f"{' and '.join(asked)} too",
                fix="Take one of them out.",
            )
        make = self._call(hook)
        if not callable(make):
            raise hook.refuse(told(make))

        def opt_func(groups: Sequence[Any], lr: float) -> Any:
            lists = [list(group) for group in groups]
            with telling_mistakes():
                made = make([list(each) for each in lists], lr=lr)
            if isinstance(made, torch.optim.Optimizer):
                made = OptimWrapper(opt=made)
            if not isinstance(made, _BaseOptimizer):
                raise hook.refuse(f"a function that gives {told(made)}")
            found = [[id(each) for each in group] for group in made.param_lists]
            if found != [[id(each) for each in group] for group in lists]:
                raise InputError(
                    f"{hook.place}: `optimizer` gives one with {len(found)} groups of parameters, "
                    f"that are not the {len(lists)} that it got",
                    fix="Each group has a learning rate of its own: give the optimizer "
                    '[{"params": group} for group in groups].',
                )
            return made

        return opt_func

    def callbacks(self) -> list[Callback]:
        """The callbacks.

        Raises:
            InputError: They are no list of fastai's callbacks.
        """
        hook = self.settings.hook("callbacks")
        if hook is None:
            return []
        found = self._call(hook)
        if not isinstance(found, (list, tuple)):
            raise hook.refuse(told(found))
        for each in found:
            if not isinstance(each, Callback):
                raise hook.refuse(f"a list with {told(each)}")
        return list(found)

    def refuse_for_ranks(self, loss: Any) -> None:
        """Check that nothing is trained that several ranks do not share.

        Args:
            loss: The learner's.

        Raises:
            InputError: The loss has weights, of which each rank would make its own.
        """
        if isinstance(loss, OwnLoss) and isinstance(loss.own, nn.Module) and loss.own.state_dict():
            raise InputError(
                f"{loss.hook.place}: `loss` has weights of its own, which several ranks do not "
                "share",
                fix="Train this member with one rank.",
            )
