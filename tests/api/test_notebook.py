"""The notebook of the pages, executed, and what a notebook shows of mistakes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT
from twinrun.api.project import Project

NOTEBOOK = ROOT / "docs" / "notebooks" / "first-steps.ipynb"
SUBMISSION = "runs/fixture/submission.csv"


@pytest.fixture
def mine(project: Project, tmp_path: Path) -> Path:
    """A copy of the project, with its complete run."""
    shutil.copytree(project.folder, tmp_path / "mine")
    return tmp_path / "mine"


def execute(notebook: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What each of its code cells shows, on one machine with Jupyter's own folders out of reach."""
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(folder.parent / name))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return [
        "\n".join(map(_text, cell["outputs"]))
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def _text(output: Any) -> str:
    if output["output_type"] == "error":
        return "\n".join(output["traceback"])
    data = output.get("data", {})
    return str(output.get("text") or data.get("text/html") or data.get("text/plain") or "")


@pytest.mark.slow  # a kernel imports torch and fastai, and starts a command that does
def test_the_notebook_of_the_pages_works(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    shown = execute(notebook, mine, monkeypatch)
    assert shown[0].startswith("<Project small")
    assert "Fit to train on" in shown[1]
    assert "is complete already" in shown[2]
    assert "submission" in shown[2]
    assert "\x1b" not in shown[2]
    assert shown[3].startswith("<iframe srcdoc=")
    assert "<th>valid_loss</th>" in shown[4]
    assert all(shown), "each cell shows something"
    committed = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in committed["cells"]), "outputs are not committed"


def test_a_mistake_is_one_message_and_a_command_has_no_colour(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = ["import twinrun; twinrun.open_run('nowhere')", "!twinrun validate " + SUBMISSION]
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"][:2]
    for cell, source in zip(notebook["cells"], sources, strict=True):
        cell["source"], cell["metadata"] = source, {"tags": ["raises-exception"]}
    mistake, command = execute(notebook, mine, monkeypatch)
    assert mistake.startswith("error: nowhere is not a run")
    assert "Traceback" not in mistake
    assert "valid" in command
    assert "\x1b" not in command
