"""hooks.py imported and called: from what was digested, its mistakes told as the competitor's."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.errors import InputError
from twinrun.metrics import METRICS, score_values


def settings_of(small_toml: Path, code: str, *changes: str) -> Settings:
    small_toml.with_name("hooks.py").write_text(code)
    return read_settings(small_toml, changes=changes)


def test_a_hook_gets_what_it_asks_for(small_toml: Path) -> None:
    code = (
        "def loss(classes, settings, *, name, beta=2):\n    return classes, settings, name, beta\n"
    )
    settings = settings_of(small_toml, code, "hooks.margin=0.5")
    hook = settings.hook("loss")
    assert hook is not None
    member = settings.members["a"]
    given = hook(member=member, name="a", classes=3, weights=None)
    assert given == (3, {"margin": 0.5}, "a", 2)
    assert settings.hook("head") is None


def test_no_code_runs_before_it_is_needed(small_toml: Path) -> None:
    settings = settings_of(
        small_toml, "1 / 0\n\ndef loss():\n    pass\n".replace("1 / 0", "X = 1 / 0")
    )
    with pytest.raises(InputError, match=r"hooks\.py, line 1: ZeroDivisionError: division by zero"):
        settings.hook("loss")


def test_a_mistake_is_told_with_lines_of_their_code_only(small_toml: Path) -> None:
    small_toml.with_name("helpers.py").write_text("def ratio(x):\n    return x / 0\n")
    code = "from helpers import ratio\n\n\ndef loss(classes):\n    return ratio(classes)\n"
    hook = settings_of(small_toml, code).hook("loss")
    assert hook is not None
    with pytest.raises(InputError) as told:
        hook(classes=3)
    assert told.value.what.endswith("helpers.py, line 2: ZeroDivisionError: division by zero")
    assert told.value.details == (
        "hooks.py, line 5, in loss: return ratio(classes)",
        "helpers.py, line 2, in ratio: return x / 0",
    )
    assert isinstance(told.value.__cause__, ZeroDivisionError)


def test_what_is_no_function_is_refused(small_toml: Path) -> None:
    settings = settings_of(small_toml, "callbacks = []\n")
    with pytest.raises(InputError, match="`callbacks` is list, and has to be a function"):
        settings.hook("callbacks")


def test_identities_hold_training_hooks_alone(small_toml: Path) -> None:
    before = settings_of(small_toml, "").training_content("a")
    assert "hooks" not in before
    code = "def loss():\n    pass\n\ndef metric(truth):\n    return 1.0\n"
    one = settings_of(small_toml, code).training_content("a")
    assert one.keys() - before.keys() == {"hooks"}
    assert one["hooks"].keys() == {"loss"}
    other = settings_of(small_toml, code.replace("1.0", "0.5"))
    assert other.training_content("a") == one
    assert other.hook_digests("blend").keys() == {"metric"}
    edited = settings_of(small_toml, code.replace("pass", "return 1"))
    assert edited.training_content("a") != one
    assert edited.hook_digests("blend") != other.hook_digests("blend")


def test_another_code_takes_the_place_of_the_first(small_toml: Path, tmp_path: Path) -> None:
    code = (
        "from twinrun.metrics import METRICS, LARGEST_CLASS, Metric\n\n"
        "METRICS.add(Metric(name='mine', words='mine', higher_is_better=False,\n"
        "    score=lambda probabilities, truth: 0.25, simple=LARGEST_CLASS, kept_as=None))\n"
    )
    settings = settings_of(small_toml, code, "competition.metric='mine'")
    assert settings.competition.metric == "mine"
    assert METRICS.is_own("mine")
    assert score_values(np.ones((1, 2)), np.zeros(1, int), "mine") == 0.25
    assert "hooks" in sys.modules
    # The same file read again is imported once.
    assert read_settings(small_toml, changes=["competition.metric='mine'"]).competition
    with pytest.raises(InputError, match="mine"):
        settings_of(small_toml, "X = 1\n", "competition.metric='mine'")
    assert "mine" not in METRICS
    assert "hooks" not in sys.modules


def test_a_failed_import_leaves_nothing(small_toml: Path) -> None:
    code = (
        "from twinrun.metrics import METRICS\nimport dataclasses\n\n"
        "METRICS.add(dataclasses.replace(METRICS.get('auc'), name='mine'))\n1 / 0\n"
    )
    with pytest.raises(InputError, match=r"line 5: ZeroDivisionError"):
        settings_of(small_toml, code)
    assert "mine" not in METRICS


def test_the_function_metric_is_the_metric_own(small_toml: Path) -> None:
    code = (
        "def metric(probabilities, truth, settings):\n"
        "    truth[:] = 0\n    return settings['worth']\n"
    )
    settings = settings_of(small_toml, code, "competition.metric='own'", "hooks.worth=3")
    truth = np.ones(4, int)
    assert score_values(np.ones((4, 2)), truth, settings.competition.metric) == 3.0
    assert truth.all()
    settings_of(small_toml, code, "competition.metric='own'", "hooks.worth='much'")
    with pytest.raises(InputError, match="`metric` gives str: 'much'"):
        score_values(np.ones((4, 2)), truth, "own")
    with pytest.raises(InputError, match="own"):
        settings_of(small_toml, "", "competition.metric='own'")


MODEL = """
from pydantic import BaseModel, Field

class Settings(BaseModel, extra="forbid"):
    margin: float = Field(0.5, gt=0)

def loss(settings):
    return settings.margin
"""


def test_the_table_is_checked_by_their_model(small_toml: Path) -> None:
    settings = settings_of(small_toml, MODEL, "hooks.margin=0.25")
    hook = settings.hook("loss")
    assert hook is not None
    assert hook() == 0.25
    with pytest.raises(InputError) as refused:
        settings_of(small_toml, MODEL, "hooks.margin=0", "hooks.margn=1")
    assert refused.value.details == (
        "--set hooks.margin: got 0 (int), allowed: greater than 0",
        "--set hooks.margn: unknown key (value 1), did you mean 'margin'? Known keys: margin.",
    )


def test_a_table_that_nobody_reads_is_refused(small_toml: Path) -> None:
    with pytest.raises(InputError, match=r"--set hooks: a table for hooks\.py, which is not there"):
        read_settings(small_toml, changes=["hooks.margin=1"])


def test_a_setting_of_a_blend_hook_makes_no_member_stale(small_toml: Path) -> None:
    code = "def loss():\n    pass\n\ndef metric(truth, settings):\n    return 1.0\n"
    one, other = (settings_of(small_toml, code, f"hooks.x={x}") for x in (1, 2))
    assert one.training_content("a") == other.training_content("a")
    assert one.hook_digests("blend") != other.hook_digests("blend")


def test_a_file_that_no_text_names_is_refused_where_it_is_opened(small_toml: Path) -> None:
    folder = small_toml.parent
    (folder / "table.txt").write_text("3")
    code = (
        "from pathlib import Path\n\n"
        "def loss(name):\n    return (Path(__file__).parent / {}).read_text()\n"
    )
    hook = settings_of(small_toml, code.format("'table.txt'")).hook("loss")
    assert hook is not None
    assert hook(name="table.txt") == "3"
    hook = settings_of(small_toml, code.format("name")).hook("loss")
    assert hook is not None
    with pytest.raises(InputError, match=r"hooks\.py, line 4: opens table\.txt, which no text"):
        hook(name="table.txt")
    (folder.parent / "outside.txt").write_text("4")
    assert hook(name="../outside.txt") == "4"
    # The engine itself reads what it likes.
    assert read_settings(small_toml).members
    assert (folder / "table.txt").read_text() == "3"


def test_what_was_digested_is_what_runs(small_toml: Path) -> None:
    settings = settings_of(small_toml, "def loss():\n    return 1\n")
    small_toml.with_name("hooks.py").write_text("def loss():\n    return 2\n")
    hook = settings.hook("loss")
    assert hook is not None
    assert hook() == 1
    assert not list(small_toml.parent.rglob("*.pyc"))


def test_what_a_hook_does_to_the_table_is_not_seen_by_the_next_call(small_toml: Path) -> None:
    code = "def loss(settings):\n    return settings['sizes'].pop()\n"
    settings = settings_of(small_toml, code, "hooks.sizes=[1, 2]")
    for _ in range(2):
        hook = settings.hook("loss")
        assert hook is not None
        assert [hook(), hook()] == [2, 2]
    assert settings.hooks == {"sizes": [1, 2]}


def test_a_parameter_without_a_name_is_told_where_it_is_found(small_toml: Path) -> None:
    code = "def by_place(member, /):\n    return member\n\n\nloss = by_place\n"
    hook = settings_of(small_toml, code).hook("loss")
    assert hook is not None
    with pytest.raises(InputError, match="line 5: `loss` takes member by place alone"):
        hook(member=1)


def test_hooks_of_a_file_that_all_names_are_taken_from_are_called(small_toml: Path) -> None:
    small_toml.with_name("mine.py").write_text("def loss(classes):\n    return classes\n")
    hook = settings_of(small_toml, "from mine import *\n").hook("loss")
    assert hook is not None
    assert hook(classes=3) == 3
