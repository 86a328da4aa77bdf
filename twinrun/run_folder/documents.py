"""Reads and writes the JSON files of a run through their shapes; names what is damaged.

Each is sealed: it holds a digest of all else in it, and is written in one way only. So a file with
one bit changed is no such file any more, whatever that bit meant.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinrun.errors import InputError, shorten
from twinrun.files import is_there, json_text, sha256_file, write_json
from twinrun.plain_files import read_bytes

if TYPE_CHECKING:
    from twinrun.run_folder.shapes import Shape

# The key of the seal. It guards a file against damage and is compared with no other run's: a
# file may hold a clock.
SEAL = "digest"
_PAGE_SEAL = "<!-- SHA-256 of all above: "


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON table with its seal: the SHA-256 of the text that the file would be without it.

    Args:
        content: Without a seal.
    """
    plain: dict[str, Any] = json.loads(json_text(content))
    return {**plain, SEAL: hashlib.sha256(json_text(plain).encode()).hexdigest()}


def read_document(path: Path, shape: type[Shape], *, fix: str) -> dict[str, Any]:
    """The content of a JSON file of a run, as it was written, without its seal.

    Args:
        path: From `paths`.
        shape: From `shapes`.
        fix: What to do when it is damaged.

    Raises:
        InputError: It is missing, cannot be read, is no JSON, was changed since it was written, or
            has a different shape.
    """
    from pydantic import ValidationError

    if not is_there(path):
        raise InputError(f"no such file: {path}", fix=fix)
    try:
        text = read_bytes(path)
        content = json.loads(text)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", fix=fix) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}", fix=fix) from None
    if not isinstance(content, dict) or SEAL not in content:
        raise InputError(f"{path} is damaged: it has no digest of itself", fix=fix)
    del content[SEAL]
    if json_text(sealed(content)).encode("utf-8", "surrogatepass") != text:
        raise InputError(
            f"{path} is damaged: it was changed since it was written, its digest says", fix=fix
        )
    try:
        shape.model_validate(content)
    except ValidationError as error:
        raise InputError(
            f"{path} is damaged: it has not the shape of such a file:",
            details=shorten(
                f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['msg']}"
                for each in error.errors()
            ),
            fix=fix,
        ) from None
    return content


def write_document(path: Path, shape: type[Shape], content: Mapping[str, Any]) -> None:
    """Write a JSON file of a run with its seal: equal content, equal bytes.

    Raises:
        InputError: The folder cannot be written.
        pydantic.ValidationError: The content has a different shape: a fault of the engine.
    """
    shape.model_validate(content)
    write_json(path, sealed(content))


def seal_page(text: str) -> str:
    """A page with a last line that has its digest: a comment, which no browser shows."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text}{_PAGE_SEAL}{digest} -->\n"


def is_sealed_page(path: Path) -> bool:
    """Whether a page that is there is as `seal_page` wrote it."""
    content = read_bytes(path)
    text, found, _ = content.rpartition(_PAGE_SEAL.encode())
    return bool(found) and content == seal_page(text.decode(errors="replace")).encode()


def refuse_changed_files(
    folder: Path, digests: Mapping[str, str], *, fix: str, since: str = "the member was trained"
) -> None:
    """Check files against the digests that a record gives for them.

    Args:
        folder: That the names are relative to.
        digests: SHA-256 by name.
        fix: What to do when one is not the recorded one.
        since: When they were written, in words.

    Raises:
        InputError: Some are missing or are not what was written; all of them are named.
    """
    faults = [
        f"{folder / file} {fault}"
        for file, digest in digests.items()
        if (fault := changed_file(folder / file, digest, since))
    ]
    if len(faults) == 1:
        raise InputError(faults[0], fix=fix)
    if faults:
        raise InputError(
            f"{len(faults)} files of {folder} are not those that were written:",
            details=shorten(faults),
            fix=fix,
        )


def changed_file(path: Path, digest: str, since: str = "the member was trained") -> str:
    """What is wrong with a file whose SHA-256 is recorded, in words; empty where it has that one.

    Args:
        path: The file.
        digest: What its record gives for it.
        since: When it was written, in words.

    Raises:
        InputError: It cannot be read.
    """
    try:
        if not is_there(path):
            return "is missing"
    except InputError as error:
        return error.what.removeprefix(f"{path} ")
    if sha256_file(path) != digest:
        return f"is not the file that was written when {since}"
    return ""
