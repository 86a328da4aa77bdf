"""`twinrun check`, and what `run` and `train` try before they decode anything."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import Command
from twinrun.config.reading import read_settings
from twinrun.hooks.table import HOOKS
from twinrun.try_hooks import TRIALS, try_hooks

ALL = """
import numpy as np
import torch.nn.functional as F
from fastai.optimizer import Adam
from PIL import Image
from torch import nn

CALLS = []


def backbone(): return nn.Conv2d(3, 8, 3, stride=4)
def head(channels, classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
def loss(): return lambda logits, targets: F.cross_entropy(logits, targets, reduction="none")
def optimizer(): return Adam
def item_transforms(): return [lambda image: 255 - image]
def batch_transforms(): return [lambda images, targets: (images * 0.9, targets)]
def callbacks(): return CALLS.append(1) or []
def metric(probabilities, truth): return float(probabilities[range(len(truth)), truth].mean())
def read_image(path): return np.asarray(Image.open(path).convert("RGB"))
def after_predictions(table): return table
"""
WRONG = {
    "loss": ("return lambda logits, targets: logits", "a tensor of float32, (2, 3)"),
    "metric": ("return 'good'", "`metric` gives str: 'good'"),
    "read_image": ("return np.zeros((4, 4))", "an array of float64, (4, 4)"),
    "after_predictions": ("return table.iloc[:1]", "gives is not the table of a blend"),
}
PLAIN = ("--set", "recipe.pretrained=false")


def test_every_hook_of_the_table_is_tried() -> None:
    assert set(TRIALS.names) == set(HOOKS.names)


def test_all_are_tried_and_nothing_is_written(small_toml: Path, invoke: Command) -> None:
    small_toml.with_name("hooks.py").write_text(ALL)
    before = sorted(small_toml.parent.rglob("*"))
    done = invoke("check", "--config", small_toml, *PLAIN)
    assert done.returncode == 0, done.stderr
    tried = [
        line.split()[1].strip(":") for line in done.stdout.splitlines() if line.startswith("tried")
    ]
    assert tried == HOOKS.names
    assert "2 members, 2 trainings" in " ".join(done.stdout.split())
    assert sorted(small_toml.parent.rglob("*")) == before
    # What the code keeps in its modules is gone.
    assert "hooks" not in sys.modules or not sys.modules["hooks"].CALLS


def test_without_hooks_it_says_so(small_toml: Path, invoke: Command) -> None:
    done = invoke("check", "--config", small_toml)
    assert done.returncode == 0
    assert "hooks.py has no function that the engine calls" in done.stdout
    assert "good" in done.stdout


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("command", ["check", "run"])
def test_what_is_wrong_is_told_before_anything_is_decoded(
    small_toml: Path, invoke: Command, name: str, command: str
) -> None:
    answer, said = WRONG[name]
    lines = [line for line in ALL.splitlines() if not line.startswith(f"def {name}(")]
    given = {"loss": "", "metric": "probabilities, truth", "read_image": "path"}
    code = "\n".join([*lines, f"def {name}({given.get(name, 'table')}):", f"    {answer}"])
    small_toml.with_name("hooks.py").write_text(code)
    before = sorted(small_toml.parent.rglob("*"))
    done = invoke(command, "--config", small_toml, *PLAIN)
    assert done.returncode == 2, done.stdout
    told = " ".join(done.stderr.split())
    assert f"{small_toml.parent.name}/hooks.py, line " in told
    assert said in told
    assert "Traceback" not in told
    assert sorted(small_toml.parent.rglob("*")) == before


def test_train_tries_the_members_that_it_is_to_train(small_toml: Path, invoke: Command) -> None:
    code = "def callbacks(name):\n    assert name == 'a', f'not of {name}'\n    return []\n"
    small_toml.with_name("hooks.py").write_text(code)
    before = sorted(small_toml.parent.rglob("*"))
    done = invoke("train", "b", "--config", small_toml, *PLAIN)
    assert done.returncode == 2, done.stdout
    assert "hooks.py, line 2: AssertionError: not of b" in " ".join(done.stderr.split())
    assert sorted(small_toml.parent.rglob("*")) == before
    assert [each.name for each in try_hooks(read_settings(small_toml), ["a"])] == ["callbacks"]


def test_a_network_that_there_is_not(small_toml: Path, invoke: Command) -> None:
    done = invoke(
        "check",
        "--config",
        small_toml,
        "--set",
        "recipe.image_size=40",
        "--set",
        "recipe.network=timm/none_such",
    )
    assert done.returncode == 2
    assert "these networks cannot be used" in done.stderr


def test_a_metric_is_tried_on_every_class(small_toml: Path) -> None:
    small_toml.with_name("hooks.py").write_text(
        "from sklearn.metrics import log_loss, roc_auc_score\n\n\n"
        "def metric(probabilities, truth):\n"
        "    area = roc_auc_score(truth, probabilities, multi_class='ovr')\n"
        "    return area - log_loss(truth, probabilities)\n"
    )
    assert [each.name for each in try_hooks(read_settings(small_toml))] == ["metric"]
