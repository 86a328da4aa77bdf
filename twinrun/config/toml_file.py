"""A TOML file as it is written, or one sentence on why it cannot be read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from twinrun.errors import InputError
from twinrun.files import read_text


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a file in UTF-8, with or without a byte order mark.

    Raises:
        FileNotFoundError: There is none.
        InputError: It is no TOML, or cannot be read.
    """
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {error}") from None
    except RecursionError:
        raise InputError(f"{path} is not valid TOML: it is nested too deeply") from None
