"""The command that names the first difference between two runs: diff."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinrun.cli.options import (
    Accept,
    Data,
    as_command,
    end_with,
)
from twinrun.console import console, say
from twinrun.grades import SAME_BITS, Grade, read_accepted

if TYPE_CHECKING:
    from twinrun.compare.grade import GradedVerdict
    from twinrun.compare.runs import RunComparison

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ntwinrun diff runs/full runs/again\n\n"
    "twinrun diff runs/full runs/again --member first --replay"
)
@as_command
def diff(
    run_a: Annotated[Path, typer.Argument(help="Folder of a run, or of a member or fold of one.")],
    run_b: Annotated[Path, typer.Argument(help="Folder of the other one.")],
    members: Annotated[
        list[str] | None,
        typer.Option(
            "--member", metavar="NAME", help="Only this member, or fold: first/fold-1. Repeatable."
        ),
    ] = None,
    replay: Annotated[
        bool,
        typer.Option(
            "--replay",
            help="Make the step of the first difference again, for both, to name the image, module "
            "or parameter.",
        ),
    ] = False,
    data: Data = None,
    accept: Accept = None,
) -> None:
    """Name the first difference between two recorded runs, and give the second one a grade.

    Exit code 0 same bits, 3 same to rounding, 4 within the spread of seeds, 1 different.
    """
    from twinrun.compare import format as words
    from twinrun.compare.graded import grade_runs
    from twinrun.compare.runs import compare_runs

    accepted = read_accepted(accept)
    report = compare_runs(run_a, run_b, members)
    verdict = grade_runs(report)
    quiet, console.quiet = console.quiet, False
    print_comparison(report, replay=replay, data=data, quiet=quiet)
    if verdict.grade != SAME_BITS:
        print_grade(verdict, accepted, quiet=quiet)
    end_with(verdict.grade, accepted, words.summarize(report))


def print_grade(verdict: GradedVerdict, accepted: Grade, *, quiet: bool = False) -> None:
    """Print a verdict: the grade alone, or with all that it was judged from."""
    from twinrun.compare.grade_words import format_grade, format_grade_shortly

    if quiet:
        say(*format_grade_shortly(verdict))
        return
    for line in format_grade(verdict, accepted):
        say(*line)


def print_comparison(
    report: RunComparison, *, replay: bool, data: Path | None, quiet: bool = False
) -> None:
    """Print a comparison of two runs; with `replay`, name what differs in the first member."""
    from twinrun.compare import format as words

    for line in (
        words.format_verdicts(report) if quiet else words.format_comparison(report, replay=replay)
    ):
        say(*line)
    if replay:
        from twinrun.compare.replay import replay_both
        from twinrun.repro.stages import STAGES

        for member in report.members:
            difference = member.comparison.result
            if difference is not None and STAGES.get(difference.stage).replayed:
                runs = (report.first, report.second)
                replayed = replay_both(runs, member.name, difference, data)
                for line in words.format_replay(member, replayed, report):
                    say(*line)
                return
