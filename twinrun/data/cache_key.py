"""What a cache's name follows: all that decides what a file decodes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import features

from twinrun.data.wide_values import ValueRange
from twinrun.files import sha256_json
from twinrun.image_formats import plugins
from twinrun.repro.maker import Maker

DECODER = Maker(
    modules=(
        "data/decoding.py",
        "data/opening.py",
        "data/bare.py",
        "data/high_bytes.py",
        "data/hindered.py",
        "data/partial.py",
        "data/orientation.py",
        "data/wide_values.py",
        "image_formats.py",
        "memory.py",
        "plain_files.py",
    ),
    libraries=("PIL", "numpy", "xxhash"),
)
# What of Pillow's build decodes.
_LIBRARIES = ("avif", "jpg", "jpg_2000", "libjpeg_turbo", "libtiff", "webp", "zlib", "zlib_ng")


def cache_name(
    size: int, scale: ValueRange | None = None, own: Mapping[str, str] | None = None
) -> str:
    """The folder's name of a cache: `224px-1f3a9c02b7de`. A different decoder is a new cache.

    Args:
        size: Pixels of the shorter side.
        scale: By which values of more than 8 bits become 8 bits; None where no image has such.
        own: SHA-256 by name of the competitor's own code that decides pixels.
    """
    by: dict[str, Any] = {"range": [float(end) for end in scale]} if scale else {}
    by |= {"own": dict(own)} if own else {}
    return f"{size}px-{_digest({'size': size, **by})}"


def values_name() -> str:
    """The file's name of what the values of images reach: `values-1f3a9c02b7de.parquet`."""
    return f"values-{_digest({})}.parquet"


def _digest(facts: dict[str, Any]) -> str:
    decoder = {
        **DECODER.facts(),
        "pillow": {name: features.version(name) for name in _LIBRARIES},
        **plugins(),
    }
    return sha256_json({**facts, **decoder})[:12]
