"""What is shown of many trainings, and what a training reports of itself."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests import terminal
from twinrun.cluster import progress
from twinrun.cluster.progress import Progress, ProgressBoard, RemoteBars, progress_table


class Called:
    """An actor whose methods are called at once."""

    def __init__(self, actor: ProgressBoard) -> None:
        self.actor = actor

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.actor, name)
        return type("Method", (), {"remote": staticmethod(method)})


def shown(titles: int, running: int, done: int, width: int = 100) -> str:
    keys = [("full", f"m{number}") for number in range(titles)]
    places = {key: Progress("node7", 4711, time.time() - 75, 30, 120, "loss 1.25") for key in keys}
    named = {key: f"member {key[1]}" for key in keys}
    table = progress_table(named, dict(list(places.items())[:running]), done)
    return terminal.shown(table, width=width)


def test_trainings_under_way_have_a_row_and_all_others_a_number() -> None:
    text = shown(5, 2, 3)
    assert "3 of 8 trainings done, 2 under way, 3 waiting" in text
    assert "member m1" in text
    assert "member m2" not in text
    for told in ("node7", "1 min 15 s", "loss 1.25"):
        assert text.count(told) == 2


@pytest.mark.parametrize("width", [60, 80, 120])
def test_on_a_narrow_terminal_the_bar_gives_way_and_no_name(width: int) -> None:
    text = shown(2, 2, 0, width)
    assert "…" not in text
    rows = [line for line in text.splitlines() if "node7" in line]
    assert len(rows) == 2
    for number, row in enumerate(rows):
        for told in (f"member m{number}", "1 min 15 s", "loss 1.25"):
            assert told in row
        assert 1 <= row.count("━") <= 6, "a quarter of the bar"
    assert max(map(len, text.splitlines())) <= width


def test_a_thousand_trainings_fit_on_a_screen() -> None:
    text = shown(1000, 200, 0)
    assert "0 of 1000 trainings done, 200 under way, 800 waiting" in text
    assert f"and {200 - progress._ROWS} more" in text
    assert len(text.splitlines()) < 30


def test_a_training_reports_once_a_second_and_at_the_end_of_an_epoch() -> None:
    keeper = ProgressBoard()
    key = ("full", "a")
    keeper.start(key, "node7", 4711)
    with RemoteBars(Called(keeper), key) as bars:
        assert keeper.reports()[key].resumed is None
        # What its checkpoint held, before the first batch of its own.
        task = bars.add_task("a", total=20, completed=1, note="")
        assert keeper.reports()[key].done == 1
        bars.advance(task, 4)
        # Within the same second.
        assert keeper.reports()[key].done == 1
        bars.update(task, note="valid loss 1.2500")
        assert keeper.reports()[key] == Progress(
            "node7", 4711, keeper.reports()[key].since, 5, 20, "valid loss 1.2500", resumed=1
        )
        bars.advance(task, 15)
    assert keeper.reports()[key].done == 20


def test_a_lost_attempt_is_forgotten_and_what_it_still_says_is_not_heard() -> None:
    keeper = ProgressBoard()
    keeper.start(("full", "a"), "node7", 4711)
    keeper.forget(("full", "a"))
    keeper.update(("full", "a"), 5, 20, "")
    assert keeper.reports() == {}
