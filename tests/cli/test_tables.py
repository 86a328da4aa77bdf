"""What a run says of its members and its blend, in the metric of the competition."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from tests.run_folder.documents import record_member
from twinrun import submit
from twinrun.blend.held_out import own_scores, read_held_out_tables
from twinrun.cli import tables
from twinrun.config.reading import read_settings
from twinrun.metrics import METRICS, Score

NOTHING = float("nan")
RECORD = {"scores": {"valid_loss": 0.5403, "accuracy": 0.75}, "seconds": 12.0}


def told(score: Score) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(tables.blend_score(score))
    return capture.get().strip()


def test_the_log_loss_of_a_blend_is_told_beside_uniform_guessing() -> None:
    assert told(Score(METRICS.get("log_loss"), 0.74019, 24, 1.098612, ())) == (
        "blend's log loss on the 24 images that every member held out: 0.7402 "
        "(uniform guessing: 1.0986)"
    )


def test_another_metric_is_told_by_its_name_beside_its_simple_answer() -> None:
    assert told(Score(METRICS.get("macro_f1"), 0.5, 7, 0.2, ())) == (
        "blend's macro F1 on the 7 images that every member held out: 0.5000 "
        "(always the largest class: 0.2000)"
    )


def test_a_score_that_is_not_defined_says_which_class_is_missing() -> None:
    assert told(Score(METRICS.get("auc"), NOTHING, 7, 0.5, ("rust [early]", "b"))) == (
        "blend's AUC on the 7 images that every member held out: not defined: "
        "no held-out image of class rust [early], b (uniform guessing: 0.5000)"
    )


@pytest.mark.parametrize(
    ("metric", "column"),
    [
        ("log_loss", None),
        ("accuracy", None),
        ("auc", "AUC"),
        ("macro_f1", "macro F1"),
        ("quadratic_kappa", "quadratic kappa"),
    ],
)
def test_the_members_table_has_a_column_for_a_metric_that_it_has_not_yet(
    small_toml: Path, metric: str, column: str | None
) -> None:
    settings = read_settings(small_toml, changes=[f"competition.metric={metric}"])
    records, scores = {"a": RECORD, "b": RECORD}, {"a": 0.8125, "b": NOTHING}
    table = tables.members(settings, records, scores, {"a": 2.0})
    headers = [str(header.header) for header in table.columns]
    plain = ["member", "network", "valid loss", "accuracy", "weight", "time"]
    assert [header for header in headers if header != column] == plain
    assert list(table.columns[headers.index("weight")].cells) == ["2", "0"]
    if column is not None:
        assert list(table.columns[headers.index(column)].cells) == ["0.8125", "not defined"]


def test_the_members_table_has_public_scores_where_a_member_has_one(small_toml: Path) -> None:
    settings = read_settings(small_toml, changes=["members.b.public_score=0.25"])
    table = tables.members(settings, {"a": RECORD, "b": RECORD}, {}, {})
    (column,) = (each for each in table.columns if each.header == "public score")
    assert list(column.cells) == ["", "0.25000"]


def test_members_and_blend_are_scored_by_the_metric_and_labels_of_digits_are_text(
    small_toml: Path, tmp_path: Path
) -> None:
    """Of b's images only one is not a's; the blend is scored on what both held out."""
    changes = ['competition.classes=["0", "01", "2"]', "competition.metric=quadratic_kappa"]
    settings = read_settings(small_toml, changes=changes)
    rows = ["id,label,0,01,2", "x,0,1,0,0", "y,01,0,1,0", "z,2,0,1,0"]
    for name, lines in (("a", rows), ("b", [*rows, "w,0,0,0,1"])):
        folder = tmp_path / "members" / name
        folder.mkdir(parents=True)
        (folder / "valid.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        record_member(folder)
    # Of a the squared distances are 0 + 0 + 1. By chance, with labels (1, 1, 1) and guesses
    # (1, 2, 0): (1*2*1 + 1*1*1 + 1*1*4 + 1*2*1) / 3 = 3.
    scores = own_scores(
        read_held_out_tables(tmp_path, ["a", "b"], settings.classes), settings.competition.metric
    )
    blend = submit.choose_run_blend(tmp_path, settings).score
    assert blend is not None
    assert blend.metric.name == "quadratic_kappa"
    assert blend.images == 3
    assert scores["a"] == pytest.approx(1 - 1 / 3)
    assert blend.value == pytest.approx(scores["a"])
    assert scores["b"] < scores["a"]


def test_the_members_table_has_mean_and_spread_over_folds_where_there_are_some(
    small_toml: Path,
) -> None:
    settings = read_settings(small_toml, changes=["competition.metric=auc"])
    records = {"a": RECORD, "b": RECORD}
    folds = {"a": [0.5, 0.7, 0.9]}
    table = tables.members(settings, records, {"a": 0.68, "b": 0.6}, {}, folds)
    headers = [str(header.header) for header in table.columns]
    place = headers.index("AUC over folds")
    assert headers[place - 1] == "AUC"
    assert list(table.columns[place].cells) == ["0.7000 ± 0.2000", ""]
    undefined = tables.members(settings, records, {"a": 0.68, "b": 0.6}, {}, {"b": [0.5, NOTHING]})
    assert list(undefined.columns[place].cells) == ["", "not defined"]
