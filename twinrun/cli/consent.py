"""A package's own code: what would run is told, somebody agrees, and what it runs in is made."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinrun.console import box, clock, confirm, is_anyone_there, say
from twinrun.errors import InputError

if TYPE_CHECKING:
    from twinrun.verify.confine import Way
    from twinrun.verify.packages import UnpackedPackage

Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Run code of a package that is not this engine's, without a question."
    ),
]


def words_of(way: Way, files: str) -> str:
    """How foreign code is shut off, for a reader.

    Args:
        way: By which.
        files: What it sees of files.
    """
    return f"confined by {way.words}: no network, an empty HOME, none of your variables; {files}"


def agree_to(foreign: Sequence[str], what: str, isolation: str, *, trust: bool) -> None:
    """Say which foreign code would run, and go on only where somebody agreed: beforehand, or now.

    Args:
        foreign: From `packages.foreign_code`.
        what: It is to run for: "To make this run again".
        isolation: From `words_of`.
        trust: Whether somebody agreed beforehand.

    Raises:
        InputError: Nobody agreed.
    """
    box(
        "foreign code",
        f"{what}, code has to run that this verifier has not read:",
        *(f"- {line}" for line in foreign),
        f"It would run {isolation}.",
    )
    if trust:
        return
    if not is_anyone_there():
        raise InputError(
            "the package's own code was not run: nobody agreed to it",
            fix="If you trust whoever made it: --trust.",
        )
    if not confirm("Run it?"):
        raise InputError("the package's own code was not run: you did not agree to it")


def fresh_python(found: UnpackedPackage, stack: ExitStack, *, engine: bool) -> Path:
    """The Python of a fresh environment from a package's lock.

    Args:
        found: The package.
        stack: With which the environment goes.
        engine: Whether with the engine of the lock.

    Raises:
        InputError: It cannot be made.
    """
    from twinrun.package.paths import LOCK
    from twinrun.verify.environments import build_environment

    began = time.perf_counter()
    lock = [each for each in found.lock if engine or not each.is_engine]
    python = stack.enter_context(build_environment(lock, found.code))
    say(f"fresh environment from {LOCK}, {clock(time.perf_counter() - began)}")
    return python


@dataclass(frozen=True)
class AgreedCode:
    """Code of a package that somebody agreed to, and what it is run with.

    Attributes:
        python: Of its environment.
        way: By which it is confined.
        isolation: In words.
    """

    python: Path
    way: Way
    isolation: str


def code_that_predicts(
    found: UnpackedPackage, what: str, stack: ExitStack, *, here: bool, trust: bool
) -> AgreedCode | None:
    """A package's own code for new images, agreed to; None where this engine predicts with it.

    Args:
        found: The package.
        what: It is to run for: "To predict with this package".
        stack: With which a fresh environment goes.
        here: Whether in the present environment, whose versions must be the lock's.
        trust: Whether somebody agreed beforehand.

    Raises:
        InputError: Nobody agreed; nothing confines a process here; or there is no such environment.
    """
    from twinrun.repro.source import code_digest
    from twinrun.verify import confine, environments, their_code
    from twinrun.verify.packages import foreign_code

    if here:
        environments.refuse_other_versions(found.lock)
    fresh = found.engine.code != code_digest() and not here
    foreign = foreign_code(found, installed=fresh)
    if not foreign:
        say(
            ("package", "bold"),
            f"     {found.package}: its engine is this one, no code of it runs",
        )
        return None
    if not fresh:
        their_code.refuse_locked_engine(found)
    way = confine.require_way()
    isolation = words_of(way, "of your files only the folders of the images, and the sample")
    agree_to(foreign, what, isolation, trust=trust)
    python = fresh_python(found, stack, engine=True) if fresh else Path(sys.executable)
    return AgreedCode(python, way, isolation)


def refuse_for_run(*, here: bool, trust: bool) -> None:
    """Check that what is for a package's code was not asked for a run.

    Raises:
        InputError: It was.
    """
    for option, given in (("--trust", trust), ("--this-environment", here)):
        if given:
            raise InputError(f"{option} is for a package; a run is predicted with here")
