"""MixUp and CutMix, each with its probability: what is mixed, and that it is keyed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.mixup import MixUp
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from torch import Tensor, nn

from tests.train.recipes import recipe
from twinrun.repro.keys import Key
from twinrun.train.callbacks import KeyedSteps
from twinrun.train.losses import training_loss
from twinrun.train.mixing import MixImages, box

IMAGES, SIZE, EPOCHS = 24, 12, 10


class Mean(nn.Module):
    """Two logits of an image's mean."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([0.5, -1.0]))

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))[:, None] * self.factor


class Listen(Callback):
    """Notes each batch before and after it is mixed, with what its loss is made of."""

    order = 900

    def __init__(self) -> None:
        self.batches: list[dict[str, Any]] = []

    def after_loss(self) -> None:
        if self.training:
            mixed = getattr(self.learn, "mix_images", None) or self.learn.mix_up
            self.batches.append(
                {
                    "images": self.x.detach().clone(),
                    "loss": float(self.loss.detach()),
                    "pred": self.pred.detach(),
                    "labels": (mixed.yb1[0], self.y),
                    "share": mixed.lam,
                    # What a callback of the user's draws after it.
                    "draw": float(torch.rand(1)),
                }
            )


def trained(*mixing: Callback, seed: int = 0) -> list[dict[str, Any]]:
    """The batches of some epochs; every image is of one number, its own."""
    numbers = torch.arange(IMAGES) / IMAGES
    pairs = [(number.expand(3, SIZE, SIZE), row % 2) for row, number in enumerate(numbers)]
    loaders = DataLoaders(DataLoader(pairs, bs=4), DataLoader(pairs[:4], bs=4))
    listen = Listen()
    learner = Learner(
        loaders,
        Mean(),
        loss_func=training_loss(recipe(), None),
        lr=0.0,
        cbs=[KeyedSteps(Key((seed, "a"))), *mixing, listen],
    )
    learner.remove_cb(ProgressCallback)
    with learner.no_logging():
        learner.fit(EPOCHS)
    return listen.batches


def kind(batch: dict[str, Any]) -> str:
    """How a batch was mixed."""
    flat = batch["images"].flatten(1)
    if bool((batch["share"] == 1).all()):
        return "plain"
    return "mixup" if bool((flat.amin(1) == flat.amax(1)).all()) else "cutmix"


def test_alone_with_probability_1_mixup_is_fastais_to_the_bit() -> None:
    ours, theirs = trained(MixImages(recipe(mixup=0.4))), trained(MixUp(0.4))
    for own, other in zip(ours, theirs, strict=True):
        assert torch.equal(own["images"], other["images"])
        assert (own["loss"], own["draw"]) == (other["loss"], other["draw"])
    assert ours[0]["loss"] != trained(MixImages(recipe(mixup=0.4)), seed=1)[0]["loss"]


def test_each_comes_as_often_as_its_probability_says_and_the_same_each_time() -> None:
    values = {"mixup": 0.4, "mixup_probability": 0.5, "cutmix_probability": 0.4}
    found = [kind(batch) for batch in trained(MixImages(recipe(**values)))]
    assert found == [kind(batch) for batch in trained(MixImages(recipe(**values)))]
    assert len(found) == EPOCHS * IMAGES // 4
    assert 0.25 < found.count("cutmix") / len(found) < 0.55
    assert 0.15 < found.count("mixup") / len(found) < 0.45
    assert 0.15 < found.count("plain") / len(found) < 0.45


def test_a_probability_moves_no_draw_of_a_batch_that_is_mixed_all_the_same() -> None:
    always = trained(MixImages(recipe(mixup=0.4)))
    sometimes = trained(MixImages(recipe(mixup=0.4, mixup_probability=0.5)))
    same = [torch.equal(a["images"], b["images"]) for a, b in zip(sometimes, always, strict=True)]
    assert all(alike for alike, own in zip(same, sometimes, strict=True) if kind(own) == "mixup")
    assert not all(same)


def test_of_a_cut_batch_the_loss_goes_by_the_pixels_of_each_image() -> None:
    batches = trained(MixImages(recipe(mixup=0.0, cutmix_probability=1.0)))
    shares = []
    for batch in batches:
        share = float(batch["share"][0])
        shares.append(share)
        for image in batch["images"]:
            values, counts = image[0].unique(return_counts=True)
            assert len(values) <= 2
            if len(values) == 2:
                assert torch.isclose(counts / SIZE**2, torch.tensor(share)).any()
        one, other = (
            nn.functional.cross_entropy(batch["pred"], labels, reduction="none")
            for labels in batch["labels"]
        )
        expected = ((1 - share) * one + share * other).mean()
        assert batch["loss"] == pytest.approx(float(expected), rel=1e-5)
    # What lies beyond an edge is cut off, so that more than half of an image stays.
    assert 0.55 < np.mean(shares) < 0.85
    assert min(shares) < 0.35


def test_what_is_mixed_leaves_the_loaders_own_images_as_they_are() -> None:
    callback = MixImages(recipe(mixup=0.0, cutmix_probability=1.0))
    first = trained(callback)
    assert all(bool((batch["images"] < 1).all()) for batch in first)
    again = trained(MixImages(recipe(mixup=0.0, cutmix_probability=1.0)))
    assert all(
        torch.equal(one["images"], two["images"]) for one, two in zip(first, again, strict=True)
    )


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("place", [(0.0, 0.0), (0.5, 0.5), (0.999, 0.2)])
def test_a_box_lies_within_the_image(share: float, place: tuple[float, float]) -> None:
    top, bottom, left, right = box(10, 20, share, *place)
    assert 0 <= top <= bottom <= 10
    assert 0 <= left <= right <= 20
    if place == (0.5, 0.5):
        assert (bottom - top) * (right - left) == pytest.approx(200 * share, abs=20)
