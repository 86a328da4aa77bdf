"""The next engine and template reach a project that was changed meanwhile."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import FIXTURE
from tests.template.conftest import Make, Run
from twinrun.files import sha256_file

pytestmark = pytest.mark.template

# A package of the project's own, which the engine does not have.
OWN = "humanize"


@pytest.fixture
def template(published: Path, run: Run, tmp_path: Path) -> Path:
    """A clone of the published repository, in which a version 2 can be made."""
    folder = tmp_path / "template"
    run("git", "clone", "-q", published, folder, cwd=tmp_path)
    return folder


@pytest.fixture
def project(template: Path, run: Run, tmp_path: Path) -> Path:
    """A project of version 1, committed."""
    run(
        *("cruft", "create", template, "--directory", "template", "--no-input"),
        *("--extra-context", '{"project_name": "Grain", "classes": "a,b"}'),
        cwd=tmp_path,
    )
    folder = tmp_path / "grain"
    commit(run, folder, "init", "-q")
    commit(run, folder, "Begin")
    return folder


def commit(run: Run, folder: Path, *text: str) -> None:
    if text[0] == "init":
        run("git", *text, cwd=folder)
        return
    run("git", "add", "-A", cwd=folder)
    run("git", "commit", "-qm", text[0], cwd=folder)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), encoding="utf-8")


def locked(lock: Path) -> dict[str, str]:
    """The version of each package of a lock, by name."""
    text = lock.read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


def make_version_2(template: Path, run: Run) -> None:
    """Change the engine, a version that it is tested with, and what the template renders."""
    change(template / "pyproject.toml", 'version = "0.', 'version = "2.')
    change(template / "twinrun" / "errors.py", '"""How a command', '"""Version 2: how a command')
    old = locked(template / "requirements.lock")["typer"]
    change(template / "pyproject.toml", '    "typer', f'    "typer!={old}')
    own = template / "template" / "{{cookiecutter.project_slug}}"
    change(own / "competition" / "competition.toml", "[submission]", "# Version 2.\n[submission]")
    change(own / "README.md", "## Updates", "## Updates of version 2")
    run("nox", "-s", "lock", cwd=template)
    commit(run, template, "Version 2")


def test_the_next_engine_arrives_and_what_is_edited_and_locked_stays(
    template: Path, project: Path, run: Run
) -> None:
    settings = project / "competition" / "competition.toml"
    change(settings, "seed = 1\n", "seed = 42\n")
    hooks = project / "competition" / "hooks.py"
    hooks.write_text('"""Mine."""\n')
    change(project / "pyproject.toml", "dependencies = []", f'dependencies = ["{OWN}"]')
    run("nox", "-s", "lock", "--", "--extra", "gcs", cwd=project)
    before = locked(project / "requirements.lock")
    assert {OWN, "gcsfs"} <= before.keys()
    commit(run, project, "Make it mine")
    (old,) = project.glob("vendor/*.whl")

    make_version_2(template, run)
    run("nox", "-R", "-s", "update", cwd=project)

    (new,) = project.glob("vendor/*.whl")
    assert new.name.startswith("twinrun-2.")
    assert new.name != old.name
    lock = (project / "requirements.lock").read_text()
    line = f"./vendor/{new.name} \\\n    --hash=sha256:{sha256_file(new)}\n"
    assert line in lock
    assert old.name not in lock
    assert "nox -s lock -- --extra gcs" in lock
    # The versions are the new engine's, and the project's own where the engine has none.
    now, tested = locked(project / "requirements.lock"), locked(template / "requirements.lock")
    assert now["typer"] == tested["typer"] != before["typer"]
    assert {name: now.get(name) for name in tested} == tested
    assert {name: now[name] for name in now.keys() - tested.keys()} == {
        name: before[name] for name in before.keys() - tested.keys()
    }
    assert hooks.read_text() == '"""Mine."""\n'
    text = settings.read_text()
    assert "seed = 42\n" in text
    assert "# Version 2.\n[submission]" in text
    assert "of version 2" in (project / "README.md").read_text()
    assert "<<<<<<<" not in run("git", "diff", "HEAD", cwd=project).stdout
    commit(run, project, "Update")
    assert "up to date" in run("nox", "-R", "-s", "update", cwd=project).stderr
    assert run("git", "status", "--porcelain", cwd=project).stdout == ""


def test_a_real_conflict_is_shown_as_one(template: Path, project: Path, run: Run) -> None:
    readme = project / "README.md"
    change(readme, "## Updates", "## My updates")
    commit(run, project, "Make it mine")
    make_version_2(template, run)
    said = run("nox", "-R", "-s", "update", cwd=project, code=1)
    assert "resolve the conflicts" in said.stdout + said.stderr
    assert "README.md" in said.stdout + said.stderr
    text = readme.read_text()
    assert "<<<<<<<" in text
    assert "## My updates" in text
    assert "## Updates of version 2" in text
    assert "UU README.md" in run("git", "status", "--porcelain", cwd=project).stdout

    # Resolved, the lock can be written.
    readme.write_text(re.sub(r"<<<<<<<.*?=======\n|>>>>>>>.*?\n", "", text, flags=re.DOTALL))
    commit(run, project, "Update")
    run("nox", "-R", "-s", "lock", cwd=project)
    (new,) = project.glob("vendor/*.whl")
    assert new.name in (project / "requirements.lock").read_text()


def test_what_was_edited_before_the_first_commit_is_merged_too(
    template: Path, run: Run, tmp_path: Path
) -> None:
    """git then has never seen the files that the template made, and cruft would drop changes."""
    given = '{"project_name": "Grain", "classes": "a,b"}'
    known = ("--directory", "template", "--no-input", "--extra-context", given)
    run("cruft", "create", template, *known, cwd=tmp_path)
    project = tmp_path / "grain"
    change(project / "competition" / "competition.toml", "seed = 1\n", "seed = 42\n")
    change(project / "README.md", "## Updates", "## My updates")
    commit(run, project, "init", "-q")
    commit(run, project, "Begin")
    make_version_2(template, run)
    said = run("nox", "-s", "update", cwd=project, code=1)
    assert "resolve the conflicts" in said.stdout + said.stderr
    assert run("git", "diff", "--name-only", "--diff-filter=U", cwd=project).stdout == "README.md\n"
    text = (project / "competition" / "competition.toml").read_text()
    assert "seed = 42\n" in text
    assert "# Version 2.\n[submission]" in text


def test_an_update_that_cannot_be_merged_changes_nothing(
    template: Path, project: Path, run: Run
) -> None:
    with (project / ".gitignore").open("a") as file:
        file.write("/NEWS.md\n")
    commit(run, project, "Keep news of my own")
    (project / "NEWS.md").write_text("Mine.\n")
    own = template / "template" / "{{cookiecutter.project_slug}}"
    (own / "NEWS.md").write_text("Version 2.\n")
    commit(run, template, "Version 2")
    said = run("nox", "-s", "update", cwd=project, code=1)
    assert "the update cannot be merged" in said.stdout + said.stderr
    assert run("git", "status", "--porcelain", cwd=project).stdout == ""
    assert (project / "NEWS.md").read_text() == "Mine.\n"


@pytest.mark.parametrize("lost", ["record", "template"])
def test_a_project_that_knows_no_template_is_told_how_to_name_one(
    lost: str, template: Path, project: Path, run: Run
) -> None:
    if lost == "record":
        (project / ".cruft.json").unlink()
        commit(run, project, "Forget")
    else:
        template.rename(template.with_name("moved"))
    said = run("nox", "-s", "update", cwd=project, code=1)
    assert "cruft link ADDRESS --directory template" in said.stdout + said.stderr
    assert "Traceback" not in said.stdout + said.stderr


def test_a_lock_of_a_different_wheel_is_refused_before_anything_is_installed(
    project: Path, run: Run
) -> None:
    (wheel,) = project.glob("vendor/*.whl")
    with wheel.open("ab") as file:
        file.write(b"x")
    said = run("nox", "-s", "reproducibility", cwd=project, code=1)
    assert "requirements.lock does not name vendor/twinrun-" in said.stdout + said.stderr
    assert "nox -s lock" in said.stdout + said.stderr


def test_a_change_of_what_the_template_computes_arrives_as_well(
    template: Path, project: Path, run: Run
) -> None:
    """Two versions are rendered in one process: the second must not see the first's Python."""
    change(
        template / "template" / "generation.py",
        '    return part("competition/competition.toml", "[profiles.fixture.run]")',
        '    return "# Version 2.\\n" + part("competition/competition.toml", '
        '"[profiles.fixture.run]")',
    )
    commit(run, template, "Version 2")
    run("cruft", "update", "--skip-apply-ask", cwd=project)
    assert "# Version 2.\n" in (project / "competition" / "competition.toml").read_text()


@pytest.fixture
def installed(template: Path, run: Run, tmp_path: Path) -> Path:
    """The command of an environment with the wheel, as `pip install` leaves it, without a clone.

    The libraries are those of the tests' own environment.
    """
    change(
        template / "pyproject.toml",
        "[project.optional-dependencies]",
        f'[project.urls]\nRepository = "{template.as_uri()}"\n\n[project.optional-dependencies]',
    )
    commit(run, template, "Say where the repository is")
    run(
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        "dist",
        template,
        cwd=tmp_path,
    )
    (wheel,) = (tmp_path / "dist").iterdir()
    environment = tmp_path / "environment"
    run("uv", "venv", "-q", "--python", sys.executable, environment, cwd=tmp_path)
    # As pip does, it compiles the template's Python too.
    compiled = ("--no-deps", "--compile-bytecode")
    run("uv", "pip", "install", "-q", *compiled, "--python", environment, wheel, cwd=tmp_path)
    (site,) = environment.glob("lib/*/site-packages")
    own = [path for path in sys.path if path.endswith("site-packages")]
    (site / "libraries.pth").write_text("\n".join(own) + "\n")
    return environment / "bin" / "twinrun"


def test_a_project_made_from_an_installed_wheel_is_updated_too(
    installed: Path, template: Path, run: Run, tmp_path: Path
) -> None:
    project = tmp_path / "photos"
    run(installed, "init", project, "--data", FIXTURE, "--yes", cwd=tmp_path)
    commit_now = run("git", "rev-parse", "HEAD", cwd=template).stdout.strip()
    known = json.loads((project / ".cruft.json").read_text())
    assert (known["template"], known["commit"]) == (template.as_uri(), commit_now)
    commit(run, project, "init", "-q")
    commit(run, project, "Begin")
    # It is what `cruft create` makes of that commit: an update has nothing to do ...
    assert "up to date" in run("cruft", "update", cwd=project).stdout
    assert run("cruft", "diff", "--exit-code", cwd=project).stdout == ""
    # ... until there is a new version.
    make_version_2(template, run)
    run("nox", "-R", "-s", "update", cwd=project)
    (new,) = project.glob("vendor/*.whl")
    assert new.name.startswith("twinrun-2.")
    assert new.name in (project / "requirements.lock").read_text()


def test_an_installed_engine_that_was_edited_makes_no_project(
    installed: Path, run: Run, tmp_path: Path
) -> None:
    (names,) = tmp_path.glob("environment/lib/*/site-packages/twinrun/names.py")
    names.write_text(names.read_text() + "# Mine.\n")
    said = run(
        installed, "init", tmp_path / "new", "--data", FIXTURE, "--yes", cwd=tmp_path, code=2
    )
    assert "is not as it was installed: twinrun/names.py" in said.stderr
    assert "Traceback" not in said.stdout + said.stderr
    assert not (tmp_path / "new").exists()


def test_an_installed_wheel_makes_the_projects_that_a_clone_makes(
    installed: Path, template: Path, make: Make, run: Run, tmp_path: Path
) -> None:
    project = tmp_path / "from wheel"
    run(installed, "init", project, "--data", FIXTURE, "--yes", cwd=tmp_path)
    twinrun = (sys.executable, "-m", "twinrun")
    run(*twinrun, "init", tmp_path / "b" / "from wheel", "--data", FIXTURE, "--yes", cwd=template)
    same = subprocess.run(
        ["diff", "-r", project, tmp_path / "b" / "from wheel"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert same.stdout == ""
