"""Which files are images: by their suffix, or else by their first bytes."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from PIL import Image

from twinrun.file_names import suffix_of
from twinrun.image_formats import HEAD, Opener, Other, is_text, openers, set_pillow, what_else
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

    Its first 512 bytes are read. A mark of three bytes and more is believed, so that a damaged
    photo is named and not passed over. Shorter ones, and those in a text, come about by chance:
    Pillow has to open the file too, which decodes nothing. Where first bytes cannot tell, as in a
    Targa, that is tried if the suffix is the format's, or if the format has none.
    """
    try:
        head = read_head(path)
        for opener in openers().values():
            if opener.knows(head) and (_is_no_chance(opener, head) or _opens(path, opener)):
                return None
        suffix = suffix_of(path)
        for name, opener in openers().items():
            if opener.accepts is None and _may_be(name, suffix) and _opens(path, opener):
                return None
    except OSError as error:
        return Other(error.strerror or str(error))
    return what_else(head)


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


def _may_be(name: str, suffix: str) -> bool:
    return Image.EXTENSION.get(suffix) == name or name not in Image.EXTENSION.values()


def _is_no_chance(opener: Opener, head: bytes) -> bool:
    """Whether a format's mark is more than two bytes, or than a small number, and in no text."""
    short = len(head[:4].strip(b"\0")) < 2 or opener.knows(head[:2])
    return not short and not is_text(head)


def _opens(path: str, opener: Opener) -> bool:
    set_pillow(sys.maxsize)
    # Whatever an opener raises of a file that is of another kind.
    with os.fdopen(open_descriptor(path), "rb") as file, suppress(Exception):
        opener.factory(file, "")
        return True
    return False
