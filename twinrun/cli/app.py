"""The command line: `twinrun COMMAND`."""

from __future__ import annotations

import typer

from twinrun.cli import (
    audit,
    blend,
    cache,
    diff,
    init,
    package,
    report,
    run,
    train,
    twins,
    validate,
    verify,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    help="Twinrun: train an image-classification competition to the same bits every time.",
    epilog="Exit codes: 0 done; 1 the answer is no (a run came out different, submission "
    "invalid); 2 wrong use or input; 3 same to rounding, 4 within the spread of seeds, unless "
    "they are accepted; 70 a fault in Twinrun itself.",
)
# In the order of a competition.
for command in (
    init,
    audit,
    run,
    train,
    blend,
    validate,
    twins,
    diff,
    verify,
    report,
    package,
    cache,
):
    app.add_typer(command.app)
