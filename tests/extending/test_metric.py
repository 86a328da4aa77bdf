"""A metric from outside, in this one file: settings, scores, training, blend and report ask it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.predictions import drawn_labels, held_of, seeing, settings_for
from tests.report.made_run import make_run
from tests.report.page import elements
from tests.terminal import shown
from twinrun.blend.select import choose_blend
from twinrun.cli import tables
from twinrun.config.reading import read_settings
from twinrun.errors import InputError
from twinrun.metrics import (
    HISTORY_COLUMNS,
    LARGEST_CLASS,
    METRICS,
    Metric,
    Numbers,
    Values,
    member_scores,
    score_values,
)
from twinrun.registry import IncompleteEntry
from twinrun.report.report import render
from twinrun.train.callbacks import history_table


def mean_recall(probabilities: Values, truth: Numbers) -> float:
    right = probabilities.argmax(axis=1) == truth
    return float(np.mean([right[truth == number].mean() for number in np.unique(truth)]))


MEAN_RECALL = Metric(
    name="mean_recall",
    words="mean recall",
    higher_is_better=True,
    score=mean_recall,
    simple=LARGEST_CLASS,
    kept_as=None,
)
PARTS = ("name", "words", "higher_is_better", "score", "simple")


@pytest.fixture
def recall() -> Iterator[Metric]:
    with METRICS.including(MEAN_RECALL) as entry:
        yield entry


def settings_by(small_toml: Path, metric: str) -> Any:
    return read_settings(small_toml, changes=[f"competition.metric={metric}"])


def test_settings_know_it_and_no_other(small_toml: Path, recall: Metric) -> None:
    assert settings_by(small_toml, "mean_recall").competition.metric == recall.name
    with pytest.raises(InputError) as refusal:
        settings_by(small_toml, "mean_recal")
    text = "\n".join(map(str, refusal.value.details))
    assert "'mean_recal' is not known, did you mean 'mean_recall'?" in text
    assert ", ".join(METRICS.names) in text
    assert METRICS.names[-1] == recall.name


def test_without_it_settings_and_scores_refuse_its_name(small_toml: Path) -> None:
    """Of an unknown metric the quadratic kappa was computed once: 0.8 for these."""
    with pytest.raises(InputError, match="1 mistake"):
        settings_by(small_toml, "mean_recall")
    rows, truth = np.eye(3)[[0, 1, 2, 2]], np.array([0, 1, 1, 2])
    with pytest.raises(InputError, match="there is no metric 'mean_recall'"):
        score_values(rows, truth, "mean_recall")


def test_its_score_is_its_own(recall: Metric) -> None:
    rows, truth = np.eye(3)[[0, 1, 2, 2]], np.array([0, 1, 1, 2])
    assert score_values(rows, truth, recall.name) == pytest.approx((1 + 0.5 + 1) / 3)


def test_a_training_keeps_it_in_a_column_of_its_name(recall: Metric) -> None:
    row = [1, "frozen", 1, 1, 0, 1, 0.1, 1.0, {recall.name: 0.5}]
    table = history_table([row], recall)
    assert list(table.columns) == [*HISTORY_COLUMNS[:6], recall.name, *HISTORY_COLUMNS[6:]]
    valid = pd.DataFrame(np.eye(3)[[0, 1, 2, 2]], columns=list("abc"))
    valid.insert(0, "label", list("abbc"))
    valid.insert(0, "id", list("1234"))
    assert member_scores(valid, recall.name)[recall.name] == pytest.approx(2.5 / 3)


def test_a_blend_is_chosen_and_told_by_it(tmp_path: Path, recall: Metric) -> None:
    labels = drawn_labels(60, 3)
    values = {name: seeing(labels, 3, skill=1, noise=1, seed=n) for n, name in enumerate("pq")}
    made = settings_for(tmp_path, "pq", metric=recall.name, method="auto")
    found = choose_blend(held_of(values, labels.tolist()), made, ["p", "q"])
    assert found.reason.startswith("Best nested mean recall of 10 candidates: ")
    assert found.score is not None
    assert found.score.value == pytest.approx(max(each.nested for each in found.candidates))
    assert found.score.simple_value == pytest.approx(1 / 3)
    text = shown(tables.blends(found), tables.blend_score(found.score, found.images))
    assert "by mean recall on 60 held-out images (higher is better)" in text
    assert "(always the largest class: 0.3333)" in text


def test_the_report_shows_it(tmp_path: Path, recall: Metric) -> None:
    run = make_run(tmp_path, changes=[f"competition.metric={recall.name}"])
    html = render(run)
    (members,) = [each for each in elements(html) if each.attributes.get("id") == "members"]
    assert "mean recall" in members.text
    assert "Held-out mean recall" in html


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_left_out_is_named(part: str) -> None:
    parts = {each: getattr(MEAN_RECALL, each) for each in (*PARTS, "kept_as")}
    with pytest.raises(TypeError, match=part):
        Metric(**{name: value for name, value in parts.items() if name != part})
    empty: Any = "" if part in ("name", "words") else None
    with pytest.raises(IncompleteEntry, match=f"lacks: {part}$"):
        METRICS.add(replace(MEAN_RECALL, **{part: empty}))
    assert "mean_recall" not in METRICS
