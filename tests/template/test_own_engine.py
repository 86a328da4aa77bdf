"""A project that unpacks its engine and changes it; debugging there and in the wheel."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.template.conftest import Make, Run, contents
from tests.template.test_updates import change, commit, make_version_2
from twinrun.repro.source import code_digest

pytestmark = pytest.mark.template

WHERE = "import twinrun; print(twinrun.__file__)"
# The smallest run: one member of the smallest network on the smallest images.
TINY = (
    *("--set", "recipe.network=resnet18", "--set", "recipe.image_size=32"),
    *("--set", "recipe.batch_size=16", "--set", "recipe.epochs={ frozen = 0, unfrozen = 1 }"),
)
TEST = """
import twinrun


def test_where():
    print(twinrun.__file__)
"""


@pytest.fixture
def project(make: Make, run: Run) -> Path:
    made = make(project_name="Grain", classes="a,b")
    commit(run, made, "init", "-q")
    commit(run, made, "Begin")
    return made


def install(project: Path, run: Run) -> str:
    """Bring the environment of the session `full_train` up to date; what nox says."""
    return run("nox", "-s", "full_train", "--install-only", cwd=project).stderr


def engines(project: Path, run: Run, tmp_path: Path) -> set[Path]:
    """The folder of the engine that each way to begin takes."""
    bin_folder = project / ".nox" / "full_train" / "bin"
    found = set()
    for folder in (project, tmp_path):
        said = run(bin_folder / "python", "-c", WHERE, cwd=folder).stdout
        found.add(Path(said.strip()).parent)
    for command in ((bin_folder / "twinrun",), (bin_folder / "python", "-m", "twinrun")):
        # Python says of which source each module is, compiled before or only now.
        said = run(*command, "--help", cwd=project, more={"PYTHONVERBOSE": "1"}).stderr
        used = re.findall(
            r"(?: matches| object from) (\S+/twinrun)/process\.py$", said, re.MULTILINE
        )
        assert used
        found |= set(map(Path, used))
    return found


def installed_engine(project: Path) -> Path:
    """The engine in site-packages of the session `full_train`."""
    (found,) = project.glob(".nox/full_train/lib/*/site-packages")
    return found / "twinrun"


def test_an_edit_of_the_unpacked_engine_is_in_force_in_every_session(
    project: Path, run: Run, tmp_path: Path
) -> None:
    install(project, run)
    assert engines(project, run, tmp_path) == {installed_engine(project)}
    of_wheel = code_digest(installed_engine(project))

    said = run("nox", "-s", "eject", cwd=project).stderr
    assert "the engine is in twinrun/ now" in said
    assert code_digest(project / "twinrun") == of_wheel
    change(project / "twinrun" / "cli" / "run.py", '    """Train', '    """Mine: train')
    commit(run, project, "Unpack the engine")
    shown = run("nox", "-s", "full_train", "--", "--help", cwd=project).stdout
    assert "Mine: train" in shown
    assert engines(project, run, tmp_path) == {project / "twinrun"}

    # pytest takes it, too.
    (project / "tests" / "test_where.py").write_text(TEST)
    tested = run("nox", "-s", "tests", "--", "-s", "tests/test_where.py", cwd=project).stdout
    assert f"{project}/twinrun/__init__.py" in tested
    (project / "tests" / "test_where.py").unlink()

    # A run's manifest has the digest of that folder, and of no other.
    run("nox", "-s", "full_train", "--", *TINY, cwd=project)
    manifest = json.loads((project / "runs" / "fixture" / "manifest.json").read_text())
    assert manifest["content"]["code"] == code_digest(project / "twinrun")
    assert manifest["content"]["code"] != of_wheel

    # The other sessions pass as before.
    run("nox", "-s", "lint", cwd=project)
    run("nox", "-s", "lock", cwd=project)
    assert run("git", "status", "--porcelain", cwd=project).stdout == ""

    # Unpacking again would lose the edits.
    before = contents(project / "twinrun")
    said = run("nox", "-s", "eject", cwd=project, code=1).stderr
    assert "twinrun/ is there already" in said
    assert contents(project / "twinrun") == before

    # Without the folder the wheel is in force again; what Python left of it is no engine.
    run("git", "rm", "-rq", "twinrun", cwd=project)
    (project / "twinrun" / "__pycache__").mkdir(parents=True, exist_ok=True)
    install(project, run)
    assert engines(project, run, tmp_path) == {installed_engine(project)}


def test_an_unpacked_engine_stays_at_an_update_and_that_it_is_older_is_said(
    published: Path, run: Run, tmp_path: Path
) -> None:
    template = tmp_path / "template"
    run("git", "clone", "-q", published, template, cwd=tmp_path)
    answers = '{"project_name": "Grain", "classes": "a,b"}'
    create = ("cruft", "create", template, "--directory", "template", "--no-input")
    run(*create, "--extra-context", answers, cwd=tmp_path)
    project = tmp_path / "grain"
    run("nox", "-s", "eject", cwd=project)
    change(project / "twinrun" / "errors.py", '"""How a command', '"""Mine: how a command')
    commit(run, project, "init", "-q")
    commit(run, project, "Begin")
    assert "is not of the version" not in install(project, run)

    make_version_2(template, run)
    run("nox", "-s", "update", cwd=project)
    commit(run, project, "Update")
    (wheel,) = project.glob("vendor/*.whl")
    assert wheel.name.startswith("twinrun-2.")
    assert (project / "twinrun" / "errors.py").read_text().startswith('"""Mine: how a command')
    said = install(project, run)
    assert f"twinrun/ is in force; it is not of the version of vendor/{wheel.name}" in said
    assert engines(project, run, tmp_path) == {project / "twinrun"}

    # Unpacked anew it is.
    shutil.rmtree(project / "twinrun")
    run("nox", "-s", "eject", cwd=project)
    assert "is not of the version" not in install(project, run)
    assert (project / "twinrun" / "errors.py").read_text().startswith('"""Version 2')


def test_an_engine_that_was_unpacked_by_half_is_unpacked_whole(project: Path, run: Run) -> None:
    (project / "twinrun.partial" / "twinrun").mkdir(parents=True)
    (project / "twinrun.partial" / "twinrun" / "left.py").write_text("")
    run("nox", "-s", "eject", cwd=project)
    assert not (project / "twinrun.partial").exists()
    assert not (project / "twinrun" / "left.py").exists()


@pytest.mark.parametrize("form", ["wheel", "folder"])
def test_tracebacks_and_debuggers_show_the_engines_lines(
    form: str, project: Path, run: Run
) -> None:
    if form == "folder":
        run("nox", "-s", "eject", cwd=project)
    install(project, run)
    python = project / ".nox" / "full_train" / "bin" / "python"
    folder = project / "twinrun" if form == "folder" else installed_engine(project)

    failing = "from twinrun.files import sha256_file; sha256_file(None)"
    said = run(python, "-c", failing, cwd=project, code=1).stderr
    assert f'File "{folder}/files.py", line ' in said
    function = "import inspect, twinrun.files as f; print(inspect.getsource(f.sha256_file))"
    source = run(python, "-c", function, cwd=project).stdout
    assert source.startswith("def sha256_file(")
    lines = (folder / "files.py").read_text().splitlines()
    first = 1 + next(n for n, line in enumerate(lines) if line.startswith("def sha256_file("))
    body = next(line.strip() for line in lines[first:] if line.startswith("    with"))
    assert body in said

    # A breakpoint of pdb in a line of the engine, where `twinrun` itself begins.
    process = folder / "process.py"
    text = process.read_text().splitlines()
    stop = 1 + next(n for n, line in enumerate(text) if line.startswith("    wanted = {**dict"))
    commands = (f"break {process}:{stop}", "continue", "where", "quit")
    options = [part for command in commands for part in ("-c", command)]
    debugged = run(python, "-m", "pdb", *options, "-m", "twinrun", "--help", cwd=project, code=None)
    assert f"> {process}({stop})restart_process()" in debugged.stdout
    assert text[stop - 1].strip() in debugged.stdout

    # And `breakpoint()`, written into it.
    if form == "folder":
        change(process, "    wanted = {**dict", "    breakpoint()\n    wanted = {**dict")
        twinrun = project / ".nox" / "full_train" / "bin" / "twinrun"
        stopped = run(twinrun, "--help", cwd=project, code=None)
        assert f"> {process}(" in stopped.stdout
