"""Draw the image fixture: 120 small pictures of wheat in three classes, with two CSV files.

Run `python tests/fixture.py [FOLDER]`; without FOLDER, the `fixture` folder beside this script is
written. With one version of Pillow the bytes are always the same: an image is drawn from its id
and class alone, and only with arithmetic that IEEE 754 rounds one way (no sine, no gauss).

The table QUIRKS names every image with a quirk; the others are RGB JPEG files with plain ids.
"""

from __future__ import annotations

import argparse
import io
import string
import struct
import zlib
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from random import Random
from typing import NamedTuple

from PIL import Image, ImageChops, ImageDraw, ImageFilter


class Item(NamedTuple):
    """One image file; `twin`, if any, is the id of the image whose bytes it repeats."""

    id: str
    split: str
    label: str
    suffix: str
    quirk: str = ""
    twin: str = ""

    @property
    def path(self) -> Path:
        """The file's place in the fixture; only the training images lie in class folders."""
        return Path(self.split, self.label if self.split == "train" else "", self.id + self.suffix)


QUIRKS = (
    Item("004217", "train", "leaf_rust", ".jpg", "digits"),  # a reader of numbers loses the zeros
    Item("643083", "test", "stem_rust", ".jpg", "digits"),
    Item("X10A7L", "train", "stem_rust", ".jpg", "png"),  # a PNG file, whatever its name says
    Item("R7D2XQ", "train", "leaf_rust", ".jpeg", "orientation"),  # EXIF 6: upright once turned
    Item("5RL2B0", "train", "leaf_rust", ".png", "rgba"),  # true colours under a partial alpha
    Item("W7RCF8", "test", "leaf_rust", ".png", "palette"),
    Item("M2ZQ7F", "test", "healthy_wheat", ".JPG", "cmyk"),
    Item("D8XL5G", "train", "healthy_wheat", ".jpg", "grey"),
    Item("H5L0B7", "train", "healthy_wheat", ".png", "png"),
    Item("A9E3KS", "train", "stem_rust", ".gif", "gif"),
    Item("S2U8GN", "test", "leaf_rust", ".gif", "gif"),
    Item("J5N0GS", "train", "stem_rust", ".jpg", "duplicate"),
    Item("U1C9EA", "train", "stem_rust", ".JPG", "duplicate", twin="J5N0GS"),
)
LABELS = ("leaf_rust", "stem_rust", "healthy_wheat")
COUNTS = {"train": (36, 36, 24), "test": (9, 9, 6)}
PLAIN_SUFFIXES = (".jpg",) * 8 + (".JPG", ".jpg", ".jfif", ".jpg", ".jpeg")
# Drawn this many times larger, then reduced: that is what smooths the edges.
OVERSAMPLE = 2

Colour = tuple[int, int, int]
Point = tuple[float, float]
# Relative width of a shape at u, from one end (0) to the other (1).
TAPERS: dict[str, Callable[[float], float]] = {
    "blade": lambda u: min(1.0, 0.4 + 2.5 * u) * (1 - u * u * u),
    "stem": lambda u: 1 - 0.3 * u,
    "lens": lambda u: 4 * u * (1 - u),
}


class Curve(NamedTuple):
    """A quadratic Bezier curve; its three points are (x, y) in drawing pixels."""

    start: Point
    bend: Point
    end: Point

    def at(self, t: float, shift: float = 0.0) -> Point:
        """Return the point at t (0 to 1), moved sideways by `shift` drawing pixels."""
        (ax, ay), (bx, by), (cx, cy) = self
        s = 1 - t
        dx, dy = s * (bx - ax) + t * (cx - bx), s * (by - ay) + t * (cy - by)
        move = shift / (sqrt(dx * dx + dy * dy) or 1.0)
        x, y = (s * s * i + 2 * s * t * j + t * t * k for i, j, k in ((ax, bx, cx), (ay, by, cy)))
        return x - dy * move, y + dx * move


def tint(colour: Colour, factor: float) -> Colour:
    """Return the colour (0 to 255 each) with every channel multiplied by `factor`."""
    red, green, blue = (min(255, int(value * factor)) for value in colour)
    return red, green, blue


class Sketch:
    """A picture being drawn; `unit` is 1 % of its shorter side, in drawing pixels."""

    def __init__(self, rng: Random, image: Image.Image) -> None:
        self.rng, self.image, self.unit = rng, image, min(image.size) / 100
        self.pen = ImageDraw.Draw(image)

    def vary(self, colour: Colour, spread: int) -> Colour:
        """Return the colour, lighter or darker by up to `spread` levels, its hue nearly kept."""
        tone, hue = self.rng.randint(-spread, spread), spread // 4
        red, green, blue = (max(0, v + tone + self.rng.randint(-hue, hue)) for v in colour)
        return red, green, blue

    def ribbon(
        self, curve: Curve, width: float, tone: Colour, taper: str, part: Point = (0, 1)
    ) -> None:
        """Fill a band along the curve, `width` drawing pixels wide before it tapers.

        Only `part` of it is filled: from, to, as fractions of the width (0: the left edge).
        """
        sides = [
            [curve.at(i / 14, (edge - 0.5) * width * TAPERS[taper](i / 14)) for i in range(15)]
            for edge in part
        ]
        self.pen.polygon(sides[0] + sides[1][::-1], fill=tone)

    def dot(self, centre: Point, radius: float, colour: Colour) -> None:
        """Fill a disc of `radius` drawing pixels."""
        (x, y), r = centre, radius
        self.pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def blade(self, curve: Curve, width: float, green: Colour, rust: bool) -> None:
        """Draw a leaf, `width` drawing pixels at its widest; `rust`: round orange pustules."""
        tone = self.vary(green, 16)
        self.ribbon(curve, width, tone, "blade")
        self.ribbon(curve, width, tint(tone, 0.82), "blade", (0.5, 1))
        self.ribbon(curve, width, tint(tone, 1.3), "blade", (0.46, 0.54))
        for _ in range(self.rng.randint(70, 100) if rust else 0):
            t, radius = self.rng.uniform(0.02, 0.92), self.rng.uniform(0.05, 0.095) * width
            centre = curve.at(t, self.rng.uniform(-0.42, 0.42) * width * TAPERS["blade"](t))
            self.dot(centre, radius * 1.3, (206, 148, 40))
            self.dot(centre, radius, self.vary((240, 100, 8), 14))

    def stem(self, curve: Curve, width: float, green: Colour, rust: bool) -> None:
        """Draw a stem, `width` drawing pixels at its foot; `rust`: long dark red pustules."""
        tone = self.vary(green, 12)
        self.ribbon(curve, width, tone, "stem")
        self.ribbon(curve, width, tint(tone, 0.75), "stem", (0.7, 1))
        self.ribbon(curve, width, tint(tone, 1.25), "stem", (0.15, 0.35))
        for node in (self.rng.uniform(0.15, 0.35), self.rng.uniform(0.5, 0.7)):
            joint = Curve(*(curve.at(node + step) for step in (-0.03, 0, 0.03)))
            self.ribbon(joint, width * 1.15, tint(tone, 0.78), "lens")
        for _ in range(self.rng.randint(22, 32) if rust else 0):
            low, length = self.rng.uniform(0.0, 0.85), self.rng.uniform(0.06, 0.15)
            across, thick = (
                self.rng.uniform(-0.3, 0.3) * width,
                self.rng.uniform(0.35, 0.55) * width,
            )
            streak = Curve(*(curve.at(low + length * step, across) for step in (0, 0.5, 1)))
            self.ribbon(streak, thick * 1.4, (172, 84, 60), "lens")
            self.ribbon(streak, thick, self.vary((140, 18, 14), 12), "lens")

    def ear(self, top: Point, unit: float, green: Colour) -> None:
        """Draw an ear of about 30 `unit`s (drawing pixels each) upwards from `top`."""
        lean = self.rng.uniform(-0.3, 0.3)
        straw = tint((green[0] + 60, green[1] + 30, green[2] + 30), 0.95)
        for row, side in ((row, side) for row in range(7) for side in (-1, 1)):
            x, y = top[0] + lean * row * 2.6 * unit, top[1] - row * 2.6 * unit
            tip = (x + (side * 2.4 + lean * 5) * unit, y - 5.5 * unit)
            awn = (tip[0] + (side * 2.5 + lean * 8) * unit, tip[1] - 10 * unit)
            self.pen.line((tip, awn), tint(straw, 0.95), max(1, int(0.4 * unit)))
            grain = Curve((x, y), (x + side * 3 * unit, y - 2 * unit), tip)
            self.ribbon(grain, 3.4 * unit, self.vary(straw, 16), "lens")


def draw_background(rng: Random, size: tuple[int, int]) -> Image.Image:
    """Return an out-of-focus field of `size` drawing pixels."""
    soil, sky, crop = (114, 107, 98), (176, 198, 218), (86, 112, 66)
    above, below = rng.choice([(sky, crop), (crop, soil), (soil, soil), (crop, crop), (sky, soil)])
    horizon = rng.uniform(0.25, 0.7)
    patches = Sketch(rng, Image.new("RGB", (9, 9)))
    for place in ((column, row) for row in range(9) for column in range(9)):
        patches.image.putpixel(place, patches.vary(above if place[1] / 9 < horizon else below, 22))
    (wide, high), far = size, Sketch(rng, patches.image.resize(size, Image.Resampling.BICUBIC))
    for _ in range(rng.randint(6, 14)):
        x, lean = rng.uniform(0, wide), rng.uniform(-40, 40) * far.unit
        curve = Curve((x, high), (x + lean / 5, high * 0.6), (x + lean, high * rng.uniform(0, 0.6)))
        far.ribbon(curve, rng.uniform(3, 8) * far.unit, far.vary((82, 116, 58), 24), "blade")
    return far.image.filter(ImageFilter.GaussianBlur(2 * far.unit))


def draw_photo(identifier: str, label: str) -> Image.Image:
    """Return the picture of an id as an upright RGB image of 120 to 200 pixels a side."""
    rng = Random(identifier)
    width, height = rng.randint(120, 200), rng.randint(120, 200)
    wide, high = width * OVERSAMPLE, height * OVERSAMPLE
    sketch = Sketch(rng, draw_background(rng, (wide, high)))
    unit = sketch.unit * rng.uniform(1.0, 1.5)
    green = rng.choice([(104, 150, 58), (84, 136, 66), (116, 156, 66), (92, 140, 88)])
    stems = rng.randint(3, 5)
    for i in range(stems):
        x = wide * (i + rng.uniform(0.1, 0.9)) / stems
        top = (x + rng.uniform(-10, 10) * unit, rng.uniform(-0.1, 0.35) * high)
        stem = Curve((x, high * 1.02), (x + rng.uniform(-7, 7) * unit, high * 0.55), top)
        for _ in range(rng.randint(2, 3)):
            x, y = base = stem.at(rng.uniform(0.05, 0.8))
            reach = rng.choice((-1, 1)) * rng.uniform(25, 65) * unit
            rise = rng.uniform(15, 50) * unit
            end = (x + reach, y - rise * rng.uniform(-0.4, 1.4))
            leaf = Curve(base, (x + reach * rng.uniform(0.2, 0.5), y - rise * 1.3), end)
            sketch.blade(leaf, rng.uniform(9, 14) * unit, green, label == "leaf_rust")
        sketch.stem(stem, rng.uniform(4.5, 6.5) * unit, green, label == "stem_rust")
        sketch.ear(top, unit * rng.uniform(0.8, 1.1), green)
    image = sketch.image.resize((width, height), Image.Resampling.BOX)

    shade = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize(image.size)
    shade = shade.point([205 + value * 50 // 255 for value in range(256)])
    image = ImageChops.multiply(image, Image.merge("RGB", (shade, shade, shade)))
    gain, warmth = rng.uniform(1.0, 1.25), rng.uniform(-0.04, 0.04)
    gains = (gain * (1 + warmth), gain, gain * (1 - warmth))
    image = image.point([min(255, int(value * g)) for g in gains for value in range(256)])
    noise = Image.frombytes("L", image.size, rng.randbytes(width * height))
    noise = noise.point([value * 9 // 256 for value in range(256)])
    return ImageChops.add(image, Image.merge("RGB", (noise, noise, noise)), 1, -4)


def encode_png(image: Image.Image) -> bytes:
    """Return an RGB, RGBA or P image of 8 bits a channel as the bytes of an uncompressed PNG."""
    # Pillow deflates with the zlib of the system it runs on: its PNG bytes differ between machines.
    stride, pixels = image.width * len(image.getbands()), image.tobytes()
    rows = b"".join(b"\0" + pixels[i : i + stride] for i in range(0, len(pixels), stride))
    stream = b"\x78\x01"
    for start in range(0, len(rows), 0xFFFF):
        block, last = rows[start : start + 0xFFFF], start + 0xFFFF >= len(rows)
        stream += struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block
    kind = {"RGB": 2, "P": 3, "RGBA": 6}[image.mode]
    chunks = {b"IHDR": struct.pack(">IIBBBBB", *image.size, 8, kind, 0, 0, 0)}
    if image.mode == "P":
        chunks[b"PLTE"] = bytes(image.getpalette() or ())
    chunks |= {b"IDAT": stream + zlib.adler32(rows).to_bytes(4, "big"), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )


def encode(image: Image.Image, quirk: str) -> bytes:
    """Return the bytes of the file for an RGB image; a JPEG unless the quirk says otherwise."""
    buffer, options = io.BytesIO(), {"quality": 75, "subsampling": "4:2:0", "optimize": False}
    if quirk == "rgba":
        alpha = Image.radial_gradient("L").resize(image.size)
        alpha = alpha.point([max(0, min(255, 510 - 2 * v)) for v in range(256)])
        image = Image.merge("RGBA", (*image.split(), alpha))
    elif quirk in ("palette", "gif"):
        image = image.quantize(64, Image.Quantize.MEDIANCUT)
    elif quirk in ("cmyk", "grey"):
        image = image.convert("CMYK" if quirk == "cmyk" else "L")
    elif quirk == "orientation":
        image, exif = image.transpose(Image.Transpose.ROTATE_90), Image.Exif()
        exif[0x0112] = 6
        options["exif"] = exif
    if quirk in ("png", "rgba", "palette"):
        return encode_png(image)
    if quirk == "gif":
        image.save(buffer, "GIF", optimize=False)
    else:
        image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def list_items() -> list[Item]:
    """Return the 96 training and 24 test images, those with a quirk first in their class."""
    rng = Random("ids")
    used = {item.id for item in QUIRKS}
    items = []
    for split, counts in COUNTS.items():
        for label, count in zip(LABELS, counts, strict=True):
            group = [item for item in QUIRKS if (item.split, item.label) == (split, label)]
            while len(group) < count:
                name = "".join(rng.choices(string.ascii_uppercase + string.digits, k=6))
                # With two letters an id never reads as a number, not even as 12E345 would.
                if name not in used and sum(map(str.isalpha, name)) >= 2:
                    used.add(name)
                    suffix = PLAIN_SUFFIXES[len(used) % len(PLAIN_SUFFIXES)]
                    group.append(Item(name, split, label, suffix))
            items += group
    return items


def draw_fixture(folder: Path) -> None:
    """Write the 120 images and the two CSV files (about 0.8 MB) into `folder`; remove nothing."""
    items = list_items()
    for item in items:
        path = folder / item.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(draw_photo(item.twin or item.id, item.label), item.quirk))
    tests = [item for item in items if item.split == "test"]
    Random("order").shuffle(tests)
    sample = ["ID," + ",".join(LABELS), *(f"{item.id},0,0,0" for item in tests)]
    solution = ["ID,label", *(f"{item.id},{item.label}" for item in tests)]
    for name, lines in (("sample_submission.csv", sample), ("solution.csv", solution)):
        (folder / name).write_bytes(("\n".join(lines) + "\n").encode())


def main() -> None:
    """Read the command line, draw the fixture and print its size."""
    parser = argparse.ArgumentParser(description="Draw the image fixture.")
    default = Path(__file__).resolve().parent / "fixture"
    parser.add_argument("folder", nargs="?", type=Path, default=default, help="folder to write")
    folder = parser.parse_args().folder
    draw_fixture(folder)
    names = [*(item.path for item in list_items()), "sample_submission.csv", "solution.csv"]
    size = sum((folder / name).stat().st_size for name in names)
    print(f"{len(names) - 2} images, {size / 1e6:.2f} MB in all")


if __name__ == "__main__":
    main()
