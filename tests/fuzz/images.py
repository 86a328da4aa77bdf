"""Image files that are damaged, decoded one after the other: `python -m tests.fuzz.images`.

Each case takes a picture that was drawn and saved in one of the formats that are decoded, with
EXIF, a colour profile and texts where the format has them, and flips, cuts, repeats or adds bytes,
most of them near its beginning, where metadata are. It must be decoded, or refused with a reason;
nothing may be printed meanwhile. Anything else is shown with its traceback. Exit code 1 where
there was any.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from tests.fuzz.cases import in_time
from twinrun.data.decoding import DecodedImage, decode_to, read_header
from twinrun.data.opening import UNREADABLE, why_unreadable
from twinrun.data.wide_values import ValueRange
from twinrun.image_files import is_image
from twinrun.image_formats import openers

# A pixel more than the pictures have, so that a size that is flipped is refused before it is drawn.
_MOST_PIXELS = 1 << 16
_SCALE = ValueRange(0, 65_535)
_MOST_LETTERS = 400
ENDS = ("decoded", "noted", "partial", "refused")


@dataclass
class Gave:
    """What cases gave.

    Attributes:
        counts: How many were "decoded", "noted" (decoded without a part of their metadata),
            "partial" (refused, and decoded as far as they go where that is asked for) and
            "refused".
        reasons: The different reasons for a refusal, by their first words.
        unexpected: By number: the traceback.
        printed: What anybody printed meanwhile.
    """

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    unexpected: dict[int, str] = field(default_factory=dict)
    printed: str = ""


def pictures() -> list[bytes]:
    """One picture in each format and mode that Pillow writes and decodes, metadata with it."""
    rows, columns = np.mgrid[0:40, 0:60]
    pixels = np.stack([4 * columns, 6 * rows, 255 - 3 * columns - rows], axis=-1)
    picture = Image.fromarray(pixels.astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A], exif[0x0128] = 6, "a camera", 72.0, 2
    exif.get_ifd(0x8769)[0x9003] = "2020:02:20 20:20:20"
    exif.get_ifd(0x8825)[1] = "N"
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "a text " * 20, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>', zip=True)
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)  # the time of now
    more = {"exif": exif, "icc_profile": bytes(profile), "pnginfo": texts}
    found = []
    for kind in openers():
        for mode in ("RGB", "L", "P", "RGBA", "CMYK", "1", "I;16", "F"):
            for options in (more, {}):
                content = BytesIO()
                # Each format refuses other modes and options, in its own way.
                with suppress(Exception), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    picture.convert(mode).save(content, kind, **options)
                    found.append(content.getvalue())
    # Two pictures in one file, as phones write them.
    content = BytesIO()
    picture.save(content, "MPO", save_all=True, append_images=[picture], exif=exif)
    return [*found, content.getvalue()]


def damaged(draw: Random, whole: bytes) -> bytes:
    """A file with some places of it damaged, most of them in its first 600 bytes."""
    content = bytearray(whole)
    for _ in range(draw.choice((1, 1, 2, 3, 8, 30))):
        reach = draw.choice((64, 300, 600, len(content)))
        at = draw.randrange(min(reach, len(content)) or 1)
        kind = draw.randrange(8)
        if kind < 3 and content:
            content[at : at + 1] = bytes([draw.randrange(256)])
        elif kind == 3 and content:
            content[at : at + 1] = bytes(
                [content[min(at, len(content) - 1)] ^ 1 << draw.randrange(8)]
            )
        elif kind == 4:
            content[at : at + 4] = draw.choice(
                (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff")
            )
        elif kind == 5:
            content[at:at] = content[at : at + draw.randint(1, 40)]
        elif kind == 6:
            del content[at : at + draw.randint(1, 20)]
        elif draw.random() < 0.3:
            del content[at:]
    return bytes(content)


def carry_out(numbers: Sequence[int], *, seed: int, folder: Path) -> Gave:
    """Carry out cases.

    Args:
        numbers: Of the cases; each is drawn from its own number alone.
        seed: Of all.
        folder: An empty one to work in.
    """
    gave, wholes, path = Gave(), pictures(), folder / "a"
    with _printed(folder / "printed") as printed:
        for number in numbers:
            draw = Random(f"image {seed} {number}")
            path.write_bytes(damaged(draw, draw.choice(wholes)))
            try:
                with in_time():
                    gave.counts[_end(path, draw.choice((8, 32)), gave)] += 1
            except Exception as error:
                gave.unexpected[number] = "".join(traceback.format_exception(error))
    gave.printed = printed.read_text(errors="replace")
    return gave


def _end(path: Path, size: int, gave: Gave) -> str:
    is_image(path.parent, path.name)
    try:
        with suppress(*UNREADABLE):
            read_header(path, max_pixels=_MOST_PIXELS)
        found = decode_to(path, size, max_pixels=_MOST_PIXELS, scale=_SCALE)
    except UNREADABLE as error:
        reason = why_unreadable(error)
        assert reason.strip()
        assert len(reason) < _MOST_LETTERS, reason
        gave.reasons[" ".join(reason.split()[:4])] += 1
        return "partial" if _has_a_part(path, size) else "refused"
    _check(found, size)
    assert not found.missing
    return "noted" if found.note else "decoded"


def _has_a_part(path: Path, size: int) -> bool:
    """Whether anything is there of a file that is refused: the same pixels each time, then."""
    digests = set()
    for filling in (0, 0xA5, 0x5A):
        # What a decoder leaves as it found it would show these.
        used = [np.full(count, filling, np.uint8) for count in (1 << 10, 7200, 1 << 14, 1 << 16)]
        del used
        with suppress(*UNREADABLE):
            found = decode_to(path, size, max_pixels=_MOST_PIXELS, scale=_SCALE, part=True)
            _check(found, size)
            assert found.missing
            digests.add(found.digest)
    assert len(digests) <= 1, "a part of a picture that is another one each time"
    return bool(digests)


def _check(found: DecodedImage, size: int) -> None:
    assert found.image.mode == "RGB"
    assert min(found.image.size) == size
    assert len(found.pixels) == 3 * found.image.width * found.image.height
    assert found.orientation in range(1, 9)


@contextmanager
def _printed(path: Path) -> Iterator[Path]:
    """A file that holds what is printed meanwhile, by Python or by a library in C."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    with path.open("wb") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        try:
            yield path
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, old in zip((1, 2), kept, strict=True):
                os.dup2(old, number)
                os.close(old)


def main() -> None:
    """Carry out the cases that were asked for, and say what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one case, by its number")
    given = parser.parse_args()
    numbers = range(given.cases) if given.only is None else range(given.only, given.only + 1)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        gave = carry_out(numbers, seed=given.seed, folder=Path(folder))
    for number, text in gave.unexpected.items():
        print(f"{text}again: python -m tests.fuzz.images --seed {given.seed} --only {number}\n")
    print(gave.printed, end="")
    counts = ", ".join(f"{gave.counts[end]:,} {end}" for end in ENDS)
    print(f"{len(numbers):,} images: {counts}, {len(gave.unexpected):,} unexpected")
    print(f"{len(gave.printed):,} letters printed meanwhile")
    print(f"seed {given.seed}, {time.perf_counter() - started:.0f} s")
    sys.exit(bool(gave.unexpected or gave.printed))


if __name__ == "__main__":
    main()
