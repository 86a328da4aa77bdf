"""A training's network with all that comes before and after it: from bytes to probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from twinrun.config.recipe import Member
from twinrun.data.normalise import IMAGENET
from twinrun.data.tta import View, tta_views
from twinrun.networks.table import family_of

# Of test-time augmentation what a graph can do: no pass that draws, or that cuts out elsewhere.
METHODS = ("none", "flips")


class ExportedNetwork(nn.Module):
    """What a run makes of decoded squares: seen at the network's size, normalised, in each pass.

    Shapes: uint8, images x 3 x cached_size x cached_size, red, green and blue -> float32, images x
    classes, probabilities.

    Args:
        network: As `predict.networks.Networks` gives it.
        member: Its recipe, whose test-time augmentation is one of METHODS.
    """

    factor: Tensor
    less: Tensor
    resize: Tensor

    def __init__(self, network: nn.Sequential, member: Member) -> None:
        super().__init__()
        self.backbone, self.head = network[0], network[1]
        mean, deviation = family_of(member.network).pixel_statistics(member.network) or IMAGENET
        self.register_buffer("factor", _colours([1 / each for each in deviation]))
        less = [each / wide for each, wide in zip(mean, deviation, strict=True)]
        self.register_buffer("less", _colours(less))
        self.register_buffer("resize", _bilinear(member.cached_size, member.image_size))
        self.passes: list[View | None] = [*tta_views(member)] or [None]
        self.geometric = member.test_time.mean == "geometric"

    def forward(self, images: Tensor) -> Tensor:
        seen = self.resize @ images.float() @ self.resize.T
        seen = (seen.round() / 255) * self.factor - self.less
        found = [self._logits(seen, view) for view in self.passes]
        if self.passes == [None]:
            return found[0].softmax(1)
        if self.geometric:
            return _mean([each.double().log_softmax(1) for each in found]).softmax(1).float()
        return _mean([each.double().softmax(1) for each in found]).float()

    def _logits(self, seen: Tensor, view: View | None) -> Tensor:
        logits: Tensor = self.head(self.backbone(seen if view is None else view.flip(seen)))
        return logits


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)).sum(0) / len(tensors)


def _colours(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1)


def _bilinear(before: int, after: int) -> Tensor:
    """The matrix that resizes a row of pixels as `warp_and_light` does: corner pixels stay."""
    matrix = np.zeros((after, before))
    places = np.arange(after) * (before - 1) / (after - 1)
    left = np.minimum(places.astype(int), before - 2)
    share = places - left
    rows = np.arange(after)
    matrix[rows, left], matrix[rows, left + 1] = 1 - share, share
    return torch.from_numpy(matrix.astype(np.float32))
