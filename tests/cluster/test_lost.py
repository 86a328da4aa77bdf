"""`competition run --ray`: the bits of a serial run, whatever becomes of processes and nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.conftest import Serial
from tests.cluster.driving import Nodes, driver, kill
from tests.cluster.looking import LONG, same, wait_for

pytestmark = pytest.mark.cluster


def test_a_process_and_a_node_that_are_lost_change_no_bit(
    folder: Path, nodes: Nodes, serial: Serial
) -> None:
    nodes.add("three")
    with driver(folder, "lost", "--ray", nodes.address, *LONG) as process:
        started = [process.until(r"on (\S+), process (\d+)") for _ in ("a", "b")]
        wait_for(process, folder / "runs" / "lost", "a", "b")
        kill(int(started[0][2]))
        process.until("lost its process, and goes on")
        process.until(r"on (\S+), process (\d+)")
        nodes.remove("one")
        nodes.remove("two")
        assert process.end() == 0, process.text
    assert process.text.count("lost its process, and goes on") >= 2
    assert same(serial(*LONG), folder / "runs" / "lost")
    nodes.remove("three")
    nodes.add("one")
    nodes.add("two")


def test_a_driver_that_is_killed_and_started_again_changes_no_bit(
    folder: Path, nodes: Nodes, serial: Serial
) -> None:
    with driver(folder, "driver", "--ray", nodes.address, *LONG) as process:
        wait_for(process, folder / "runs" / "driver", "a", "b")
        kill(process.process.pid)
        process.end()
    with driver(folder, "driver", "--ray", nodes.address, *LONG) as process:
        assert process.end() == 0, process.text
    assert same(serial(*LONG), folder / "runs" / "driver")
