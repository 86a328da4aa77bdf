"""The twin check without a mutation: it says "same" of the same, and sees another seed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from pathlib import Path

import pytest

from tests.mutations.harness import FINEST, Bench, place
from tests.terminal import plain
from twinrun.compare.format import format_comparison
from twinrun.compare.runs import compare_runs


def test_identical_runs_are_the_same(bench: Bench) -> None:
    found = bench.twins()
    found.assert_same()
    assert found.verdict.report.settings == ()
    assert found.verdict.report.environment == ()


def test_clocks_paths_and_host_names_are_ignored(bench: Bench, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(bench.data, elsewhere / "data")
    for path in elsewhere.rglob("*"):
        os.utime(path, (10**9, 10**9))
    clock = time.time

    def another_machine(patch: pytest.MonkeyPatch) -> None:
        patch.chdir(elsewhere)
        patch.setattr(time, "time", lambda: clock() + 10**8)
        patch.setattr(socket, "gethostname", lambda: "another")
        patch.setattr("platform.node", lambda: "another")
        patch.setattr("platform.platform", lambda: "another")
        patch.setattr("platform.processor", lambda: "another")
        patch.setattr(os, "getpid", lambda: 4321)
        patch.setenv("HOSTNAME", "another")
        patch.setenv("USER", "another")
        patch.setenv("TZ", "Pacific/Kiritimati")

    found = bench.twins(another_machine, changes=[f"data.folder='{elsewhere / 'data'}'"])
    found.assert_same()
    manifests = [json.loads((run / "manifest.json").read_text()) for run in found.runs]
    assert manifests[0]["content"] == manifests[1]["content"]
    place = json.loads((found.runs[1] / "local.json").read_text())
    assert place["data_folder"] == str(elsewhere / "data")
    assert manifests[1]["beside"]["environment"]["platform"] == "another"


def test_another_seed_is_reported(bench: Bench) -> None:
    report = compare_runs(bench.once([FINEST]), bench.once([FINEST, "run.seed=1"]))
    assert not report.same
    assert [(gap.name, gap.first, gap.second) for gap in report.settings] == [("run.seed", 0, 1)]
    assert report.environment == ()
    (member,) = report.members
    assert member.comparison.environment is None
    assert member.comparison.result is not None
    assert place(member.comparison.result) == ("split", 0, 0)
    text = " ".join(plain(*format_comparison(report)).split())
    assert "The two were trained with different settings (run.seed): reason enough." in text
