"""What to do about a missing package: in a project, in a clone, in any other environment."""

from __future__ import annotations

import re
import shlex

from twinrun.config.project import find_project
from twinrun.errors import InputError
from twinrun.plain_files import read_bytes
from twinrun.wheel.engine_wheel import CLONED_TEMPLATE, HOME, read_description

_LOCKING = "nox -s lock"


def how_to_install_extra(name: str) -> str:
    """What to run where the packages of one of the engine's extras are missing.

    No installer is told the engine's own name: whoever registered it would be asked for it.

    Args:
        name: Of `[project.optional-dependencies]`.
    """
    asked = f"--extra {name}"
    if (command := _project_lock()) is not None:
        more = "" if asked in command else f"{'' if ' -- ' in command else ' --'} {asked}"
        return f"{command}{more}, then rerun the session"
    requirements = read_description()["optional-dependencies"][name]
    lock = HOME / "requirements-dev.lock"
    if CLONED_TEMPLATE.is_dir() and lock.is_file():
        text = read_bytes(lock).decode(errors="replace")
        locked = set(re.findall(r"^[\w.-]+", text, re.MULTILINE))
        if {re.split(r"[^\w.-]", each)[0] for each in requirements} <= locked:
            return f"pip install --require-hashes -r {shlex.quote(str(lock))}"
    return f"pip install {shlex.join(requirements)}"


def how_to_install(package: str) -> str:
    """What to do where a package is missing that is in none of the engine's extras.

    Args:
        package: Its name in a registry.
    """
    if (command := _project_lock()) is not None:
        added = f'Add "{package}" to the dependencies in pyproject.toml'
        return f"{added}, then {command}, and rerun the session"
    return f"pip install {package}"


def _project_lock() -> str | None:
    """The command that locks the packages of the project; None outside of a made project."""
    try:
        project = find_project()
    except InputError:
        return None
    if not any((project / "vendor").glob("twinrun-*.whl")):
        return None
    try:
        text = read_bytes(project / "requirements.lock").decode()
    except (OSError, UnicodeDecodeError):
        return _LOCKING
    found = re.search(rf"^#\s+({_LOCKING}.*)$", text, re.MULTILINE)
    return found[1] if found else _LOCKING
