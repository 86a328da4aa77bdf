"""The examples of docs/hooks.md that train nothing: a metric and a reader, from end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Command
from tests.kills.sameness import differing
from tests.kills.small import CHANGES, OFTEN
from tests.train.test_hooks_page import examples
from tests.train.test_resume import Place, Small
from twinrun.run_folder.manifest import read_blend, read_manifest

METRIC, READER = "A metric of your own", "A reader of the green channel"


@pytest.mark.slow
@pytest.mark.parametrize("heading", [METRIC, READER])
def test_an_example(tmp_path: Path, invoke: Command, heading: str) -> None:
    plain = Small.of(tmp_path / "plain").train("plain")
    small = Small.of(tmp_path / "own", examples()[heading])
    first = small.train("first")
    # Own pixels are another training; an own metric is none.
    assert bool(differing(plain, first)) == (heading == READER)
    assert differing(first, small.train("second", "run.workers=2")) == []
    small.interrupted("broken", Place(3, "step", 2), OFTEN)
    assert differing(first, small.train("broken")) == []

    changes = [part for change in CHANGES for part in ("--set", change)]
    changes += ["--set", "competition.metric=own"] if heading == METRIC else []
    run = invoke("run", "--config", small.config, *changes, "--run", "whole")
    assert run.returncode == 0, run.stderr
    assert differing(first, tmp_path / "runs" / "whole" / "members" / "a") == []
    whole = tmp_path / "runs" / "whole"
    recorded = read_manifest(whole)["content"]
    if heading == METRIC:
        assert read_blend(whole)["metric"] == "own"
        assert recorded["blend"]["hooks"].keys() == {"metric"}
    else:
        assert recorded["hooks"].keys() == {"read_image"}
    verified = invoke("verify", "runs/whole")
    assert verified.returncode == 0, verified.stdout + verified.stderr
