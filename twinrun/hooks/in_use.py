"""The competitor's code that a process works with, and what it adds to the engine's tables."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any

from twinrun.hooks.calls import OwnHook, find_hook
from twinrun.hooks.loading import (
    add_entry,
    load,
    settings_in_use,
    take_settings,
    unload,
    unload_others,
)
from twinrun.hooks.own_code import OwnCode
from twinrun.metrics import LARGEST_CLASS, METRICS, Metric, Numbers, Values

OWN_METRIC = "own"
# The folders of settings that a user named in this process.
_named: set[str] = set()


def name_code(config: Path) -> None:
    """Take the code beside a settings file as one that the user of this process asked for."""
    _named.add(os.path.realpath(config.parent))


def is_named(config: Path) -> bool:
    """Whether the code beside a settings file was asked for by the user of this process."""
    return os.path.realpath(config.parent) in _named


def use(code: OwnCode, settings: Mapping[str, Any]) -> None:
    """Take a competitor's code as that of this process, with what it adds to the engine's tables.

    It is imported only where settings cannot be checked without, and never where it is that of a
    run and was edited since.

    Args:
        code: Beside the settings file.
        settings: The table [hooks].

    Raises:
        InputError: As `load`.
    """
    unload_others(code)
    if code.acts and not code.edited:
        load(code)
    if "metric" in code.hooks and OWN_METRIC not in METRICS:
        add_entry(
            METRICS,
            Metric(
                name=OWN_METRIC,
                words="own metric",
                higher_is_better=True,
                score=_OwnMetric(code),
                simple=LARGEST_CLASS,
                kept_as=None,
            ),
        )
    take_settings(settings)


@contextmanager
def trying(code: OwnCode, settings: Mapping[str, Any]) -> Iterator[None]:
    """Within the block a competitor's code is tried: what its modules keep is gone afterwards.

    It is then as it was before its first call.

    Args:
        code: In use.
        settings: The table [hooks] in use.
    """
    try:
        yield
    finally:
        if code.parts:
            unload()
            use(code, settings)


def named_folders() -> list[str]:
    """The folders that the user of this process named settings in, for a process that it starts."""
    return sorted(_named)


class _OwnMetric:
    """The function `metric` of hooks.py, with the table [hooks] that is in use."""

    def __init__(self, code: OwnCode) -> None:
        self.code = code
        self._found: tuple[Mapping[str, Any], OwnHook] | None = None

    def __call__(self, probabilities: Values, truth: Numbers) -> float:
        table = settings_in_use()
        if self._found is None or self._found[0] is not table:
            hook = find_hook(self.code, "metric", table)
            assert hook is not None
            self._found = table, hook
        hook = self._found[1]
        # A copy: what a metric does to its arguments is nobody else's.
        value = hook(probabilities=probabilities.copy(), truth=truth.copy())
        if not isinstance(value, Real):
            raise hook.refuse(f"{type(value).__name__}: {value!r:.100}")
        return float(value)
