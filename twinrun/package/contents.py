"""package.json: what a package reports of itself; which names a zip may hold."""

from __future__ import annotations

import json
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open

from twinrun.errors import InputError, shorten
from twinrun.package.paths import CONTENTS
from twinrun.plain_files import plain

# A different number is a different layout, which only the version that wrote it knows.
FORMAT = 1

# What zipfile raises where bytes are not what they should be.
BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    UnicodeDecodeError,
    struct.error,
)

Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class File(BaseModel):
    """A file of a package: its bytes and their SHA-256."""

    model_config = ConfigDict(strict=True, frozen=True)

    bytes: Count
    sha256: Digest


class Contents(BaseModel):
    """The content of package.json.

    Attributes:
        format: FORMAT of the version that wrote it.
        host: Whom it was made for.
        competition: Its name.
        run: The run's name.
        commit: Of the project; None outside git.
        forced: Whether it was made although it should not have been.
        why: A line for each reason not to make it; empty unless it was forced.
        files: Every other file of the package, by its name in it.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    format: int
    host: str
    competition: str
    run: str
    commit: str | None
    forced: bool
    why: list[str]
    files: dict[str, File]


def read_contents(text: bytes, package: Path) -> Contents:
    """The content of a package's package.json.

    Args:
        text: Of the file.
        package: The package, for an error.

    Raises:
        InputError: It is damaged, or of a different format.
    """
    try:
        content = json.loads(text)
        found = content["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{package}: its {CONTENTS} is damaged") from None
    if found != FORMAT or isinstance(found, bool):
        raise InputError(
            f"{package} is a package of format {found!r}; this version knows format {FORMAT}",
            fix="Use the version that made it: its commit is in the package's package.json.",
        )
    try:
        return Contents.model_validate_json(text)
    except ValidationError as error:
        raise InputError(
            f"{package}: its {CONTENTS} is damaged:",
            details=shorten(
                f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
            ),
        ) from None


def is_safetensors(path: Path) -> bool:
    """Whether a file is in the format safetensors, by its header; no code is run."""
    try:
        with safe_open(plain(path), "numpy"):
            return True
    except SafetensorError:
        return False


def name_faults(name: str) -> Iterator[str]:
    """What is wrong with the name of a file in a zip, so that it must not be unpacked."""
    parts = name.rstrip("/").split("/")
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        yield "an absolute path"
    if ".." in name.replace("\\", "/").split("/"):
        yield "leads out of the folder"
    elif any(not part or part == "." for part in parts) or any(
        character in '\\:*?"<>|' or unicodedata.category(character) in ("Cc", "Cs")
        for character in name
    ):
        yield "not a name that every system takes"
    if any(len(part.encode("utf-8", "replace")) > 255 for part in parts):
        yield "too long a name"


def shared_places(names: Iterable[str]) -> list[str]:
    """A line for each name that means the place of a different one, or a place below a file.

    Some file systems do not tell upper case from lower, or forms of Unicode.
    """
    problems: list[str] = []
    seen: dict[str, str] = {}
    for name in names:
        folded = unicodedata.normalize("NFC", name.rstrip("/")).casefold()
        if folded in seen:
            problems.append(f"{name!r}: the same place as {seen[folded]!r}")
        seen[folded] = name
    files = {folded for folded, name in seen.items() if not name.endswith("/")}
    problems += [
        f"{name!r}: below what is a file"
        for folded, name in seen.items()
        if any(str(parent) in files for parent in PurePosixPath(folded).parents)
    ]
    return problems
