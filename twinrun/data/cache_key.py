"""What a cache's name follows: all that decides what a file decodes to."""

from __future__ import annotations

from PIL import features

from twinrun.files import sha256_json
from twinrun.image_formats import plugins
from twinrun.repro.maker import Maker

DECODER = Maker(
    modules=(
        "data/decoding.py",
        "data/bare.py",
        "data/orientation.py",
        "image_formats.py",
        "plain_files.py",
    ),
    libraries=("PIL", "numpy", "xxhash"),
)
# What of Pillow's build decodes.
_LIBRARIES = ("avif", "jpg", "jpg_2000", "libjpeg_turbo", "libtiff", "webp", "zlib", "zlib_ng")


def cache_name(size: int) -> str:
    """The folder's name of a cache: `224px-1f3a9c02b7de`. A different decoder is a new cache.

    Args:
        size: Pixels of the shorter side.
    """
    facts = {
        "size": size,
        **DECODER.facts(),
        "pillow": {name: features.version(name) for name in _LIBRARIES},
        **plugins(),
    }
    return f"{size}px-{sha256_json(facts)[:12]}"
