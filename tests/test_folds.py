"""A member with folds: trained, put together, gone on with, compared, verified, made again."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import FIXTURE, SMALL, Command
from tests.exact import read_exact
from twinrun import prepare, submit, train_run
from twinrun.blend.held_out import own_scores, read_held_out_tables
from twinrun.compare.member_files import compare_members
from twinrun.compare.replay_step import replay
from twinrun.compare.runs import compare_runs
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.data.folds import fold_ids
from twinrun.errors import InputError
from twinrun.files import sha256_file
from twinrun.repro.ledger import Ledger
from twinrun.run_folder.manifest import read_run_settings
from twinrun.run_folder.paths import RESULT_FILES
from twinrun.verify.verify import select_members, verify_predictions, verify_training

CHANGES = ("members.a.validation.folds=2", "recipe.epochs.unfrozen=0")
FOLDS = ("a/fold-1", "a/fold-2")


def settings_in(folder: Path, *changes: str) -> Settings:
    toml = folder / "small.toml"
    toml.write_text(SMALL.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    return read_settings(toml, changes=[*CHANGES, *changes])


def train(folder: Path, *names: str, changes: tuple[str, ...] = ()) -> prepare.Prepared:
    """Train members of the run `folder`, or go on with it."""
    started = time.perf_counter()
    prepared = prepare.prepare(settings_in(folder.parent, *changes), folder)
    train_run.train(prepared, names, started)
    return prepared


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> prepare.Prepared:
    """A finished run: member a has two folds, member b holds a share out."""
    prepared = train(tmp_path_factory.mktemp("folds") / "full", "a", "b")
    folder, settings = prepared.folder, prepared.settings
    submit.blend_run(folder, settings, prepared.sample_path, folder / "submission.csv")
    prepare.keep_record(prepared, time.perf_counter())
    return prepared


@pytest.fixture
def run(trained: prepare.Prepared, tmp_path: Path) -> Path:
    """A copy of it, to be tampered with; its cache lies beside it."""
    for path in ("small.toml", "cache"):
        copy = shutil.copytree if path == "cache" else shutil.copyfile
        copy(trained.folder.parent / path, tmp_path / path)
    return Path(shutil.copytree(trained.folder, tmp_path / "full"))


def table(path: Path) -> pd.DataFrame:
    return read_exact(path, dtype={"id": str})


def test_each_fold_leaves_a_members_files_and_the_member_the_predictions_of_all(
    trained: prepare.Prepared,
) -> None:
    classes, member = trained.settings.classes, trained.member_folder("a")
    parts = fold_ids(trained.train, folds=2, seed=trained.settings.run.seed)
    for name, part in zip(FOLDS, parts, strict=True):
        folder = trained.member_folder(name)
        assert {path.name for path in folder.iterdir()} == {
            *RESULT_FILES,
            "history.csv",
            "ledger.parquet",
            "member.json",
        }
        assert table(folder / "valid.csv")["id"].tolist() == part
    found = {path.name for path in member.iterdir()}
    assert found == {"fold-1", "fold-2", "valid.csv", "test.csv", "member.json"}

    folds = [trained.member_folder(name) for name in FOLDS]
    valid, tests = table(member / "valid.csv"), [table(folder / "test.csv") for folder in folds]
    assert list(valid.columns) == ["id", "label", *classes]
    assert valid["id"].tolist() == sorted(trained.train["id"])
    truth = dict(zip(trained.train["id"], trained.train["label"], strict=True))
    assert [truth[image] for image in valid["id"]] == valid["label"].tolist()
    own = pd.concat([table(folder / "valid.csv") for folder in folds])
    pd.testing.assert_frame_equal(valid, own.sort_values("id", ignore_index=True))
    together = table(member / "test.csv")
    assert together["id"].tolist() == tests[0]["id"].tolist()
    values = [each[classes].to_numpy(np.float32).astype(np.float64) for each in tests]
    expected = ((values[0] + values[1]) / 2).astype(np.float32)
    np.testing.assert_array_equal(together[classes].to_numpy(np.float32), expected)

    record = json.loads((member / "member.json").read_text())
    assert record["images"] == {"train": 96, "valid": 96, "test": 24}
    chosen = [row[row["label"]] for _, row in valid.iterrows()]
    assert record["scores"]["valid_loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-6)
    assert len(record["folds"]) == 2
    for file, digest in record["files"].items():
        assert sha256_file(member / file) == digest
    assert set(record["files"]) == {
        *("valid.csv", "test.csv"),
        *(f"fold-{fold}/{file}" for fold in (1, 2) for file in RESULT_FILES),
    }
    manifest = json.loads((trained.folder / "manifest.json").read_text())["content"]
    assert manifest["members"]["a"]["files"] == record["files"]
    assert manifest["settings"]["members"]["a"]["validation"] == {"folds": 2}


def test_folds_have_keys_of_their_own(trained: prepare.Prepared) -> None:
    def rows(name: str, stage: str) -> list[int]:
        ledger = Ledger.read(trained.member_folder(name) / "ledger.parquet").rows().to_pylist()
        return [row["digest"] for row in ledger if row["stage"] == stage]

    first, second = (rows(name, "init") for name in FOLDS)
    assert len(first) == len(second)
    assert first != second
    plain = trained.identity("a")
    assert trained.identity("a/fold-1") != trained.identity("a/fold-2") != plain


def test_scores_are_of_all_images_and_the_blends_of_those_that_members_have_in_common(
    trained: prepare.Prepared,
) -> None:
    names = ["a", "b"]
    tables = read_held_out_tables(trained.folder, names, trained.settings.classes)
    scores, folds = own_scores(tables, "log_loss"), prepare.fold_scores(trained, names)
    assert list(folds) == ["a"]
    # The folds are of one size here.
    assert np.mean(folds["a"]) == pytest.approx(scores["a"])
    settings = trained.settings
    alone = settings.model_copy(
        update={"blend": settings.blend.model_copy(update={"weights": {"a": 1.0}})}
    )
    assert submit.choose_run_blend(trained.folder, alone).images.all == 96
    assert submit.choose_run_blend(trained.folder, settings).images.all == 24


@pytest.mark.slow
def test_a_run_with_folds_comes_out_the_same_and_another_seed_does_not(
    trained: prepare.Prepared, run: Path, tmp_path: Path
) -> None:
    settings = read_run_settings(run, None)
    assert settings.members["a"] == trained.settings.members["a"]
    found = verify_training(run, settings, select_members(run, []), tmp_path / "again")
    assert found.same
    assert found.submission is True
    titles = [f"{row.member} {row.file}" for row in found.comparisons if row.member != "b"]
    assert titles == [
        *(f"a fold {fold}/2 {file}" for fold in (1, 2) for file in RESULT_FILES),
        *("a valid.csv", "a test.csv"),
    ]
    report = compare_runs(run, tmp_path / "again")
    assert report.same
    assert [each.title for each in report.members] == ["a fold 1/2", "a fold 2/2", "b"]

    train(tmp_path / "other", "a", changes=("run.seed=4",))
    rows = compare_members(run, tmp_path / "other", ["a"])
    assert len(rows) == 8
    assert not any(row.same for row in rows)
    report = compare_runs(run, tmp_path / "other", ["a"])
    assert [each.comparison.result.stage for each in report.members if each.comparison.result] == [
        "split",
        "split",
    ]


@pytest.mark.slow
def test_predictions_of_folds_are_made_again_and_a_changed_one_is_seen(
    run: Path, tmp_path: Path
) -> None:
    settings = read_run_settings(run, None)
    found = verify_predictions(run, settings, ["a"], tmp_path / "again")
    assert found.same
    assert [row.member for row in found.comparisons] == [
        *["a fold 1/2"] * 2,
        *["a fold 2/2"] * 2,
        *["a"] * 2,
    ]
    for name in ("a/fold-2/test.csv", "a/test.csv"):
        path = run / "members" / name
        original = path.read_bytes()
        values = table(path)
        values.iloc[0, 1] = 0.5
        values.to_csv(path, index=False)
        with pytest.raises(InputError, match="is not the file that was written"):
            select_members(run, ["a"])
        again = verify_predictions(run, settings, ["a"], tmp_path / "again")
        assert [f"{row.member} {row.file}" for row in again.comparisons if not row.same] == [
            {"a/test.csv": "a test.csv"}.get(name, "a fold 2/2 test.csv")
        ]
        path.write_bytes(original)


def test_a_fold_that_is_missing_is_trained_and_no_other(run: Path) -> None:
    member = run / "members" / "a"
    files = [path for path in member.rglob("*") if path.is_file() and path.suffix != ".json"]
    before = {path: path.read_bytes() for path in files}
    kept = (member / "fold-1" / "weights.safetensors").stat().st_mtime_ns
    shutil.rmtree(member / "fold-2")
    for file in ("member.json", "valid.csv", "test.csv"):
        (member / file).unlink()
    train(run, "a")
    assert (member / "fold-1" / "weights.safetensors").stat().st_mtime_ns == kept
    # Times are the only thing that is not the same.
    same = [path for path in files if path.name != "history.csv"]
    assert {path: path.read_bytes() for path in same} == {path: before[path] for path in same}
    # What a kill left between the last fold and the member's own files.
    (member / "member.json").unlink()
    train(run, "a")
    assert (member / "member.json").is_file()


@pytest.mark.slow
def test_a_folder_of_the_other_kind_of_validation_is_never_mixed_with(
    run: Path, tmp_path: Path
) -> None:
    kind = "holds a member that was trained from something else"
    with pytest.raises(InputError, match=kind):
        train(run, "a", changes=("members.a.validation.share=0.25",))
    with pytest.raises(InputError, match=kind):
        train(run, "a", changes=("members.a.validation.folds=3",))
    with pytest.raises(InputError, match=kind):
        train(run, "b", changes=("members.b.validation.folds=2",))
    assert not list((run / "members" / "b").glob("fold-*"))
    for member in ("a", "b"):
        (run / "members" / member / "member.json").unlink()
    with pytest.raises(InputError, match="beginning of a training with folds"):
        train(run, "a", changes=("members.a.validation.share=0.25",))
    with pytest.raises(InputError, match="beginning of a training without folds"):
        train(run, "b", changes=("members.b.validation.folds=2",))


def test_other_groups_are_other_folds_and_no_member_of_before(
    trained: prepare.Prepared,
) -> None:
    index = trained.index.assign(group=trained.index["id"])
    index.loc[index["id"].isin(["0RDLO9", "1H0UHE"]), "group"] = "0RDLO9"
    grouped = prepare.Prepared(**{**vars_of(trained), "index": index})
    assert grouped.identity("a") != trained.identity("a")
    assert grouped.identity("a/fold-1") != trained.identity("a/fold-1")
    # A share is held out in groups too.
    assert grouped.identity("b") != trained.identity("b")
    alone = trained.index.assign(group=trained.index["id"])
    pairs = trained.index["group"].duplicated(keep=False) & (trained.index["part"] == "train")
    alone.loc[pairs, "group"] = trained.index.loc[pairs, "group"]
    # What a group of one is called decides nothing.
    renamed = prepare.Prepared(**{**vars_of(trained), "index": alone})
    assert renamed.identity("a") == trained.identity("a")


def vars_of(prepared: prepare.Prepared) -> dict[str, Any]:
    return {name: getattr(prepared, name) for name in prepare.Prepared.__dataclass_fields__}


def test_images_that_cannot_be_dealt_out_are_refused_before_any_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="95 groups of duplicates and single images"):
        train(tmp_path / "run", "b", "a", changes=("members.a.validation.folds=97",))
    assert not (tmp_path / "run" / "members").exists()


def test_a_step_of_a_fold_is_made_again(run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    replay(run, "a/fold-2", (1, 2), "loss", tmp_path / "out", data=None)
    again, recorded = (
        [
            row["digest"]
            for row in Ledger.read(path).rows().to_pylist()
            if (row["epoch"], row["step"], row["stage"], row["what"]) == (1, 2, "loss", "")
        ]
        for path in (tmp_path / "out/ledger.parquet", run / "members/a/fold-2/ledger.parquet")
    )
    assert again == recorded
    assert len(again) == 1


def options_in(folder: Path) -> list[str]:
    settings_in(folder)
    changes = [part for change in CHANGES for part in ("--set", change)]
    return ["--config", "small.toml", *changes]


@pytest.mark.slow  # four processes that train
def test_twins_with_folds_have_the_same_bits(invoke: Command, tmp_path: Path) -> None:
    twins = invoke("twins", "a", *options_in(tmp_path))
    assert twins.returncode == 0, twins.stderr
    assert "a fold 2/2" in twins.stdout
    verdict = json.loads((tmp_path / "runs" / "twins" / "twins.json").read_text())
    assert verdict["same"]
    assert verdict["control_differs"]
    assert "kill" in verdict["perturbations"]
    assert list(verdict["ledgers"]) == list(FOLDS)


@pytest.mark.slow  # two processes that train
def test_a_run_with_folds_shows_them_and_warns_once(invoke: Command, tmp_path: Path) -> None:
    options = options_in(tmp_path)
    answer = invoke("run", *options)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("warning") == 1
    printed = " ".join(answer.stdout.split())
    assert "members are validated on fewer than 30 images (b on 24)" in printed
    assert "a fold 1/2 (1/2) timm/test_resnet" in printed
    assert "log loss over folds" in printed
    again = invoke("train", "b", *options, "--run", "again", "--quiet")
    assert again.returncode == 0, again.stderr
    assert again.stdout == ""
