"""What a row of the ledger tells beside being equal or not: 64 bits of it, and back from them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from twinrun.repro.digests import digest_text

_PARTS = {"train": "trained on", "valid": "held out"}


def number_bits(value: float) -> int:
    """A number as a row holds it: the bits of its float64. Equal bits, the same number."""
    (bits,) = struct.unpack("<Q", struct.pack("<d", value))
    return int(bits)


def tell_number(bits: int, _: Mapping[str, Any]) -> dict[str, str | float]:
    """The number of `number_bits`."""
    (value,) = struct.unpack("<d", struct.pack("<Q", bits))
    return {"": float(value)}


def split_digest(part: str, number: int) -> int:
    """Digest of a training image's part ("train" or "valid") and of its class's number."""
    return digest_text(part, str(number))


def tell_split(digest: int, about: Mapping[str, Any]) -> dict[str, str | float]:
    """Label and part of an image, from the few digests that there can be; else nothing."""
    found = _split_digests(tuple(about["settings"].get("classes", ()))).get(digest)
    return {} if found is None else {"label": found[0], "": found[1]}


@lru_cache(maxsize=4)
def _split_digests(classes: tuple[str, ...]) -> dict[int, tuple[str, str]]:
    return {
        split_digest(part, number): (name, words)
        for part, words in _PARTS.items()
        for number, name in enumerate(classes)
    }
