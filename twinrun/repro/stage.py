"""What a stage of a training is: everything that writer, comparison, advice and docs ask of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

# From coarse to fine: what one holds, the next one holds too.
LEVELS = ("epoch", "step", "tensor")

When = Literal["once", "step", "epoch", "end"]


class StageDifference(Protocol):
    """What an explanation knows of a first difference: see compare.first_difference.Difference."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def only_first(self) -> tuple[str, ...]: ...
    @property
    def only_second(self) -> tuple[str, ...]: ...
    @property
    def step(self) -> int: ...


@dataclass(frozen=True)
class Advice:
    """The likeliest cause in a sentence or two, and the next thing to do: a command or words."""

    cause: str
    next: str


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: As ledgers hold it.
        order: Its place among the stages of one moment, in the order in which a training passes
            them; any number that no other stage has.
        noted: When: "once" before the first step, after each "step" or "epoch", at the "end".
        from_level: The coarsest level of ledgers that has its rows. A stage of each step that level
            "epoch" has, has there the row of each epoch's last step.
        digest_of: For the docs: what its digest is of.
        words: For a reader who compares two runs: what differs there.
        per_rank: Whether each of several ranks has a part of its own; else it is the same on all.
        replayed: Whether making the step again shows more of it than the ledger does.
        explain: What a first difference there most likely comes from and what to do next; all
            stages before it are equal. In `next`, "{first}" stands for the first run.
        index_column: Of index.parquet, which of its columns shows the images that differ there, if
            one does.
    """

    name: str
    order: int
    noted: tuple[When, ...]
    from_level: str
    digest_of: str
    words: str
    per_rank: bool
    replayed: bool
    explain: Callable[[StageDifference], Advice]
    index_column: str | None = None

    def __post_init__(self) -> None:
        if not self.noted or not set(self.noted) <= set(get_args(When)):
            raise ValueError(
                f"stage {self.name!r}: noted is of {', '.join(get_args(When))}, not {self.noted}"
            )
        if self.from_level not in LEVELS:
            raise ValueError(
                f"stage {self.name!r}: from_level is of {', '.join(LEVELS)}, not "
                f"{self.from_level!r}"
            )

    @property
    def each_step(self) -> bool:
        """Whether it is noted after each step."""
        return "step" in self.noted

    def in_level(self, level: str) -> bool:
        """Whether ledgers of a level have its rows."""
        return LEVELS.index(level) >= LEVELS.index(self.from_level)

    def is_detail(self, what: str) -> bool:
        """Whether a row is of one image, module or parameter, which only level "tensor" has.

        What is noted once has its names at every level. Of an epoch's rows, details are named below
        the row that they are of: "validation/<id>".
        """
        if "once" in self.noted:
            return False
        return bool(what) if self.each_step else "/" in what
