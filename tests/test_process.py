"""What a process is told at its start: to end with its parent."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A parent starts a child and is killed; only the child holds stdout then. It prints when it began
# to wait, and would wait for a minute.
ORPHAN = """
import os, signal, sys, time
from twinrun.process import end_with_parent

parent = os.getpid()
if os.fork() == 0:
    {before}
    end_with_parent(parent)
    print("waits", flush=True)
    {after}
    time.sleep(60)
{wait}
os.kill(parent, signal.SIGKILL)
"""
LATE = ORPHAN.format(
    before="while os.getppid() == parent: time.sleep(0.01)", after="", wait="time.sleep(0.1)"
)
EARLY = ORPHAN.format(before="", after="os.kill(parent, signal.SIGKILL)", wait="time.sleep(60)")
linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch's own watch has to do")


@pytest.mark.parametrize(
    ("script", "printed"), [(LATE, ""), pytest.param(EARLY, "waits\n", marks=linux)]
)
def test_a_child_ends_with_its_parent_and_after_it(script: str, printed: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert answer.stdout == printed


def test_without_it_the_child_waits_on() -> None:
    script = LATE.replace("end_with_parent(parent)", "pass")
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=2, check=False)
    assert caught.value.output == b"waits\n"
