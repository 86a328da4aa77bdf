"""Reads and writes the JSON files of a run through their shapes; names what is damaged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinrun.errors import InputError, shorten
from twinrun.files import sha256_file, write_json

if TYPE_CHECKING:
    from twinrun.run_folder.shapes import Shape


def read_document(path: Path, shape: type[Shape], *, fix: str) -> dict[str, Any]:
    """The content of a JSON file of a run, as it was written.

    Args:
        path: From `paths`.
        shape: From `shapes`.
        fix: What to do when it is damaged.

    Raises:
        InputError: It is missing, cannot be read, is no JSON, or has a different shape.
    """
    from pydantic import ValidationError

    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        shape.model_validate(content)
    except FileNotFoundError:
        raise InputError(f"no such file: {path}", fix=fix) from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", fix=fix) from None
    except ValidationError as error:
        raise InputError(
            f"{path} is damaged: it has not the shape of such a file:",
            details=shorten(
                f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['msg']}"
                for each in error.errors()
            ),
            fix=fix,
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}", fix=fix) from None
    return content


def write_document(path: Path, shape: type[Shape], content: Mapping[str, Any]) -> None:
    """Write a JSON file of a run: equal content, equal bytes.

    Raises:
        InputError: The folder cannot be written.
        pydantic.ValidationError: The content has a different shape: a fault of the engine.
    """
    shape.model_validate(content)
    write_json(path, content)


def refuse_changed_files(folder: Path, digests: Mapping[str, str], *, fix: str) -> None:
    """Check the files of a member against the digests that a record gives for them.

    Args:
        folder: That the names are relative to.
        digests: SHA-256 by name.
        fix: What to do when one is not the recorded one.

    Raises:
        InputError: One is missing or is not what was written.
    """
    for file, digest in digests.items():
        if not is_recorded(folder / file, digest):
            what = (
                "is not the file that was written when the member was trained"
                if (folder / file).is_file()
                else "is missing"
            )
            raise InputError(f"{folder / file} {what}", fix=fix)


def is_recorded(path: Path, digest: str) -> bool:
    """Whether a file is there and has the SHA-256 that its record gives for it."""
    return path.is_file() and sha256_file(path) == digest
