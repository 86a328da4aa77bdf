"""Cross entropy and focal loss of targets that are shares of the classes, or one class each."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import log_softmax, one_hot

# 1 - p is 0 or at least 6e-8 in float32: below this its power has no slope, and no infinite one.
_SMALLEST = 1e-8


class TargetLoss:
    """The mean over images of the sum over classes c of -t w (1 - p)^gamma log p.

    p is the softmax of the logits, t the target's share of c and w the weight of c. With gamma
    above 0 it is Lin, Goyal, Girshick, He and Dollár's focal loss ("Focal loss for dense object
    detection", ICCV 2017) of several classes: their alpha is w, and of two classes with a logit of
    0 for the first it is theirs. It is linear in t, so that the mean of the losses of two labels,
    which MixUp and CutMix take, is the loss of their mean.

    Args:
        weights: float32, one for each class; None: all 1.
        smoothing: Of a target so much is spread evenly over all classes.
        gamma: At least 0.

    Attributes:
        y_int: To MixUp: it mixes losses and not targets.
        reduction: "mean", or "none" while MixUp asks for each image's.
    """

    y_int = True

    def __init__(self, weights: Tensor | None, smoothing: float, gamma: float) -> None:
        self.weights, self.smoothing, self.gamma = weights, smoothing, gamma
        self.reduction: Literal["mean", "none"] = "mean"

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss.

        Args:
            logits: Float, batch x classes.
            targets: Numbers of classes, int64, batch; or shares, float, batch x classes.

        Returns:
            One number, or with the reduction "none" one for each image.
        """
        logits, targets = logits.as_subclass(Tensor), targets.as_subclass(Tensor)
        classes = logits.shape[1]
        if not targets.is_floating_point():
            targets = one_hot(targets, classes).to(logits.dtype)
        if self.smoothing:
            targets = targets * (1 - self.smoothing) + self.smoothing / classes
        logarithms = log_softmax(logits, dim=1)
        losses = -targets * logarithms
        if self.gamma:
            losses = losses * (1 - logarithms.exp()).clamp(min=_SMALLEST) ** self.gamma
        if self.weights is not None:
            losses = losses * self.weights
        each = losses.sum(dim=1)
        return each.mean() if self.reduction == "mean" else each
