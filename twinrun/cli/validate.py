"""The command that checks a submission: validate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinrun.cli.options import (
    SettingsOptions,
    as_command,
)
from twinrun.console import console, say

if TYPE_CHECKING:
    pass

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ntwinrun validate runs/full/submission.csv\n\n"
    "twinrun validate blend.csv --sample sample_submission.csv"
)
@as_command
def validate(
    submission: Annotated[Path, typer.Argument(help="The file to hand in.")],
    sample: Annotated[
        Path | None,
        typer.Option("--sample", help="The host's sample. Default: the one of the data folder."),
    ] = None,
    *,
    options: SettingsOptions,
) -> None:
    """Check a submission against sample_submission.csv: exit code 0 valid, 1 invalid."""
    from twinrun.blend import hand_in

    settings = options.read()
    sample = sample or settings.sample_path()
    rows = hand_in.validate_file(submission, settings, sample)
    console.quiet = False
    text = f": {submission} has the ids and columns of {sample}, {rows} rows"
    say(("valid", "bold green"), text)
