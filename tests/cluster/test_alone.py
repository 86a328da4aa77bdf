"""`twinrun run --ray` on one machine, with an object store; a cluster that is not there."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from tests.cluster.conftest import Serial
from tests.cluster.driving import driver, kill
from tests.cluster.looking import LONG, RESUMED, listening_elsewhere, same, wait_in
from twinrun.cluster.connect import connect
from twinrun.cluster.storage import Storage
from twinrun.errors import InputError

pytestmark = pytest.mark.cluster


def test_an_object_store_holds_what_a_lost_process_and_a_stopped_driver_left(
    folder: Path, serial: Serial, s3: str
) -> None:
    options = ("--ray", "--set", f"cluster.storage={s3}", *LONG)
    often = ("--set", "run.checkpoint_seconds=0.1")
    with driver(folder, "stored", *options, *often) as process:
        number = process.until(r"b \(2/2\) on \S+, process (\d+)")[1]
        wait_in(process, s3, "stored/members/b/checkpoint")
        assert listening_elsewhere() == []
        kill(int(number))
        process.until("b lost its process, and resumes")
        process.until(RESUMED)
        process.process.send_signal(signal.SIGINT)
        assert process.end() == 2, process.text
    assert "their checkpoints are written" in process.text
    assert f"twinrun run --config small.toml --run stored --ray --set {options[2]}" in (
        process.text
    )
    # The next machine has nothing but the settings and the data.
    shutil.rmtree(folder / "runs" / "stored")
    with driver(folder, "stored", *options) as process:
        process.until(RESUMED)
        assert process.end() == 0, process.text
    assert same(serial(*LONG), folder / "runs" / "stored")
    there = Storage(s3).names("stored")
    assert "stored/submission.csv" in there
    assert "stored/members/b/weights.safetensors" in there
    assert not [name for name in there if "checkpoint" in name]


@pytest.mark.parametrize(
    ("address", "told"), [("127.0.0.1:9", "no Ray cluster answers"), ("ray://h:1", "not the addr")]
)
def test_a_cluster_that_is_not_there_is_told_at_once(address: str, told: str) -> None:
    with pytest.raises(InputError, match=told), connect(address):
        pass
