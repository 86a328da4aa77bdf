"""New predictions, made again: what the command verify does with a record of predictions."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.cli.consent import code_that_predicts, refuse_for_run
from twinrun.cli.diff import print_grade
from twinrun.cli.options import end_with
from twinrun.cli.predict import say_missing
from twinrun.console import clock, console, quote, say
from twinrun.errors import InputError
from twinrun.grades import SAME_BITS, Grade

if TYPE_CHECKING:
    from twinrun.verify.new_images import VerifiedPredictions


def verify_record(
    record: Path,
    of: Path | None,
    images: list[Path] | None,
    sample: Path | None,
    accepted: Grade,
    *,
    here: bool,
    trust: bool,
) -> None:
    """Predict again, and end with the grade.

    Args:
        record: Of predictions.
        of: The run or package that predicted.
        images: As for `twinrun predict`.
        sample: Of a submission.
        accepted: The worst grade that ends with exit code 0.
        here: Whether a package's own code is run in the present environment, not in a fresh one.
        trust: Whether somebody agreed beforehand to run it.

    Raises:
        NegativeVerdict: It came out different.
        InputError: Something that is needed was not named, nobody agreed to run a package's own
            code, or as `verify_new_predictions` and `verify_by_their_code`.
        typer.Exit: With the grade's own exit code.
    """
    from twinrun.compare.grade_words import format_surroundings

    if of is None or not images:
        raise InputError(
            f"{record} names no place: neither of the run nor of the images",
            fix="Name what predicted with --of, and the images with --images.",
        )
    started = time.perf_counter()
    found, isolation = _make_again(record, of, images, sample, here=here, trust=trust)
    say_missing(found.record["blend"]["missing"], partial=found.record["blend"]["partial"])
    quiet, console.quiet = console.quiet, False
    verdict = found.verdict
    took = clock(time.perf_counter() - started)
    if isolation:
        say(f"its code was {isolation}")
        took += "; by the package's own code, which this verifier did not read"
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


def _make_again(
    record: Path,
    of: Path,
    images: list[Path],
    sample: Path | None,
    *,
    here: bool,
    trust: bool,
) -> tuple[VerifiedPredictions, str]:
    """What came out, and how a package's own code was shut off; empty: none was run."""
    from twinrun.verify.new_images import read_verifiable, verify_new_predictions

    if of.is_dir():
        refuse_for_run(here=here, trust=trust)
        return verify_new_predictions(record, of, images, sample), ""
    from twinrun.verify.foreign_predictions import verify_by_their_code
    from twinrun.verify.packages import unpack_package

    # Before somebody is asked, and an environment is made.
    then = read_verifiable(record, sample)
    with unpack_package(of) as found, ExitStack() as stack:
        what = "To make these predictions again"
        theirs = code_that_predicts(found, what, stack, here=here, trust=trust)
        if theirs is None:
            return verify_new_predictions(record, found.run, images, sample), ""
        made = verify_by_their_code(
            record,
            then,
            found,
            theirs.python,
            theirs.way,
            images=images,
            sample=sample,
            tell=lambda line: quote("its code:", line),
        )
        return made, theirs.isolation
