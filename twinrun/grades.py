"""The grades of a verdict on what was made again, each with its exit code and its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twinrun.errors import InputError
from twinrun.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True)
class Grade:
    """A grade, and everything that any room asks of it.

    Attributes:
        name: As it is recorded, and for a reader.
        when: What must hold, in a sentence without its end.
        exit_code: Of a command that gives it.
        accept: What --accept calls it, to end with exit code 0; None: that cannot be accepted.
        colour: Of a terminal, as rich knows it.
        host: What it says to a host who is no engineer, a sentence.
    """

    name: str
    when: str
    exit_code: int
    accept: str | None
    colour: str
    host: str


GRADES: Registry[Grade] = Registry("grade", Grade)
"""The grades, the best one first."""

SAME_BITS = GRADES.add(
    Grade(
        name="same bits",
        when="every result file and every digest of the ledgers is the same",
        exit_code=0,
        accept=None,
        colour="green",
        host="It was made again and every number came out exactly the same.",
    )
)
ROUNDING = GRADES.add(
    Grade(
        name="same to rounding",
        when="no probability differs by as much as the bound, and no top class but where two were "
        "closer than that",
        exit_code=3,
        accept="rounding",
        colour="yellow",
        host="It was made again and gives the same answers: the numbers differ only in late "
        "digits, as they do when another computer rounds differently.",
    )
)
SPREAD = GRADES.add(
    Grade(
        name="within the spread of seeds",
        when="scores and predictions differ no more than those of the run's own seeds, as "
        "`run --seeds` recorded them",
        exit_code=4,
        accept="spread",
        colour="yellow",
        host="It was made again and its score holds: the answers differ, by no more than they do "
        "when the same work is done with another random seed.",
    )
)
DIFFERENT = GRADES.add(
    Grade(
        name="different",
        when="none of the others; the first stage that differs is named",
        exit_code=1,
        accept=None,
        colour="red",
        host="It was made again and the answers are not the same.",
    )
)


def acceptable() -> list[str]:
    """What --accept may name, the better one first."""
    return [grade.accept for grade in GRADES if grade.accept]


def read_accepted(word: str | None) -> Grade:
    """The worst grade that ends with exit code 0.

    Args:
        word: Of --accept; None accepts the same bits only.

    Raises:
        InputError: There is no such grade, or it cannot be accepted.
    """
    if word is None:
        return SAME_BITS
    for grade in GRADES:
        if grade.accept == word:
            return grade
    raise InputError(f"--accept {word}: not one of {', '.join(acceptable())}")


def exit_code(grade: Grade, accepted: Grade) -> int:
    """0 where a grade is accepted, or better than what is; else the grade's own exit code."""
    return 0 if grade in tuple(_up_to(accepted)) else grade.exit_code


def _up_to(accepted: Grade) -> Iterator[Grade]:
    for grade in GRADES:
        yield grade
        if grade == accepted:
            return
