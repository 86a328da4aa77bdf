"""Records of predictions: made again and graded; whatever is recorded is compared and named."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import Command
from tests.exact import read_exact
from tests.predict.test_predict import SAMPLE, TEST, predicted, refused
from tests.run_folder.documents import edited
from twinrun.files import sha256_file
from twinrun.predict.record import PredictionRecord, read_record_of
from twinrun.verify.new_images import find_causes, find_surroundings

RECORD = "out.predictions.json"


@pytest.fixture(scope="module")
def made(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions of three images, with their record. Not to be written to."""
    folder = tmp_path_factory.mktemp("made")
    images = folder / "images"
    images.mkdir()
    for name in ("1AXIPJ.jpg", "2VXT82.jpg", "S2U8GN.gif"):
        shutil.copy(TEST / name, images)
    predicted(recorded, images, folder / "out.csv")
    return folder


@pytest.fixture
def images(made: Path, tmp_path: Path) -> Path:
    """Of predictions that lie beside them, with their record."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "images"


def test_what_comes_out_again_is_called_the_same(
    recorded: Path, images: Path, invoke: Command, tmp_path: Path
) -> None:
    command = ("verify", RECORD, "--of", recorded, "--images", images)
    # More images beside them change nothing.
    shutil.copy(TEST / "643083.jpg", images)
    done = invoke(*command)
    assert done.returncode == 0, done.stderr
    assert f"same bits: {RECORD} made again" in done.stdout
    refused(invoke(*command, "--sample", SAMPLE), "is of predictions")
    refused(invoke("verify", RECORD), "names no place")
    refused(invoke("verify", recorded, "--images", images), "is for a record of predictions")
    refused(invoke(*command, "--trust"), "--trust is for a package; a run is predicted with here")


@pytest.mark.parametrize(
    "given",
    [
        ("some", "member"),
        ("--predict-only",),
        ("--retrain",),
        ("--data", "somewhere"),
        ("--labels", "labels.csv"),
        ("--out", "runs"),
    ],
)
def test_options_that_mean_nothing_for_a_record_are_refused(
    invoke: Command, given: tuple[str, ...]
) -> None:
    what = given[0] if given[0].startswith("-") else "some member"
    done = invoke("verify", RECORD, *given)
    refused(done, f"{what} means nothing for {RECORD}, a record of predictions")


def test_a_submission_is_verified_with_its_sample(
    recorded: Path, invoke: Command, tmp_path: Path
) -> None:
    predicted(recorded, TEST, tmp_path / "out.csv", SAMPLE)
    command = ("verify", RECORD, "--of", recorded, "--images", TEST)
    assert invoke(*command, "--sample", SAMPLE).returncode == 0
    refused(invoke(*command), "is of a submission")


def test_other_images_are_named_and_the_answer_is_no(
    recorded: Path, images: Path, invoke: Command, tmp_path: Path
) -> None:
    Image.new("RGB", (90, 70), "red").save(images / "2VXT82.jpg")
    (images / "S2U8GN.gif").unlink()
    done = invoke("verify", RECORD, "--of", recorded, "--images", images)
    assert done.returncode == 1
    assert "2VXT82: changed" in done.stdout
    assert "S2U8GN: missing" in done.stdout
    assert "came out with different bits" in done.stderr


def test_other_weights_are_named_also_where_the_bits_are_the_same(
    recorded: Path, images: Path, invoke: Command, tmp_path: Path
) -> None:
    edited(tmp_path / RECORD, "weights", "b", value="0" * 64)
    edited(tmp_path / RECORD, "environment", "threads", value=1)
    command = ("verify", RECORD, "--of", recorded, "--images", images)
    done = invoke(*command)
    assert done.returncode == 1
    assert " ".join(done.stdout.split()).startswith("grade different, exit code 1")
    assert "b: changed" in done.stdout
    assert "the answers are the same, but it was not made from the same weights" in done.stdout
    assert "was made again to the same bits, but not of what it records" in done.stderr
    # Where these are the same, what the bits do not hang on is told, and moves no grade.
    weights = {each.parent.name: each for each in recorded.rglob("weights.safetensors")}
    edited(tmp_path / RECORD, "weights", "b", value=sha256_file(weights["b"]))
    done = invoke(*command)
    assert done.returncode == 0
    assert "threads: 1 then, 2 now" in done.stdout


def test_last_bits_alone_are_rounding_and_other_answers_are_not(
    recorded: Path, images: Path, invoke: Command, tmp_path: Path
) -> None:
    table = read_exact(tmp_path / "out.csv")
    column = table.columns[1]
    table[column] = table[column].to_numpy() + 1e-9
    table.to_csv(tmp_path / "out.csv", index=False)
    command = ("verify", RECORD, "--of", recorded, "--images", images)
    refused(invoke(*command), "out.csv is not the file that was written when it was predicted")
    edited(tmp_path / RECORD, "output", "sha256", value=sha256_file(tmp_path / "out.csv"))
    assert invoke(*command).returncode == 3
    assert invoke(*command, "--accept", "rounding").returncode == 0
    table.iloc[:, 1:] = table.iloc[:, [2, 3, 1]].to_numpy()
    table.to_csv(tmp_path / "out.csv", index=False)
    edited(tmp_path / RECORD, "output", "sha256", value=sha256_file(tmp_path / "out.csv"))
    done = invoke(*command)
    assert done.returncode == 1
    assert "the predictions differ" in done.stdout
    assert "came out with different bits" in done.stderr


def test_a_damaged_record_is_named(
    recorded: Path, images: Path, invoke: Command, tmp_path: Path
) -> None:
    (tmp_path / RECORD).write_text("{}")
    refused(invoke("verify", RECORD, "--of", recorded, "--images", images), "is damaged")


# Of each field of a record: something that is not the same, and how it is named.

OTHER = "0" * 64
CAUSES: dict[str, list[tuple[Callable[[dict[str, Any]], object], str, str]]] = {
    "images": [
        (lambda now: now["images"].pop("1AXIPJ"), "data", "1AXIPJ: missing"),
        (lambda now: now["images"].update(x=OTHER), "data", "x: new"),
        (lambda now: now["images"].update({"1AXIPJ": OTHER}), "data", "1AXIPJ: changed"),
    ],
    "unread": [
        (lambda now: now["unread"].pop("u"), "data", "u: cannot be read then only (damaged)"),
        (lambda now: now["unread"].update(x="gone"), "data", "x: cannot be read now only (gone)"),
    ],
    "parts": [
        (lambda now: now["parts"].pop("p"), "data", "p: there in part then only (cut short)"),
        (lambda now: now["parts"].update(x="cut"), "data", "x: there in part now only (cut)"),
    ],
    "weights": [
        (lambda now: now["weights"].update(b=OTHER), "weights", "b: changed"),
        (lambda now: now["weights"].pop("b"), "weights", "b: missing"),
        (lambda now: now["weights"].update(c=OTHER), "weights", "c: new"),
    ],
    "blend": [
        (lambda now: now["blend"].update(method="geometric"), "blend", "method: 'arithmetic' then"),
        (lambda now: now["blend"]["weights"].update(b=7.0), "blend", "weights.b: 1.0 then, 7.0"),
        (lambda now: now["blend"].update(temperature=2.0), "blend", "temperature: 1.0 then, 2.0"),
        (lambda now: now["blend"].update(missing=["c"]), "blend", "missing: [] then, ['c'] now"),
        (lambda now: now["blend"].update(partial=True), "blend", "partial: False then, True now"),
    ],
    "hooks": [
        (lambda now: now["hooks"].update(head=OTHER), "own code", "hooks.py: head: changed"),
        (lambda now: now["hooks"].clear(), "own code", "hooks.py: head: missing"),
    ],
    "settings": [
        (lambda now: now.update(settings=OTHER), "settings", "not those of the record"),
    ],
    "sample": [
        (lambda now: now.update(sample=OTHER), "sample", "not that of the record"),
    ],
}
SURROUNDINGS: dict[str, list[tuple[Callable[[dict[str, Any]], object], tuple[object, ...]]]] = {
    "environment": [
        (lambda now: now["environment"].update(threads=7), ("threads", 2, 7)),
    ],
    "engine": [
        (lambda now: now["engine"].update(version="x"), ("engine", "0, commit 0", "x, commit 0")),
        (lambda now: now["engine"].update(commit="x"), ("engine", "0, commit 0", "0, commit x")),
    ],
    "unread": [
        (lambda now: now["unread"].update(u="x"), ("u, cannot be read", "damaged", "x")),
    ],
    "parts": [
        (lambda now: now["parts"].update(p="x"), ("p, there in part", "cut short", "x")),
    ],
}
# Of these `verify_new_predictions` speaks: the digest of the output is what "same bits" is about.
ELSEWHERE = {"version", "output"}


@pytest.fixture
def then(made: Path) -> dict[str, Any]:
    record = read_record_of(made / RECORD)
    record["unread"], record["parts"] = {"u": "damaged"}, {"p": "cut short"}
    record["hooks"], record["engine"] = {"head": "1" * 64}, {"version": "0", "commit": "0"}
    return record


def test_whatever_is_recorded_is_compared_and_named(then: dict[str, Any]) -> None:
    assert find_causes(then, copy.deepcopy(then)) == []
    assert find_surroundings(then, copy.deepcopy(then)) == (None, [])
    fields = set(PredictionRecord.model_fields) - ELSEWHERE
    assert fields == CAUSES.keys() | SURROUNDINGS.keys() | {"code"}
    for each in (change for changes in CAUSES.values() for change in changes):
        change, kind, line = each
        now = copy.deepcopy(then)
        change(now)
        (cause,) = find_causes(then, now)
        assert cause.kind == kind
        (named,) = cause.lines
        assert named.startswith(line)
        assert find_surroundings(then, now) == (None, []), "of one thing nothing is said twice"
    for alter, expected in (change for changes in SURROUNDINGS.values() for change in changes):
        now = copy.deepcopy(then)
        alter(now)
        assert find_causes(then, now) == []
        assert find_surroundings(then, now) == (None, [expected])
    then["images"]["u"] = OTHER
    now = copy.deepcopy(then)
    del now["images"]["u"], now["unread"]["u"]
    assert [cause.lines for cause in find_causes(then, now)] == [("u: missing",)]
    now = {**then, "code": OTHER}
    engine, others = find_surroundings(then, now)
    assert engine is not None
    assert engine.lines == (f"{then['code'][:8]} then, 00000000 now",)
    assert others == []
