"""Whoever follows a package's README by hand has the submission: see `by_hand`."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.package.by_hand import Answers, by_hand, plain
from tests.package.test_hosts import pages
from tests.predictions import drawn_labels, seeing, settings_for
from tests.run_folder.documents import ENVIRONMENT, place_of, record_member, write_sealed
from twinrun import submit
from twinrun.blend.choice import describe_origin
from twinrun.blend.out_of_fold import write_out_of_fold
from twinrun.config.settings import Settings
from twinrun.data.tta import tta_views
from twinrun.files import write_csv
from twinrun.package.hosts import HOSTS
from twinrun.run_folder.manifest import build_manifest, guard_digests, write_blend
from twinrun.submission_forms import FORMS

MEMBERS = {"M_1": 1.6, "b": 1.0, "c": 0.3}
IMAGES, TESTS = 60, 12


def recorded_run(folder: Path, settings: Settings) -> Path:
    """A run with the submission that its settings ask for; nothing in it was trained."""
    run, classes = folder / "runs" / "full", settings.classes
    asked = settings.submission.model_copy(update={"rows_sum_to_one": False})
    settings = settings.model_copy(update={"submission": asked})
    records = {}
    for number, (name, skill) in enumerate(MEMBERS.items()):
        member = run / "members" / name
        folds = settings.members[name].validation.folds or 0
        of_folds = {}
        for fold in range(max(folds, 1)):
            place = member / f"fold-{fold + 1}" if folds else member
            seed = 10 * number + fold
            rows = range(fold, IMAGES, folds or 1)
            write_table(place / "valid.csv", "v", IMAGES, rows, classes, skill, seed)
            write_table(place / "test.csv", "t", TESTS, range(TESTS), classes, skill, seed)
            record = of_folds[place.name] = record_member(place)
        if folds:
            identity, held_out = record["identity"], [f"v{row:02d}" for row in range(IMAGES)]
            record = write_out_of_fold(member, identity, of_folds, held_out, "log_loss")
        records[name] = record
    ids = [f"v{row:02d}" for row in range(IMAGES)] + [f"t{row:02d}" for row in range(TESTS)]
    pixels = [*ids[:-2], ids[-3], ids[-1]]  # the last but one is a copy
    index = pd.DataFrame({"part": ["train"] * IMAGES + ["test"] * TESTS, "id": ids, "label": "x"})
    index = index.assign(path=ids, bytes=1, sha256=ids, group=ids, pixels_16=ids, pixels_32=pixels)
    index.to_parquet(run / "index.parquet")
    output = run / "submission.csv"
    sample = write_sample(folder, settings)
    chosen = submit.blend_run(run, settings, sample, output)
    origin = describe_origin(run, settings, list(chosen.weights), None)
    write_blend(run, {**chosen.content(), "origin": origin})
    environment = {
        "decides": ENVIRONMENT,
        "beside": {"platform": "x", "cores": 2, "code": "c" * 64},
    }
    content = build_manifest(
        settings,
        "a" * 64,
        environment,
        records,
        submission=output,
        seconds=1.0,
        guards=guard_digests(run),
    )
    place_of(run, settings)
    write_sealed(run / "manifest.json", content)
    return run


def write_table(
    path: Path, letter: str, count: int, rows: Any, classes: list[str], skill: float, seed: int
) -> None:
    labels = drawn_labels(count, len(classes))
    values = seeing(labels, len(classes), skill=skill, noise=1, seed=seed, sure=0.5)
    table = pd.DataFrame(values.astype(np.float32), columns=classes).iloc[list(rows)]
    table.insert(0, "id", [f"{letter}{row:02d}" for row in rows])
    if letter == "v":
        table.insert(1, "label", [classes[labels[row]] for row in rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(path, table)


def write_sample(folder: Path, settings: Settings) -> Path:
    names, form = list(reversed(settings.asked_classes)), settings.submission.columns
    columns = {"classes": names, "long": ["kind", "answer"]}.get(form, ["answer"])
    rows = [f"t{row:02d}" for row in reversed(range(TESTS))]
    if form == "long":
        keys = [f"{row},{name}" for name in names for row in rows]
    else:
        keys = [f"{row}_{name}" for row in rows for name in names] if form == "joined" else rows
    values = ["0"] * (len(columns) - (form == "long"))
    lines = [",".join(["ID", *columns]), *(",".join([key, *values]) for key in keys)]
    (folder / "sample.csv").write_text("\n".join(lines) + "\n")
    return folder / "sample.csv"


def submitted(run: Path, classes: list[str]) -> Answers:
    with (run / "submission.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    if len(rows) > TESTS:
        cells = [
            (row["ID"].partition("_")[0], row.get("kind") or row["ID"].partition("_")[2])
            for row in rows
        ]
        held = dict(zip(cells, (float(row["answer"]) for row in rows), strict=True))
        return {image: [held[image, name] for name in classes] for image, _ in cells}
    if "answer" not in rows[0]:
        return {row["ID"]: [float(row[name]) for name in classes] for row in rows}
    return {
        row["ID"]: row["answer"] if row["answer"] in classes else [float(row["answer"])]
        for row in rows
    }


CASES: dict[str, dict[str, Any]] = {
    "the 13th place": {
        "weights": {"M_1": 69.0, "b": 57.3, "c": 0.3},
        "clamp": [0.2, 0.7],
        "renormalise": False,
    },
    "equal weights": {},
    "a geometric mean": {"method": "geometric", "weights": {"M_1": 2.0, "c": 1.0}},
    "a temperature": {"calibrate": True, "weights": {"M_1": 2.0, "c": 1.0}},
    "fitted with a temperature": {"method": "auto"},
    "fitted": {"method": "selection", "clamp": [0.1, 0.9]},
}


@pytest.mark.parametrize("case", CASES)
def test_the_readme_by_hand_gives_the_submission(tmp_path: Path, case: str) -> None:
    settings = settings_for(tmp_path, list(MEMBERS), **CASES[case])
    run = recorded_run(tmp_path, settings)
    page = pages(run, "zindi")["README.md"]
    made, recorded = by_hand(page, run), submitted(run, settings.classes)
    assert made.keys() == recorded.keys()
    for image, answer in recorded.items():
        assert made[image] == pytest.approx(answer, abs=1e-12)
    assert ("the power of 1 /" in page) == ("temperature" in case)
    fitted = "fitted" in case or "temperature" in case
    assert ("nothing was fitted" in page) != fitted


@pytest.mark.parametrize("unseen", [[], ["UNK", "none of them"]])
@pytest.mark.parametrize("columns", FORMS.names)
def test_so_do_copies_folds_and_each_form_of_submission(
    tmp_path: Path, columns: str, unseen: list[str]
) -> None:
    unseen = [] if columns == "probability" else unseen
    classes = ["yes", "no"] if columns == "probability" else ["yes", "no", "not sure"]
    settings = settings_for(tmp_path, list(MEMBERS), classes)
    folds = settings.members["b"].validation.model_copy(update={"share": None, "folds": 3})
    b = settings.members["b"].model_copy(update={"validation": folds})
    settings = settings.model_copy(
        update={
            "members": settings.members | {"b": b},
            "submission": settings.submission.model_copy(
                update={"columns": columns, "copies": "mean", "unseen": unseen}
            ),
        }
    )
    run = recorded_run(tmp_path, settings)
    page = pages(run, "drivendata")["README.md"]
    assert "| each of 3 folds | 3 x (1 + 1) |" in page
    made, recorded = by_hand(page, run), submitted(run, settings.asked_classes)
    assert made.keys() == recorded.keys()
    assert made["t09"] == made["t10"]
    for image, answer in recorded.items():
        assert made[image] == (
            answer if columns == "label" else pytest.approx(answer, abs=1e-12)
        ), image


def test_a_step_that_is_told_wrong_gives_another_submission(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, list(MEMBERS), clamp=[0.2, 0.7])
    run = recorded_run(tmp_path, settings)
    page = pages(run, "zindi")["README.md"]
    for wrong in (
        page.replace("at least 0.2", "at least 0.1"),
        re.sub(r"^\d+\. Each row is divided by its sum\.\n", "", page, flags=re.MULTILINE),
        re.sub(r"\| 1 \| 1 s \|", "| 3 | 1 s |", page, count=1),
    ):
        assert wrong != page
        made, recorded = by_hand(wrong, run), submitted(run, settings.classes)
        assert any(made[image] != pytest.approx(recorded[image], abs=1e-6) for image in recorded)
    unknown = page.replace("Each row is divided by its sum.", "Each row is brought into shape.")
    with pytest.raises(
        ValueError, match="nobody knows how to do that by hand: Each row is brought"
    ):
        by_hand(unknown, run)


@pytest.mark.parametrize("host", HOSTS.names)
def test_each_readme_holds_every_setting_that_decides_the_result(tmp_path: Path, host: str) -> None:
    settings = settings_for(tmp_path, list(MEMBERS), clamp=[0.25, 0.75])
    changed = settings.members["b"].model_copy(update={"batch_size": 77, "mixup": 0.0})
    settings = settings.model_copy(update={"members": settings.members | {"b": changed}})
    run = recorded_run(tmp_path, settings)
    page = plain(pages(run, host)["README.md"])
    for line in (
        "- clamp = [0.25, 0.75]",
        '- method = "arithmetic"',
        "- seed = 0",
        "- epochs.frozen = 1",
        "- dropout = 0.5",
        "| member | batch_size | mixup |",
        "| b | 77 |  |",
        "| c | 16 | 0.4 |",
    ):
        assert line in page


@pytest.mark.parametrize(
    ("test_time", "flip", "words", "views"),
    [
        ({"method": "flips"}, False, "as it is and mirrored left to right", 2),
        ({"method": "flips"}, True, "in the eight symmetries of a square", 8),
        ({"method": "crops", "mean": "geometric"}, False, "in five crops of seven eighths", 5),
        ({"method": "train", "times": 6}, False, "6 times, each changed at random", 6),
    ],
)
def test_test_time_augmentation_is_told(
    tmp_path: Path, test_time: dict[str, Any], flip: bool, words: str, views: int
) -> None:
    settings = settings_for(tmp_path, list(MEMBERS))
    b = settings.members["b"]
    b = b.model_copy(
        update={
            "test_time": b.test_time.model_copy(update=test_time),
            "transforms": b.transforms | {"flip_vertical": flip},
        }
    )
    assert len(tta_views(b)) == views
    run = recorded_run(
        tmp_path, settings.model_copy(update={"members": settings.members | {"b": b}})
    )
    page = pages(run, "kaggle")["README.md"]
    mean = test_time.get("mean", "arithmetic")
    assert f"b sees each image {words}" in page
    assert f"the {mean} mean of the probabilities is taken" in page
    assert ("brought back to a sum of 1" in page) == (mean == "geometric")
    assert page.count("sees each image") == 1
