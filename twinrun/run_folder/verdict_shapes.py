"""The shapes of what checks of a run leave: verdicts, and the spread of seeds."""

from __future__ import annotations

from typing import Any

from twinrun.run_folder.shapes import Count, Digest, Shape


class ComparedFile(Shape):
    """A file of a member or fold, before and after."""

    member: str
    file: str
    first: Digest
    second: Digest
    difference: str


class TwinsRecord(Shape):
    """twins.json: what training twice showed."""

    same: bool
    control_differs: bool
    perturbations: list[str]
    comparisons: list[ComparedFile]
    ledgers: dict[str, dict[str, Any]]
    control: list[ComparedFile]


class GapRecord(Shape):
    """A file of predictions, before and after, in numbers: `compare.prediction_gaps`.

    Attributes:
        scores: Held out, before and after; None for images without labels, or where a score is not
            defined.
    """

    member: str
    file: str
    images: Count
    largest: float
    mean: float
    tops: Count
    far_tops: Count
    ranks: Count
    ranked: Count
    rank_move: Count
    scores: list[float | None] | None


class GradeRecord(Shape):
    """The grade of what was made again, and what it was judged from: `compare.grade`.

    Attributes:
        name: Of `grades.GRADES`.
        sentence: For a host who is no engineer.
        bound: Of the largest difference of a probability, for the grade "same to rounding".
        metric: By which held-out images are scored.
        gaps: Of each file of predictions.
        causes: By kind what is not the same and is no matter of the machine.
        environment: What decides bits besides, and differs, a line each.
        first: The first stage that differs; empty where none does.
        why: By the name of each better grade, why it was not given.
    """

    name: str
    sentence: str
    bound: float
    metric: str
    gaps: list[GapRecord]
    causes: dict[str, list[str]]
    environment: list[str]
    first: str
    why: dict[str, list[str]]


class VerificationRecord(Shape):
    """verify.json and predictions.json: what making a run again showed.

    Attributes:
        same: Whether every bit came out the same.
        submission: Whether it came out the same; None: it was not made again.
        blend: As `submission`.
    """

    grade: GradeRecord
    same: bool
    submission: bool | None
    blend: bool | None
    comparisons: list[ComparedFile]


class SeedSpread(Shape):
    """How far any two seeds' runs are apart at the most, in what a member or a submission is.

    Attributes:
        largest: Difference of a probability of a test image.
        mean: Mean of the absolute differences of these.
        tops: Test images whose likeliest class is a different one.
        score: Difference of the held-out score; None where it is not defined for each seed, and for
            a submission.
    """

    largest: float
    mean: float
    tops: Count
    score: float | None


class SpreadRecord(Shape):
    """spread.json: how far the runs of several seeds are apart, in each of these runs.

    Attributes:
        metric: Of the score.
        seeds: Of the runs that were compared.
        files: Which files of this run they were: SHA-256 by member and name.
        submission_file: Likewise of the submission; None where a run has none.
        members: Of each member that all runs have.
        submission: Of the submissions; None where a run has none.
    """

    metric: str
    seeds: list[Count]
    files: dict[str, dict[str, Digest]]
    submission_file: Digest | None
    members: dict[str, SeedSpread]
    submission: SeedSpread | None
