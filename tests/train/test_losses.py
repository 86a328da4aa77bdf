"""Class weights and label smoothing reach the training's loss, MixUp or not, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tests.train.recipes import recipe
from twinrun.config.recipe import Member
from twinrun.repro.keys import Key
from twinrun.train.callbacks import KeyedSteps
from twinrun.train.losses import PlainValidation, class_weights, training_loss
from twinrun.train.mixing import MixImages

COUNTS = {"rust": 30, "healthy": 10}


def test_no_weights_are_none_and_the_loss_has_the_bits_of_fastais() -> None:
    assert class_weights(recipe(), COUNTS) is None
    logits, labels = torch.randn(8, 2), torch.randint(2, (8,))
    assert torch.equal(training_loss(recipe(), None)(logits, labels), cross_entropy(logits, labels))


def test_balanced_classes_count_as_much_as_each_other() -> None:
    weights = class_weights(recipe(class_weights="balanced"), COUNTS)
    assert weights is not None
    torch.testing.assert_close(weights, torch.tensor([40 / 60, 40 / 20]))
    assert weights.dtype == torch.float32


def test_weights_of_a_table_keep_their_ratio_and_count_one_on_average() -> None:
    weights = class_weights(recipe(class_weights={"healthy": 4.0}), COUNTS)
    assert weights is not None
    assert float(weights[1] / weights[0]) == pytest.approx(4)
    assert float(30 * weights[0] + 10 * weights[1]) == pytest.approx(40)


def test_a_class_without_a_training_image_gives_finite_weights() -> None:
    weights = class_weights(recipe(class_weights="balanced"), {**COUNTS, "rare": 0})
    assert weights is not None
    assert weights.isfinite().all()


class Fixed(nn.Module):
    """Logits that are the same for every image of a class: `images` hold the label."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([[0.5, -0.5], [1.0, 0.2]]))

    def forward(self, images: Tensor) -> Tensor:
        return images @ self.logits


class Listen(Callback):
    """Notes the losses of steps and of validation batches, and how MixUp mixed."""

    order = 900

    def before_fit(self) -> None:
        self.trained: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]] = []
        self.validated: list[float] = []

    def after_loss(self) -> None:
        if not self.training:
            self.validated.append(float(self.learn.loss.detach()))
        elif hasattr(self.learn, "mix_images"):
            mixed = self.learn.mix_images
            self.trained.append(
                (self.learn.loss.detach(), self.pred.detach(), self.y, mixed.yb1[0], mixed.lam)
            )
        else:
            loss, nothing = self.learn.loss.detach(), torch.ones(len(self.y))
            self.trained.append((loss, self.pred.detach(), self.y, self.y, nothing))


def trained(member: Member) -> Listen:
    labels = torch.tensor([0, 0, 0, 1] * 2)
    images = nn.functional.one_hot(labels, 2).float()
    pairs = list(zip(images, labels, strict=True))
    loaders = DataLoaders(DataLoader(pairs, bs=4), DataLoader(pairs, bs=8))
    weights = class_weights(member, COUNTS)
    listen = Listen()
    callbacks = [KeyedSteps(Key((0, "a"))), MixImages(member)] if member.mixup else []
    learner = Learner(
        loaders,
        Fixed(),
        loss_func=training_loss(member, weights),
        lr=0.0,
        cbs=[*callbacks, PlainValidation(), listen],
    )
    before = learner.loss_func
    learner.remove_cb(ProgressCallback)
    with learner.no_logging():
        learner.fit(2)
    assert learner.loss_func is before
    return listen


@pytest.mark.parametrize("mixup", [0.0, 0.4])
@pytest.mark.parametrize(
    "values",
    [
        {"class_weights": "balanced"},
        {"label_smoothing": 0.2},
        {"class_weights": {"rust": 3.0}, "label_smoothing": 0.2},
    ],
)
def test_weights_and_smoothing_are_in_the_loss_of_every_step(
    mixup: float, values: dict[str, Any]
) -> None:
    member = recipe(mixup=mixup, **values)
    weights = class_weights(member, COUNTS)
    smoothing = member.label_smoothing
    heard = trained(member)
    assert len(heard.trained) == 4
    for loss, logits, labels, others, kept in heard.trained:
        if mixup:
            each = [
                cross_entropy(logits, y, weights, reduction="none", label_smoothing=smoothing)
                for y in (labels, others)
            ]
            expected = (kept * each[0] + (1 - kept) * each[1]).mean()
        else:
            expected = cross_entropy(logits, labels, weights, label_smoothing=smoothing)
        torch.testing.assert_close(Tensor(loss), expected)
        assert abs(float(loss - cross_entropy(logits, labels))) > 1e-4


def test_the_validations_loss_is_the_plain_log_loss() -> None:
    labels = torch.tensor([0, 0, 0, 1] * 2)
    logits = Fixed()(nn.functional.one_hot(labels, 2).float()).detach()
    expected = float(cross_entropy(logits, labels))
    for mixup in (0.0, 0.4):
        heard = trained(recipe(mixup=mixup, class_weights="balanced", label_smoothing=0.2))
        assert heard.validated == pytest.approx([expected] * 2)
