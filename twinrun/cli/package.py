"""The command that hands a run over: package."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from twinrun.cli.options import (
    as_command,
)
from twinrun.console import box, clock, console, megabytes, say
from twinrun.errors import InputError
from twinrun.package.hosts import HOSTS

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ntwinrun package runs/full --for drivendata\n\n"
    "twinrun package runs/full --for kaggle --output photos.zip"
)
@as_command
def package(
    run: Annotated[Path, typer.Argument(help="Folder of a complete run, such as runs/full.")],
    name: Annotated[str, typer.Option("--for", metavar="HOST", help=f"{', '.join(HOSTS.names)}.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Zip to write. Default: beside the run, RUN-HOST.zip."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Package also what should not be; the package lists why."),
    ] = False,
) -> None:
    """Pack what a host asks of a winner: code, lock, weights, predictions, digests, a README.

    Exit code 1 when the work tree is not clean, the run is not complete or its files are not what
    was recorded.
    """
    from twinrun.package.package import make_package

    started = time.perf_counter()
    host = HOSTS.get(name)
    # Of "." and ".." the name does not say what it is beside.
    beside = run.resolve().parent if run.name in ("", "..") else run.parent
    output = output or beside / f"{run.resolve().name}-{host.name}.zip"
    made = make_package(run, host, output, force=force, project=_project_of(run))
    if made.contents.forced:
        box("forced", "packaged although these faults were found:", *made.contents.why)
    for verdict in made.left_out:
        say(f"left out  {verdict}: it is of a different training")
    console.quiet = False
    size, files = megabytes(made.bytes), f"{len(made.contents.files) + 1:,} files"
    took = clock(time.perf_counter() - started)
    say("package   ", (str(output), "bold"), f", {files}, {size}, {took}")
    say(f"SHA-256   {made.sha256}")
    if host.hours:
        say(f"deadline  {host.title} gives a winner {host.hours} hours to send it")
    say(f"check     twinrun verify {output} --data DIR")


def _project_of(run: Path) -> Path:
    """The project that a run lies in; of a run that lies in none, the one that is stood in."""
    from twinrun.config.project import find_project

    try:
        return find_project(run.resolve())
    except InputError:
        return find_project()
