"""The command that hands a run to places without torch: export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinrun.cli.options import Data, as_command, end_with
from twinrun.console import megabytes, say
from twinrun.errors import InputError, shortened
from twinrun.grades import GRADES, ROUNDING

if TYPE_CHECKING:
    from twinrun.export.exporting import ExportedTraining

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ntwinrun export runs/full\n\n"
    "twinrun export runs/full --output full-onnx --data ~/Downloads/photos"
)
@as_command
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run, such as runs/full.")],
    format_: Annotated[
        str, typer.Option("--format", metavar="onnx", help="Of the files of networks: onnx.")
    ] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="The folder to write. Default: NAME-onnx.", show_default=False
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Write a run's networks as ONNX files, and a predict.py that needs no torch.

    Each file is compared with what the run predicted of its validation images.
    Exit code 0 same bits or same to rounding, 1 different.
    """
    from twinrun.export.exporting import export_run

    if format_ != "onnx":
        raise InputError(f"--format {shortened(format_)}: there is only onnx")
    target = output or Path(f"{run.resolve().name}-{format_}")
    found = export_run(run, target, data)
    for each in found:
        _say(each)
    say(("written", "bold"), f"  {target}: python {target / 'predict.py'} IMAGES")
    grades = list(GRADES)
    worst = max(found, key=lambda each: grades.index(each.verdict.grade))
    end_with(worst.verdict.grade, ROUNDING, f"{worst.name} predicts otherwise than the run did")


def _say(each: ExportedTraining) -> None:
    grade, largest = each.verdict.grade, each.verdict.largest
    assert largest is not None
    say(
        (each.name, "bold"),
        "  ",
        (grade.name, f"bold {grade.colour}"),
        f" as in {largest.images:,} validation images: largest difference {largest.largest:.2g}, "
        f"{largest.tops:,} top classes changed",
    )
    onnx, torch = each.rates
    size = megabytes(each.file.stat().st_size)
    say(f"  {each.file.name}, {size}: {onnx:,.1f} images/s, by torch {torch:,.1f}")
