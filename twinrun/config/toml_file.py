"""A TOML file as it is written, or one sentence on why it cannot be read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from twinrun.errors import InputError


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a file in UTF-8, with or without a byte order mark.

    Raises:
        FileNotFoundError: There is none.
        InputError: It is no TOML, or cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
