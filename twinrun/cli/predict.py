"""The command that uses what was trained: predict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinrun.cli.options import as_command
from twinrun.console import box, clock, count_of, say
from twinrun.errors import InputError, shorten, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twinrun.predict.asked import Asked
    from twinrun.predict.predict import Predicted

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
) -> None:
    """Predict new images with every member and fold of a run or package, and its blend.

    Neither the training data nor a network is needed. Written are the output and, beside it, what
    it was made of: NAME.predictions.json, or predictions.json of predictions.csv.
    """
    from twinrun.predict import asked as asking
    from twinrun.predict.predict import predict_images

    target = output or Path(_PREDICTIONS if sample is None else _SUBMISSION)
    with recorded_run(run) as folder:
        asked = asking.ask(folder, images, sample, target)
        _say_what(asked, run)
        _say_done(asked, predict_images(asked))


@contextmanager
def recorded_run(place: Path) -> Iterator[Path]:
    """The folder of a run: the one that is named, or that of a package, unpacked for a while.

    None of a package's code is run: its engine must be this one, file by file, and its run made
    without hooks.

    Raises:
        NegativeVerdict: As `unpack_package`.
        InputError: There is no such run; it is of another engine or has hooks, or is none that can
            be used.
    """
    if place.is_dir():
        yield place
        return
    from twinrun.verify.packages import foreign_code, unpack_package

    with unpack_package(place) as found:
        if foreign := foreign_code(found, installed=False):
            raise InputError(
                f"{place} predicts with code that is not this command's own:",
                details=foreign,
                fix="None of it is run here. `twinrun verify` asks before it runs such code; a "
                "package's README installs its engine.",
            )
        say(("package", "bold"), f"     {place}: its engine is this one, no code of it runs")
        yield found.run


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
    rate = done.images / max(done.seconds, 1e-9)
    say(
        ("predicted", "bold"),
        f"   {count_of(done.images, 'image')}, {rate:,.1f} a second, {clock(done.seconds)}",
    )
    kind = "predictions" if asked.sample is None else "submission, valid"
    say(("written", "bold"), f"     {done.output} ({kind}) and {done.record}")


def _lines(why: Mapping[str, str]) -> list[str]:
    return [f"{name}: {why[name]}" for name in sorted(why)]
