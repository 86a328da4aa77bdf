"""Which files are images: by their suffix, or else by their first bytes."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from PIL import Image

from twinrun.file_names import suffix_of
from twinrun.image_formats import HEAD, NO_IMAGE, Other, openers, set_pillow, what_else
from twinrun.plain_files import open_descriptor


@cache
def suffixes() -> frozenset[str]:
    """The suffixes, as ".jpg", of the formats that are pictures to a browser or a mail program.

    A file that has one is called an image whatever it holds, so that a damaged one is named and
    not passed over. Suffixes of Pillow's other formats mean different things elsewhere.
    """
    known = openers()
    return frozenset(
        suffix
        for suffix, name in Image.EXTENSION.items()
        if name in known and Image.MIME.get(name, "").startswith("image/")
    )


def is_image(folder: str | Path, name: str) -> bool:
    """Whether a file counts as an image: by its suffix, or by its first bytes.

    Only those of an unknown suffix are opened: a folder of 100,000 photos is listed by names.
    """
    return suffix_of(name) in suffixes() or look_into(f"{folder}/{name}") is None


def look_into(path: str) -> Other | None:
    """What a file is that is no image; None for one that is.

    Its first 512 bytes are read. A few bytes of a text or a table may be those of a format too, so
    Pillow has to open what they say, which decodes nothing. Where the first bytes cannot tell, as
    in a Targa, it is tried if the suffix is the format's, or if that has none.
    """
    try:
        head = read_head(path)
        found = [name for name, opener in openers().items() if opener.knows(head)]
        found += [name for name in _without_a_mark() if _may_be(name, suffix_of(path))]
        if any(_opens(path, name) for name in found):
            return None
    except OSError as error:
        return Other(error.strerror or str(error))
    other = what_else(head)
    if other.words == NO_IMAGE:
        for name in found:
            if _cannot_be_chance(name, head):
                return Other(f"damaged {name}", "it cannot be opened")
    return other


def read_head(path: str) -> bytes:
    """The first bytes of a plain file.

    Raises:
        OSError: It cannot be opened, or is no plain file.
    """
    file = open_descriptor(path)
    try:
        return os.read(file, HEAD)
    finally:
        os.close(file)


def _without_a_mark() -> list[str]:
    """The formats whose first bytes cannot tell."""
    return [name for name, opener in openers().items() if opener.accepts is None]


def _may_be(name: str, suffix: str) -> bool:
    return Image.EXTENSION.get(suffix) == name or name not in Image.EXTENSION.values()


def _cannot_be_chance(name: str, head: bytes) -> bool:
    """Whether a format's mark is more than two bytes, or than a small number."""
    knows = openers()[name].knows
    return knows(head) and not knows(head[:2]) and len(head[:4].strip(b"\0")) > 1


def _opens(path: str, name: str) -> bool:
    set_pillow(sys.maxsize)
    # Whatever an opener raises of a file that is of another kind.
    with os.fdopen(open_descriptor(path), "rb") as file, suppress(Exception):
        openers()[name].factory(file, "")
        return True
    return False
