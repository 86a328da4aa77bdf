"""The competitor's own code that a run was made with: taken from its project, and compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from twinrun.config.project import project_settings
from twinrun.errors import InputError, gaps
from twinrun.hooks.in_use import is_named
from twinrun.hooks.own_code import NO_CODE, OwnCode, read_own_code
from twinrun.run_folder.manifest import recorded_hooks


def find_code(
    content: Mapping[str, Any], config: Path | None, but: Collection[str] = ()
) -> OwnCode:
    """The code that a run was made with, read and not run.

    Who hands a run's folder on may write into its local.json what they like. So code is taken only
    from the project that the process stands in, or from beside settings that its user named; and
    none of it is imported where it is not what the run was made with. A run that was handed on has
    no local.json: its code, if it has any, is that of the project that the process stands in.

    Args:
        content: `content` of the run's manifest.json.
        config: The settings file that the run's local.json names; None: it has none.
        but: Of parts of the code, those that may have been edited since: what is asked for does
            without them.

    Returns:
        The code, with what was edited since. Without hooks where none may be taken.

    Raises:
        InputError: As `read_own_code`.
    """
    then, table = recorded_hooks(content), content["settings"].get("hooks", {})
    if config is None and then:
        config = _project()
    code = read_own_code(config) if config is not None and _is_asked_for(config) else NO_CODE
    now = code.digests("pixels", table) | code.digests("training", table)
    if content["blend"] is not None:  # before, they are nobody's part
        now |= code.digests("blend", table)
    different = [name for name, *_ in gaps(then, now) if name not in but]
    return replace(code, edited=tuple(f"{name}: {_change(then, now, name)}" for name in different))


def _project() -> Path | None:
    """The settings of the project that the process stands in; None: it stands in none."""
    try:
        return project_settings()
    except InputError:
        return None


def _is_asked_for(config: Path) -> bool:
    """Whether the code beside a settings file is the project's, or named by the user."""
    try:
        if is_named(config):
            return True
        # Folders are compared: a link to the project's settings has other code beside it.
        return project_settings().parent.resolve() == config.parent.resolve()
    except (InputError, OSError, ValueError, RuntimeError):
        return False


def _change(then: Mapping[str, str], now: Mapping[str, str], name: str) -> str:
    if name in then and name in now:
        return "edited since, or what it reaches"
    return "not there" if name in then else "not there then"
