"""`twinrun run --ray`: the bits of a serial run, whatever becomes of processes and nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.conftest import Serial
from tests.cluster.driving import Nodes, driver, kill
from tests.cluster.looking import LONG, RESUMED, same, wait_for

pytestmark = pytest.mark.cluster


def test_a_lost_process_driver_and_node_change_no_bit(
    folder: Path, nodes: Nodes, serial: Serial
) -> None:
    with driver(folder, "lost", "--ray", nodes.address, *LONG) as process:
        number = process.until(r"b \(2/2\) on \S+, process (\d+)")[1]
        wait_for(process, folder / "runs" / "lost" / "members" / "b")
        kill(int(number))
        process.until("b lost its process, and resumes")
        process.until(RESUMED)
        kill(process.process.pid)
        process.end()
    with driver(folder, "lost", "--ray", nodes.address, *LONG) as process:
        node = process.until(r"b \(2/2\) on \S+-(\w+), process \d+")[1]
        process.until(RESUMED)
        nodes.remove(node)
        process.until("b lost its process, and resumes")
        process.until(RESUMED)
        assert process.end() == 0, process.text
    assert same(serial(*LONG), folder / "runs" / "lost")
