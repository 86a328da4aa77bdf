"""A perturbation of the twins from outside, in one file: named, carried out, recorded, reported."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from tests.run_folder.documents import record_member
from twinrun.cli import twins as command
from twinrun.errors import InputError
from twinrun.registry import IncompleteEntry
from twinrun.repro.ledger import Ledger
from twinrun.twins.perturbations import PERTURBATIONS, Perturbation, SecondTwin


class NarrowTerminal(Perturbation):
    name = "terminal"
    words = "a terminal of 30 columns"

    def apply(self, twin: SecondTwin) -> None:
        twin.set_variable("COLUMNS", "30")


# In place of Python, which would train: writes down its COLUMNS and leaves a trained member.
TRAINER = """#!{python}
import os, shutil, sys
from pathlib import Path
out, run = (sys.argv[sys.argv.index(option) + 1] for option in ("--out", "--run"))
seeded = any(argument.startswith("run.seed") for argument in sys.argv)
shutil.copytree(Path({folder!r}) / ("other" if seeded else "same"), Path(out) / run)
(Path(out) / run / "columns").write_text(os.environ.get("COLUMNS", ""))
"""


def write_member(folder: Path, probability: float) -> None:
    folder.mkdir(parents=True)
    text = f"{probability},{1 - probability}\n"
    (folder / "valid.csv").write_text(f"id,label,x,y\n1,x,{text}")
    (folder / "test.csv").write_text(f"id,x,y\n2,{text}")
    save_file({"w": np.full(2, probability, np.float32)}, folder / "weights.safetensors")
    settings = {"member": {"name": folder.name}}
    about = {"level": "step", "settings": settings, "environment": {}, "code": "", "steps": 1}
    Ledger(about).write(folder / "ledger.parquet")
    record_member(folder)


def test_it_is_carried_out_recorded_and_reported(
    small_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, probability in (("same", 0.25), ("other", 0.5)):
        write_member(tmp_path / "trained" / name / "members" / "a", probability)
    trainer = tmp_path / "trainer"
    trainer.write_text(TRAINER.format(python=sys.executable, folder=str(tmp_path / "trained")))
    trainer.chmod(0o755)
    monkeypatch.setattr("twinrun.twins.processes.sys.executable", str(trainer))
    monkeypatch.delenv("COLUMNS", raising=False)
    with PERTURBATIONS.including(NarrowTerminal()):
        options = ["a", "--config", str(small_toml), "--out", str(tmp_path / "runs")]
        answer = CliRunner().invoke(command.app, [*options, "--perturb", "terminal"])
    assert answer.exit_code == 0, answer.output
    assert "second run: a terminal of 30 columns" in answer.output
    folder = tmp_path / "runs" / "twins"
    assert json.loads((folder / "twins.json").read_text())["perturbations"] == ["terminal"]
    columns = [(folder / run / "columns").read_text() for run in ("first", "second", "other-seed")]
    assert columns == ["", "30", ""]


def test_help_and_messages_list_it() -> None:
    with PERTURBATIONS.including(NarrowTerminal()):
        text = CliRunner().invoke(importlib.reload(command).app, ["--help"]).output
        with pytest.raises(InputError, match="did you mean 'terminal'"):
            PERTURBATIONS.get("termnal")
    importlib.reload(command)
    assert "terminal, or none" in " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("part", ["name", "words"])
def test_a_part_that_is_left_out_is_named(part: str) -> None:
    parts = {"name": "terminal", "words": "a narrow terminal", "apply": NarrowTerminal.apply}
    parts[part] = ""
    entry = type("Incomplete", (Perturbation,), parts)()
    with pytest.raises(IncompleteEntry, match=f"lacks: {part}$"):
        PERTURBATIONS.add(entry)


def test_what_it_does_cannot_be_left_out() -> None:
    entry = type("Incomplete", (Perturbation,), {"name": "terminal", "words": "narrow"})
    with pytest.raises(TypeError, match="apply"):
        entry()
