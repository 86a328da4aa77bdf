"""How ranks are connected: what is refused, and that the one who reports it has the time."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from tests.repro.test_ranks import VARIABLES, of_four
from twinrun.cli.ranks import connect_ranks, report_once
from twinrun.distributed import process_group
from twinrun.errors import InputError
from twinrun.repro.group import current_group


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_a_process_that_is_alone_is_left_as_it_is() -> None:
    before = current_group()
    with connect_ranks("twins"), report_once() as reports:
        assert reports
        assert current_group() is before


def test_without_accelerate_several_ranks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    of_four(monkeypatch, RANK="0")
    monkeypatch.setattr(process_group, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="accelerate") as error, connect_ranks("train"):
        pass
    assert error.value.fix.endswith("requirements-dev.lock")


def refused_within(monkeypatch: pytest.MonkeyPatch, rank: str) -> float:
    """Seconds after which a rank ends, when the launcher would end it after half a second."""
    of_four(monkeypatch, RANK=rank)
    launcher = threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT])
    started = time.monotonic()
    launcher.start()
    try:
        with (
            pytest.raises(InputError, match="twinrun verify is not for several"),
            connect_ranks("verify"),
        ):
            pass
        return time.monotonic() - started
    finally:
        launcher.cancel()


def test_what_needs_one_process_is_refused_to_several_and_the_first_has_time_to_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The launcher ends all as soon as one has ended: that must be the one who prints."""
    assert refused_within(monkeypatch, "0") < 0.5
    assert 0.5 <= refused_within(monkeypatch, "1") < process_group._PATIENCE
