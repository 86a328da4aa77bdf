"""What is said about predictions, on tables small enough to be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from twinrun.report.error_analysis import (
    LabelledPredictions,
    analyse_errors,
    calibration,
    suspects,
)

NAMES = ["x", "y", "z"]


def held_out(
    rows: list[list[float]],
    labels: list[str],
    names: list[str] = NAMES,
    groups: list[str] | None = None,
) -> LabelledPredictions:
    ids = [f"{number:02d}" for number in range(len(rows))]
    return LabelledPredictions(
        ids=ids,
        groups=groups or ids,
        classes=names,
        probabilities=np.array(rows),
        truth=np.array([names.index(label) for label in labels]),
    )


def test_a_wrong_label_among_sure_predictions_is_the_suspect() -> None:
    rows = [[0.9, 0.1, 0.0]] * 5 + [[0.1, 0.8, 0.1]] * 5
    right = held_out(rows, ["x"] * 5 + ["y"] * 5)
    assert (suspects(right)["found"], suspects(right)["images"]) == (0, [])
    wrong = held_out(rows, ["x"] * 4 + ["y"] * 6)
    # The mean of y over its labels falls to (0.1 + 5 * 0.8) / 6; x's stays 0.9, and 04 reaches it.
    found = suspects(wrong)
    assert found["found"] == 1
    assert found["images"] == [
        {
            "id": "04",
            "label": "y",
            "likely": "x",
            "label_probability": 0.1,
            "likely_probability": 0.9,
        }
    ]


def test_what_chance_would_give_is_said_beside_the_suspects() -> None:
    """Labels that are drawn as the predictions say are doubted as often as chance gives."""
    random = np.random.default_rng(0)
    rows = random.dirichlet(np.ones(3), size=4000)
    numbers = (rows.cumsum(axis=1) < random.random((4000, 1))).sum(axis=1)
    drawn = [NAMES[number] for number in numbers]
    found = suspects(held_out(rows.tolist(), drawn))
    assert found["found"] > 500, "half of what a model that is so unsure predicts is wrong"
    assert abs(found["found"] - found["by_chance"]) < 3 * found["spread"]
    # Of ten labels one is exchanged: more than chance.
    wrong = [NAMES[NAMES.index(n) - (i % 10 == 0)] for i, n in enumerate(drawn)]
    found = suspects(held_out(rows.tolist(), wrong))
    assert found["found"] > found["by_chance"] + 3 * found["spread"]


def test_the_chance_of_a_suspect_is_as_computed_by_hand() -> None:
    # Thresholds: 1.2 of x, 0.7 of y. 01 is confidently of x, 02 of y, the others of none; a row is
    # divided by its sum.
    rows = [[0.8, 0.2, 0], [1.6, 0.4, 0], [0.1, 0.9, 0], [0.0, 0.5, 0.5]]
    found = suspects(held_out(rows, ["x", "x", "y", "y"]))
    doubts = [0.2, 0.1]
    assert found["by_chance"] == pytest.approx(sum(doubts))
    assert found["spread"] == pytest.approx(sum(d * (1 - d) for d in doubts) ** 0.5)


def test_copies_are_doubted_together() -> None:
    """Ten copies of each image: ten times the suspects, and ten times the spread of them."""
    rows, labels = [[0.75, 0.25, 0], [0.25, 0.75, 0], [0.125, 0.875, 0]], ["x", "y", "x"]
    once = suspects(held_out(rows, labels))
    groups = [str(number) for number in range(3)] * 10
    often = suspects(held_out(rows * 10, labels * 10, groups=groups))
    assert once["found"] == 1
    for name in ("found", "by_chance", "spread"):
        assert often[name] == pytest.approx(10 * once[name])


def test_images_are_counted_with_copies_and_without() -> None:
    rows, labels = [[0.9, 0.1, 0.0]] * 40, ["x", "y"] * 20
    alone = analyse_errors(held_out(rows, labels))
    assert (alone["images"], alone["without_copies"], alone["enough"]) == (40, 40, True)
    copies = analyse_errors(held_out(rows, labels, groups=["a", "b", "c", "d"] * 10))
    assert (copies["images"], copies["without_copies"], copies["enough"]) == (40, 4, False)


def test_a_class_that_no_image_carries_makes_no_suspect() -> None:
    assert suspects(held_out([[0.0, 0.0, 1.0], [0.9, 0.1, 0.0]], ["x", "x"]))["found"] == 0


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    rows = [[0.7, 0.3, 0.0], [0.71, 0.29, 0.0], [1.0, 0.0, 0.0]]
    found = calibration(held_out(rows, ["x", "y", "x"]), np.array([0, 0, 0]))
    assert [(each["low"], each["images"], each["accuracy"]) for each in found["bins"]] == [
        (0.6, 1, 1.0),
        (0.7, 1, 0.0),
        (0.9, 1, 1.0),
    ]
    assert found["error"] == pytest.approx((0.3 + 0.71 + 0.0) / 3)


def test_the_label_of_no_probability_costs_much_and_not_infinitely_much() -> None:
    judged = analyse_errors(held_out([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], ["y", "x"]))
    assert judged["worst"][0]["loss"] == pytest.approx(-np.log(np.finfo(np.float64).eps))
    assert str(judged["worst"][1]["loss"]) == "0.0"
    assert judged["accuracy"] == 0.5
    (row_y, row_x) = judged["classes"]["rows"]
    assert (row_y["class"], row_y["recall"], row_y["precision"]) == ("y", 0.0, None)
    assert (row_x["class"], row_x["recall"], row_x["precision"]) == ("x", 1.0, 0.5)
    assert judged["classes"]["absent"] == 1


def test_of_many_classes_those_with_the_most_mistakes_are_shown() -> None:
    names = [f"c{number:02d}" for number in range(30)]
    rows = np.eye(30)
    rows[[20, 21]] = rows[[21, 20]]
    confused = analyse_errors(held_out(rows.tolist(), names, names))["confusion"]
    assert {"c20", "c21"} < set(confused["classes"])
    assert len(confused["classes"]) == 12
    assert confused["left_out"] == 18
    assert confused["pairs"] == [
        {"label": "c20", "predicted": "c21", "images": 1},
        {"label": "c21", "predicted": "c20", "images": 1},
    ]
