"""Own code on a node of a cluster: it travels with the order, and is compared there."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

from twinrun.cluster.own_code import carry, settle_here
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.errors import InputError
from twinrun.hooks.loading import unload
from twinrun.metrics import METRICS

HOOKS = """
from pathlib import Path

from shares import share
from twinrun.metrics import LARGEST_CLASS, METRICS, Metric

METRICS.add(
    Metric(
        name="mine",
        words="mine",
        higher_is_better=True,
        score=lambda probabilities, truth: 1.0,
        simple=LARGEST_CLASS,
        kept_as=None,
    )
)


def loss(settings):
    return share() + float((Path(__file__).parent / "more.txt").read_text()) + settings["x"]
"""


@pytest.fixture
def project(small_toml: Path) -> Path:
    folder = small_toml.parent / "competition"
    folder.mkdir()
    shutil.move(small_toml, folder / "competition.toml")
    (folder / "hooks.py").write_text(HOOKS)
    (folder / "shares.py").write_text("def share():\n    return 0.25\n")
    (folder / "more.txt").write_text("0.5")
    return folder


def sent(folder: Path) -> tuple[Settings, dict[str, bytes]]:
    """As a node gets it, where the folder is not and nothing is imported."""
    changes = ["hooks.x=1", "competition.metric=mine"]
    settings = read_settings(folder / "competition.toml", changes=changes)
    order = pickle.dumps((settings, carry(settings.code)))
    unload()
    shutil.rmtree(folder)
    settings, carried = pickle.loads(order)
    return settings, carried


def test_it_runs_there_from_what_was_sent(project: Path, tmp_path: Path) -> None:
    settings, carried = sent(project)
    assert carried.keys() == {"hooks.py", "shares.py", "more.txt"}
    assert "mine" not in METRICS
    here = settle_here(settings, carried, tmp_path / "scratch")
    assert "mine" in METRICS
    hook = here.hook("loss")
    assert hook is not None
    assert hook() == 1.75
    assert here.training_content("a") == settings.training_content("a")


def test_another_code_is_refused_there(project: Path, tmp_path: Path) -> None:
    settings, carried = sent(project)
    with pytest.raises(InputError, match="not on this node what it is on the driver: loss"):
        settle_here(settings, {**carried, "more.txt": b"0.75"}, tmp_path / "scratch")


def test_without_own_code_nothing_is_sent(small_toml: Path, tmp_path: Path) -> None:
    settings = read_settings(small_toml)
    assert carry(settings.code) == {}
    assert settle_here(settings, {}, tmp_path) is settings
