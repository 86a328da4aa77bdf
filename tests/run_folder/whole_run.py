"""A run that has every file, made by hand; and the commands that read it."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner, Result

from tests.in_time import in_time
from twinrun.cli.app import app
from twinrun.run_folder.paths import RunFolder, RunsFolder

RUN = RunFolder(Path("runs/full"))
MEMBER = RUN.training("a")
TWINS, VERIFY, PREDICTIONS = (
    RunsFolder(Path("runs")).twins.verdict,
    RunsFolder(Path("runs")).verification("full").verdict,
    RunsFolder(Path("runs")).verification("full").predictions_verdict,
)

COMMANDS = {
    "report": ["report", "runs/full"],
    "blend": ["blend", "--config", "competition.toml", "--out", "runs", "--run", "full"],
    "package": ["package", "runs/full", "--for", "zindi", "--force"],
    "diff": ["diff", "runs/full", "runs/other"],
    "verify": ["verify", "runs/full", "--predict-only", "--out", "runs"],
}


def contents(folder: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "cache" not in path.relative_to(folder).parts
    }


def invoke(command: str) -> Result:
    with in_time():
        return CliRunner().invoke(app, COMMANDS[command])
