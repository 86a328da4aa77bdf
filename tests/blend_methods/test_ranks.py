"""The mean of ranks: by hand, a valid table, the same bits in any order, and never calibrated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.predictions import drawn_labels, held_of, seeing, settings_for
from tests.test_blends import by_id, settings_of, write_run
from twinrun import submit
from twinrun.blend.average import blend_values
from twinrun.blend.select import choose_blend
from twinrun.blend_methods.methods import RANKS
from twinrun.config.reading import read_settings
from twinrun.errors import InputError
from twinrun.metrics import Values, score_values
from twinrun.probabilities import probability_problems


def ranked(members: list[Values], weights: list[float], *, renormalise: bool = False) -> Values:
    return blend_values(members, weights, RANKS, renormalise=renormalise)


def test_ranks_are_as_computed_by_hand() -> None:
    # Of three images: ranks 1, 2, 3 of 4; of equals the mean of theirs, whatever their order.
    sure = np.array([[0.0, 1.0], [0.2, 0.8], [0.9, 0.1]])
    tied = np.array([[0.5, 0.5], [0.4, 0.6], [0.5, 0.5]])
    assert ranked([sure], [1]).tolist() == [[1 / 4, 3 / 4], [2 / 4, 2 / 4], [3 / 4, 1 / 4]]
    assert ranked([tied], [1]).tolist() == [[2.5 / 4, 1.5 / 4], [1 / 4, 3 / 4], [2.5 / 4, 1.5 / 4]]
    both = ranked([sure, tied], [3, 1])
    assert both.tolist() == [[5.5 / 16, 10.5 / 16], [7 / 16, 9 / 16], [11.5 / 16, 4.5 / 16]]


def test_a_member_that_is_sure_of_itself_does_not_outvote_the_others() -> None:
    labels = drawn_labels(200, 2)
    good = seeing(labels, 2, skill=1, noise=1, seed=0, sure=0.1)
    loud = seeing(labels, 2, skill=0, noise=1, seed=1, sure=9)
    plain = score_values((good + loud) / 2, labels, "auc")
    assert score_values(ranked([good, loud], [1, 1]), labels, "auc") > plain + 0.05


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("renormalise", [False, True])
def test_what_comes_out_is_a_table_of_numbers_from_0_to_1(classes: int, renormalise: bool) -> None:
    labels = drawn_labels(40, classes)
    members = [seeing(labels, classes, skill=1, noise=1, seed=seed) for seed in range(3)]
    members.append(np.zeros_like(members[0]))  # all equal: the middle rank for each
    found = ranked(members, [1, 2, 0.5, 1], renormalise=renormalise)
    assert ((found > 0) & (found < 1)).all()
    table = pd.DataFrame(found).add_prefix("c")
    table.insert(0, "id", [f"{number:06d}" for number in range(40)])
    names = list(table.columns[1:])
    assert probability_problems(table, "id", names, rows_sum_to_one=renormalise) == []
    # Of two classes the ranks of one are those of the other from above.
    wrong = probability_problems(table, "id", names, rows_sum_to_one=True)
    assert bool(wrong) == (classes > 2 and not renormalise)


def test_the_order_of_images_changes_no_bit_and_other_images_change_the_rest() -> None:
    labels = drawn_labels(60, 3)
    members = [seeing(labels, 3, skill=1, noise=1, seed=seed).round(1) for seed in range(2)]
    found = ranked(members, [2, 1])
    order = np.random.default_rng(0).permutation(60)
    assert ranked([each[order] for each in members], [2, 1]).tobytes() == found[order].tobytes()
    assert not np.array_equal(ranked([each[:30] for each in members], [2, 1]), found[:30])
    assert RANKS.across_images


def test_a_run_is_blended_by_ranks_and_the_arithmetic_mean_is_scored_beside(
    tmp_path: Path,
) -> None:
    run = tmp_path / "runs" / "full"
    write_run(run)
    settings = settings_of(tmp_path, method="rank", metric="auc")
    chosen = submit.blend_run(run, settings, None, tmp_path / "o.csv")
    assert [each.candidate.words for each in chosen.candidates] == [
        "arithmetic mean",
        "mean of ranks",
    ]
    assert chosen.taken is not None
    assert chosen.taken.nested == chosen.taken.fitted
    tables = [by_id(run / "members" / name / "test.csv") for name in chosen.weights]
    mean = np.mean([each.rank().to_numpy() / (len(each) + 1) for each in tables], axis=0)
    expected = mean / mean.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(by_id(tmp_path / "o.csv"), expected, rtol=1e-12)


def test_auto_does_not_try_it(tmp_path: Path) -> None:
    labels = drawn_labels(60, 3)
    held = held_of(
        {name: seeing(labels, 3, skill=1, noise=1, seed=n) for n, name in enumerate("pq")},
        labels.tolist(),
    )
    found = choose_blend(held, settings_for(tmp_path, "pq", method="auto", metric="auc"), "pq")
    assert len(found.candidates) == 10
    assert "rank" not in {each.candidate.method.name for each in found.candidates}


def test_where_the_arithmetic_mean_is_better_that_is_said(tmp_path: Path) -> None:
    labels = drawn_labels(60, 3)
    held = held_of(
        {name: seeing(labels, 3, skill=2, noise=1, seed=n) for n, name in enumerate("pq")},
        labels.tolist(),
    )
    found = choose_blend(held, settings_for(tmp_path, "pq", method="rank"), "pq")
    assert any("The arithmetic mean without any fit is better" in each for each in found.warnings)


def test_a_temperature_of_ranks_is_refused(small_toml: Path) -> None:
    changes = ["blend.method=rank", "blend.calibrate=true"]
    with pytest.raises(InputError) as refusal:
        read_settings(small_toml, changes=changes)
    assert "calibrate: a temperature is for probabilities" in str(refusal.value.details)
    assert read_settings(small_toml, changes=changes[:1]).blend.method == "rank"
