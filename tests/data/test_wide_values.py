"""Values of more than 8 bits: one range makes 8 bits of them, whatever format they lie in."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from PIL import Image

from twinrun.data.decoding import decode, decode_to, read_header, read_values
from twinrun.data.opening import UnreadableImage
from twinrun.data.wide_values import ValueRange, Values, number, values_of


def grey(kind: type[np.generic], low: float, high: float) -> np.ndarray:
    """A picture of such values; each of them is different."""
    return np.linspace(low, high, 35).reshape(5, 7).astype(kind)


def save_grey(values: np.ndarray, path: Path) -> None:
    Image.fromarray(values).save(path)


def save_png(values: np.ndarray, path: Path, colour: int = 4) -> None:
    """A PNG of 16 bits, with each filter in turn, as no library here writes grey with alpha."""
    height, width = values.shape[:2]
    lines = [values[row].astype(">u2").tobytes() for row in range(height)]
    pixel = 2 * values.shape[2]
    body = b"".join(
        bytes([row % 2]) + (_sub(line, pixel) if row % 2 else line)
        for row, line in enumerate(lines)
    )

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(body)), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


def _sub(line: bytes, pixel: int) -> bytes:
    """PNG's filter 1: of each byte its difference from the one a pixel before."""
    return bytes(
        (byte - (line[at - pixel] if at >= pixel else 0)) % 256 for at, byte in enumerate(line)
    )


@pytest.mark.parametrize(
    ("values", "suffix"),
    [
        pytest.param(grey(np.uint16, 8, 243), ".png", id="8 bits in a 16-bit PNG"),
        pytest.param(grey(np.uint16, 16, 4080), ".png", id="12 bits in a 16-bit PNG"),
        pytest.param(grey(np.uint16, 0, 65_535), ".tif", id="16 bits in a TIFF"),
        pytest.param(grey(np.int32, 1, 181), ".tif", id="8 bits in an int32 TIFF"),
        pytest.param(grey(np.int32, -40_000, 90_000), ".tif", id="negative values"),
        pytest.param(grey(np.float32, 0.15, 0.98), ".tif", id="a float TIFF from 0 to 1"),
    ],
)
def test_greys_are_seen_in_their_full_range(
    tmp_path: Path, values: np.ndarray, suffix: str
) -> None:
    path = tmp_path / f"deep{suffix}"
    save_grey(values, path)
    assert read_header(path) == (7, 5, True)
    reach = read_values(path)
    assert reach == Values(values.min(), values.max(), 0)
    scale = ValueRange(reach.lowest, reach.highest)
    found = np.asarray(decode(path, scale=scale))
    exact = (values.astype(float) - reach.lowest) / (reach.highest - reach.lowest) * 255
    assert np.abs(found[..., 0] - exact).max() <= 0.5001
    assert (found[..., 0] == found[..., 2]).all()
    assert {0, 255} <= set(found.ravel().tolist())
    cached = decode_to(path, 5, scale=scale)
    assert (np.asarray(cached.image) == found).all()
    assert cached.values == reach


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colours_of_16_bits_lose_none_of_them(tmp_path: Path, suffix: str, channels: int) -> None:
    # Pillow gives the high byte alone, which is 0 where the values are few.
    values = np.random.default_rng(0).integers(0, 65_536, (6, 9, channels), np.uint16)
    values[:2] %= 256
    path = tmp_path / f"deep{suffix}"
    order = [2, 1, 0, 3][:channels]
    assert cv2.imwrite(str(path), np.ascontiguousarray(values[..., order]))
    # Transparency is left out, of what is reached too.
    colours = values[..., :3]
    assert read_values(path) == (colours.min(), colours.max(), 0)
    low, high = 3, 250
    expected = np.clip((colours.astype(float) - low) / (high - low) * 255, 0, 255)
    found = np.asarray(decode(path, scale=ValueRange(low, high)))
    assert np.abs(found - expected).max() <= 0.5001


def test_grey_with_transparency_of_16_bits_loses_none_of_them(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 900, (6, 9, 2), np.uint16)
    path = tmp_path / "deep.png"
    save_png(values, path)
    reach = read_values(path)
    assert reach == (values[..., 0].min(), values[..., 0].max(), 0)
    found = np.asarray(decode(path, scale=ValueRange(0, 255)))
    assert (found[..., 1] == np.minimum(values[..., 0], 255)).all()


@pytest.mark.parametrize("order", "<>")
def test_a_picture_of_16_bit_colours_is_turned_upright(
    tmp_path: Path, order: Literal["<", ">"]
) -> None:
    values = np.random.default_rng(3).integers(0, 65_536, (2, 3, 3), np.uint16)
    scale = ValueRange(0, 65_535)
    pictures = []
    for orientation in (1, 6):
        path = tmp_path / f"deep{orientation}.tif"
        path.write_bytes(tiff(values, orientation, order))
        pictures.append(np.asarray(decode(path, scale=scale)))
    assert (pictures[0] == scale.to_bytes(values)).all()
    assert (pictures[1] == np.rot90(pictures[0], k=-1)).all()


def tiff(values: np.ndarray, orientation: int, order: Literal["<", ">"]) -> bytes:
    """A TIFF of colours or greys, without compression, that says how it lies."""
    height, width = values.shape[:2]
    channels = values[0, 0].size
    pixels = values.astype(values.dtype.newbyteorder(order)).tobytes()
    # Each tag with the type of its values (3 of two bytes, 4 of four), their number, and the value.
    tags = {256: (4, 1, width), 257: (4, 1, height), 258: (3, channels, 0), 259: (4, 1, 1)}
    tags |= {262: (4, 1, 2 if channels == 3 else 1), 273: (4, 1, 0), 274: (3, 1, orientation)}
    tags |= {277: (4, 1, channels), 278: (4, 1, height), 279: (4, 1, len(pixels))}
    behind = 8 + 2 + 12 * len(tags) + 4
    depths = struct.pack(f"{order}{channels}H", *[8 * values.itemsize] * channels)
    tags[273] = (4, 1, behind + len(depths))
    if channels > 2:
        tags[258] = (3, channels, behind)
    else:
        tags[258] = (3, 1, 8 * values.itemsize)
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, kind, count)
        + (
            struct.pack(f"{order}HH", value, 0)
            if kind == 3 and count == 1
            else struct.pack(f"{order}I", value)
        )
        for tag, (kind, count, value) in tags.items()
    )
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    head = start + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    return head + depths + pixels


DEEP = np.random.default_rng(4).integers(0, 4096, (6, 9, 4)).astype(np.uint16)


def colour_tiff(
    channels: int, *, planes: int = 1, deflated: bool = False, photo: int = 2, extra: int = 0
) -> bytes:
    """A TIFF of 16 bits a colour, in one plane or in one for each."""
    values = DEEP[..., :channels]
    parts = [values[..., at] for at in range(channels)] if planes == 2 else [values]
    strips = [part.astype("<u2").tobytes() for part in parts]
    strips = [zlib.compress(strip) for strip in strips] if deflated else strips
    height, width = values.shape[:2]
    sizes = [len(strip) for strip in strips]
    tags: dict[int, tuple[str, list[int]]] = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [16] * channels),
        259: ("H", [8 if deflated else 1]),
        262: ("H", [photo]),
        273: ("I", [0] * len(strips)),
        277: ("H", [channels]),
        278: ("I", [height]),
        279: ("I", sizes),
        284: ("H", [planes]),
        **({338: ("H", [extra])} if extra else {}),
    }
    at = 8 + 2 + 12 * len(tags) + 4
    lengths = {tag: struct.calcsize(f"<{len(each)}{kind}") for tag, (kind, each) in tags.items()}
    start = at + sum(length for length in lengths.values() if length > 4)
    tags[273] = ("I", [start + sum(sizes[:number]) for number in range(len(sizes))])
    entries, behind = b"", b""
    for tag, (kind, each) in tags.items():
        packed = struct.pack(f"<{len(each)}{kind}", *each)
        if len(packed) > 4:
            packed, behind = struct.pack("<I", at + len(behind)), behind + packed
        entries += struct.pack("<HHI", tag, 3 if kind == "H" else 4, len(each))
        entries += packed.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head + behind + b"".join(strips)


def sgi(mode: str, *, packed: bool) -> bytes:
    """An SGI file of 16 bits, as it is or run by run."""
    bands = len(mode)
    plain = BytesIO()
    Image.new(mode, (9, 6), (200, 100, 50)[:bands]).save(plain, "SGI", bpc=2)
    content = plain.getvalue()
    if not packed:
        return content
    rows = [struct.pack(">HHH", 9, 700 + row, 0) for row in range(6 * bands)]
    starts = [512 + 8 * len(rows) + sum(map(len, rows[:at])) for at in range(len(rows))]
    tables = struct.pack(f">{len(rows)}I", *starts)
    tables += struct.pack(f">{len(rows)}I", *map(len, rows))
    return content[:2] + b"\1" + content[3:512] + tables + b"".join(rows)


def jpeg2000() -> bytes:
    values = np.tile(DEEP[..., :3], (12, 8, 1))
    done, content = cv2.imencode(".jp2", np.ascontiguousarray(values))
    assert done
    return bytes(content)


def ppm(most: int, *, plain: bool = False) -> bytes:
    values = DEEP[..., :3]
    pixels = (
        " ".join(map(str, values.ravel())).encode() if plain else values.astype(">u2").tobytes()
    )
    return b"P%d 9 6 %d\n" % (3 if plain else 6, most) + pixels


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize(
    ("make", "what"),
    [
        pytest.param(lambda: colour_tiff(3, planes=2), "separate planes", id="planes"),
        pytest.param(
            lambda: colour_tiff(3, planes=2, deflated=True), "separate planes", id="deflated planes"
        ),
        pytest.param(lambda: colour_tiff(4, planes=2, extra=2), "planes", id="planes and alpha"),
        pytest.param(lambda: colour_tiff(4, extra=1), "RGBa", id="multiplied by alpha"),
        pytest.param(lambda: colour_tiff(4, photo=5), "CMYK", id="inks"),
        pytest.param(lambda: colour_tiff(4, photo=5, deflated=True), "CMYK", id="deflated inks"),
        pytest.param(lambda: sgi("L", packed=False), "SGI", id="SGI grey"),
        pytest.param(lambda: sgi("RGB", packed=False), "SGI", id="SGI colours"),
        pytest.param(lambda: sgi("L", packed=True), "SGI", id="packed SGI grey"),
        pytest.param(lambda: sgi("RGB", packed=True), "SGI", id="packed SGI colours"),
        pytest.param(lambda: ppm(65_535), "PPM", id="PPM"),
        pytest.param(lambda: ppm(4095), "PPM", id="PPM of 12 bits"),
        pytest.param(lambda: ppm(4095, plain=True), "PPM", id="PPM in words"),
        pytest.param(jpeg2000, "JPEG 2000", id="JPEG 2000"),
    ],
)
def test_what_only_the_high_byte_can_be_read_of_is_refused(
    make: Callable[[], bytes], what: str, part: bool
) -> None:
    # Of 12 bits that byte is nearly black.
    with pytest.raises(UnreadableImage, match=f"{what}.* only the high byte"):
        decode_to(BytesIO(make()), 6, scale=ValueRange(0, 4095), part=part)


def test_of_8_bits_none_of_these_is_refused(tmp_path: Path) -> None:
    image = Image.effect_mandelbrot((9, 6), (-2, -1, 1, 1), 20).convert("RGB")
    for kind in ("SGI", "PPM", "JPEG2000"):
        content = BytesIO()
        image.save(content, kind)
        content.seek(0)
        assert decode_to(content, 6).values is None
    assert decode_to(BytesIO(b"P6 9 6 100\n" + bytes(9 * 6 * 3)), 6).values is None
    image.save(tmp_path / "planes.tif", tiffinfo={284: 1})
    assert decode_to(tmp_path / "planes.tif", 6).values is None
    # In one plane all bits are read.
    found = decode_to(BytesIO(colour_tiff(3)), 6, scale=ValueRange(0, 4095))
    assert found.values == (DEEP[..., :3].min(), DEEP[..., :3].max(), 0)


def test_32_bits_without_a_sign_go_to_their_end(tmp_path: Path) -> None:
    # Pillow takes them for numbers with a sign, and does not know them with their first byte first.
    values = np.array([[0, 2**31 - 1, 2**31, 2**32 - 1]], np.uint32)
    path = tmp_path / "deep.tif"
    path.write_bytes(tiff(values, 1, "<"))
    assert read_values(path) == Values(0, 2**32 - 1, 0)
    found = np.asarray(decode(path, scale=ValueRange(0, 2**32 - 1)))
    assert found[0, :, 0].tolist() == [0, 127, 128, 255]


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_without_a_range_nothing_is_guessed(tmp_path: Path, kind: type[np.generic]) -> None:
    path = tmp_path / "deep.tif"
    save_grey(grey(kind, 0, 200), path)
    reads: list[Callable[[], object]] = [lambda: decode(path), lambda: decode_to(path, 4)]
    for read in reads:
        with pytest.raises(UnreadableImage, match=r"no range to see them in \(data\.range\)"):
            read()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_8_bits_need_no_range_and_are_not_touched_by_one(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "plain.tif"
    Image.effect_mandelbrot((9, 7), (-2, -1, 1, 1), 20).convert("RGB").convert(mode).save(path)
    assert read_header(path) == (9, 7, False)
    plain = decode_to(path, 7)
    assert plain.values is None
    assert decode_to(path, 7, scale=ValueRange(3, 4)).pixels == plain.pixels


def test_what_is_beyond_the_range_is_clipped_and_what_is_no_number_is_the_lowest() -> None:
    values = np.array([[np.nan, -np.inf, -9, 0, 0.5, 1, 7, np.inf]], np.float32)
    assert ValueRange(0, 1).to_bytes(values).tolist() == [[0, 0, 0, 0, 128, 255, 255, 255]]
    assert values_of(values) == Values(-9, 7, 1)


def test_without_a_finite_number_it_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "empty.tif"
    save_grey(np.full((3, 4), np.nan, np.float32), path)
    for read in (read_values, lambda path: decode(path, scale=ValueRange(0, 1))):
        with pytest.raises(UnreadableImage, match="none of its values is a finite number"):
            read(path)


def test_the_levels_are_the_nearest_ones_and_a_range_of_a_byte_changes_nothing() -> None:
    every = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    found = ValueRange(0, 65_535).to_bytes(every).astype(int).ravel()
    # In whole numbers: half a level up.
    exact = (np.arange(65_536) * 2 * 255 + 65_535) // (2 * 65_535)
    assert (found == exact).all()
    same = np.arange(256, dtype=np.int32).reshape(16, 16)
    assert (ValueRange(0, 255).to_bytes(same) == same).all()


def test_a_large_image_is_worked_on_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).normal(size=(40, 30)).astype(np.float32)
    values[7, 3] = np.nan
    whole, reach = ValueRange(-1, 1).to_bytes(values), values_of(values)
    monkeypatch.setattr("twinrun.data.wide_values._BLOCK", 100)
    assert (ValueRange(-1, 1).to_bytes(values) == whole).all()
    assert values_of(values) == reach


@pytest.mark.parametrize(
    ("value", "words"),
    [(4095.0, "4095"), (-3.0, "-3"), (float(np.float32(0.972549)), "0.972549"), (1e30, "1e+30")],
)
def test_a_value_in_words(value: float, words: str) -> None:
    assert number(value) == words


def test_a_number_that_asks_for_a_signal_is_no_number(recwarn: pytest.WarningsRecorder) -> None:
    signalling = np.array([[0x7F800001]], np.uint32).view(np.float32)
    assert np.isnan(signalling).all()
    assert ValueRange(2, 9).to_bytes(signalling).tolist() == [[0]]
    assert not recwarn.list
