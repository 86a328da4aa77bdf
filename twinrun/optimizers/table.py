"""The table of optimizers; torch and fastai are imported when one of them is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from twinrun.registry import Registry

# Makes an optimizer of fastai's of the groups of parameters, a learning rate and a weight decay.
Make = Callable[[Sequence[Sequence[Any]], float, float], Any]


@dataclass(frozen=True)
class Optimizer:
    """What a recipe's `optimizer` may name.

    Attributes:
        name: In the recipe.
        help: What it is, in a line.
        weight_decay: Where the recipe says nothing of it.
        page: The address of its own page.
        make: Makes one. The schedule sets its learning rates, and as `mom` its momentum.
    """

    name: str
    help: str
    weight_decay: float
    page: str
    make: Make


def of_torch(module: str, kind: str, **options: Any) -> Make:
    """Makes an optimizer of torch's kind, of which vectors and single numbers do not decay.

    Args:
        module: Where it is imported from.
        kind: Its class.
        options: For it, beside learning rate and weight decay.
    """

    def make(groups: Sequence[Sequence[Any]], rate: float, weight_decay: float) -> Any:
        from twinrun.optimizers.grouped import GroupedOptimizer

        found = getattr(import_module(module), kind)
        return GroupedOptimizer(
            groups, lambda each: found(each, lr=rate, weight_decay=weight_decay, **options)
        )

    return make


def _fused_adam(groups: Sequence[Sequence[Any]], rate: float, weight_decay: float) -> Any:
    from twinrun.optimizers.fused_adam import FusedAdam

    return FusedAdam(groups, rate, wd=weight_decay)


_TORCH = "https://docs.pytorch.org/docs/stable/generated/torch.optim"
_TIMM = "https://huggingface.co/docs/timm/reference/optimizers#timm.optim"

OPTIMIZERS: Registry[Optimizer] = Registry("optimizer", Optimizer, setting="optimizer")
OPTIMIZERS.add(
    Optimizer(
        name="adam",
        help="fastai's Adam: momentum of squares 0.99, epsilon 1e-5, decoupled weight decay",
        weight_decay=0.01,
        page="https://docs.fast.ai/optimizer.html#adam",
        make=_fused_adam,
    )
)
OPTIMIZERS.add(
    Optimizer(
        name="adamw",
        help="torch's Adam: momentum of squares 0.999, epsilon 1e-8, decoupled weight decay",
        weight_decay=0.01,
        page=f"{_TORCH}.AdamW.html",
        make=of_torch("torch.optim", "AdamW"),
    )
)
OPTIMIZERS.add(
    Optimizer(
        name="lamb",
        help="Adam whose steps are as long as the weights are: large batches",
        weight_decay=0.01,
        page=f"{_TIMM}.Lamb",
        # By itself it would cut gradients to a norm of 1, whatever the recipe's `clip` says.
        make=of_torch("timm.optim", "Lamb", max_grad_norm=None),
    )
)
OPTIMIZERS.add(
    Optimizer(
        name="lion",
        help="the sign of an average of gradients: rates a third to a tenth of Adam's",
        weight_decay=0.1,
        page=f"{_TIMM}.Lion",
        make=of_torch("timm.optim", "Lion"),
    )
)
OPTIMIZERS.add(
    Optimizer(
        name="radam",
        help="Adam that waits with its averages until they are of enough steps",
        weight_decay=0.01,
        page=f"{_TORCH}.RAdam.html",
        make=of_torch("torch.optim", "RAdam", decoupled_weight_decay=True),
    )
)
OPTIMIZERS.add(
    Optimizer(
        name="sgd",
        help="gradient descent with Nesterov's momentum: rates ten times Adam's and more",
        weight_decay=0.0001,
        page=f"{_TORCH}.SGD.html",
        make=of_torch("torch.optim", "SGD", momentum=0.9, nesterov=True),
    )
)
