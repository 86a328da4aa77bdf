"""The report's page: every value equal to its file's, everything escaped, nothing needed."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from tests.conftest import Command
from tests.predictions import held_of
from tests.report.made_run import (
    make_run,
    write_audit,
    write_blend,
    write_chosen_blend,
    write_twins,
    write_verify,
)
from tests.report.page import elements, shown, wrong_values
from tests.run_folder.documents import (
    compared,
    edited,
    read_plain,
    record_member,
    record_run,
    whole_grade,
)
from tests.terminal import plain
from twinrun.blend.nested import nested_parts
from twinrun.blend_methods.joint_fit import optimise_with_temperature
from twinrun.blend_methods.temperature import fit_temperature
from twinrun.cli.report import write_and_describe
from twinrun.errors import InputError
from twinrun.report import members, sections
from twinrun.report.report import render, write_report
from twinrun.report.run_data import read_run_data
from twinrun.report.sections import SECTIONS

ORDER = (
    "verdict",
    "members",
    "curves",
    "blend",
    "confusion",
    "calibration",
    "classes",
    "worst",
    "labels",
    "audit",
    "provenance",
)
EVIL = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>"


def section(html: str, name: str) -> str:
    """The text of a section."""
    (found,) = [each for each in elements(html) if each.attributes.get("id") == name]
    return found.text


def fits_without(
    run: Path,
    rows: dict[str, dict[str, list[float]]],
    labels: dict[str, str],
    classes: list[str],
) -> dict[str, tuple[dict[str, float], float]]:
    """Of each image the weights and the temperature that are fitted without its part."""
    names, ids = sorted(rows), sorted(labels)
    values = np.array([[rows[name][image] for image in ids] for name in names])
    numbers = [classes.index(labels[image]) for image in ids]
    held = held_of(dict(zip(names, values, strict=True)), numbers)
    fits: dict[str, tuple[dict[str, float], float]] = {}
    for part in nested_parts(replace(held, ids=ids, groups=ids), 0):
        rest = np.setdiff1d(np.arange(len(ids)), part)
        own = optimise_with_temperature(values[:, rest], held.labels[rest])
        mean = (own[:, None, None] * values[:, rest]).sum(axis=0)
        temperature = fit_temperature(mean, held.labels[rest])
        fit = dict(zip(names, own.tolist(), strict=True)), temperature
        fits |= dict.fromkeys((ids[row] for row in part.tolist()), fit)
    return fits


def expected(run: Path, weights: dict[str, float], *, blend: bool = False) -> dict[str, Any]:
    """What the page computes from valid.csv, by loops and without the code under test."""
    classes: list[str] = []
    labels: dict[str, str] = {}
    rows: dict[str, dict[str, list[float]]] = {}
    for name in weights:
        with (run / "members" / name / "valid.csv").open(newline="") as lines:
            reader = csv.DictReader(lines)
            classes = list(reader.fieldnames or ())[2:]
            rows[name] = {}
            for row in reader:
                labels[row["id"]] = row["label"]
                rows[name][row["id"]] = [float(row[each]) for each in classes]

    fits = (
        fits_without(run, rows, labels, classes) if blend else dict.fromkeys(labels, (weights, 1))
    )

    def mixed(names: list[str]) -> dict[str, list[float]]:
        means = {}
        for image, (own, temperature) in fits.items():
            total = sum(own[name] for name in names)
            row = [
                sum(own[name] * rows[name][image][c] for name in names) / total
                for c in range(len(classes))
            ]
            means[image] = [p ** (1 / temperature) for p in row]
        return {image: [p / sum(row) for p in row] for image, row in means.items()}

    def loss(table: dict[str, list[float]], image: str) -> float:
        return -math.log(table[image][classes.index(labels[image])])

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    table = mixed(list(weights))
    ids = sorted(labels)
    guess = {image: classes[row.index(max(row))] for image, row in table.items()}
    mistakes = Counter((labels[i], guess[i]) for i in ids if labels[i] != guess[i])
    bins: dict[int, list[str]] = {}
    for image in ids:
        bins.setdefault(math.ceil(max(table[image]) * 10) - 1, []).append(image)
    found = [
        {
            "images": len(bins[b]),
            "confidence": mean([max(table[i]) for i in bins[b]]),
            "accuracy": mean([guess[i] == labels[i] for i in bins[b]]),
        }
        for b in sorted(bins)
    ]
    by_class = []
    for name in classes:
        own = [i for i in ids if labels[i] == name]
        said = [i for i in ids if guess[i] == name]
        right = sum(guess[i] == name for i in own)
        by_class.append(
            {
                "images": len(own),
                "loss": mean([loss(table, i) for i in own]),
                "recall": right / len(own),
                "precision": right / len(said) if said else None,
            }
        )
    thresholds = [
        mean([table[i][c] for i in ids if labels[i] == name]) for c, name in enumerate(classes)
    ]
    suspects, doubts = [], []
    for image in ids:
        likely = table[image]
        reached = [(p, c) for c, p in enumerate(likely) if p >= thresholds[c]]
        doubts += [1 - max(reached)[0]] if reached else []
        if reached and classes[max(reached)[1]] != labels[image]:
            own_probability = likely[classes.index(labels[image])]
            suspects.append(
                {"label_probability": own_probability, "likely_probability": max(reached)[0]}
            )
    losses = {
        name: mean([loss(mixed([n for n in weights if n != name]), i) for i in ids])
        for name in weights
        if len(weights) > 1 and not blend
    }
    whole = mean([loss(table, i) for i in ids])
    adds = {name: value - whole for name, value in losses.items()}
    if blend:
        recorded = json.loads((run / "blend.json").read_text())
        adds = {name: value - 0.625 for name, value in recorded["without"].items()}
    order = sorted(weights, key=lambda name: (-weights[name], name))
    flat = [[p for i in ids for p in rows[name][i]] for name in order]
    alike = {
        kind: [[float(by(one, other).statistic) for other in flat] for one in flat]
        for kind, by in (("pearson", pearsonr), ("spearman", spearmanr))
    }
    return {
        "weights": weights,
        "correlation": {"images": len(ids), **alike},
        "seconds": 61.0625 * len(weights),
        "score": {"value": whole, "simple_value": math.log(len(classes))},
        "without": losses,
        "adds": adds,
        "errors": {
            "images": len(ids),
            "loss": whole,
            "accuracy": mean([guess[i] == labels[i] for i in ids]),
            "confusion": {
                "counts": [
                    [sum(labels[i] == a and guess[i] == b for i in ids) for b in classes]
                    for a in classes
                ],
                "pairs": [{"images": count} for _, count in mistakes.most_common(12)],
            },
            "calibration": {
                "error": sum(b["images"] * abs(b["accuracy"] - b["confidence"]) for b in found)
                / len(ids),
                "bins": found,
            },
            "classes": {"rows": sorted(by_class, key=lambda each: -float(each["loss"] or 0))},
            "worst": [
                {
                    "loss": loss(table, image),
                    "guesses": [{"probability": p} for p in sorted(table[image], reverse=True)],
                }
                for image in sorted(ids, key=lambda image: (-loss(table, image), image))
            ],
            "suspects": {
                "found": len(suspects),
                "by_chance": sum(doubts),
                "spread": sum(d * (1 - d) for d in doubts) ** 0.5,
                "images": sorted(
                    suspects, key=lambda s: s["label_probability"] - s["likely_probability"]
                ),
            },
        },
    }


def test_every_value_on_the_page_is_its_files(tmp_path: Path) -> None:
    run = make_run(tmp_path, count=40, doubt=4.0)
    write_audit(run)
    write_twins(run)
    html = render(run)
    wanted = expected(run, {"a": 1.0, "b": 1.0})
    assert wrong_values(html, run, wanted) == []
    values = shown(html)
    assert len(values) > 150
    sources = {each.attributes["data-source"] for each in values}
    assert sources == {
        "manifest.json",
        "computed",
        "audit.json",
        "../twins/twins.json",
        *(f"members/{name}/{file}" for name in "ab" for file in ("member.json", "history.csv")),
    }
    # There are mistakes and suspects to show in this run.
    assert wanted["errors"]["confusion"]["pairs"]
    assert wanted["errors"]["suspects"]["images"]
    # No number of a table came there by another way.
    numbers = [each for each in elements(html) if "n" in each.attributes.get("class", "").split()]
    cells = [each for each in numbers if each.tag == "td"]
    assert len(cells) > 50
    for cell in cells:
        assert any(child.tag == "data" for child in cell.children), cell


def test_every_value_of_a_fitted_blend_is_its_files(tmp_path: Path) -> None:
    run = make_run(tmp_path, members=("a", "b", "c"), count=30)
    weights = {"a": 0.5, "b": 0.25, "c": 0.25}
    write_blend(run, weights)
    html = render(run)
    assert wrong_values(html, run, expected(run, weights, blend=True)) == []
    text = section(html, "blend")
    assert "the lowest score" in text
    # One method is there with a temperature and without, which has no nested score.
    assert text.count("taken") == 1
    assert "optimised taken 0.6250 0.5000 1.25" in text
    # 0.6875 without it, 0.625 with it.
    assert text.count("+0.0625") == 3


def headings(html: str, name: str) -> list[str]:
    """Of the columns of a section's tables."""
    (found,) = [each for each in elements(html) if each.attributes.get("id") == name]
    return [each.text for each in found.children if each.attributes.get("scope") == "col"]


def test_a_column_in_which_nothing_can_stand_is_no_column(tmp_path: Path) -> None:
    many = render(make_run(tmp_path / "many"))
    assert headings(many, "members") == [
        *("member", "network", "valid loss", "accuracy", "weight", "held out", "time")
    ]
    assert headings(many, "blend") == [
        *("member", "weight", "share of the largest", "without it", "adds"),
        # How alike the members are: a column for each, twice.
        *("a", "b", "a", "b"),
    ]
    one = render(make_run(tmp_path / "one", members=["a"]))
    assert headings(one, "blend") == ["member", "weight", "share of the largest"]
    assert "What each member adds cannot be said" in section(one, "blend")


def test_a_number_of_one_name_has_one_meaning(tmp_path: Path) -> None:
    """The loss of a member is clamped in the blend; with test-time augmentation it has two."""
    weights = {"a": 1.0, "b": 1.0}
    plain = make_run(tmp_path / "plain")
    write_blend(plain, weights)
    html = render(plain)
    assert "alone" in headings(html, "blend")
    assert "clamped" not in section(html, "blend")
    assert "augmentation" not in section(html, "members") + section(html, "curves")
    changes = ["blend.clamp=[0.001, 0.999]", 'recipe.test_time={ method = "flips" }']
    other = make_run(tmp_path / "other", changes=changes)
    write_blend(other, weights)
    html = render(other)
    assert "alone, clamped" in headings(html, "blend")
    assert "its probabilities clamped to 0.001 to 0.999" in section(html, "blend")
    assert "with test-time augmentation where its recipe has it" in section(html, "members")
    assert "without the test-time augmentation of valid.csv" in section(html, "curves")


@pytest.mark.parametrize("file", ["members/a/member.json", "members/b/history.csv", "computed"])
def test_a_value_that_is_not_its_files_is_seen(tmp_path: Path, file: str) -> None:
    run = make_run(tmp_path)
    html = render(run)
    wanted = expected(run, {"a": 1.0, "b": 1.0})
    if file == "computed":
        wanted["errors"]["classes"]["rows"][1]["loss"] += 1e-6
    elif file.endswith("json"):
        scores = read_plain(run / file)["scores"]
        edited(run / file, "scores", "valid_loss", value=scores["valid_loss"] + 1e-9)
    else:
        (run / file).write_text((run / file).read_text().replace("1.1", "1.10001"))
    problems = wrong_values(html, run, wanted)
    assert problems
    assert all(line.startswith(file) for line in problems)
    misrounded = re.sub(r">1\.1000</data>", ">1.1001</data>", html)
    assert misrounded != html
    assert "shown as 1.1001" in "".join(wrong_values(misrounded, run, wanted))


def test_the_same_run_gives_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_audit(run)
    here = write_report(run).read_bytes()
    assert b"2020-03-01, 12:34 UTC" in here
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nsvg.fonttype: path\n")
    subprocess.run(
        [sys.executable, "-m", "twinrun", "report", "runs/full"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONHASHSEED": "7",
            "TZ": "Pacific/Kiritimati",
            "LC_ALL": "C",
            "MPLCONFIGDIR": str(tmp_path),
        },
        check=True,
        capture_output=True,
    )
    assert (run / "report.html").read_bytes() == here
    # And other bytes when something in the run is another.
    write_audit(run, title="9 images are copies")
    assert write_report(run).read_bytes() != here


def test_images_that_were_left_out_are_told_by_their_reason(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_audit(run)
    told = section(render(run), "audit")
    assert "1 image left out of the training by them, and 1 image that cannot be read." in told


def test_what_is_not_there_yet_leaves_its_section_with_a_sentence(tmp_path: Path) -> None:
    run = make_run(tmp_path, pictures=False)
    for path in sorted(run.rglob("*"), reverse=True):
        if path.is_file() and path.name != "manifest.json":
            path.unlink()
    record_run(run, members={})
    html = render(run)
    assert SECTIONS.names == list(ORDER)
    for name in ORDER:
        assert len(section(html, name)) > 40, name
    assert "Nothing has checked this run yet" in section(html, "verdict")
    assert section(html, "members").count("not complete") == 2
    assert "No member has finished an epoch yet" in section(html, "curves")
    assert "no blend.json" in section(html, "blend")
    assert "What each member adds cannot be said" in section(html, "blend")
    assert "No member has held-out predictions yet" in section(html, "worst")
    assert "was not audited" in section(html, "audit")


def test_one_image_and_no_image_are_answered(tmp_path: Path) -> None:
    one = render(make_run(tmp_path / "one", count=1))
    assert "1 image" in section(one, "worst")
    assert "2 classes without a held-out image" in section(one, "classes")
    assert "move the accuracy by 100.0 percentage points" in section(one, "confusion")
    none = render(make_run(tmp_path / "none", count=0))
    assert "No member has held-out predictions yet" in section(none, "classes")


@pytest.mark.slow
def test_a_thousand_classes_are_summarised_and_the_rest_counted(tmp_path: Path) -> None:
    classes = [f"class {number:04d}" for number in range(1000)]
    run = make_run(tmp_path, members=("a",), classes=classes, count=200, pictures=False, doubt=8.0)
    html = render(run)
    assert len(html) < 400_000
    assert "12 classes with the most mistakes; 988 classes left out" in section(html, "confusion")
    lines = section(html, "classes")
    assert "160 classes with a lower one left out; 800 classes without a held-out image" in lines
    headings = [each for each in elements(html) if each.attributes.get("scope") == "col"]
    assert len(headings) < 100


def test_markup_in_names_is_escaped_everywhere(tmp_path: Path) -> None:
    run = make_run(
        tmp_path,
        classes=["'a' & b", "c", "d"],
        ids=["<script>alert(1)<&'\">"],
        members=("a", "b"),
        doubt=9.0,
        changes=[f"competition.name={json.dumps(EVIL)}"],
    )
    write_audit(run, title=EVIL, image=EVIL)
    write_blend(run, {"a": 1.0, "b": 1.0}, why=EVIL)
    write_twins(
        run,
        comparisons=[
            {
                **compared(EVIL, EVIL, "0" * 64),
                "difference": EVIL,
            }
        ],
    )
    html = render(run)
    found = elements(html)
    assert not [each for each in found if each.tag == "script"]
    assert not [each for each in found if any(name.startswith("on") for name in each.attributes)]
    assert all(each.attributes["src"].startswith("data:") for each in found if each.tag == "img")
    assert EVIL in section(html, "verdict")
    assert EVIL in section(html, "audit")
    assert EVIL in section(html, "blend")
    assert "<script>alert(1)<&'\">" in section(html, "worst")
    assert "'a' & b" in section(html, "confusion")
    (name,) = [each for each in found if each.tag == "h1"]
    assert name.text == EVIL
    # The picture of that file is described by its name.
    assert any("<script>alert(1)<&'\">" in each.attributes.get("alt", "") for each in found)


def test_the_page_needs_nothing_and_forbids_the_rest(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_audit(run)
    html = render(run)
    policy = next(e.attributes for e in elements(html) if "http-equiv" in e.attributes)
    assert policy["content"].startswith("default-src 'none';")
    for each in elements(html):
        for attribute in ("src", "href", "srcset", "action", "data", "poster"):
            address = each.attributes.get(attribute, "#")
            assert address.startswith(("#", "data:")), (each.tag, address)
    assert "url(" not in re.sub(r"url\(#[\w.-]+\)", "", html)
    assert "@import" not in html


def test_it_can_be_read_without_being_seen(tmp_path: Path) -> None:
    run = make_run(tmp_path, doubt=9.0)
    write_audit(run)
    write_twins(run)
    found = elements(render(run))
    tags = Counter(each.tag for each in found)
    for landmark in ("header", "nav", "main", "footer", "h1"):
        assert tags[landmark] == 1, landmark
    assert found[0].attributes["lang"] == "en"
    levels = [int(each.tag[1]) for each in found if re.fullmatch("h[1-6]", each.tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(each.attributes["scope"] in ("col", "row") for each in found if each.tag == "th")
    for table in (each for each in found if each.tag == "table"):
        assert any(child.tag == "caption" and child.text for child in table.children)
    assert all(each.attributes["alt"] for each in found if each.tag == "img")
    for picture in (each for each in found if each.tag == "svg"):
        assert picture.attributes["role"] == "img"
        assert len(picture.attributes["aria-label"]) > 30
    for region in (each for each in found if each.attributes.get("role") == "region"):
        assert region.attributes["tabindex"] == "0"
        assert region.attributes["aria-label"]
    ids = Counter(each.attributes["id"] for each in found if "id" in each.attributes)
    assert max(ids.values()) == 1
    for each in found:
        for attribute in ("href", "aria-labelledby"):
            target = each.attributes.get(attribute, "").removeprefix("#")
            assert not target or target.startswith("data:") or target in ids


@pytest.mark.parametrize(
    ("changes", "state", "text"),
    [
        ({}, "same bits", "came out with the same bits, which are this run's"),
        ({"same": False}, "bits differ", "came out with other bits"),
        ({"control_differs": False}, "bits differ", "cannot see a difference"),
        ({"comparisons": []}, "not of this run", "not trained as this run was"),
    ],
)
def test_twins_are_told_as_what_they_are(
    tmp_path: Path, changes: dict[str, Any], state: str, text: str
) -> None:
    run = make_run(tmp_path)
    write_twins(run, **changes)
    told = section(render(run), "verdict")
    assert f"Twins {state}" in told
    assert text in told


def test_twins_of_other_bits_are_not_this_runs(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_twins(run)
    keys = ("content", "members", "a", "files", "test.csv")
    edited(run / "manifest.json", *keys, value="e" * 64)
    html = render(run)
    assert "Twins not of this run" in section(html, "verdict")
    assert "Trained twice not yet" in section(html, "main")


def test_a_verification_is_told_with_its_submission(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_verify(run)
    write_verify(run, "predictions.json", submission=None)
    told = section(render(run), "verdict")
    assert "Verification same bits" in told
    assert "The submission came out with the same bits" in told
    assert "Verification of the predictions same bits" in told
    write_verify(run, same=False, submission=False)
    html = render(run)
    told = section(html, "verdict")
    assert "Verification bits differ" in told
    assert "every member came out with the same bits" in told
    assert "The submission came out with other bits" in told
    assert "Trained twice bits differ the blend of the members" in section(html, "main")
    write_verify(run, blend=False, same=False)
    assert "other weights than the recorded ones" in section(render(run), "verdict")


def test_a_grade_between_is_told_with_its_numbers(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    gap = {
        **{"member": "a", "file": "valid.csv", "images": 12, "largest": 0.00001234567},
        **{"mean": 0.000001, "tops": 0, "far_tops": 0, "ranks": 1, "ranked": 36, "rank_move": 2},
        "scores": [0.51234567, None],
    }
    grade = whole_grade(
        "same to rounding",
        gaps=[gap],
        environment=["instruction_set: AVX512 then, <AVX2> now"],
        why={"same bits": ["bits differ"]},
    )
    write_verify(run, same=False, grade=grade)
    html = render(run)
    told = section(html, "verdict")
    assert "Verification close, other bits" in told
    assert "came out with other bits, same to rounding" in told
    assert "For a host: It was made again." in told
    assert "instruction_set: AVX512 then, <AVX2> now" in told
    assert "1.23e\N{MINUS SIGN}05 0 1 0.512346 \N{EN DASH}" in told
    assert "Trained twice close, other bits" in section(html, "main")


def test_predictions_made_again_are_no_second_training(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_verify(run, "predictions.json", submission=None)
    assert "Trained twice not yet" in section(render(run), "main")


def test_only_the_pictures_that_a_page_holds_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def draw(name: str, *_: object) -> str:
        drawn.append(name)
        return ""

    monkeypatch.setattr(members, "learning_curves", draw)
    monkeypatch.setattr(sections, "MOST_CURVES", 1)
    run = make_run(tmp_path)
    (run / "index.parquet").rename(tmp_path / "index.parquet")
    (run / "index.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=r"index\.parquet"):
        render(run)
    assert drawn == []
    (tmp_path / "index.parquet").rename(run / "index.parquet")
    assert "1 member without a picture" in render(run)
    assert drawn == ["curves-1"]


def test_the_curves_of_folds_are_in_one_picture(tmp_path: Path) -> None:
    html = render(make_run(tmp_path, members=("a",), folds=3))
    curves = section(html, "curves")
    assert all(f"a fold-{fold}" in curves for fold in (1, 2, 3))
    assert "a pair of lines for each" in curves
    assert len([each for each in elements(html) if each.tag == "svg"]) == 2
    (picture,) = [e for e in elements(html) if "curves of a" in e.attributes.get("aria-label", "")]
    assert "fold-3: After epoch 4" in picture.attributes["aria-label"]


def test_thumbnails_are_left_out_with_a_sentence(tmp_path: Path) -> None:
    run = make_run(tmp_path, count=4)
    pictures = [each for each in elements(render(run)) if each.tag == "img"]
    assert len(pictures) >= 4
    (tmp_path / "data" / "train" / "000001.png").write_bytes(b"another picture")
    (tmp_path / "data" / "train" / "000002.png").unlink()
    text = section(render(run), "worst")
    assert "1 image without a thumbnail: a different file than the run was made from" in text
    assert "1 image without a thumbnail: not in" in text
    (tmp_path / "data").rename(tmp_path / "moved")
    html = render(run)
    assert not [each for each in elements(html) if each.tag == "img"]
    assert "4 images without a thumbnail: not in" in section(html, "worst")
    moved = render(run, tmp_path / "moved")
    assert [each for each in elements(moved) if each.tag == "img"]


def test_a_page_holds_so_many_thumbnails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twinrun.report.thumbnails.MOST", 3)
    html = render(make_run(tmp_path))
    assert len({e.attributes["src"] for e in elements(html) if e.tag == "img"}) == 3
    assert "9 images without a thumbnail: a page holds 3" in section(html, "worst")


def test_an_index_cannot_reach_out_of_the_data_folder(tmp_path: Path) -> None:
    import pandas as pd

    run = make_run(tmp_path)
    (tmp_path / "data" / "train" / "000000.png").rename(tmp_path / "000000.png")
    index = pd.read_parquet(run / "index.parquet")
    index.loc[index["id"] == "000000", "path"] = "../000000.png"
    index.to_parquet(run / "index.parquet")
    record_run(run)
    assert "1 image without a thumbnail: not in" in section(render(run), "worst")


@pytest.mark.parametrize("method", ["auto", "optimised", "arithmetic"])
def test_the_headline_is_the_score_that_nothing_was_fitted_on_and_says_so(
    tmp_path: Path, method: str
) -> None:
    run = make_run(tmp_path, members=["a", "b"], count=60, doubt=4.0, pictures=False)
    content = write_chosen_blend(run, tmp_path, method, calibrate=True)
    (taken,) = (
        each
        for each in content["candidates"]
        if (each["method"], each["temperature"]) == (content["method"], content["temperature"])
    )
    assert taken["nested"] > taken["fitted"], "without it there would be nothing to choose from"
    html = render(run)
    computed = read_run_data(run).computed
    assert computed.at("score", "value") == taken["nested"] == computed.at("errors", "loss")
    assert f"Held-out log loss {taken['nested']:.4f} nested; uniform guessing" in section(
        html, "main"
    )
    assert "a blend that was fitted without it" in section(html, "confusion")


def test_a_headline_that_cannot_be_nested_says_that_too(tmp_path: Path) -> None:
    fixed = make_run(tmp_path / "fixed", count=60, pictures=False)
    write_chosen_blend(fixed, tmp_path / "fixed", "arithmetic", calibrate=False)
    text = section(render(fixed), "main")
    assert "nothing fitted; uniform guessing" in text
    assert "Nothing of the blend was fitted to these images." in text
    # Three images of three classes cannot be split.
    few = make_run(tmp_path / "few", count=3, pictures=False)
    write_blend(few, {"a": 0.5, "b": 0.5})
    text = section(render(few), "main")
    assert "fitted to these images; uniform guessing" in text
    assert "too good to be true" in text


def test_too_few_images_are_too_few_with_their_copies_too(tmp_path: Path) -> None:
    enough = make_run(tmp_path / "enough", count=40, pictures=False)
    write_chosen_blend(enough, tmp_path / "enough", "optimised", calibrate=False)
    text = section(render(enough), "main")
    assert "say little" not in text
    assert "without copies" not in text
    few = make_run(tmp_path / "few", count=40, copies=2, pictures=False)
    write_chosen_blend(few, tmp_path / "few", "optimised", calibrate=False)
    text = section(render(few), "main")
    assert "nested; of 40 images (20 without copies)" in text
    assert "on 40 held-out images (20 without copies)." in text
    assert "for the 40 images (20 without copies) that no training saw" in text
    assert (
        "Fewer than 30 images that are no copies of each other say little: one more mistake, with "
        "its copies, would move the accuracy by about 5.0 percentage points."
    ) in text


@pytest.mark.parametrize("members", ["in common", "alone"])
def test_copies_are_counted_once_whoever_the_predictions_are_of(
    tmp_path: Path, members: str
) -> None:
    run = make_run(tmp_path, count=12, copies=3, pictures=False)
    if members == "alone":
        for name, kept in (("a", slice(0, 3)), ("b", slice(3, 12))):
            path = run / "members" / name / "valid.csv"
            header, *rows = path.read_text().splitlines()
            path.write_text("\n".join([header, *rows[kept]]) + "\n")
            record_member(path.parent)
    count = {"in common": "12 images (4 without copies)", "alone": "9 images (3 without copies)"}
    assert f"for the {count[members]} that no training saw" in section(render(run), "confusion")


def test_suspects_that_chance_would_give_are_no_claim(tmp_path: Path) -> None:
    run = make_run(tmp_path / "unsure", count=60, doubt=4.0, pictures=False)
    text = section(render(run), "labels")
    assert "mislabelled" not in text
    assert "Chance would give" in text
    assert "That is no more than chance gives" in text
    sure = make_run(tmp_path / "sure", count=60, doubt=0.01, pictures=False)
    for name in "ab":
        path = sure / "members" / name / "valid.csv"
        header, *rest = path.read_text().splitlines()
        wrong = [line.replace("leaf_rust", "stem_rust") for line in rest[:36]]
        path.write_text("\n".join([header, *wrong, *rest[36:]]) + "\n")
        record_member(path.parent)
    record_run(sure)
    text = section(render(sure), "labels")
    assert "That is more than chance gives: some of these labels are likely wrong." in text


def test_another_metric_is_shown_and_decides_what_a_member_adds(tmp_path: Path) -> None:
    run = make_run(tmp_path, changes=["competition.metric=accuracy"], count=30, doubt=3.0)
    html = render(run)
    assert "Held-out accuracy" in html
    computed = json.loads(json.dumps(read_run_data(run).computed.content))
    for name in "ab":
        with_all, without = computed["score"]["value"], computed["without"][name]
        assert computed["adds"][name] == pytest.approx(with_all - without)


def test_members_that_held_out_nothing_in_common_are_told(tmp_path: Path) -> None:
    run = make_run(tmp_path, count=6)
    for name, kept in (("a", slice(0, 2)), ("b", slice(2, 6))):
        path = run / "members" / name / "valid.csv"
        header, *rows = path.read_text().splitlines()
        path.write_text("\n".join([header, *rows[kept]]) + "\n")
        record_member(path.parent)
    text = section(render(run), "confusion")
    assert "of b alone: the members have no held-out image in common" in text
    assert "for the 4 images" in text


@pytest.mark.parametrize(
    "file", ["manifest.json", "audit.json", "members/a/member.json", "index.parquet"]
)
def test_a_damaged_file_is_one_message(invoke: Command, tmp_path: Path, file: str) -> None:
    run = make_run(tmp_path, pictures=False)
    (run / file).write_text("{")
    with pytest.raises(InputError, match=r"damaged|not the file that was written"):
        render(run)
    if file == "audit.json":
        answer = invoke("report", run)
        assert answer.returncode == 2
        assert f"{run / file} is not the file that was written" in answer.stderr
        assert "Traceback" not in answer.stderr


def test_a_report_that_cannot_be_drawn_does_not_lose_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, pictures=False)
    assert plain(write_and_describe(run)) == f"report     {run / 'report.html'}"
    before = (run / "report.html").read_bytes()

    def fail(*_: object) -> str:
        raise RuntimeError("no [ink] left")

    monkeypatch.setattr("twinrun.report.report.render", fail)
    line = plain(write_and_describe(run))
    assert "no [ink] left" in line
    assert "The run itself is complete" in line
    assert (run / "report.html").read_bytes() == before
