"""The command that makes a run or a package again: verify."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinrun.cli.consent import Trust, agree_to, fresh_python, words_of
from twinrun.cli.diff import print_comparison, print_grade
from twinrun.cli.new_predictions import verify_record
from twinrun.cli.options import (
    RUNS,
    Accept,
    Data,
    Out,
    as_command,
    end_with,
    refuse_options,
)
from twinrun.console import box, clock, console, megabytes, quote, say
from twinrun.errors import InputError
from twinrun.grades import DIFFERENT, SAME_BITS, Grade, read_accepted

if TYPE_CHECKING:
    from twinrun.config.settings import Settings
    from twinrun.verify.packages import UnpackedPackage

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ntwinrun verify runs/full\n\n"
    "twinrun verify runs/full first --predict-only --data ~/Downloads/photos\n\n"
    "twinrun verify full-kaggle.zip --data ~/Downloads/photos\n\n"
    "twinrun verify answers/today.predictions.json --of runs/full --images new-photos"
)
@as_command
def verify(
    context: typer.Context,
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|PACKAGE|RECORD",
            help="Folder of a recorded run, the zip of a package, or the record that `twinrun "
            "predict` left beside its output: predictions.json, NAME.predictions.json.",
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
            help="For a package: make it again in the present environment, whose versions must be "
            "the lock's. Default: a fresh one.",
        ),
    ] = False,
    trust: Trust = False,
    of: Annotated[
        Path | None,
        typer.Option(
            "--of", metavar="RUN|PACKAGE", help="For a record of predictions: what predicted."
        ),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option("--images", help="For a record of predictions: the images, as for `predict`."),
    ] = None,
    data: Data = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Table of labels, where it is not in the data folder."),
    ] = None,
    sample: Annotated[
        Path | None,
        typer.Option(
            "--sample",
            help="Sample submission, where it is not in the data folder; for a record of "
            "predictions, that of its submission.",
        ),
    ] = None,
    out: Out = RUNS,
    accept: Accept = None,
) -> None:
    """Make a recorded run, a package or new predictions again, compare, and give a grade.

    Exit code 0 same bits, 3 same to rounding, 4 within the spread of seeds, 1 different.
    A package is made again by the engine that runs this command, if it is the package's own. Other
    code of it runs only where you agree, shut off from your files and the network.
    """
    from twinrun.predict.record import is_record

    accepted = read_accepted(accept)
    if is_record(run):
        refuse_options(
            context,
            f"means nothing for {run}, a record of predictions",
            known=("run", "of", "images", "sample", "accept", "this_environment", "trust"),
        )
        verify_record(run, of, images, sample, accepted, here=this_environment, trust=trust)
        return
    _refuse_given(
        f"is for a record of predictions; {run} is none", **{"--of": of, "--images": images}
    )
    if predict_only and retrain:
        raise InputError("--predict-only and --retrain exclude each other")
    there = {"labels": labels, "sample_submission": sample}
    named = {key: path for key, path in there.items() if path is not None}
    if not run.is_dir():
        asked = _Asked(members or [], data, named, out, accepted, retrain, this_environment, trust)
        _verify_package(run, asked)
        return
    of_package = {"--this-environment": this_environment, "--trust": trust}
    _refuse_given("is for a package; a run is always made again here", **of_package)
    from twinrun.cli import tables
    from twinrun.run_folder.manifest import read_run_settings
    from twinrun.run_folder.paths import RunsFolder
    from twinrun.verify import own_tables, same_inputs
    from twinrun.verify import verify as making

    started = time.perf_counter()
    settings = own_tables.with_tables(read_run_settings(run, data), named)
    names = making.select_members(run, members or [])
    gaps = _say_environment(run, settings)
    settings.code.refuse_edited()
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


def _refuse_given(why: str, **options: object) -> None:
    for option, given in options.items():
        if given:
            raise InputError(f"{option} {why}")


def _say_environment(run: Path, settings: Settings) -> list[tuple[str, Any, Any]]:
    """Print what differs in the environment, which is returned."""
    from twinrun.cli import tables
    from twinrun.verify.verify import compare_environments

    gaps = compare_environments(run, settings)
    if gaps:
        tables.environment(gaps).print()
        say("different bits are to be expected where one of these decides them")
    else:
        say(("environment", "bold"), " as recorded")
    return gaps


@dataclass(frozen=True)
class _Asked:
    """The options of a verification of a package."""

    members: list[str]
    data: Path | None
    tables: Mapping[str, Path]
    out: Path
    accepted: Grade
    retrain: bool
    this_environment: bool
    trust: bool


def _verify_package(package: Path, asked: _Asked) -> None:
    from twinrun.files import sha256_file
    from twinrun.verify import environments, packages

    started = time.perf_counter()
    with packages.unpack_package(package) as found, ExitStack() as stack:
        contents, engine = found.contents, found.engine
        if asked.data is None:
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
        say(f"engine    {engine.place}, source {engine.code[:8]}")
        if asked.this_environment:
            environments.refuse_other_versions(found.lock)
        foreign = packages.foreign_code(found, installed=not asked.this_environment)
        make = _make_by_its_code if foreign else _make_by_own_engine
        grade = make(found, foreign, asked.data, asked, stack)
        remade = found.remakes_submission(asked.members)
    console.quiet = False
    answer = grade.name, f"bold {grade.colour}"
    what = "trained again" if asked.retrain else "predicted again from its weights"
    what += "" if remade else ", not its submission"
    took = f"{package}, {what}, {clock(time.perf_counter() - started)}"
    by = "made again by the package's own code, which this verifier did not read"
    if foreign:
        say(answer, f": {took}; {by}")
    else:
        say(f"verified: {took}: ", answer)
    end_with(grade, asked.accepted, f"{package} does not come out the same")


def _make_by_own_engine(
    found: UnpackedPackage, foreign: list[str], data: Path, asked: _Asked, stack: ExitStack
) -> Grade:
    from twinrun.run_folder.paths import RunsFolder
    from twinrun.verify.own_engine import verify_by_own_engine

    say("          as this verifier's own, which makes the run again: no code of the package runs")
    if found.has_hooks:
        say("          its hooks.py holds code; this engine calls none of it")
    return verify_by_own_engine(
        found,
        _python_for(found, asked, stack, engine=False),
        asked.members,
        data=data,
        out=RunsFolder(asked.out).verification(_name_of(found.package)).path,
        retrain=asked.retrain,
        quiet=console.quiet,
        tables=asked.tables,
    )


def _make_by_its_code(
    found: UnpackedPackage, foreign: list[str], data: Path, asked: _Asked, stack: ExitStack
) -> Grade:
    from twinrun.cli import tables
    from twinrun.run_folder.paths import RunsFolder
    from twinrun.verify import confine, their_code
    from twinrun.verify import foreign as making

    if asked.this_environment:
        their_code.refuse_locked_engine(found)
    recipe = making.make_recipe(found, asked.members, retrain=asked.retrain)
    way = confine.require_way()
    isolation = words_of(
        way, "of your files only the data folder; nothing of the recorded predictions"
    )
    agree_to(foreign, "To make this run again", isolation, trust=asked.trust)
    made = making.make_again(
        found,
        recipe,
        _python_for(found, asked, stack, engine=True),
        way,
        data=data,
        out=RunsFolder(asked.out).verification(_name_of(found.package)),
        tell=lambda line: quote("its code:", line),
        tables=asked.tables,
    )
    quiet, console.quiet = console.quiet, False
    tables.verification(made).print()
    if made.grade.grade != SAME_BITS:
        print_grade(made.grade, asked.accepted, quiet=quiet)
    say(f"its code was {isolation}")
    return made.grade.grade


def _name_of(package: Path) -> str:
    """What its verification is called: of a file `...zip` it must not be the folder above."""
    return package.stem.strip(".") or "package"


def _python_for(found: UnpackedPackage, asked: _Asked, stack: ExitStack, *, engine: bool) -> Path:
    """The Python to make a package's run again with; `engine`: with the engine of its lock."""
    return (
        Path(sys.executable)
        if asked.this_environment
        else fresh_python(found, stack, engine=engine)
    )
