"""A whole run with a metric, a reader and a last change of one's own: recorded, named, verified."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.exact import read_exact
from twinrun.run_folder.documents import SEAL

CODE = """
import numpy as np
from PIL import Image


def metric(probabilities, truth):
    return float((probabilities.argmax(1) == truth).mean())


def after_predictions(table):
    table.iloc[:, 1:] = 0.9 * table.iloc[:, 1:] + 0.1 / 3
    return table


def read_image(path):
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return np.repeat(pixels[..., 1:2], 3, axis=2)
"""


def content(run: Path, file: str = "manifest.json") -> dict[str, object]:
    found = json.loads((run / file).read_text())
    assert found.pop(SEAL)
    return dict(found)


@pytest.mark.slow
def test_it_is_recorded_named_and_verified(small_toml: Path, invoke: Command) -> None:
    hooks, runs = small_toml.with_name("hooks.py"), small_toml.parent / "runs"
    options = ("--config", small_toml, "--out", runs, "--set", "competition.metric='own'")
    plain = invoke("run", *options[:4], "--run", "plain")
    assert plain.returncode == 0, plain.stderr
    hooks.write_text(CODE)
    done = invoke("run", *options, "--run", "mine")
    assert done.returncode == 0, done.stderr
    mine = content(runs / "mine")["content"]
    assert isinstance(mine, dict)
    assert mine["hooks"].keys() == {"read_image"}
    assert mine["blend"]["hooks"].keys() == {"after_predictions", "metric"}
    assert "own metric" in done.stdout
    blend = content(runs / "mine", "blend.json")
    assert blend["metric"] == "own"
    submission = read_exact(runs / "mine" / "submission.csv")
    assert submission.iloc[:, 1:].to_numpy().min() >= 0.1 / 3

    # Nothing is trained again for an edited metric, and the blend's record says another one.
    hooks.write_text(CODE.replace("== truth)", "!= truth)"))
    again = invoke("run", *options, "--run", "mine")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("is complete already") == 2
    after = content(runs / "mine")["content"]
    assert isinstance(after, dict)
    assert after["members"] == mine["members"]
    assert after["blend"]["hooks"]["metric"] != mine["blend"]["hooks"]["metric"]

    found = invoke("diff", runs / "plain", runs / "mine")
    assert found.returncode == 1
    told = found.stdout.splitlines()
    assert told[2] == "own code differs", found.stdout
    assert any("hooks.py: read_image" in line for line in told[3:7])

    refused = invoke("verify", runs / "mine", "--out", runs)
    assert refused.returncode == 0, refused.stderr + refused.stdout
    hooks.write_text(CODE)
    refused = invoke("verify", runs / "mine", "--out", runs)
    assert refused.returncode == 1
    assert "is not what the run was made with" in refused.stderr
    assert "metric: edited since, or what it reaches" in refused.stderr
    # A page with scores of another metric would not be that of the run.
    page = invoke("report", runs / "mine")
    assert page.returncode == 1
    assert "metric: edited since, or what it reaches" in page.stderr
    hooks.write_text(CODE.replace("== truth)", "!= truth)"))
    page = invoke("report", runs / "mine")
    assert page.returncode == 0, page.stderr


def test_an_edited_training_hook_makes_members_stale_and_is_named_first(
    small_toml: Path, invoke: Command
) -> None:
    hooks, runs = small_toml.with_name("hooks.py"), small_toml.parent / "runs"
    code = "from torch import nn\n\ndef callbacks():\n    return []\n"
    hooks.write_text(code)
    short = ("--set", "recipe.epochs.unfrozen=0")
    options = ("--config", small_toml, "--out", runs, "--run", "mine", *short)
    done = invoke("train", "a", *options)
    assert done.returncode == 0, done.stderr
    hooks.write_text(code.replace("[]", "[][:]"))
    stale = invoke("train", "a", *options, "--set", "members.a.dropout=0.25")
    assert stale.returncode == 2
    told = [line.strip() for line in stale.stderr.splitlines()]
    assert told[1] == "hooks.py: `callbacks` was edited"
    assert told[2].startswith("settings.member.dropout")
