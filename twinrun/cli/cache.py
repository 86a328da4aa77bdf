"""The command that looks after what is kept between runs: cache."""

from __future__ import annotations

from typing import Annotated

import typer

from twinrun.cli.options import (
    RUNS,
    Change,
    Config,
    Out,
    Profile,
    as_command,
    read_settings_of,
)
from twinrun.console import megabytes, say

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ntwinrun cache\n\ntwinrun cache --clear\n\n"
    "twinrun cache --set run.cache=/scratch/pixels"
)
@as_command
def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove them; the next run decodes the images again.")
    ] = False,
    config: Config = None,
    profile: Profile = None,
    out: Out = RUNS,
    changes: Change = None,
) -> None:
    """Show, or remove, the images that were decoded for earlier runs."""
    from twinrun.cli import tables
    from twinrun.data.cache_files import clear_caches, list_caches

    folder = read_settings_of(config, profile, None, changes).cache_folder(out)
    found = list_caches(folder)
    total = megabytes(sum(each.nbytes for each in found))
    where = str(folder), "bold"
    if not found:
        say("no decoded images in ", where)
    elif clear:
        clear_caches(folder)
        say(f"removed {total} of decoded images from ", where)
    else:
        tables.caches(found).print()
        say(f"{total} in ", where, "; `twinrun cache --clear` removes them")
