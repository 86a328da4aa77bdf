"""The command line: `twinrun COMMAND`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from twinrun.cli import (
    audit,
    blend,
    cache,
    check,
    diff,
    export,
    init,
    package,
    predict,
    report,
    run,
    train,
    twins,
    validate,
    verify,
)
from twinrun.console import complain

# Of the library that typer is made of, which newer ones bring along under another name.
_UsageError: type[Any] = typer.BadParameter.__mro__[1]


class _Commands(TyperGroup):
    """Wrong use is refused as every mistake is: one message, in which nothing is obeyed."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """As the class above, but for how a wrong use ends."""
        given = (args, prog_name, complete_var, False, windows_expand_args)
        if not standalone_mode:
            return super().main(*given, **extra)
        try:
            sys.exit(super().main(*given, **extra))
        except _UsageError as error:
            _refuse_use(error)
        except typer.Abort:
            complain("stopped before the end")
            sys.exit(1)


def _refuse_use(error: Any) -> NoReturn:
    # Without any argument the help has been printed already.
    if type(error).__name__ != "NoArgsIsHelpError":
        command = error.ctx.command_path if error.ctx else "twinrun"
        usage = error.ctx.get_usage().splitlines() if error.ctx else ()
        complain(error.format_message(), *usage, f"`{command} --help` says more.")
    sys.exit(error.exit_code)


app = typer.Typer(
    cls=_Commands,
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
    check,
    audit,
    run,
    train,
    blend,
    predict,
    validate,
    twins,
    diff,
    verify,
    report,
    package,
    export,
    cache,
):
    app.add_typer(command.app)
