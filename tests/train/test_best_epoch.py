"""The best epoch's weights: chosen by recorded values, measured, kept, and taken."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback
from safetensors.torch import load_file

from tests.exact import read_exact
from tests.kills.sameness import differing
from tests.kills.small import OFTEN
from tests.report.made_run import make_run
from tests.run_folder.documents import edited
from tests.train.test_resume import Place, Small
from twinrun.audit.validation_warnings import validation_warnings
from twinrun.config.reading import read_settings
from twinrun.config.recipe_tables import Take
from twinrun.errors import InputError
from twinrun.report.report import render
from twinrun.run_folder.records import read_record
from twinrun.train import resume
from twinrun.train.best_epoch import BestSoFar, best_epoch, is_over

BEST = 'recipe.take={epoch="best"}'
# So large that the last epochs undo what the first have learned.
WORSE = "recipe.unfrozen_rates=[0.1,1.0]"
IMPATIENT = ('recipe.take={epoch="best",patience=1}', WORSE, "recipe.epochs.unfrozen=5")


def rows(*losses: float, f1: tuple[float, ...] = ()) -> list[list[Any]]:
    scores = f1 or (math.nan,) * len(losses)
    return [
        [number, "unfrozen", 0.0, loss, 1 - loss / 10, loss / 10, 0.0, 0.0, {"macro_f1": score}]
        for number, (loss, score) in enumerate(zip(losses, scores, strict=True), start=1)
    ]


@pytest.mark.parametrize(
    ("by", "history", "expected"),
    [
        ("log_loss", rows(0.5, 0.3, 0.4), 2),
        ("log_loss", rows(0.5, 0.3, 0.3), 2),
        ("log_loss", rows(0.5, math.nan, 0.6), 1),
        ("log_loss", rows(math.nan, math.nan), 0),
        ("log_loss", [], 0),
        ("accuracy", rows(0.5, 0.3, 0.4), 2),
        ("macro_f1", rows(0.5, 0.3, 0.4, f1=(0.1, math.nan, 0.2)), 3),
    ],
)
def test_the_first_of_the_best_values_is_taken(
    by: str, history: list[list[Any]], expected: int
) -> None:
    assert best_epoch(Take(epoch="best", by=by), history) == expected


def test_patience_counts_unfrozen_epochs_after_the_best(small_toml: Path) -> None:
    changes = ['recipe.take={epoch="best",patience=2}', "recipe.epochs={frozen=2,unfrozen=9}"]
    member = read_settings(small_toml, changes=changes).members["a"]
    assert not is_over(member, rows(0.1, 0.5))  # the frozen phase is over, and nothing else
    assert not is_over(member, rows(0.1, 0.5, 0.5))
    assert is_over(member, rows(0.1, 0.5, 0.5, 0.5))
    assert not is_over(member, rows(0.3, 0.5, 0.5, 0.2, 0.5))
    assert is_over(member, rows(0.3, 0.5, 0.5, 0.2, 0.5, 0.5))
    assert not is_over(member, rows(*[math.nan] * 7))
    for alone in ("{patience=2}", '{by="accuracy"}'):
        with pytest.raises(InputError, match="by and patience: only with epoch = "):
            read_settings(small_toml, changes=[f"recipe.take={alone}"])


def test_only_a_recorded_value_can_choose(small_toml: Path) -> None:
    changes = ['recipe.take={epoch="best",by="macro_f1"}']
    with pytest.raises(InputError, match=r"take\.by.*'macro_f1'.*log_loss, accuracy"):
        read_settings(small_toml, changes=changes)
    read_settings(small_toml, changes=[*changes, "competition.metric=macro_f1"])


def test_the_last_epoch_is_no_part_of_an_identity(small_toml: Path) -> None:
    plain = read_settings(small_toml).training_content("a")
    assert "take" not in plain["member"]
    same = read_settings(small_toml, changes=['recipe.take={epoch="last"}'])
    assert same.training_content("a") == plain
    best = read_settings(small_toml, changes=[BEST]).training_content("a")
    assert best["member"]["take"] == {"epoch": "best", "by": "log_loss"}


def test_a_best_epoch_on_few_images_is_warned_of(small_toml: Path) -> None:
    images = pd.DataFrame([(f"{n}", "xyz"[n % 3]) for n in range(96)], columns=["id", "label"])

    def warned(*changes: str) -> list[str]:
        settings = read_settings(small_toml, changes=["members.a.validation.share=0.5", *changes])
        table = images.assign(group=images["id"])
        return [w for w in validation_warnings(settings, table, ["a"]) if "best epoch" in w]

    assert warned() == warned(BEST) == []
    (told,) = warned(BEST, "members.a.validation={share=0.1}")
    assert "fewer than 30 images (a on 9 images)" in told
    (told,) = warned(BEST, "members.a.validation={folds=5}")
    assert "(a on 19 images)" in told


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.of(tmp_path_factory.mktemp("best"))


class KeepAll(Callback):
    """The weights that each epoch was measured with."""

    __module__ = "twinrun.tests"

    def __init__(self) -> None:
        self.epochs: list[dict[str, torch.Tensor]] = []

    def after_validate(self) -> None:
        state = self.learn.model.state_dict()
        self.epochs.append({name: each.clone() for name, each in state.items()})


def test_what_was_measured_best_is_saved_and_predicts(small: Small) -> None:
    measured = KeepAll()
    folder = small.train("best", BEST, WORSE, callbacks=[measured])
    history = read_exact(folder / "history.csv")
    expected = int(history["valid_loss"].argmin())
    assert expected < len(history) - 1, "no epoch is worse: the test shows nothing"
    record = read_record(folder)
    assert record is not None
    assert record["taken"] == expected + 1
    assert record["scores"]["valid_loss"] == history["valid_loss"][expected]
    saved = load_file(folder / "weights.safetensors")
    assert all(torch.equal(each, saved[name]) for name, each in measured.epochs[expected].items())
    valid = read_exact(folder / "valid.csv", dtype={"id": str})
    chosen = [row[row["label"]] for _, row in valid.iterrows()]
    assert -np.log(chosen).mean() == pytest.approx(history["valid_loss"][expected], rel=1e-4)


@pytest.mark.slow
def test_out_of_patience_it_ends_and_resumes_at_its_end_to_the_same_bits(small: Small) -> None:
    whole = small.train("impatient", *IMPATIENT)
    epochs = len(read_exact(whole / "history.csv"))
    assert epochs < 7
    record = read_record(whole)
    assert record is not None
    assert record["taken"] < epochs
    for place in (Place(epochs, "step", 2), Place(epochs, "end")):
        name = f"impatient {place.part}"
        small.interrupted(name, place, OFTEN, *IMPATIENT)
        assert differing(whole, small.train(name, "run.workers=2", *IMPATIENT)) == []


class Means(Callback):
    """A competitor's own, which counts on batches in each epoch that it hears of."""

    def before_train(self) -> None:
        self.losses = list[float]()

    def after_batch(self) -> None:
        if self.training:
            self.losses.append(float(self.loss.detach()))

    def after_epoch(self) -> None:
        self.mean = sum(self.losses) / len(self.losses)
        self.losses.clear()


@pytest.mark.slow
def test_out_of_patience_a_callback_hears_of_no_epoch_that_is_not_trained(small: Small) -> None:
    whole = small.train("heard", *IMPATIENT, callbacks=[Means()])
    end = Place(len(read_exact(whole / "history.csv")), "end")
    small.interrupted("unheard", end, OFTEN, *IMPATIENT, callbacks=[Means()])
    assert differing(whole, small.train("unheard", *IMPATIENT, callbacks=[Means()])) == []


@pytest.mark.slow
def test_a_checkpoint_without_the_best_weights_is_noticed(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = small.train("kept", BEST, WORSE)
    small.interrupted("lost", Place(4, "step", 2), OFTEN, BEST, WORSE)
    monkeypatch.setattr(resume, "BestSoFar", lambda *_: BestSoFar(0, {}))
    assert "weights.safetensors" in differing(whole, small.train("lost", BEST, WORSE))


def test_the_report_says_which_epoch_is_used_and_what_its_score_is_worth(tmp_path: Path) -> None:
    plain = render(make_run(tmp_path / "plain"))
    assert "which is the one that is used" in plain
    assert "chosen on the very images" not in plain
    run = make_run(tmp_path / "best", changes=[BEST])
    edited(run / "members" / "a" / "member.json", "taken", value=3)
    html = render(run)
    assert "which is the one that is used" not in html
    assert "the epoch whose weights are used" in html
    assert "by log_loss, chosen on the very images" in html
