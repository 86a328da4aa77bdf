"""Accidents of real trainings, and what is said of each: true causes, steps that are of use."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback
from fasttransform import Transform
from PIL import Image

from tests.mutations.harness import Bench, Mutation, moment, place, with_callback, with_loaders
from twinrun.optimizers.fused_adam import FusedAdam
from twinrun.train import members as members_module
from twinrun.train.predict import predict

pytestmark = pytest.mark.slow  # a training each, of what tests/compare shows of made-up ledgers


def callback(made: type[Callback]) -> Mutation:
    return lambda patch: with_callback(patch, made)


def test_an_image_in_the_folder_of_another_class(bench: Bench, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bench.data, tmp_path / "copy"))
    shutil.move(copy / "train/leaf_rust/004217.jpg", copy / "train/stem_rust/004217.jpg")
    found = bench.twins(changes=[f"data.folder='{copy}'"])
    first = found.first()
    assert place(first) == ("split", 0, 0)
    assert [str(told) for told in first.told] == ["004217: label leaf_rust in A, stem_rust in B"]
    assert "004217 has label leaf_rust in A, stem_rust in B" in found.cause
    assert "labels" in found.advice.next


def test_a_learning_rate_that_a_callback_raises(bench: Bench) -> None:
    class Raise(Callback):
        def before_step(self) -> None:
            if moment(self.learn) == (2, 2):
                for hypers in self.opt.hypers:
                    hypers["lr"] *= 1.5

    found = bench.twins(callback(Raise))
    first = found.first()
    assert place(first) == ("optimizer", 2, 2)
    assert first.names == tuple(f"learning rate, layers {number}/3" for number in (1, 2, 3))
    for told in first.told:
        assert float(told.second) == pytest.approx(1.5 * float(told.first))
    assert "the step was taken with a different learning rate" in found.cause
    assert "resum" not in found.cause


def test_another_weight_decay_that_no_setting_tells(bench: Bench) -> None:
    plain = FusedAdam.__init__

    def doubled(self: FusedAdam, params: Any, lr: float, **others: Any) -> None:
        plain(self, params, lr, **(others | {"wd": 0.02}))

    found = bench.twins(lambda patch: patch.setattr(FusedAdam, "__init__", doubled))
    first = found.first()
    assert place(first) == ("optimizer", 1, 1)
    assert [str(told) for told in first.told] == ["weight decay: 0.01 in A, 0.02 in B"]
    assert "a different weight decay (0.01 in A, 0.02 in B)" in found.cause


def test_columns_that_are_swapped_while_predicting(bench: Bench) -> None:
    def swapped(*arguments: Any) -> pd.DataFrame:
        table = predict(*arguments)
        one, two = table.columns[1:3]
        return table.assign(**{one: table[two], two: table[one]})

    found = bench.twins(lambda patch: patch.setattr(members_module, "predict", swapped))
    assert place(found.first()) == ("prediction", 2, 4)
    assert "leaf_rust of A is stem_rust of B, stem_rust of A is leaf_rust of B" in found.cause
    assert "--predict-only" in found.advice.next


class Counting(Transform):
    """An item transform that is brighter with each image that it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __call__(self, item: Any, **_: Any) -> Any:
        image, label = item
        self.seen += 1
        pixels = np.minimum(np.asarray(image), 200) + np.uint8(self.seen % 50)
        return type(image)(Image.fromarray(pixels)), label


def test_a_transform_that_counts_with_another_number_of_workers(bench: Bench) -> None:
    def mutation(patch: pytest.MonkeyPatch) -> None:
        with_loaders(patch, lambda loaders: loaders.train.after_item.add(Counting()))

    found = bench.twins(mutation, in_both=True)
    assert found.report.comparison.same  # one process sees the images in their order
    found = bench.twins(mutation, for_all=mutation, changes=["run.workers=2"])
    assert place(found.first()) == ("item", 1, 1)
    assert [gap.name for gap in found.report.beside] == ["workers"]
    assert "The numbers of workers differ, and an item transform keeps something" in found.cause


def replayed(bench: Bench, made: type[Callback]) -> Sequence[str]:
    """Stage, cause and next step that are said when the step has been made again."""
    found = bench.twins(callback(made))
    again = bench.replayed(found, callback(made))
    assert again.difference is not None
    advice = found.after(again)
    assert "--replay" not in advice.next
    return again.difference.stage, f"{again.gap}: {advice.cause}", advice.next


def test_gradients_that_are_clipped_differ_in_all_and_by_far_more_than_last_bits(
    bench: Bench,
) -> None:
    class Clip(Callback):
        def before_step(self) -> None:
            torch.nn.utils.clip_grad_norm_(self.learn.model.parameters(), 0.5)

    stage, cause, _ = replayed(bench, Clip)
    assert stage == "gradient"
    assert "last bits" not in cause
    assert "something changes gradients after it, such as a callback that clips" in cause


def test_a_loss_that_a_callback_scales_is_not_made_again_once_more(bench: Bench) -> None:
    class Scale(Callback):
        def after_loss(self) -> None:
            if moment(self.learn) == (1, 3):
                self.learn.loss_grad = self.learn.loss_grad * 1.01

    stage, cause, following = replayed(bench, Scale)
    assert stage == "loss"
    assert "a callback changes it" in cause
    assert "look at the loss function and at the callbacks" in following


def test_threads_that_are_set_within_a_step_and_put_back(bench: Bench) -> None:
    class Threads(Callback):
        def before_batch(self) -> None:
            torch.set_num_threads(2)

        def after_batch(self) -> None:
            torch.set_num_threads(1)  # what is in force between two steps is as it was

    try:
        stage, cause, _ = replayed(bench, Threads)
    finally:
        torch.set_num_threads(1)
    assert stage in ("forward", "gradient")
    assert "last bits" in cause
    assert "a different number of threads" in cause
