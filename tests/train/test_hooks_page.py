"""The examples of docs/hooks.md, as they stand there: trained twice, killed, resumed, verified."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import safetensors.torch

from tests.conftest import ROOT, Command
from tests.exact import read_exact
from tests.kills.sameness import differing
from tests.kills.small import CHANGES, OFTEN
from tests.train.test_resume import Place, Small
from twinrun.hooks.table import HOOKS

PAGE = ROOT / "docs" / "hooks.md"
# What of an example's own stands in the weights, and by what it differs from a plain training.
WEIGHTS = {
    "GeM pooling with a learned exponent": {"1.0.exponent"},
    "A margin loss with weights of its own": {"1.directions", "loss.steepness"},
    "CutOut as an item transform": set[str](),
    "A callback with a state": set[str](),
}


def examples() -> dict[str, str]:
    """The code of each section of the page that has some, by its heading."""
    sections = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = {}
    for heading, text in zip(sections[::2], sections[1::2], strict=True):
        blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
        if blocks:
            found[heading] = "\n".join(blocks)
    return found


def test_every_hook_is_on_the_page_with_what_it_can_get() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", PAGE.read_text(encoding="utf-8"), re.M)
    assert [name for name, _ in rows] == HOOKS.names
    member = "`member`, `name`, `settings`"
    for name, gets in rows:
        told = re.findall(r"`(\w+)`", gets.replace("the same", member))
        assert set(told) == set(HOOKS.get(name).gets), name


def test_the_examples_of_training_are_on_the_page() -> None:
    assert WEIGHTS.keys() <= examples().keys()


@pytest.mark.slow
@pytest.mark.parametrize("heading", WEIGHTS)
def test_an_example(tmp_path: Path, invoke: Command, heading: str) -> None:
    plain = Small.of(tmp_path / "plain").train("plain")
    small = Small.of(tmp_path / "own", examples()[heading])
    first = small.train("first")
    assert {"weights.safetensors", "valid.csv", "test.csv"} <= set(differing(plain, first))
    weights = safetensors.torch.load_file(first / "weights.safetensors")
    assert WEIGHTS[heading] <= weights.keys()
    assert differing(first, small.train("second", "run.workers=2")) == []
    small.interrupted("broken", Place(3, "step", 2), OFTEN)
    assert differing(first, small.train("broken")) == []
    scores = read_exact(first / "history.csv")
    assert scores["valid_loss"].between(0.3, 3).all()

    changes = [part for change in CHANGES for part in ("--set", change)]
    run = invoke("run", "--config", small.config, *changes, "--run", "whole")
    assert run.returncode == 0, run.stderr
    assert differing(first, tmp_path / "runs" / "whole" / "members" / "a") == []
    verified = invoke("verify", "runs/whole")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    data, again = small.folder / "data", tmp_path / "again.csv"
    sample = ("--sample", data / "sample_submission.csv", "--output", again)
    predicted = invoke("predict", "runs/whole", "--images", data / "test", *sample)
    assert predicted.returncode == 0, predicted.stdout + predicted.stderr
    assert again.read_bytes() == (tmp_path / "runs" / "whole" / "submission.csv").read_bytes()
