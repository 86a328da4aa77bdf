"""Renders the template: from a clone, or from what an installed engine carries."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

from twinrun.config.project import find_project
from twinrun.errors import InputError
from twinrun.plain_files import read_bytes
from twinrun.wheel.engine_wheel import CLONED_TEMPLATE, HOME, NAME, read_origin, template_folder

# Where cruft keeps from which template, in which version, a project was made.
CRUFT = ".cruft.json"
# The template's place in its repository.
_DIRECTORY = "template"


def refuse_without_git() -> None:
    """Raise InputError where the template is to be taken from a clone, and git cannot do so."""
    if template_folder() != CLONED_TEMPLATE:
        return
    try:
        # As `git clone` begins: it asks the folder itself, and none around it.
        done = subprocess.run(
            ["git", "ls-remote", "--exit-code", str(HOME), "HEAD"],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        why = "is not installed" if missing else f"cannot be started: {error.strerror}"
        raise InputError(
            f"`init` takes the template of a clone with git, which {why}",
            fix="Install git, or put its folder on PATH.",
        ) from None
    if done.returncode:
        raise InputError(
            f"git cannot take the template from {HOME}:",
            details=done.stderr.splitlines() or ["there is no commit"],
            fix="`init` works in a git clone of Twinrun, or from its wheel. From a zip: "
            "cookiecutter --directory template ZIP.",
        )


def missing_programs() -> list[str]:
    """What a user lacks for the first commit and the first training, a line each."""
    missing = []
    if shutil.which("git") is None:
        missing.append("git is not installed; the commands below need it")
    # The identity that git would commit under: outside the project, as a new one has no own.
    elif subprocess.run(
        ["git", "var", "GIT_AUTHOR_IDENT"], cwd="/", capture_output=True, check=False
    ).returncode:
        missing.append("git has no name to commit under: see git config user.name, user.email")
    if shutil.which("nox") is None:
        missing.append("nox is not installed; to do so: pip install 'nox[uv]'")
    return missing


def render(parent: Path, project: Path, answers: Mapping[str, str]) -> Path:
    """Make a project from the template; its folder.

    Args:
        parent: Where the folder is made.
        project: Where it will stand.
        answers: To the template's questions.

    Raises:
        InputError: The template refuses an answer, or cannot be taken from the clone.
    """
    from cookiecutter.exceptions import CookiecutterException

    # The template itself prints why it makes no project; what cookiecutter adds is a traceback.
    logging.getLogger("cookiecutter").setLevel(logging.CRITICAL)
    with tempfile.TemporaryFile() as printed:
        try:
            with _stderr_into(printed):
                if template_folder() == CLONED_TEMPLATE:
                    return _render_clone(parent, project, answers)
                return _render_installed(parent, project, answers)
        except CookiecutterException as error:
            printed.seek(0)
            told = printed.read().decode("utf-8", "replace").splitlines()
            raise InputError(
                "the template makes no project of these answers:", details=told or [str(error)]
            ) from None


def _render_clone(parent: Path, project: Path, answers: Mapping[str, str]) -> Path:
    """As the clone's last commit has the template."""
    from cruft import create
    from cruft.exceptions import CruftError

    try:
        made = Path(
            create(
                str(HOME),
                output_dir=parent,
                directory=_DIRECTORY,
                extra_context=dict(answers),
                no_input=True,
                default_config=True,
            )
        )
    except CruftError as error:
        raise InputError(
            f"cannot take the template from {HOME}: {error}",
            fix="`init` works in a git clone of Twinrun, or from its wheel. From a zip: "
            "cookiecutter --directory template ZIP.",
        ) from None
    # No path of this machine belongs into a file that is committed, but for the way from here.
    address = _published_address() or os.path.relpath(HOME, project)
    content = json.loads(read_bytes(made / CRUFT))
    _write_origin(made, address, content["commit"], content["context"]["cookiecutter"])
    return made


def _render_installed(parent: Path, project: Path, answers: Mapping[str, str]) -> Path:
    """As the installed engine carries the template."""
    from cookiecutter.generate import generate_context, generate_files
    from cookiecutter.prompt import prompt_for_config

    folder = template_folder()
    assert folder is not None
    with _importable(folder):
        context = generate_context(folder / "cookiecutter.json", extra_context=dict(answers))
        context["cookiecutter"] = prompt_for_config(context, no_input=True)
        context["cookiecutter"]["_template"] = str(folder)
        made = Path(generate_files(folder, context, str(parent)))
    address, commit = _installed_address(project), read_origin()["commit"]
    if address and commit and not commit.endswith("+changes"):
        _write_origin(made, address, commit, context["cookiecutter"])
    return made


def read_address(project: Path) -> str | None:
    """The address that a project takes its updates from; None where it names none."""
    try:
        return str(json.loads(read_bytes(project / CRUFT))["template"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


@contextmanager
def _stderr_into(file: IO[bytes]) -> Iterator[None]:
    """What this process and those that it starts print on stderr goes into a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        os.dup2(file.fileno(), 2)
        yield
        sys.stderr.flush()
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """The template's own Python can be imported, as cookiecutter's command has it."""
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _write_origin(made: Path, address: str, commit: str, answered: Mapping[str, Any]) -> None:
    """Write what cruft needs to know for an update."""
    context = {**answered, "_template": address, "_commit": commit}
    content = {
        "template": address,
        "commit": commit,
        "checkout": None,
        "context": {"cookiecutter": context},
        "directory": _DIRECTORY,
    }
    (made / CRUFT).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _published_address() -> str | None:
    """The address of the clone's repository, where others can reach the commit that is taken."""
    if declared := read_origin()["repository"]:
        return declared
    address = _public(_git("remote", "get-url", "origin"))
    return address if address and _git("branch", "--remotes", "--contains", "HEAD") else None


def _public(address: str) -> str | None:
    """An address as others may see it: no password in it, and no folder of this machine."""
    if not address or address.startswith("file:") or Path(HOME, address).exists():
        return None
    parts = urlsplit(address)
    if parts.scheme in ("http", "https"):
        address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return address


def _installed_address(project: Path) -> str | None:
    """The address of the repository that an installed engine comes from.

    That is the one that the wheel declares; else the one that it was installed from, as PEP 610
    has installers record it; else the one that the project knows in which the command is run.
    """
    if declared := read_origin()["repository"]:
        return declared
    text = metadata.distribution(NAME).read_text("direct_url.json")
    direct = json.loads(text) if text else {}
    if "vcs_info" in direct and (address := _public(direct["url"])):
        return address
    try:
        other = find_project().absolute()
    except InputError:
        return None
    if (known := read_address(other)) is None:
        return None
    folder = other / known
    return os.path.relpath(folder, project) if folder.is_dir() else known


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=HOME, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""
