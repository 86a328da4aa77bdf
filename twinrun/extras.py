"""Extras: libraries that few projects need, and how a project gets them."""

from __future__ import annotations


def how_to_add(*extras: str) -> str:
    """What to do where libraries of these extras are missing, for a message.

    No requirement `twinrun[...]` is in it: a registry may serve that name to whoever registers it.

    Args:
        extras: Their names in pyproject.toml.
    """
    options = " ".join(f"--extra {extra}" for extra in extras)
    return (
        f"Add it to the project's lock: nox -s lock -- {options}\n"
        "then rerun the session. (In a clone of Twinrun itself: .nox/tests/bin/twinrun, after "
        "`nox -s tests`.)"
    )
