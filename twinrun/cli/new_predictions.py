"""New predictions, made again: what the command verify does with a record of predictions."""

from __future__ import annotations

import time
from pathlib import Path

from twinrun.cli.diff import print_grade
from twinrun.cli.options import end_with
from twinrun.cli.predict import recorded_run, say_missing
from twinrun.console import clock, console, say
from twinrun.errors import InputError
from twinrun.grades import SAME_BITS, Grade


def verify_record(
    record: Path, of: Path | None, images: list[Path] | None, sample: Path | None, accepted: Grade
) -> None:
    """Predict again, and end with the grade.

    Args:
        record: Of predictions.
        of: The run or package that predicted.
        images: As for `twinrun predict`.
        sample: Of a submission.
        accepted: The worst grade that ends with exit code 0.

    Raises:
        NegativeVerdict: It came out different.
        InputError: Something that is needed was not named, or as `verify_new_predictions`.
        typer.Exit: With the grade's own exit code.
    """
    from twinrun.compare.grade_words import format_surroundings
    from twinrun.verify.new_images import verify_new_predictions

    if of is None or not images:
        raise InputError(
            f"{record} names no place: neither of the run nor of the images",
            fix="Name what predicted with --of, and the images with --images.",
        )
    started = time.perf_counter()
    with recorded_run(of) as folder:
        found = verify_new_predictions(record, folder, images, sample)
    say_missing(found.record["blend"]["missing"], partial=found.record["blend"]["partial"])
    quiet, console.quiet = console.quiet, False
    verdict = found.verdict
    took = clock(time.perf_counter() - started)
    if verdict.grade == SAME_BITS:
        same = SAME_BITS.name, f"bold {SAME_BITS.colour}"
        say(same, f": {record} made again, {took}")
        console.quiet = quiet
        for line in format_surroundings(verdict):
            say(*line)
        return
    print_grade(verdict, accepted, quiet=quiet)
    how = "and came out with different bits"
    if verdict.evidence.same_bits:
        how = "to the same bits, but not of what it records"
    end_with(verdict.grade, accepted, f"{record} was made again {how}")
