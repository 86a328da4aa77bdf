"""A member from recipe to files: the same bits, whatever happened before it in the process."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from safetensors.torch import load_file

from tests.conftest import FIXTURE, SMALL
from tests.exact import read_exact
from tests.run_folder.documents import read_plain
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.data.cache import cache_pixels, with_pixels
from twinrun.data.index import build_index, data_digest
from twinrun.data.pixels import Pixels
from twinrun.errors import InputError
from twinrun.metrics import HISTORY_COLUMNS, METRICS, score
from twinrun.repro.environment import set_up
from twinrun.run_folder.paths import RESULT_FILES
from twinrun.run_folder.records import find_complete_member, member_identity
from twinrun.train import members as members_module
from twinrun.train.callbacks import history_table
from twinrun.train.learner import build_learner
from twinrun.train.members import train_member


@pytest.fixture(scope="module")
def environment() -> dict[str, Any]:
    return set_up(threads=1, device="cpu")


@pytest.fixture
def settings(small_toml: Path) -> Settings:
    return read_settings(small_toml)


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Pixels]:
    settings = read_settings(profile="fixture")
    cache = tmp_path_factory.mktemp("cache")
    return cache_pixels(build_index(settings), settings.data_folder, [48], cache)


@pytest.fixture(scope="module")
def index(pixels: dict[int, Pixels]) -> pd.DataFrame:
    return with_pixels(build_index(read_settings(profile="fixture")), pixels)


@pytest.fixture
def train(
    index: pd.DataFrame, pixels: dict[int, Pixels], environment: dict[str, Any], tmp_path: Path
) -> Any:
    """Train a member into a folder of the temporary folder and give the folder back."""

    def run(settings: Settings, folder: str, name: str = "a") -> Path:
        train_member(name, settings, index, pixels, environment, tmp_path / folder)
        return tmp_path / folder

    return run


@pytest.fixture(scope="module")
def plain(
    index: pd.DataFrame,
    pixels: dict[int, Pixels],
    environment: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of member a, trained as the settings say; not to be written to."""
    base = tmp_path_factory.mktemp("plain")
    (base / "small.toml").write_text(SMALL.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    settings = read_settings(base / "small.toml")
    train_member("a", settings, index, pixels, environment, base / "a")
    return base / "a"


def bits(folder: Path) -> dict[str, bytes]:
    return {file: (folder / file).read_bytes() for file in RESULT_FILES}


def test_a_member_leaves_the_promised_files(
    plain: Path, settings: Settings, index: pd.DataFrame
) -> None:
    folder = plain
    classes = settings.classes
    valid = read_exact(folder / "valid.csv", dtype={"id": str})
    test = read_exact(folder / "test.csv", dtype={"id": str})
    history = read_exact(folder / "history.csv")
    assert list(valid.columns) == ["id", "label", *classes]
    assert list(test.columns) == ["id", *classes]
    assert test["id"].tolist() == index.loc[index["part"] == "test", "id"].tolist()
    truth = dict(zip(index["id"], index["label"], strict=True))
    assert [truth[image] for image in valid["id"]] == valid["label"].tolist()
    assert len(valid) == 24
    for table in (valid, test):
        np.testing.assert_allclose(table[classes].sum(axis=1), 1, atol=1e-6)
    assert list(history.columns) == HISTORY_COLUMNS
    assert history["phase"].tolist() == ["frozen", "unfrozen"]
    record = json.loads((folder / "member.json").read_text())
    assert record["images"] == {"train": 72, "valid": 24, "test": 24}
    # The loss in the history is the log loss of what stands in valid.csv.
    chosen = [row[row["label"]] for _, row in valid.iterrows()]
    assert record["scores"]["valid_loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-4)
    assert history["valid_loss"].iloc[-1] == pytest.approx(record["scores"]["valid_loss"])
    assert load_file(folder / "weights.safetensors")["1.8.weight"].shape == (3, 512)


def test_a_member_does_not_depend_on_what_was_drawn_or_trained_before(
    plain: Path, train: Any, settings: Settings
) -> None:
    alone = bits(plain)
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    train(settings, "other", "b")
    assert bits(train(settings, "after")) == alone


@pytest.mark.parametrize(
    "change",
    [
        "run.seed=1",
        pytest.param("recipe.dropout=0.4", marks=pytest.mark.slow),
        pytest.param("members.a.epochs.frozen=2", marks=pytest.mark.slow),
    ],
)
def test_another_seed_or_recipe_gives_other_bits(
    plain: Path, train: Any, small_toml: Path, change: str
) -> None:
    before = bits(plain)
    after = bits(train(read_settings(small_toml, changes=[change]), "after"))
    assert all(before[file] != after[file] for file in RESULT_FILES)


def test_workers_change_no_bit_of_a_member(plain: Path, train: Any, small_toml: Path) -> None:
    helped = read_settings(small_toml, changes=["run.workers=2"])
    assert bits(plain) == bits(train(helped, "helped"))


# Everything that a recipe can ask for beside the plain one.
EVERYTHING = (
    "recipe.network=timm/test_resnet",
    "recipe.class_weights=balanced",
    "recipe.label_smoothing=0.1",
    "recipe.ema.decay=0.9",
    'recipe.test_time={ method = "train", times = 2, mean = "geometric" }',
    "competition.metric=macro_f1",
)


def test_a_member_with_every_wish_has_the_same_bits_whatever_helps_or_was_before(
    train: Any, small_toml: Path
) -> None:
    settings = read_settings(small_toml, changes=EVERYTHING)
    alone = bits(train(settings, "alone"))
    torch.manual_seed(3)
    helped = read_settings(small_toml, changes=[*EVERYTHING, "run.workers=2"])
    folder = train(helped, "helped")
    assert bits(folder) == alone
    record = json.loads((folder / "member.json").read_text())
    valid = read_exact(folder / "valid.csv", dtype={"id": str})
    last = read_exact(folder / "history.csv").iloc[-1]
    for name, metric in (("valid_loss", "log_loss"), ("accuracy", "accuracy")):
        expected = score(valid.drop(columns="label"), valid["label"], metric)
        assert record["scores"][name] == pytest.approx(expected)
    # That of the history is of one look at every image.
    assert abs(last["valid_loss"] - record["scores"]["valid_loss"]) > 1e-6
    assert "timm" in record["identity"]["environment"]["packages"]
    ledger = pd.read_parquet(folder / "ledger.parquet")
    assert {"pixels.mean", "pixels.deviation"} <= set(ledger["what"])
    other = read_settings(small_toml, changes=[*EVERYTHING, "run.seed=1"])
    after = bits(train(other, "other"))
    assert all(after[file] != alone[file] for file in RESULT_FILES)


@pytest.mark.slow
def test_each_wish_changes_what_it_is_for(plain: Path, train: Any, small_toml: Path) -> None:
    before = bits(plain)
    wishes = {
        'recipe.test_time.method="flips"': {"valid.csv", "test.csv"},
        "recipe.label_smoothing=0.1": set(RESULT_FILES),
        "recipe.class_weights.leaf_rust=2.0": set(RESULT_FILES),
    }
    for number, (change, differing) in enumerate(wishes.items()):
        after = bits(train(read_settings(small_toml, changes=[change]), f"after-{number}"))
        found = {file for file in RESULT_FILES if before[file] != after[file]}
        assert found == differing, change


def test_the_competitions_metric_has_a_column_where_it_has_no_other(
    index: pd.DataFrame,
    pixels: dict[int, Pixels],
    environment: dict[str, Any],
    small_toml: Path,
    tmp_path: Path,
) -> None:
    settings = read_settings(small_toml, changes=["competition.metric=macro_f1"])
    folder = tmp_path / "a"
    record = train_member("a", settings, index, pixels, environment, folder)
    history = read_exact(folder / "history.csv")
    assert list(history.columns) == [*HISTORY_COLUMNS[:6], "macro_f1", *HISTORY_COLUMNS[6:]]
    valid = read_exact(folder / "valid.csv", dtype={"id": str})
    expected = score(valid.drop(columns="label"), valid["label"], "macro_f1")
    assert history["macro_f1"].iloc[-1] == record["scores"]["macro_f1"] == expected


def test_a_training_goes_on_though_the_settings_name_another_metric_by_now() -> None:
    rows = [
        [1, "frozen", 1, 1, 0, 1, 0.1, 1.0, {}],
        [2, "unfrozen", 1, 1, 0, 1, 0.1, 1.0, {"auc": 0.5}],
    ]
    table = history_table(rows, METRICS.get("auc"))
    assert table["auc"].isna().tolist() == [True, False]
    assert list(history_table(rows, None).columns) == HISTORY_COLUMNS


class Unrepeatable(Callback):
    """Stands for a network with a step for which torch has no deterministic algorithm."""

    def before_batch(self) -> None:
        torch.zeros(2).put_(torch.tensor([0]), torch.tensor([1.0]))


def test_a_step_that_cannot_be_repeated_is_named(
    train: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_with(*arguments: Any, **options: Any) -> Learner:
        learner = build_learner(*arguments, **options)
        learner.add_cb(Unrepeatable())
        return learner

    monkeypatch.setattr(members_module, "build_learner", build_with)
    with pytest.raises(InputError, match="put_ does not have a deterministic implementation"):
        train(settings, "a")


class Disturb(Callback):
    """A user's callback that draws, and looks at batches, in the middle of training."""

    order = 5

    def before_batch(self) -> None:
        self.learn.xb = (self.x + 0 * torch.rand(1),)

    def after_epoch(self) -> None:
        random.random()
        np.random.rand(3)
        self.dls.train.one_batch()


class DrawInForward(Callback):
    """A user's callback whose draws matter: they are keyed without its knowing."""

    order = 5

    def before_batch(self) -> None:
        self.learn.xb = (self.x + 0.1 * torch.rand(1) + 0.1 * random.random(),)


def with_callback(callback: type[Callback], monkeypatch: pytest.MonkeyPatch) -> None:
    build = build_learner

    def build_with(*arguments: Any, **options: Any) -> Learner:
        learner = build(*arguments, **options)
        learner.add_cb(callback())
        return learner

    monkeypatch.setattr(members_module, "build_learner", build_with)


def test_draws_in_between_change_no_bit(
    plain: Path, train: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_callback(Disturb, monkeypatch)
    assert bits(train(settings, "disturbed")) == bits(plain)


def test_a_users_callback_that_draws_gets_the_same_draws_again(
    plain: Path, train: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_callback(DrawInForward, monkeypatch)
    first, second = bits(train(settings, "first")), bits(train(settings, "second"))
    assert first == second
    assert first["weights.safetensors"] != bits(plain)["weights.safetensors"]


def test_a_complete_member_is_found_only_when_it_was_made_from_the_same_things(
    plain: Path,
    settings: Settings,
    small_toml: Path,
    index: pd.DataFrame,
    environment: dict[str, Any],
    tmp_path: Path,
) -> None:
    data = data_digest(index, "pixels_48")
    identity = member_identity("a", settings, data, environment)
    assert find_complete_member(tmp_path / "a", identity) is None
    folder = Path(shutil.copytree(plain, tmp_path / "a"))
    assert find_complete_member(folder, identity) == read_plain(folder / "member.json")

    reseeded = read_settings(small_toml, changes=["run.seed=5"])
    with pytest.raises(InputError, match=r"settings\.seed: 0 then, 5 now"):
        find_complete_member(folder, member_identity("a", reseeded, data, environment))
    relabelled = index.assign(label=index["label"].replace("leaf_rust", "stem_rust"))
    otherwise_decoded = index.assign(pixels_48=index["pixels_48"].to_numpy()[::-1])
    for other in (relabelled, otherwise_decoded):
        digest = data_digest(other, "pixels_48")
        with pytest.raises(InputError, match="data: "):
            find_complete_member(folder, member_identity("a", settings, digest, environment))
    elsewhere = {**environment, "decides": {**environment["decides"], "threads": 8}}
    with pytest.raises(InputError, match=r"environment\.threads: 1 then, 8 now"):
        find_complete_member(folder, member_identity("a", settings, data, elsewhere))

    with (folder / "test.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(InputError, match="is not the file that was written"):
        find_complete_member(folder, identity)


def test_a_diverged_training_is_said(train: Any, small_toml: Path) -> None:
    wild = read_settings(small_toml, changes=["recipe.frozen_rates=[1e20,1e30]"])
    with pytest.raises(InputError, match="diverged"):
        train(wild, "wild")
