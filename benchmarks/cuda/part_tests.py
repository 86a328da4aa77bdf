"""The tests of what a GPU does: images in its memory and sent ahead, warp, digests, resume."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.cuda.work import NEEDS_CUDA, Answer, Plan

ROOT = Path(__file__).parents[2]
TESTS = {
    "images in the GPU's memory, and sent ahead": "tests/data/test_pixels.py",
    "warp and light, GPU against CPU": "tests/data/test_warp.py",
    "digests": "tests/repro/test_digests_on_a_gpu.py",
    "twins, resume, where images come from": "tests/train/test_on_a_gpu.py",
}


@dataclass(frozen=True)
class Outcome:
    """What a test said: "passed", "failed" or "skipped"; why; and what it noted."""

    name: str
    state: str
    why: str
    noted: dict[str, str]


def measure(plan: Plan, answer: Answer, until: float) -> None:  # noqa: ARG001
    """A row for each file of tests, and one for each test that fails."""
    # What runs on a CPU alone is no news of a GPU.
    chosen = [] if plan.rehearsed else ["-k", "not cpu"]
    for what, file in TESTS.items():
        found = list(run_tests([file, *chosen], Path(plan.folder)))
        states = [each.state for each in found]
        waiting = states.count("skipped")
        words = [f"{states.count('passed')} passed"]
        words += [f"{waiting} left out"] if waiting else []
        failed = [each for each in found if each.state == "failed"]
        words += [f"{len(failed)} failed"] if failed else []
        kept = NEEDS_CUDA if waiting and not failed else bool(found) and not failed
        answer.row(what, ", ".join(words), asked="all pass", kept=kept)
        for each in failed:
            answer.row(each.name, each.why, asked="passes", kept=False)


def run_tests(arguments: Sequence[str], folder: Path) -> Iterator[Outcome]:
    """Run pytest in the repository, and read what each test said.

    Raises:
        RuntimeError: No test was run at all.
    """
    report = folder / "tests.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "-W", "ignore"]
    command += ["-p", "no:cacheprovider", f"--junitxml={report}"]
    command += ["--basetemp", str(folder / "pytest"), *arguments]
    # The system's pytest may have plugins that these tests know nothing of.
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=alone, check=False)
    if not report.is_file():
        raise RuntimeError(f"pytest ended with code {ended.returncode} before any test")
    # Written by the pytest that was started above.
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314
        outcome, why = "passed", ""
        for kind in ("skipped", "failure", "error"):
            if (said := case.find(kind)) is not None:
                outcome = "skipped" if kind == "skipped" else "failed"
                why = said.get("message", "").strip().partition("\n")[0][:200]
        noted = {
            each.get("name", ""): each.get("value", "")
            for each in case.iterfind("properties/property")
        }
        yield Outcome(case.get("name", ""), outcome, why, noted)
