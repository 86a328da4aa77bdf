"""The command that makes a run or a package again: verify."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from twinrun.cli.diff import print_comparison, print_grade
from twinrun.cli.options import (
    RUNS,
    Accept,
    Data,
    Out,
    as_command,
    end_with,
)
from twinrun.console import box, clock, console, megabytes, say
from twinrun.errors import InputError
from twinrun.grades import DIFFERENT, SAME_BITS, Grade, read_accepted

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ntwinrun verify runs/full\n\n"
    "twinrun verify runs/full first --predict-only --data ~/Downloads/photos\n\n"
    "twinrun verify full-kaggle.zip --data ~/Downloads/photos"
)
@as_command
def verify(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|PACKAGE", help="Folder of a recorded run, or the zip of a package."
        ),
    ],
    members: Annotated[
        list[str] | None, typer.Argument(help="Members. Default: all.", show_default=False)
    ] = None,
    predict_only: Annotated[
        bool,
        typer.Option(
            "--predict-only",
            help="Only predict again, with the recorded weights: the default for a package.",
        ),
    ] = False,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train again, also what is in a package.")
    ] = False,
    this_environment: Annotated[
        bool,
        typer.Option(
            "--this-environment",
            help="For a package: run its code in the present environment, whose versions must be "
            "the lock's. Default: a fresh one.",
        ),
    ] = False,
    data: Data = None,
    out: Out = RUNS,
    accept: Accept = None,
) -> None:
    """Make a recorded run or a package again, compare, and give it a grade.

    Exit code 0 same bits, 3 same to rounding, 4 within the spread of seeds, 1 different.
    The code of a package is run on this machine.
    """
    if predict_only and retrain:
        raise InputError("--predict-only and --retrain exclude each other")
    accepted = read_accepted(accept)
    if not run.is_dir():
        _verify_package(run, members or [], data, out, accepted, retrain, this_environment)
        return
    if this_environment:
        raise InputError("--this-environment is for a package; a run is always made again here")
    from twinrun.cli import tables
    from twinrun.run_folder.manifest import read_run_settings
    from twinrun.run_folder.paths import RunsFolder
    from twinrun.verify import same_inputs
    from twinrun.verify import verify as making

    started = time.perf_counter()
    settings = read_run_settings(run, data)
    names = making.select_members(run, members or [])
    gaps = making.compare_environments(run, settings)
    if gaps:
        tables.environment(gaps).print()
        say("different bits are to be expected where one of these decides them")
    else:
        say(("environment", "bold"), " as recorded")
    same_inputs.refuse_other_data(run, settings)
    again = RunsFolder(out).verification(run.resolve().name)
    if predict_only:
        same_inputs.refuse_other_settings(run, settings, names)
        found = making.verify_predictions(run, settings, names, again.predictions, gaps)
        making.write_verification(found, again.predictions_verdict)
    else:
        found = making.verify_training(run, settings, names, again.path)
    console.quiet = False
    tables.verification(found).print()
    say(f"took {clock(time.perf_counter() - started)}")
    grade = found.grade.grade
    if grade != SAME_BITS:
        if found.report is not None:
            print_comparison(found.report, replay=False, data=data)
        print_grade(found.grade, accepted)
    what = "the predictions of" if predict_only else ""
    text = f"{what} {len(names)} {'member' if len(names) == 1 else 'members'} of {run}".strip()
    if grade != DIFFERENT:
        say((grade.name, f"bold {grade.colour}"), f": {text} made again")
    end_with(grade, accepted, f"{run} was made again and came out with different bits")


def _verify_package(
    package: Path,
    members: list[str],
    data: Path | None,
    out: Path,
    accepted: Grade,
    retrain: bool,
    this_environment: bool,
) -> None:
    import sys
    from contextlib import ExitStack

    from twinrun.files import sha256_file
    from twinrun.package.paths import LOCK
    from twinrun.run_folder.paths import RunsFolder
    from twinrun.verify import packages

    started = time.perf_counter()
    with ExitStack() as stack:
        found = stack.enter_context(packages.unpack_package(package))
        contents = found.contents
        if data is None:
            raise InputError(
                "a package holds no images",
                fix="Name the folder of the competition's data: --data",
            )
        size = megabytes(package.stat().st_size)
        say(("package", "bold"), f"   {package}, {size}, SHA-256 {sha256_file(package)}")
        made = f"{contents.competition}, for {contents.host}, commit {contents.commit or 'unknown'}"
        say(f"made      {made}")
        if contents.forced:
            box("forced", "made although these faults were found:", *contents.why)
        say(f"files     all {len(contents.files):,} as listed")
        engine = found.engine()
        say(f"engine    {engine.place}, source {engine.code[:8]}")
        say(("its code is run on this machine now", "yellow"), ": Ctrl-C if you do not trust it")
        python = Path(sys.executable)
        if this_environment:
            packages.refuse_other_versions(found.lock)
        else:
            began = time.perf_counter()
            python = stack.enter_context(packages.build_environment(found.lock))
            say(f"fresh environment from {LOCK}, {clock(time.perf_counter() - began)}")
        grade = packages.verify_package(
            found,
            python,
            members,
            data=data,
            out=RunsFolder(out).verification(package.stem).path,
            retrain=retrain,
            quiet=console.quiet,
        )
    console.quiet = False
    what = "trained again" if retrain else "predicted again from its weights"
    took = clock(time.perf_counter() - started)
    answer = grade.name, f"bold {grade.colour}"
    say(f"verified: {package}, {what} by its own code, {took}: ", answer)
    end_with(grade, accepted, f"{package} does not come out the same")
