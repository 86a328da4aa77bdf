"""Any command, carried out in this process as a terminal of strict UTF-8 would see it."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import typer

from twinrun.cli.app import app
from twinrun.console import console

COMMAND: Any = typer.main.get_command(app)


def carry_out(arguments: list[str]) -> tuple[int, str]:
    """The exit code of a command and all that it prints, on a terminal of strict UTF-8."""
    written = [io.BytesIO(), io.BytesIO()]
    streams = [io.TextIOWrapper(each, "utf-8", newline="\n") for each in written]
    code: Any = 0
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        try:
            COMMAND.main(args=arguments, prog_name="twinrun")
        except SystemExit as end:
            code = end.code or 0
    for stream in streams:
        stream.flush()
    console.quiet = False
    return code, "\n".join(each.getvalue().decode() for each in written)
