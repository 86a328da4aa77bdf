"""The grade of something that was made again: the best that the evidence allows, never a better."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twinrun.compare.grade import ROUNDING_BOUND, Cause, Evidence, judge
from twinrun.compare.prediction_gaps import (
    PredictionGap,
    UnlikePredictions,
    compare_predictions,
    compare_submissions,
    measure_gap,
)
from twinrun.errors import InputError
from twinrun.grades import DIFFERENT, GRADES, ROUNDING, SAME_BITS, SPREAD, exit_code, read_accepted

BOUND = ROUNDING_BOUND
SPREAD_OF_A = {
    "members": {"a": {"largest": 0.2, "mean": 0.05, "tops": 2, "score": 0.1}},
    "submission": None,
}


def write(path: Path, rows: Mapping[str, Sequence[object]], header: str = "id,x,y,z") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(map(str, (name, *values))) for name, values in rows.items()]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def gap(file: str = "test.csv", **changes: Any) -> PredictionGap:
    """Two files that differ by less than rounding, with the values changed that are given."""
    scores = (1.0, 1.0) if file == "valid.csv" else None
    same = PredictionGap("a", file, 10, 1e-6, 1e-7, 0, 0, 0, 30, 0, scores)
    return dataclasses.replace(same, **changes)


def grade(*gaps: PredictionGap, **evidence: Any) -> str:
    return judge(Evidence(same_bits=False, gaps=gaps, **evidence)).grade.name


# The numbers.


def test_differences_tops_and_ranks_are_counted() -> None:
    first = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.2, 0.5, 0.3]])
    second = np.array([[0.6, 0.3, 0.1], [0.4, 0.5, 0.1], [0.2, 0.5, 0.3]])
    found = measure_gap("a", "test.csv", first, second, scores=None, bound=BOUND)
    assert found.images == 3
    assert found.largest == pytest.approx(0.1)
    assert found.mean == pytest.approx(0.2 / 9)
    assert (found.tops, found.far_tops) == (1, 1)
    # In y 0.4 was larger than one number and is now as large as the largest: larger than one.
    # 0.5 of the third image was larger than two others, and is now larger than one.
    assert (found.ranks, found.ranked, found.rank_move) == (1, 9, 1)
    same = measure_gap("a", "test.csv", first, first, scores=None, bound=BOUND)
    assert (same.largest, same.mean, same.tops, same.ranks, same.rank_move) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(("apart", "far"), [(0.4 * BOUND, 0), (1.5 * BOUND, 1)])
def test_a_top_class_may_change_where_the_two_were_closer_than_the_bound(
    apart: float, far: int
) -> None:
    first = np.array([[0.5, 0.5 - apart, apart]])
    second = np.array([[0.5 - apart / 2, 0.5, apart / 2]])
    for one, other in ((first, second), (second, first)):
        found = measure_gap("a", "test.csv", one, other, scores=None, bound=BOUND)
        assert (found.tops, found.far_tops) == (1, far)
    assert grade(found) == ("different" if far else "same to rounding")


def test_of_two_as_likely_the_first_is_the_top_class() -> None:
    even = np.array([[0.5, 0.5]])
    found = measure_gap("a", "t", even, np.array([[0.4, 0.6]]), scores=None, bound=BOUND)
    assert (found.tops, found.far_tops) == (1, 1)


def test_what_is_no_number_is_infinitely_far_from_one() -> None:
    found = measure_gap(
        "a", "t", np.array([[0.5, 0.5]]), np.array([[np.nan, 0.5]]), scores=None, bound=BOUND
    )
    assert found.largest == math.inf
    assert grade(found) == "different"


def test_files_are_compared_by_id_and_class_and_scored(tmp_path: Path) -> None:
    header = "id,label,x,y"
    one = write(tmp_path / "1" / "valid.csv", {"007": ["x", 0.75, 0.25], "b": ["y", 0, 1]}, header)
    other = write(
        tmp_path / "2" / "valid.csv", {"b": [1, "y", 0], "007": [0.25, "x", 0.75]}, "id,y,label,x"
    )
    found = compare_predictions("a", one, other, "accuracy", BOUND)
    assert (found.largest, found.ranks) == (0, 0)
    assert found.scores == (1.0, 1.0)
    worse = write(
        tmp_path / "3" / "valid.csv", {"007": ["x", 0.25, 0.75], "b": ["y", 0, 1]}, header
    )
    assert compare_predictions("a", one, worse, "accuracy", BOUND).scores == (1.0, 0.5)


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        ({"1": ["x", 1, 0]}, "id,label,x,z", "classes"),
        ({"2": ["x", 1, 0]}, "id,label,x,y", "images"),
        ({"1": ["y", 1, 0]}, "id,label,x,y", "labels"),
        ({"1": ["x", "one", 0]}, "id,label,x,y", "no number"),
    ],
)
def test_what_cannot_be_compared_is_not_given_numbers(
    tmp_path: Path, rows: dict[str, list[object]], header: str, words: str
) -> None:
    one = write(tmp_path / "1" / "valid.csv", {"1": ["x", 1, 0]}, "id,label,x,y")
    other = write(tmp_path / "2" / "valid.csv", rows, header)
    with pytest.raises(UnlikePredictions, match=words):
        compare_predictions("a", one, other, "log_loss", BOUND)


def test_a_submission_of_labels_has_no_rounding(tmp_path: Path) -> None:
    one = write(tmp_path / "1" / "s.csv", {"1": ["0"], "2": ["1"]}, "ID,label")
    other = write(tmp_path / "2" / "s.csv", {"1": ["0"], "2": ["3"]}, "ID,label")
    found = compare_submissions(one, other, columns="label", classes=["0", "1", "3"], bound=BOUND)
    assert (found.largest, found.tops, found.far_tops) == (1, 1, 1)
    same = compare_submissions(one, one, columns="label", classes=["0", "1", "3"], bound=BOUND)
    assert (same.largest, same.tops) == (0, 0)


def test_a_submission_of_one_probability_has_a_top_class_too(tmp_path: Path) -> None:
    one = write(tmp_path / "1" / "s.csv", {"1": [0.51], "2": [0.2]}, "ID,Target")
    other = write(tmp_path / "2" / "s.csv", {"2": [0.2], "1": [0.49]}, "ID,Target")
    found = compare_submissions(one, other, columns="probability", classes=["a", "b"], bound=BOUND)
    assert found.largest == pytest.approx(0.02)
    assert (found.images, found.tops) == (2, 1)
    with pytest.raises(UnlikePredictions, match="columns"):
        compare_submissions(
            one,
            write(tmp_path / "s.csv", {"1": [1]}, "ID,y"),
            columns="probability",
            classes=["a", "b"],
            bound=BOUND,
        )


# The grades.


def test_same_bits_are_the_best() -> None:
    assert judge(Evidence(same_bits=True, gaps=())).grade == SAME_BITS
    assert grade(gap(largest=0.0)) == "same to rounding"


def test_rounding_ends_at_the_bound_in_each_file() -> None:
    assert grade(gap(), gap("valid.csv", largest=0.99 * BOUND)) == "same to rounding"
    assert grade(gap(), gap("valid.csv", largest=BOUND)) == "different"
    assert grade(gap(), gap("valid.csv", far_tops=1)) == "different"
    assert grade(gap(tops=1)) == "same to rounding"
    verdict = judge(Evidence(same_bits=False, gaps=(gap(largest=0.01),)), bound=0.1)
    assert (verdict.grade, verdict.bound) == (ROUNDING, 0.1)


def test_without_predictions_there_is_no_grade_between() -> None:
    assert grade() == "different"
    assert grade(gap(), unlike=("a, valid.csv: different images",)) == "different"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "within the spread of seeds"),
        ({"largest": 0.21}, "different"),
        ({"mean": 0.051}, "different"),
        ({"tops": 3}, "different"),
        ({"largest": math.nan}, "different"),
        ({"member": "b"}, "different"),
        ({"member": "blend", "file": "submission.csv"}, "different"),
    ],
)
def test_the_spread_of_seeds_bounds_each_number(changes: dict[str, Any], expected: str) -> None:
    within: dict[str, Any] = {"largest": 0.2, "mean": 0.05, "tops": 2, "far_tops": 2}
    found = gap(**(within | changes))
    assert grade(found, spread=SPREAD_OF_A) == expected
    assert grade(gap(**within)) == "different", "without a spread that was recorded before"


@pytest.mark.parametrize(
    ("scores", "of_seeds", "expected"),
    [
        ((1.0, 1.1), 0.11, "within the spread of seeds"),
        ((1.1, 1.0), 0.11, "within the spread of seeds"),
        ((1.0, 1.2), 0.11, "different"),
        ((1.0, math.nan), 0.11, "different"),
        ((1.0, 1.0), None, "different"),
    ],
)
def test_the_spread_of_seeds_bounds_the_score(
    scores: tuple[float, float], of_seeds: float | None, expected: str
) -> None:
    own = {**SPREAD_OF_A["members"]["a"], "score": of_seeds}  # type: ignore[index]
    spread = {"members": {"a": own}, "submission": None}
    # Predictions of held-out images are not judged: seeds hold out different ones.
    found = gap("valid.csv", scores=scores, largest=0.9, tops=9, far_tops=9)
    assert grade(gap(largest=0.1), found, spread=spread) == expected


def test_a_submission_is_judged_by_the_submissions_of_the_seeds() -> None:
    spread = {**SPREAD_OF_A, "submission": {"largest": 0.1, "mean": 0.1, "tops": 1, "score": None}}
    found = gap(largest=0.1, member="blend", file="submission.csv")
    assert grade(gap(largest=0.1), found, spread=spread) == "within the spread of seeds"
    found = dataclasses.replace(found, tops=2)
    assert grade(gap(largest=0.1), found, spread=spread) == "different"


@pytest.mark.parametrize("kind", ["data", "labels", "settings", "seed", "pretrained weights"])
def test_nothing_but_the_machine_may_differ_for_a_grade_between(kind: str) -> None:
    causes = (Cause(kind, ("x",)),)
    verdict = judge(
        Evidence(same_bits=False, gaps=(gap(largest=0.0),), causes=causes, spread=SPREAD_OF_A)
    )
    assert verdict.grade == DIFFERENT
    assert f"not made from the same {kind}" in verdict.sentence
    assert verdict.why["same to rounding"] == (f"{kind}: not the same",)
    verdict = judge(Evidence(same_bits=True, gaps=(gap(largest=0.0),), causes=causes))
    assert verdict.grade == DIFFERENT
    assert f"answers are the same, but it was not made from the same {kind}" in verdict.sentence


def test_a_different_engine_may_round_but_its_seeds_tell_nothing() -> None:
    engine = Cause("engine", ("0.1.0 then, 0.2.0 now",))
    assert grade(gap(), engine=engine, spread=SPREAD_OF_A) == "same to rounding"
    assert grade(gap(largest=0.01), engine=engine, spread=SPREAD_OF_A) == "different"
    assert grade(gap(largest=0.01), spread=SPREAD_OF_A) == "within the spread of seeds"


def test_each_grade_says_one_sentence_and_why_it_is_no_better_one() -> None:
    found = judge(Evidence(same_bits=False, gaps=(gap(largest=0.1),), spread=SPREAD_OF_A))
    assert found.grade == SPREAD
    assert "its score holds" in found.sentence
    assert found.why["same to rounding"] == (
        "a, test.csv: a probability differs by 0.1, the bound is 0.0001",
    )
    for each in GRADES:
        assert each.host.count(".") == 1, "one sentence"
    none = judge(Evidence(same_bits=False, gaps=()))
    assert none.sentence.endswith("nothing that is recorded explains it.")
    other = judge(Evidence(same_bits=False, gaps=(), environment=(("threads", 1, 2),)))
    assert "different machine" in other.sentence


# Exit codes.


@pytest.mark.parametrize(
    ("accepted", "codes"),
    [(None, [0, 3, 4, 1]), ("rounding", [0, 0, 4, 1]), ("spread", [0, 0, 0, 1])],
)
def test_what_is_accepted_includes_what_is_better(accepted: str | None, codes: list[int]) -> None:
    assert [exit_code(each, read_accepted(accepted)) for each in GRADES] == codes


@pytest.mark.parametrize("word", ["", "different", "same bits", "seeds"])
def test_nothing_else_can_be_accepted(word: str) -> None:
    with pytest.raises(InputError, match="not one of rounding, spread"):
        read_accepted(word)
