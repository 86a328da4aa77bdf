"""An optimizer of torch as fastai takes one: of each group of layers a part does not decay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastai.optimizer import OptimWrapper

# Of each group of layers: what decays, and what does not.
_PARTS = 2


class GroupedOptimizer(OptimWrapper):
    """An optimizer of torch's that looks to fastai as if it had a group for each group of layers.

    It has two for each: of weights with two dimensions and more, and of vectors and single numbers,
    such as biases and what norms have, which do not decay. timm's optimizers divide them likewise.

    Args:
        groups: The parameters of each group of layers.
        make: Makes the optimizer of a list of torch's groups of parameters.
    """

    def __init__(
        self, groups: Sequence[Sequence[Any]], make: Callable[[list[dict[str, Any]]], Any]
    ) -> None:
        parts: list[dict[str, Any]] = []
        for group in groups:
            listed = list(group)
            parts.append({"params": [each for each in listed if each.dim() > 1]})
            plain = [each for each in listed if each.dim() <= 1]
            parts.append({"params": plain, "weight_decay": 0.0})
        super().__init__(opt=make(parts))

    def clear_state(self) -> None:
        """Forget all steps, also where their number stands in the groups, as of timm's Lamb."""
        super().clear_state()
        for each in self.opt.param_groups:
            each.pop("step", None)

    @property
    def param_lists(self) -> list[list[Any]]:
        """The parameters of each group of layers."""
        found = [each["params"] for each in self.opt.param_groups]
        pairs = zip(found[::_PARTS], found[1::_PARTS], strict=True)
        return [[*decayed, *plain] for decayed, plain in pairs]

    @property
    def hypers(self) -> list[dict[str, Any]]:
        """What each group of layers goes by; its weight decay is of what decays."""
        found: list[dict[str, Any]] = super().hypers
        return found[::_PARTS]

    def _set_hyper(self, name: str, values: Sequence[Any]) -> None:
        # A schedule's are NumPy's numbers.
        plain = [float(each) if isinstance(each, float) else each for each in values]
        if name == "wd":
            kept = [each["weight_decay"] for each in self.opt.param_groups[1::_PARTS]]
        else:
            kept = plain
        super()._set_hyper(name, [v for pair in zip(plain, kept, strict=True) for v in pair])
