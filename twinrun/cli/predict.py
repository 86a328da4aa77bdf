"""The command that uses what was trained: predict."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinrun.cli.consent import AgreedCode, Trust, code_that_predicts, refuse_for_run
from twinrun.cli.options import as_command
from twinrun.console import box, clock, count_of, quote, say
from twinrun.errors import shorten, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twinrun.predict.asked import Asked
    from twinrun.predict.predict import Predicted
    from twinrun.verify.packages import UnpackedPackage

app = typer.Typer()

# In the folder where the command is typed.
_PREDICTIONS, _SUBMISSION = "predictions.csv", "submission.csv"
# Of images, or of what differs, so many are named.
_MOST = 10


@app.command(
    epilog="Examples:\n\ntwinrun predict runs/full --images new-photos\n\n"
    "twinrun predict runs/full --images test --sample sample_submission.csv\n\n"
    "twinrun predict full-kaggle.zip --images photos.csv --output answers/today.csv"
)
@as_command
def predict(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|PACKAGE", help="Folder of a recorded run, or the zip of a package."
        ),
    ],
    images: Annotated[
        list[Path],
        typer.Option(
            "--images",
            help="Folder of new images, nested or not; or a CSV whose column `path` names them, "
            "and whose column `id`, if there is one, gives their ids. Repeatable.",
        ),
    ],
    sample: Annotated[
        Path | None,
        typer.Option(
            "--sample", help="The host's sample submission: a submission is written, and checked."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help=f"The file to write. Default: {_PREDICTIONS}, with --sample {_SUBMISSION}.",
            show_default=False,
        ),
    ] = None,
    this_environment: Annotated[
        bool,
        typer.Option(
            "--this-environment",
            help="For a package of another engine: run it in the present environment, whose "
            "versions must be the lock's. Default: a fresh one.",
        ),
    ] = False,
    trust: Trust = False,
) -> None:
    """Predict new images with every member and fold of a run or package, and its blend.

    Neither the training data nor a network is needed. Written are the output and, beside it, what
    it was made of: NAME.predictions.json, or predictions.json of predictions.csv.
    Code of a package that is not this engine's runs only where you agree, shut off from your files
    and the network.
    """
    target = output or Path(_PREDICTIONS if sample is None else _SUBMISSION)
    asked = _Asked(run, images, sample, target)
    if run.is_dir():
        refuse_for_run(here=this_environment, trust=trust)
        _predict(run, asked)
        return
    from twinrun.verify.packages import unpack_package

    with unpack_package(run) as found, ExitStack() as stack:
        what = "To predict with this package"
        theirs = code_that_predicts(found, what, stack, here=this_environment, trust=trust)
        if theirs is None:
            _predict(found.run, asked)
        else:
            _predict_by_their_code(found, theirs, asked)


@dataclass(frozen=True)
class _Asked:
    """What the command is asked for: a run or package, and the options."""

    run: Path
    images: list[Path]
    sample: Path | None
    output: Path


def _predict(folder: Path, command: _Asked) -> None:
    """Predict by this engine, with a run, or that of a package."""
    from twinrun.predict import asked as asking
    from twinrun.predict.predict import predict_images

    asked = asking.ask(folder, command.images, command.sample, command.output)
    _say_what(asked, command.run)
    _say_done(asked, predict_images(asked))


def _predict_by_their_code(found: UnpackedPackage, theirs: AgreedCode, command: _Asked) -> None:
    """Predict by a package's own code."""
    from twinrun.verify.foreign_predictions import predict_by_their_code

    record = predict_by_their_code(
        found,
        theirs.python,
        theirs.way,
        images=command.images,
        sample=command.sample,
        output=command.output,
        tell=lambda line: quote("its code:", line),
    )
    say(f"its code was {theirs.isolation}")
    say(
        ("written", "bold"),
        f"     {command.output} and {record}, by the package's own code, which this verifier did "
        "not read",
    )


def say_missing(names: Sequence[str], *, partial: bool) -> None:
    """Say which members and folds a blend is made without, if any; of a partial one in a box.

    Args:
        names: Of them.
        partial: Whether it is to be replaced when these are complete.
    """
    if not names:
        return
    without = f"the run's blend is made without {', '.join(shorten(names, _MOST))}"
    if partial:
        box(
            "partial blend",
            f"{without[0].upper()}{without[1:]}, not complete when it was made.",
            "Once all are, `twinrun run` blends anew, and other answers come out.",
        )
    else:
        say(("missing", "yellow"), f"     {without}, as blend.allow_missing allows")


def _say_what(asked: Asked, run: Path) -> None:
    folds = sum(len(own) for own in asked.trained.values())
    networks = "" if folds == len(asked.trained) else f", {folds} networks"
    say(
        ("run", "bold"),
        f"         {run}: {count_of(len(asked.trained), 'member')}{networks}",
    )
    say_missing(asked.blend.missing, partial=asked.blend.partial)
    if asked.hooks:
        say(("own code", "bold"), f"    hooks.py: {', '.join(sorted(asked.hooks))}")
    more = asked.images.left_out
    left = f"; {more:,} more, which the sample does not ask for, are left out" if more else ""
    say(("images", "bold"), f"      {len(asked.images.ids):,}{left}")


def _say_done(asked: Asked, done: Predicted) -> None:
    from twinrun.predict.asked import AFTER

    for word, why, then in (
        ("not read", done.unread, "each gets the share of each class among the training images"),
        ("in part", done.parts, "what is there of each was predicted"),
    ):
        if why:
            say((word, "yellow"), f"    {count_of(len(why), 'image')}: {then}")
            for line in shorten(_lines(why), most=_MOST):
                say(f"  {line}")
    if done.copies:
        many = sum(map(len, done.copies))
        say(
            ("copies", "bold"),
            f"      {many:,} images with the pixels of another one: of each set of copies the mean "
            'is given (submission.copies = "mean")',
        )
    if AFTER in asked.hooks:
        say(
            ("own code", "bold"),
            f"    {AFTER} changed {count_of(done.images, 'prediction')} in one table: an image's "
            "may depend on which others are there",
        )
    if done.elsewhere:
        say(
            ("environment", "yellow"),
            " not as the run's: last bits may be others than it would have given",
        )
        lines = [
            f"{what}: {shortened(str(then))} then, {shortened(str(now))} now"
            for what, then, now in done.elsewhere
        ]
        for line in shorten(lines, most=_MOST):
            say(f"  {line}")
    if asked.blend.across_images:
        say(
            ("ranks", "bold"),
            "       the blend ranks each image among these: its answer depends on which others are "
            "there",
        )
    rate = done.images / max(done.seconds, 1e-9)
    say(
        ("predicted", "bold"),
        f"   {count_of(done.images, 'image')}, {rate:,.1f} a second, {clock(done.seconds)}",
    )
    kind = "predictions" if asked.sample is None else "submission, valid"
    say(("written", "bold"), f"     {done.output} ({kind}) and {done.record}")


def _lines(why: Mapping[str, str]) -> list[str]:
    return [f"{name}: {why[name]}" for name in sorted(why)]
