"""Scores beside scikit-learn's, by hand where ties decide, and the same bits in any order."""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as known
from threadpoolctl import threadpool_limits

from twinrun.config.reading import read_settings
from twinrun.errors import InputError
from twinrun.metrics import (
    METRICS,
    Numbers,
    Values,
    compare_score,
    map_at,
    score_values,
    top_accuracy,
)

ROOT = Path(__file__).parents[1]


def drawn(classes: int, images: int = 200, *, ties: bool = False) -> tuple[Values, Numbers]:
    """Probabilities that know a little, and the truth; every class has images, not equally many."""
    random = np.random.default_rng(classes)
    truth = np.r_[np.arange(classes), (classes * random.random(images - classes) ** 2).astype(int)]
    values = random.dirichlet(np.ones(classes), size=images)
    values[np.arange(images), truth] += 0.6 / classes
    values /= values.sum(axis=1, keepdims=True)
    return np.round(values, 1) if ties else values, truth


def by_scikit_learn(name: str, values: Values, truth: Numbers) -> float:
    """The same by scikit-learn's own functions, with their own ways to take probabilities."""
    guesses, one_hot = values.argmax(axis=1), np.eye(values.shape[1])[truth]
    two = values.shape[1] == 2
    found: dict[str, Any] = {
        "balanced_accuracy": lambda: known.balanced_accuracy_score(truth, guesses),
        "macro_f1": lambda: known.f1_score(truth, guesses, average="macro"),
        "weighted_f1": lambda: known.f1_score(truth, guesses, average="weighted"),
        "macro_f2": lambda: known.fbeta_score(truth, guesses, beta=2, average="macro"),
        "f1": lambda: known.f1_score(truth, guesses),
        "f2": lambda: known.fbeta_score(truth, guesses, beta=2),
        "mcc": lambda: known.matthews_corrcoef(truth, guesses),
        "average_precision": lambda: known.average_precision_score(
            truth if two else one_hot, values[:, 1] if two else values
        ),
        "top_3_accuracy": lambda: known.top_k_accuracy_score(truth, values, k=3),
        "top_5_accuracy": lambda: known.top_k_accuracy_score(truth, values, k=5),
    }
    return float(found[name]())


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        *(
            (name, classes)
            for name in (
                *("balanced_accuracy", "macro_f1", "weighted_f1", "macro_f2", "mcc"),
                "average_precision",
            )
            for classes in (2, 3, 7)
        ),
        ("f1", 2),
        ("f2", 2),
        ("top_3_accuracy", 4),
        ("top_3_accuracy", 7),
        ("top_5_accuracy", 7),
    ],
)
def test_a_score_is_scikit_learns(name: str, classes: int) -> None:
    values, truth = drawn(classes)
    expected = by_scikit_learn(name, values, truth)
    assert 0.04 < expected < 0.99, "the example must tell right from wrong"
    assert score_values(values, truth, name) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
def test_average_precision_is_scikit_learns_with_ties_too(classes: int) -> None:
    values, truth = drawn(classes, ties=True)
    expected = by_scikit_learn("average_precision", values, truth)
    assert score_values(values, truth, "average_precision") == pytest.approx(expected, rel=1e-12)


def test_map_of_all_places_is_scikit_learns_label_ranking() -> None:
    values, truth = drawn(5)
    expected = known.label_ranking_average_precision_score(np.eye(5)[truth], values)
    assert score_values(values, truth, "map_at_5") == pytest.approx(expected, rel=1e-12)


ROWS = np.array(
    [
        [0.5, 0.2, 0.2, 0.1, 0.0],
        [0.5, 0.2, 0.2, 0.1, 0.0],
        [0.5, 0.2, 0.2, 0.1, 0.0],
        [0.1, 0.3, 0.3, 0.3, 0.0],
        [0.2, 0.2, 0.2, 0.2, 0.2],
    ]
)
# Of equals the first comes first: places 1, 2, 3; place 3 of three equals; place 4 of five.
TRUTH = np.array([0, 1, 2, 3, 3])


@pytest.mark.parametrize(
    ("most", "top", "precision"),
    [
        (1, 1 / 5, 1 / 5),
        (2, 2 / 5, (1 + 1 / 2) / 5),
        (3, 4 / 5, (1 + 1 / 2 + 1 / 3 + 1 / 3) / 5),
        (4, 5 / 5, (1 + 1 / 2 + 1 / 3 + 1 / 3 + 1 / 4) / 5),
    ],
)
def test_top_k_and_map_are_as_computed_by_hand(most: int, top: float, precision: float) -> None:
    assert top_accuracy(most).score(ROWS, TRUTH) == top
    assert map_at(most).score(ROWS, TRUTH) == pytest.approx(precision, rel=1e-15)


def test_one_place_is_the_guess() -> None:
    values, truth = drawn(4, ties=True)
    guessed = score_values(values, truth, "accuracy")
    assert top_accuracy(1).score(values, truth) == map_at(1).score(values, truth) == guessed


def test_average_precision_is_as_computed_by_hand() -> None:
    # From the highest down: yes, no, yes; no. Precision at the two of "yes": 1 and 2/3.
    values = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]])
    found = score_values(values, np.array([1, 0, 1, 0]), "average_precision")
    assert found == pytest.approx((1 + 2 / 3) / 2)


# Classes without an image


def test_average_precision_is_of_the_classes_that_there_are_images_of() -> None:
    values, truth = drawn(4)
    there = truth != 3
    expected = np.mean(
        [known.average_precision_score(truth[there] == n, values[there][:, n]) for n in range(3)]
    )
    found = score_values(values[there], truth[there], "average_precision")
    assert found == pytest.approx(expected, rel=1e-12)
    values, truth = drawn(2)
    assert math.isnan(score_values(values, np.zeros_like(truth), "average_precision"))
    assert score_values(values, np.ones_like(truth), "average_precision") == 1


def test_balanced_accuracy_is_of_the_classes_that_there_are_images_of() -> None:
    # healthy 1 of 2, stem 1 of 1; what is taken for a leaf is only wrong.
    values, truth = np.eye(3)[[0, 1, 2]], np.array([0, 0, 2])
    assert score_values(values, truth, "balanced_accuracy") == (1 / 2 + 1) / 2


def test_f_scores_of_classes_that_labels_or_guesses_lack() -> None:
    # Class 0: precision 1, recall 1/2; class 1 stands among the guesses alone; class 2 right.
    values, truth = np.eye(4)[[0, 1, 2]], np.array([0, 0, 2])
    assert score_values(values, truth, "macro_f1") == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert score_values(values, truth, "weighted_f1") == pytest.approx((2 * 2 / 3 + 1) / 3)
    assert score_values(values, truth, "macro_f2") == pytest.approx((5 / 9 + 0 + 1) / 3)


@pytest.mark.parametrize("name", ["f1", "f2"])
def test_the_f_score_of_the_last_class_asks_for_it(name: str) -> None:
    never, always = np.eye(2)[[0, 0]], np.eye(2)[[1, 1]]
    assert math.isnan(score_values(never, np.array([0, 0]), name))
    assert score_values(never, np.array([0, 1]), name) == 0
    assert score_values(always, np.array([0, 0]), name) == 0
    assert score_values(always, np.array([1, 1]), name) == 1


def test_matthews_correlation_of_one_class_alone() -> None:
    values, truth = np.eye(3)[[0, 0, 0]], np.array([0, 1, 2])
    assert score_values(values, truth, "mcc") == 0
    assert math.isnan(score_values(np.eye(3)[[0, 1, 2]], np.zeros(3, dtype=np.int64), "mcc"))


# What every metric is held to


@pytest.mark.parametrize("name", [name for name in METRICS.names if name != "log_loss"])
def test_neither_the_order_of_images_nor_threads_change_a_bit(name: str) -> None:
    values, truth = drawn(2 if METRICS.get(name).most_classes == 2 else 7, ties=name == "auc")
    found = score_values(values, truth, name)
    for threads in (1, 2):
        order = np.random.default_rng(threads).permutation(len(truth))
        with threadpool_limits(threads):
            assert score_values(values[order], truth[order], name) == found


@pytest.mark.parametrize("name", METRICS.names)
@pytest.mark.parametrize("classes", [2, 3])
def test_few_images_of_one_class_are_scored_without_a_warning(name: str, classes: int) -> None:
    """A part of nested validation may hold no image of a class; nothing is printed of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for truth in ([0], [1, 1], [0, 1]):
            for guesses in ([0, 0], [1, 1], [1, 0]):
                rows = np.eye(classes)[guesses[: len(truth)]]
                names = [str(each) for each in range(classes)]
                found = compare_score(rows, np.array(truth), names, name)
                assert math.isnan(found.value) or -1 <= found.value <= 40


@pytest.mark.parametrize(
    ("name", "simple", "value"),
    [
        ("balanced_accuracy", "always the largest class", 1 / 2),
        ("weighted_f1", "always the largest class", 3 / 4 * 6 / 7),
        ("macro_f2", "always the largest class", (15 / 16 + 0) / 2),
        ("mcc", "uniform guessing", 0.0),
        # Every image has the same rank: precision is the class's share everywhere.
        ("average_precision", "uniform guessing", (3 / 4 + 1 / 4) / 2),
        ("f1", "always the last class", 2 * 1 / 4 / (1 / 4 + 1)),
        ("f2", "always the last class", 5 * 1 / 4 / (4 * 1 / 4 + 1)),
        # In the order of their sizes 0, 1 and the first of those without an image.
        ("top_3_accuracy", "always the largest classes", 1.0),
        ("map_at_3", "always the largest classes", 3 / 4 + 1 / 4 / 2),
    ],
)
def test_a_score_is_compared_with_a_simple_answer(name: str, simple: str, value: float) -> None:
    classes, truth = METRICS.get(name).most_classes or 4, np.array([0, 0, 0, 1])
    rows = np.eye(classes)[[0, 0, 1, 1]]
    found = compare_score(rows, truth, [str(each) for each in range(classes)], name)
    assert found.metric.simple.words == simple
    assert found.simple_value == pytest.approx(value)


def test_every_score_of_certainty_is_the_best_there_is() -> None:
    for metric in METRICS:
        classes = metric.most_classes or 7
        _, truth = drawn(classes)
        best = metric.score(np.eye(classes)[truth], truth)
        assert best == pytest.approx(0 if metric.name == "log_loss" else 1), metric.name
        assert metric.better(best, metric.simple.score(metric.score, truth, classes))


def test_a_name_is_one_that_every_tracker_takes() -> None:
    for name in METRICS.names:
        assert name.isidentifier()
        assert name == name.lower()


@pytest.mark.parametrize(
    ("name", "classes", "why"),
    [
        ("f1", 3, "at most 2 classes"),
        ("f2", 3, "at most 2 classes"),
        ("top_3_accuracy", 3, "at least 4 classes"),
        ("top_5_accuracy", 4, "at least 6 classes"),
    ],
)
def test_a_metric_that_could_tell_nothing_of_the_classes_is_refused(
    small_toml: Path, name: str, classes: int, why: str
) -> None:
    def read(count: int) -> None:
        names = [f"c{number}" for number in range(count)]
        read_settings(
            small_toml, changes=[f"competition.metric={name}", f"competition.classes={names}"]
        )

    with pytest.raises(InputError) as refusal:
        read(classes)
    text = "\n".join(map(str, refusal.value.details))
    assert f"competition.metric: '{name}' cannot be: it is of {why}" in text
    assert f"holds {classes}" in text
    read(2 if METRICS.get(name).most_classes == 2 else 6)


@pytest.mark.parametrize(
    ("asked", "meant"), [("f1_macro", "macro_f1"), ("f1_weighted", "weighted_f1")]
)
def test_scikit_learns_order_of_words_is_understood(
    small_toml: Path, asked: str, meant: str
) -> None:
    with pytest.raises(InputError) as refusal:
        read_settings(small_toml, changes=[f"competition.metric={asked}"])
    assert f"did you mean '{meant}'?" in "\n".join(map(str, refusal.value.details))


def test_the_page_names_every_metric() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    named = {
        match[1]: match[0].split("|")
        for match in re.finditer(r'^\| `"(\w+)"`.*$', page, flags=re.MULTILINE)
    }
    assert list(named) == METRICS.names
    for metric in METRICS:
        assert named[metric.name][2].strip() == metric.words
        assert metric.simple.words in named[metric.name][4]
