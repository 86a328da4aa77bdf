"""What a stage of a training is: everything that writer, comparison, advice and docs ask of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

# From coarse to fine: what one holds, the next one holds too.
LEVELS = ("epoch", "step", "tensor")

# Gaps between two results that should be equal, in shares of a tensor's largest value. A float32
# holds 6e-8 of a value, and sums of many in a different order reach a hundred times that; the 8 to
# 11 bits of bfloat16 and TF32 make up to the second.
LAST_BITS, FEW_BITS = 1e-5, 3e-2

# All settings but those that are first asked for when predictions are made.
OF_STEPS = r"(?!members\.[^.]+\.(prediction_batch_size|test_time)\b|data\.)"

When = Literal["once", "step", "epoch", "end"]


@dataclass(frozen=True)
class Told:
    """What a row of both ledgers says, where it says more than that it is not equal.

    Attributes:
        name: What the row is of: an image's id, "weight decay".
        aspect: Which of several things that it says: "label"; empty where that goes without saying.
        first: What the first ledger says of it.
        second: What the second does.
    """

    name: str
    aspect: str
    first: str | float
    second: str | float

    @property
    def both(self) -> str:
        """What both say; numbers with as many digits as tell them apart, six at least."""
        texts = [f"{value:.6g}" if isinstance(value, float) else value for value in self._values]
        if texts[0] == texts[1]:
            texts = [str(value) for value in self._values]
        return f"{texts[0]} in A, {texts[1]} in B"

    def __str__(self) -> str:
        return f"{self.name}: {f'{self.aspect} {self.both}'.strip()}"

    @property
    def _values(self) -> tuple[str | float, str | float]:
        return self.first, self.second


class StageDifference(Protocol):
    """What an explanation knows of a first difference: see compare.first_difference.Difference."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def changed(self) -> tuple[str, ...]: ...
    @property
    def only_first(self) -> tuple[str, ...]: ...
    @property
    def only_second(self) -> tuple[str, ...]: ...
    @property
    def epoch(self) -> int: ...
    @property
    def step(self) -> int: ...
    @property
    def told(self) -> tuple[Told, ...]: ...


@dataclass(frozen=True)
class Advice:
    """The likeliest cause in a sentence or two, and the next thing to do: a command or words."""

    cause: str
    next: str


@dataclass(frozen=True)
class Known:
    """What is known of two trainings beside the place at which they differ first.

    Attributes:
        detailed: Whether each image, module and parameter had a row of its own.
        resumed: Which of the two resumed before that place, and where: "B after epoch 1, step 2".
        beside: Names of what differs between them though it decides no bit: "workers".
        gap: The largest distance between the values that differ, in shares of the largest value of
            their tensor; None where the values are not at hand.
        causes: What the files of the two runs show to be the cause, the likeliest first.
        hooks: Names of the functions of hooks.py that the trainings were made with.
    """

    detailed: bool = False
    resumed: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    gap: float | None = None
    causes: tuple[Advice, ...] = ()
    hooks: tuple[str, ...] = ()


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
        tells: What a row says beside being equal or not, by aspect ("": the only one), from its 64
            bits and what the ledger is about. Each of its rows has a name, at every level. None:
            the rows hold digests of which nothing can be told.
        settings: A pattern of the names of settings that can be the cause of a first difference
            there; matched at their beginning.
        environment: Whether threads, libraries and their like can be the cause.
    """

    name: str
    order: int
    noted: tuple[When, ...]
    from_level: str
    digest_of: str
    words: str
    per_rank: bool
    replayed: bool
    explain: Callable[[StageDifference, Known], Advice]
    index_column: str | None = None
    tells: Callable[[int, Mapping[str, Any]], dict[str, str | float]] | None = None
    settings: str = OF_STEPS
    environment: bool = True

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

        What is noted once, and what tells more than a digest, has its names at every level. Of an
        epoch's rows, details are named below the row that they are of: "validation/<id>".
        """
        if "once" in self.noted or self.tells is not None:
            return False
        return bool(what) if self.each_step else "/" in what
