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
from twinrun.target_loss import TargetLoss
from twinrun.train.callbacks import KeyedSteps
from twinrun.train.losses import PlainValidation, class_weights, is_plain, training_loss
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


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_of_two_classes_the_focal_loss_is_the_papers(gamma: float) -> None:
    from torchvision.ops import sigmoid_focal_loss

    torch.manual_seed(0)
    one, labels = torch.randn(64), torch.randint(2, (64,))
    logits = torch.stack([torch.zeros(64), one], dim=1)
    for alpha in (-1.0, 0.25):
        weights = None if alpha < 0 else torch.tensor([1 - alpha, alpha])
        expected = sigmoid_focal_loss(one, labels.float(), alpha, gamma, reduction="mean")
        found = TargetLoss(weights, 0.0, gamma)(logits, labels)
        torch.testing.assert_close(found, expected)


def test_the_focal_loss_of_several_classes_is_that_of_a_loop_and_weights_do_not_focus() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(16, 5), torch.randint(5, (16,))
    weights, shares = torch.rand(5) + 0.5, torch.rand(16, 5).softmax(dim=1)
    p = logits.softmax(dim=1)
    for smoothing in (0.0, 0.2):
        loss = TargetLoss(weights, smoothing, 2.0)
        for given in (labels, shares):
            soft = shares if given is shares else nn.functional.one_hot(labels, 5).float()
            soft = soft * (1 - smoothing) + smoothing / 5
            each = (-soft * weights * (1 - p) ** 2 * p.log()).sum(dim=1)
            torch.testing.assert_close(loss(logits, given), each.mean())
            loss.reduction = "none"
            torch.testing.assert_close(loss(logits, given), each)
            loss.reduction = "mean"


def test_soft_targets_are_cross_entropy_and_mixed_losses_those_of_mixed_labels() -> None:
    torch.manual_seed(0)
    logits, labels, others = torch.randn(16, 3), torch.randint(3, (16,)), torch.randint(3, (16,))
    soft = torch.rand(16, 3).softmax(dim=1)
    loss = training_loss(recipe(loss={"method": "soft_target"}, label_smoothing=0.1), None)
    torch.testing.assert_close(loss(logits, soft), cross_entropy(logits, soft, label_smoothing=0.1))
    torch.testing.assert_close(
        loss(logits, labels), cross_entropy(logits, labels, label_smoothing=0.1)
    )
    one, two = (nn.functional.one_hot(each, 3).float() for each in (labels, others))
    for gamma in (0.0, 2.0):
        either = TargetLoss(None, 0.1, gamma)
        mixed = 0.7 * either(logits, labels) + 0.3 * either(logits, others)
        torch.testing.assert_close(either(logits, 0.7 * one + 0.3 * two), mixed)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_what_the_network_is_quite_sure_of_has_finite_gradients(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0], [-200.0, 0.0]], requires_grad=True)
    loss = TargetLoss(None, 0.0, gamma)(logits, torch.tensor([0, 0]))
    torch.autograd.backward(loss)
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[0].abs().max() < 1e-3 < logits.grad[1].abs().min()


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_the_focal_loss_is_trained_and_the_log_loss_validated(mixup: float) -> None:
    member = recipe(mixup=mixup, loss={"method": "focal"}, class_weights="balanced")
    assert not is_plain(member)
    weights = class_weights(member, COUNTS)
    heard = trained(member)
    each = TargetLoss(weights, 0.0, 2.0)
    each.reduction = "none"
    for loss, logits, labels, others, kept in heard.trained:
        expected = kept * each(logits, labels) + (1 - kept) * each(logits, others)
        torch.testing.assert_close(Tensor(loss), expected.mean())
    assert heard.validated == trained(recipe(label_smoothing=0.1)).validated


def test_the_validations_loss_is_the_plain_log_loss() -> None:
    labels = torch.tensor([0, 0, 0, 1] * 2)
    logits = Fixed()(nn.functional.one_hot(labels, 2).float()).detach()
    expected = float(cross_entropy(logits, labels))
    for mixup in (0.0, 0.4):
        heard = trained(recipe(mixup=mixup, class_weights="balanced", label_smoothing=0.2))
        assert heard.validated == pytest.approx([expected] * 2)
