"""competition/hooks.py: the place of a competitor's own code, of which nothing is called yet."""

from __future__ import annotations

import ast
from pathlib import Path

from twinrun.errors import InputError
from twinrun.files import is_there
from twinrun.plain_files import read_bytes

HOOKS = "hooks.py"


def refuse_code(config: Path) -> None:
    """Refuse code that would be believed to be in force.

    Args:
        config: A competition.toml; hooks.py stands beside it, or there is none.

    Raises:
        InputError: hooks.py holds more than comments and a docstring, or cannot be read.
    """
    path = config.with_name(HOOKS)
    if not is_there(path):
        return
    try:
        body = ast.parse(read_bytes(path), str(path)).body
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    for statement in body:
        is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not is_text:
            raise InputError(
                f"{path}, line {statement.lineno}: this version of the engine calls no code of "
                "this file, so that nothing of it would be in force",
                fix="Take the code out. To train in a way that competition.toml has no setting "
                "for, unpack the engine and change it: nox -s eject.",
            )
