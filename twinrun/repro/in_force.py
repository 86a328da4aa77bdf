"""What is in force in this process: set, read from what is loaded, and read again later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twinrun.errors import InputError, gaps
from twinrun.neutral import without_neutral
from twinrun.repro.fact import Wanted
from twinrun.repro.facts import FACTS, neutral_facts, write_out_environment


def pin(wanted: Wanted) -> None:
    """Set all that can be set."""
    for fact in FACTS:
        if fact.pin is not None:
            fact.pin(wanted)


def read_environment(wanted: Wanted) -> dict[str, Any]:
    """Read every fact.

    Returns:
        JSON values in two tables. `decides`: what decides bits, without what is at its neutral
        value. `beside`: what cannot, and as `in_force` what was left out.

    Raises:
        InputError: A package that decides bits is not installed.
    """
    read = {fact.name: fact.read(wanted) for fact in FACTS}
    found = {name: value for name, value in read.items() if value is not None}
    deciding = {name: value for name, value in found.items() if FACTS.get(name).decides}
    decides = without_neutral(deciding, neutral_facts())
    return {
        "decides": decides,
        "beside": {
            **{name: value for name, value in found.items() if name not in deciding},
            "in_force": {name: value for name, value in deciding.items() if name not in decides},
        },
    }


def hold(environment: Mapping[str, Any], title: str) -> None:
    """Set all that can be set once more: libraries that were imported since may have changed it.

    Args:
        environment: From `set_up`, in this process.
        title: Of what is to be trained or predicted, for the message.

    Raises:
        InputError: As `refuse_changed`, of what cannot be set.
    """
    pin(_wanted(environment["decides"]))
    refuse_changed(environment, title)


def refuse_changed(environment: Mapping[str, Any], title: str) -> None:
    """Check that what decides bits is as it was: one training is not computed in two ways.

    Args:
        environment: From `set_up`, in this process.
        title: Of what is trained or predicted, for the message.

    Raises:
        InputError: Something was changed since.
    """
    decides = environment["decides"]
    wanted = _wanted(decides)
    facts = {fact.name: fact for fact in FACTS if fact.decides and fact.changed_by}
    read = {name: fact.read(wanted) for name, fact in facts.items()}
    now = {name: value for name, value in read.items() if value is not None}
    before = write_out_environment(decides)
    lines = [
        f"{where}, {facts[name].words}: {then!r} at the start, {value!r} now; "
        f"set by {facts[name].changed_by}"
        for name in facts
        for where, then, value in gaps(before.get(name), now.get(name, before.get(name)), name)
    ]
    if lines:
        raise InputError(
            f"{title}: what decides its bits is not as it was at the start:",
            details=lines,
            fix="Code that ran since then did it: a callback, a transform or an import of yours. "
            "Take it out and rerun the command; what was computed since the last checkpoint is "
            "not kept.",
        )


def _wanted(decides: Mapping[str, Any]) -> Wanted:
    packages = tuple(decides.get("packages", ()))
    return Wanted(decides["threads"], cuda=decides["device"] == "cuda", packages=packages)
