"""`competition run --ray` on this machine alone: stopped, killed, with an object store."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cluster.conftest import Serial
from tests.cluster.driving import driver, kill
from tests.cluster.looking import LONG, listening_elsewhere, same, wait_for, wait_in

pytestmark = pytest.mark.cluster


def test_ctrl_c_leaves_checkpoints_and_the_same_command_goes_on(
    folder: Path, serial: Serial
) -> None:
    """With Ray on this machine alone, where nothing listens on anything but loopback."""
    with driver(folder, "stopped", "--ray", *LONG) as process:
        wait_for(process, folder / "runs" / "stopped", "a")
        assert listening_elsewhere() == []
        process.process.send_signal(signal.SIGINT)
        assert process.end() == 2, process.text
    assert "their checkpoints are written" in process.text
    assert f"competition run --config small.toml --run stopped --ray {LONG[0]}" in process.text
    with driver(folder, "stopped", "--ray", *LONG) as process:
        assert process.end() == 0, process.text
    assert same(serial(*LONG), folder / "runs" / "stopped")


def test_an_object_store_holds_what_a_lost_driver_left(
    folder: Path, serial: Serial, s3: str
) -> None:
    options = ("--ray", "--set", f"cluster.storage={s3}", *LONG)
    with driver(folder, "stored", *options, "--set", "run.checkpoint_seconds=0.1") as process:
        process.until("process")
        wait_in(process, s3, "stored/members/a/checkpoint")
        kill(process.process.pid)
        process.end()
    # The next machine has nothing but the settings and the data.
    subprocess.run(["rm", "-r", str(folder / "runs" / "stored")], check=True)
    with driver(folder, "stored", *options) as process:
        assert process.end() == 0, process.text
    assert same(serial(*LONG), folder / "runs" / "stored")
    from competition.cluster.storage import Storage

    there = Storage(s3).names("stored")
    assert "stored/submission.csv" in there
    assert "stored/members/b/weights.safetensors" in there
    assert not [name for name in there if "checkpoint" in name]


def test_a_cluster_that_is_not_there_is_told_at_once(folder: Path) -> None:
    started = time.monotonic()
    for address, told in (("127.0.0.1:9", "no Ray cluster answers"), ("ray://h:1", "not the addr")):
        with driver(folder, "none", "--ray", address) as process:
            assert process.end() == 2
        assert told in process.text
        assert "Traceback" not in process.text
    assert time.monotonic() - started < 60
