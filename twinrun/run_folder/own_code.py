"""The competitor's own code that a run was made with: that of now is the same, or named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from twinrun.config.settings import Settings
from twinrun.errors import NegativeVerdict, gaps
from twinrun.hooks.own_code import FILE
from twinrun.run_folder.manifest import read_manifest, recorded_hooks


def refuse_other_hooks(run: Path, settings: Settings) -> None:
    """Check that the competitor's own code is what the run was made with.

    Raises:
        NegativeVerdict: It is not; each hook that differs is named.
        InputError: A record is damaged.
    """
    content = read_manifest(run)["content"]
    then = recorded_hooks(content)
    now = settings.all_hook_digests()
    if content["blend"] is None:  # it is nobody's part yet
        now = {n: found for n, found in now.items() if n not in settings.hook_digests("blend")}
    different = [name for name, *_ in gaps(then, now)]
    if different:
        raise NegativeVerdict(
            f"{settings.code.path if settings.code.texts else FILE} is not what the run was made "
            "with:",
            details=[f"{name}: {_change(then, now, name)}" for name in different],
            fix="Bring back the file, and those beside it, as they were.",
        )


def _change(then: Mapping[str, str], now: Mapping[str, str], name: str) -> str:
    if name in then and name in now:
        return "edited since, or what it reaches"
    return "not there any more" if name in then else "not there then"
