"""Whether image files are masks of others: looked at, since names alone prove nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from twinrun.plain_files import open_plain

# So many are looked at, none that has more pixels.
_LOOKED_AT = 5
_MOST_PIXELS = 100_000_000

# In a mask this share of the pixels, or more, is as its neighbour on the left: areas of one value,
# however many values there are, also after JPEG. Few photos come near it.
_EVEN = 0.9


class _Look(NamedTuple):
    """The size of an image, and whether it is of even areas."""

    size: tuple[int, int]
    even: bool


def are_masks(pairs: Sequence[tuple[Path, Sequence[Path]]]) -> bool | None:
    """Whether some images are masks of others, by a few of them.

    All that can be read are of even areas, and most have an image of their size that is not. Where
    the images are of even areas too, as drawn letters and shapes are, nothing tells.

    Args:
        pairs: Each an image that may be a mask, and those of which it may be one.

    Returns:
        None where nothing tells.
    """
    step = max(1, len(pairs) // _LOOKED_AT)
    looked_at, photos, drawn = 0, 0, 0
    for mask, images in pairs[::step][:_LOOKED_AT]:
        if (look := _look_at(mask)) is None:
            continue
        if not look.even:
            return False
        same = (_look_at(path) for path in images if _size_of(path) == look.size)
        image = next(filter(None, same), None)
        looked_at += 1
        photos += image is not None and not image.even
        drawn += image is not None and image.even
    if 2 * photos > looked_at:
        return True
    return None if drawn else False


def _size_of(path: Path) -> tuple[int, int] | None:
    from PIL import Image  # takes long

    # Whatever a decoder raises of a damaged file.
    with suppress(Exception), open_plain(path) as file, Image.open(file) as image:
        return image.size
    return None


def _look_at(path: Path) -> _Look | None:
    import numpy as np  # both take long
    from PIL import Image

    from twinrun.image_formats import set_pillow

    set_pillow(_MOST_PIXELS)
    with suppress(Exception), open_plain(path) as file, Image.open(file) as image:
        if image.width * image.height <= _MOST_PIXELS:
            pixels = np.atleast_3d(np.asarray(image))
            same = (pixels[:, 1:] == pixels[:, :-1]).all(axis=2)
            return _Look(image.size, bool(same.size) and float(same.mean()) >= _EVEN)
    return None
