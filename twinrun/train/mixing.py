"""MixUp and CutMix: images of a batch mixed with others of it, and their losses too."""

from __future__ import annotations

import numpy as np
import torch
from fastai.callback.mixup import MixUp
from fastai.torch_core import unsqueeze
from torch import Tensor

from twinrun.config.recipe import Member
from twinrun.repro.keys import Key


class MixImages(MixUp):
    """What fastai's MixUp does, or CutMix, or neither, as each batch's key says.

    MixUp takes a mean of two images, pixel by pixel (Zhang et al., "mixup: Beyond empirical risk
    minimization", 2018); CutMix puts a rectangle of one into the other (Yun et al., "CutMix:
    Regularization strategy to train strong classifiers with localizable features", 2019), whose
    share of the area is uniform between none and all. The loss is the mean of both images' losses,
    each with its share of the pixels.

    Args:
        member: The recipe; at least one of the two is on.
    """

    def __init__(self, member: Member) -> None:
        # Without MixUp its distribution is never drawn from.
        super().__init__(member.mixup or 1.0)
        self.cut = member.cutmix_probability
        self.mix = member.mixup_probability if member.mixup else 0.0

    def before_batch(self) -> None:
        # The gates have a key of their own: what is drawn after them is not moved by a probability.
        key = self.keyed_steps.key_of_step("mix")
        cut, mix = key.uniforms(2)
        if cut < self.cut:
            self._cut(key.of("cut"))
        elif mix < self.mix:
            super().before_batch()
        else:
            # As mixed with itself, so that the mean over a batch is always over its images.
            self.yb1, self.lam = self.yb, torch.ones(len(self.y), device=self.x.device)

    def _cut(self, key: Key) -> None:
        images = self.x
        others = np.argsort(key.of("others").uniforms(len(images))).tolist()
        top, bottom, left, right = box(*images.shape[2:], *key.uniforms(3))
        inside = images[others, :, top:bottom, left:right]
        images = images.clone(memory_format=torch.preserve_format)
        images[:, :, top:bottom, left:right] = inside
        self.learn.xb = (images,)
        self.yb1 = tuple(each[others] for each in self.yb)
        share = 1 - (bottom - top) * (right - left) / images[0, 0].numel()
        self.lam = torch.full((len(images),), share, device=images.device)
        if not self.stack_y:
            self.learn.yb = tuple(map(self._mixed, self.yb1, self.yb))

    def _mixed(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.lerp(first, second, unsqueeze(self.lam, n=second.dim() - 1))


def box(height: int, width: int, share: float, y: float, x: float) -> tuple[int, int, int, int]:
    """The rows and columns, from and up to, of a rectangle of an image.

    Its middle is anywhere in the image, so that a part of it may lie outside and is cut off.

    Args:
        height: Of the image.
        width: Of the image.
        share: Of its area that the whole rectangle has, from 0 to 1.
        y: Where its middle is, from 0 to 1.
        x: Likewise.
    """
    rows, columns = round(height * share**0.5), round(width * share**0.5)
    top, left = int(y * height) - rows // 2, int(x * width) - columns // 2
    return max(top, 0), min(top + rows, height), max(left, 0), min(left + columns, width)
