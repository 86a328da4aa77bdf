"""Sources 22 to 24: a resume that forgets something, and what is drawn in prediction."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fastai.callback.core import Callback
from fastai.data.core import TfmdDL
from torch import Tensor, nn

from tests.mutations.harness import FINEST, MEMBER, Bench, moment, place, train, with_callback
from twinrun.config.reading import read_settings
from twinrun.data.keyed_loader import KeyedLoader
from twinrun.repro.keys import Key
from twinrun.train import members as members_module
from twinrun.train import resume
from twinrun.train.averages import AverageWeights
from twinrun.train.predict import predict


class Interrupted(BaseException):
    """Stands for a kill."""


class Interrupt(Callback):
    """Ends the training after the second step of the second epoch and its checkpoint."""

    __module__ = "twinrun.tests"  # none of the user's: it is not there when a training resumes
    order = 4000

    def after_batch(self) -> None:
        if moment(self.learn) == (2, 2):
            raise Interrupted


@pytest.fixture(scope="module")
def interrupted(shared_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A training that has its last checkpoint in the middle of an epoch."""
    run = tmp_path_factory.mktemp("interrupted") / "run"
    # A checkpoint after each step.
    changes = [FINEST, "run.checkpoint_seconds=1e-9"]
    with pytest.MonkeyPatch.context() as patch:
        with_callback(patch, Interrupt)
        with pytest.raises(Interrupted):
            train(read_settings(shared_bench.config, changes=changes), run, checkpoints=True)
    checkpoints = (run / "members" / MEMBER / "checkpoint").iterdir()
    assert sorted(path.name[:22] for path in checkpoints) == [
        "epoch-0001-step-000001",
        "epoch-0001-step-000002",
    ]
    yield run
    shutil.rmtree(run)


def test_22_an_honest_resume_is_the_same(
    bench: Bench, interrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.twins(from_run=interrupted).assert_same()
    assert "in epoch 2 of 2, after step 2 of 4" in capsys.readouterr().out


def without_first_step(self: KeyedLoader) -> list[int]:
    positions: list[int] = TfmdDL.get_idxs(self)
    return positions


def drawn_anew(self: KeyedLoader, positions: Sequence[int]) -> list[int]:
    key = self.key.of("order", self.epoch)
    if self.first_step:
        key = Key(("another",))
    return key.order([self.ids[i] for i in positions])


@pytest.mark.parametrize(
    ("name", "forgetful"), [("get_idxs", without_first_step), ("shuffle_fn", drawn_anew)]
)
def test_22_resume_that_forgets_the_data_order(
    bench: Bench, interrupted: Path, name: str, forgetful: object
) -> None:
    def mutation(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(KeyedLoader, name, forgetful)

    found = bench.twins(mutation, from_run=interrupted)
    first = found.first()
    assert place(first) == ("order", 2, 3)
    assert found.cause.startswith("B resumed after step 2 of epoch 2: a resume that forgot")


def test_23_resume_without_the_optimizers_state(bench: Bench, interrupted: Path) -> None:
    def mutation(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(resume, "restore_optimizer", lambda *_: None)

    found = bench.twins(mutation, from_run=interrupted)
    first = found.first()
    # The gradients of that step are written before the update: they were equal.
    assert place(first) == ("update", 2, 3)
    assert "0.model.conv1.0.weight" in first.names
    assert not any("running" in name for name in first.names)
    assert (
        "B resumed after step 2 of epoch 2: a resume without the optimizer's averages"
        in found.cause
    )
    assert found.report.evidence[0].startswith("equal in both: learning rate ")


@pytest.mark.slow  # an average has trainings of its own
def test_23_resume_without_the_average_of_the_weights(bench: Bench, tmp_path: Path) -> None:
    averaged, run = "recipe.ema.decay=0.8", tmp_path / "run"
    changes = [FINEST, averaged, "run.checkpoint_seconds=1e-9"]
    with pytest.MonkeyPatch.context() as patch:
        with_callback(patch, Interrupt)
        with pytest.raises(Interrupted):
            train(read_settings(bench.config, changes=changes), run, checkpoints=True)

    def forgetful(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(AverageWeights, "restore", lambda *_: None)

    found = bench.twins(forgetful, both=[averaged], from_run=run)
    first = found.first()
    assert place(first) == ("average", 2, 4)
    assert first.names[0] == "average"
    assert "B resumed after step 2 of epoch 2: a resume without the average" in found.cause


class Lit(nn.Module):
    """Predicts each batch twice, the second time in another light."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        light = float(np.random.default_rng().uniform(0.9, 1.1))
        mean: Tensor = (self.model(images) + self.model(images * light)) / 2
        return mean


def test_24_test_time_augmentation_unseeded(bench: Bench) -> None:
    def augmented(
        model: nn.Module, loader: KeyedLoader, classes: Sequence[str], *passes: Any
    ) -> pd.DataFrame:
        return predict(Lit(model), loader, classes, *passes)

    def mutation(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(members_module, "predict", augmented)

    found = bench.twins(mutation, in_both=True)
    first = found.first()
    # The weights are equal, and so are the validation's predictions of each epoch before these.
    assert place(first) == ("prediction", 2, 4)
    assert first.names == ("valid.csv", "test.csv")
    assert found.differing_files == ["valid.csv", "test.csv"]
    assert found.report.evidence[0].startswith("valid.csv: 36 of 36 numbers differ, by up to ")
    assert "test-time augmentation that is not drawn from the key" in found.cause


def test_24_other_prediction_batch_size(bench: Bench) -> None:
    found = bench.twins(changes=["members.a.prediction_batch_size=1"])
    first = found.first()
    assert place(first) == ("prediction", 1, 4)
    assert first.names[0] == "validation"
    assert all(name.startswith("validation") for name in first.names)
    # A batch of one is computed as one of eight, which may give the bits of one of 64.
    assert set(found.differing_files) <= {"valid.csv", "test.csv"}
    settings = [gap.name for gap in found.verdict.report.settings]
    assert settings == ["members.a.prediction_batch_size"]
    assert "different settings (members.a.prediction_batch_size)" in found.cause
