"""What all tests share: a small competition, the command in a process of its own, real inputs."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hypothesis import settings

from twinrun.repro.machine_facts import KERNEL_VARIABLES

# Tests begin as on a machine that chooses no kernels by itself; the processes they start do too.
# And as on no terminal of a certain width: pytest's processes have one, which a console would keep.
for _name in (*KERNEL_VARIABLES, "COLUMNS"):
    os.environ.pop(_name, None)

ROOT = Path(__file__).parents[1]
FIXTURE = ROOT / "tests" / "fixture"

# Two members of the smallest network on the fixture: a whole run of it takes seconds.
SMALL = """
[competition]
name = "small"
classes = ["leaf_rust", "stem_rust", "healthy_wheat"]

[data]
folder = {folder!r}

[run]
seed = 0
threads = 1
device = "cpu"

[recipe]
network = "timm/test_resnet"
image_size = 32
batch_size = 16
pretrained = false
validation = {{ share = 0.25 }}
epochs = {{ frozen = 1, unfrozen = 1 }}

[members.a]

[members.b]
mixup = 0.0

[blend]
weights = {{ a = 2.0, b = 1.0 }}
"""

# A busy machine is no failure.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

Command = Callable[..., "subprocess.CompletedProcess[str]"]
BeforeSecond = Callable[[Callable[[], None]], None]


def pytest_collection_finish() -> None:
    """Let collections of garbage leave alone what was imported: each training ends in one."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Let go of it at the end, else libraries written in C print that it was never freed."""
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def not_waiting_for_the_disk() -> Iterator[None]:
    """Let no file wait until it lies on the disk, which matters where the power fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def commands_built_once() -> Iterator[None]:
    """Let typer's runner take the commands that it has built: to build them takes 50 ms a call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", cache(typer.main.get_command))
        yield


@pytest.fixture(scope="session", autouse=True)
def charts_drawn_once() -> Iterator[None]:
    """Give a chart of values that one was drawn of before without drawing it again."""
    with pytest.MonkeyPatch.context() as patch:
        for room, name in (("members", "learning_curves"), ("sections", "calibration_curve")):
            if module := sys.modules.get(f"twinrun.report.{room}"):
                patch.setattr(module, name, drawn_once(getattr(module, name)))
        yield


def drawn_once(draw: Callable[..., str]) -> Callable[..., str]:
    drawn: dict[tuple[str, ...], str] = {}

    def given(name: str, title: str, values: Sequence[Any]) -> str:
        texts = (each.to_csv() if hasattr(each, "to_csv") else repr(each) for each in values)
        key = (name, title, *texts)
        if key not in drawn:
            drawn[key] = draw(name, title, values)
        return drawn[key]

    return given


@pytest.fixture(autouse=True)
def heard_signals() -> Iterator[None]:
    """Let child processes hear Ctrl-C even if these tests run in a shell's background.

    A shell makes its background jobs deaf to it, and their children inherit that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def own_code_unloaded() -> Iterator[None]:
    """Leave no test the hooks.py that the one before it has imported."""
    yield
    if loading := sys.modules.get("twinrun.hooks.loading"):
        loading.unload()


@pytest.fixture
def small_toml(tmp_path: Path) -> Path:
    """A competition.toml of two small members on the fixture, alone in a temporary folder."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    return path


@pytest.fixture
def twinrun(tmp_path: Path) -> Command:
    """Run `python -m twinrun ARGUMENTS` in a process of its own, in the temporary folder or `cwd`.

    Keyword arguments are added to its environment. What it printed is in stdout and stderr.
    """

    def run(
        *arguments: object, cwd: Path = tmp_path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "twinrun", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "120", **environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )

    return run


@pytest.fixture
def invoke(tmp_path: Path) -> Command:
    """Carry out `twinrun ARGUMENTS` in this process, which saves a second import of torch.

    As `twinrun` otherwise. What matters at the start or the end of a process needs that one.
    """
    from typer.testing import CliRunner

    from twinrun.cli.app import app
    from twinrun.console import console

    def run(
        *arguments: object, cwd: Path = tmp_path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        words = [*map(str, arguments)]
        with chdir(cwd):
            done = CliRunner().invoke(
                app, words, prog_name="twinrun", env={"COLUMNS": "120", **environment}
            )
        console.quiet = False
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def before_second(monkeypatch: pytest.MonkeyPatch) -> BeforeSecond:
    """Let something happen in this process once, before the steps of the second training."""
    import twinrun.train.fit

    true, begun = twinrun.train.fit.fit_phases, list[str]()

    def arrange(happens: Callable[[], None]) -> None:
        def fit_phases(*arguments: Any, **options: Any) -> None:
            begun.append("")
            if len(begun) == 2:
                happens()
            true(*arguments, **options)

        monkeypatch.setattr(twinrun.train.fit, "fit_phases", fit_phases)

    return arrange


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real inputs beside the repository; the test is skipped where there is none."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data")
    return folder
