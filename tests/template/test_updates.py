"""Later versions of the template reach a project that was changed meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.template.conftest import Run

pytestmark = pytest.mark.template


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


def test_an_edit_stays_and_an_improvement_arrives(template: Path, project: Path, run: Run) -> None:
    settings = project / "competition" / "competition.toml"
    change(settings, "seed = 1\n", "seed = 42\n")
    change(
        project / "twinrun" / "console.py",
        '"""Where Twinrun prints',
        '"""Mine. Where Twinrun prints',
    )
    commit(run, project, "Make it mine")

    # Version 2 changes other lines of the same engine file, another engine file, the template's own
    # part of competition.toml and the README; it adds a module.
    change(template / "twinrun" / "console.py", "def clock(", "# Version 2.\ndef clock(")
    change(template / "twinrun" / "errors.py", '"""How a command', '"""Version 2: how a command')
    (template / "twinrun" / "added.py").write_text('"""Version 2."""\n')
    own = template / "template" / "{{cookiecutter.project_slug}}"
    change(own / "competition" / "competition.toml", "[submission]", "# Version 2.\n[submission]")
    change(own / "README.md", "## Updates", "## Updates of version 2")
    commit(run, template, "Version 2")

    updated = run("cruft", "update", "--skip-apply-ask", cwd=project)
    assert "Good work" in updated.stdout
    terminal = (project / "twinrun" / "console.py").read_text()
    assert "Mine." in terminal
    assert "# Version 2." in terminal
    assert "Version 2" in (project / "twinrun" / "errors.py").read_text()
    assert (project / "twinrun" / "added.py").is_file()
    assert "seed = 42\n" in settings.read_text()
    assert "# Version 2.\n[submission]" in settings.read_text()
    assert "of version 2" in (project / "README.md").read_text()
    assert "<<<<<<<" not in run("git", "diff", cwd=project).stdout
    commit(run, project, "Update")
    assert "up to date" in run("cruft", "update", "--skip-apply-ask", cwd=project).stdout


def test_a_real_conflict_is_shown_as_one(template: Path, project: Path, run: Run) -> None:
    terminal = project / "twinrun" / "console.py"
    change(terminal, '"""Where Twinrun prints', '"""Mine. Where Twinrun prints')
    commit(run, project, "Make it mine")
    change(
        template / "twinrun" / "console.py",
        '"""Where Twinrun prints',
        '"""Version 2. Where Twinrun prints',
    )
    commit(run, template, "Version 2")
    said = run("cruft", "update", "--skip-apply-ask", cwd=project, code=None)
    assert "with conflicts" in said.stdout + said.stderr
    text = terminal.read_text()
    assert "<<<<<<<" in text
    assert "Mine." in text
    assert "Version 2." in text
    assert "UU twinrun/console.py" in run("git", "status", "--porcelain", cwd=project).stdout


def test_a_change_of_what_the_template_computes_arrives_as_well(
    template: Path, project: Path, run: Run
) -> None:
    """Two versions are rendered in one process: the second must not see the first's Python."""
    change(
        template / "template" / "generation.py",
        'described = f"description = ',
        'described = f"# Version 2.\\ndescription = ',
    )
    commit(run, template, "Version 2")
    run("cruft", "update", "--skip-apply-ask", cwd=project)
    assert "# Version 2.\n" in (project / "pyproject.toml").read_text()
