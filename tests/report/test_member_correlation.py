"""How alike members are: scipy's numbers, of what all held out, the same bits on any threads."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr
from threadpoolctl import threadpool_limits

from tests.predictions import drawn_labels, seeing, settings_for
from tests.report.made_run import make_run
from tests.report.page import elements
from twinrun.config.settings import Settings
from twinrun.metrics import Values
from twinrun.report.member_correlation import MOST_MEMBERS, correlate_members
from twinrun.report.report import render

LABELS = drawn_labels(50, 3)


def table(values: Values, start: int = 0) -> pd.DataFrame:
    found = pd.DataFrame(values, columns=list("abc"))
    found.insert(0, "label", [f"{'abc'[number]}" for number in LABELS[start:]])
    found.insert(0, "id", [f"{start + number:06d}" for number in range(len(found))])
    return found


def drawn(seed: int, skill: float = 1) -> Values:
    return seeing(LABELS, 3, skill=skill, noise=1, seed=seed).round(2)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path, "pqr")


def test_correlations_are_scipys_on_images_that_all_held_out(settings: Settings) -> None:
    values = {"r": drawn(1), "p": drawn(2, skill=2), "q": drawn(1)[:, ::-1]}
    tables = {name: table(each) for name, each in values.items()}
    tables["p"] = table(values["p"][10:], start=10).iloc[::-1]
    found = correlate_members(tables, {}, settings)
    assert found is not None
    assert (found["members"], found["images"], found["left_out"]) == (["r", "p", "q"], 40, 0)
    rows = [values[name][10:].ravel() for name in "rpq"]
    for kind, known in (("pearson", pearsonr), ("spearman", spearmanr)):
        expected = [[known(one, other).statistic for other in rows] for one in rows]
        np.testing.assert_allclose(found[kind], expected, rtol=1e-12)
        assert [found[kind][n][n] for n in range(3)] == [1.0] * 3
    assert abs(found["pearson"][0][1] - found["pearson"][0][2]) > 0.05


def test_a_member_of_one_number_is_like_none(settings: Settings) -> None:
    tables = {"p": table(drawn(1)), "q": table(np.full((50, 3), 1 / 3))}
    found = correlate_members(tables, {}, settings)
    assert found is not None
    assert found["pearson"][0][0] == found["spearman"][0][0] == 1
    for kind in ("pearson", "spearman"):
        assert all(map(math.isnan, (found[kind][0][1], found[kind][1][0], found[kind][1][1])))


def test_no_number_of_threads_changes_a_bit(settings: Settings) -> None:
    tables = {name: table(drawn(seed)) for seed, name in enumerate("pqr")}
    with threadpool_limits(1):
        once = correlate_members(tables, {}, settings)
    with threadpool_limits(2):
        assert correlate_members(tables, {}, settings) == once


def test_nothing_is_said_of_one_member_or_of_none_in_common(settings: Settings) -> None:
    first = table(drawn(1)).iloc[:20]
    assert correlate_members({"p": first}, {}, settings) is None
    assert correlate_members({"p": first, "q": table(drawn(2)).iloc[20:]}, {}, settings) is None


def test_more_members_than_a_page_has_room_for_are_counted(settings: Settings) -> None:
    tables = {f"m{number:02d}": table(drawn(number)) for number in range(MOST_MEMBERS + 3)}
    found = correlate_members(tables, {}, settings)
    assert found is not None
    assert found["members"] == list(tables)[:MOST_MEMBERS]
    assert found["left_out"] == 3


def test_the_page_shows_two_tables_with_numbers_and_headings(tmp_path: Path) -> None:
    html = render(make_run(tmp_path, members=("a", "b"), count=30, pictures=False))
    (blend,) = [each for each in elements(html) if each.attributes.get("id") == "blend"]
    heats = [each for each in blend.children if each.attributes.get("class") == "heat"]
    assert len(heats) == 2
    for heat, words in zip(heats, ("Pearson's correlation", "Spearman's correlation"), strict=True):
        assert f"How alike the members are: {words}" in heat.text
        heads = [each.text for each in heat.children if each.tag == "th"]
        assert heads == ["a", "b", "a", "b"]
        cells = [each for each in heat.children if each.tag == "td" and each.text]
        assert [cells[n].text for n in (0, 3)] == ["1.000", "1.000"]
        assert cells[1].text == cells[2].text
    one = render(make_run(tmp_path / "one", members=("a",), pictures=False))
    assert "How alike the members are" not in one
