"""Metadata never stop a photo: it is decoded, upright where that can be known, and noted."""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin, UnidentifiedImageError

from twinrun.config.sections import Data
from twinrun.data import opening
from twinrun.data.decoding import DecodedImage, decode, decode_to, read_header
from twinrun.data.hindered import Hindered
from twinrun.data.opening import MOST_PIXELS, UNREADABLE, UnreadableImage, why_unreadable
from twinrun.data.orientation import orientation_in, orientation_in_block
from twinrun.image_formats import Opener, openers

WIDTH, HEIGHT = 48, 32
ORIENTATION, IMAGE_WIDTH = 0x0112, 0x0100
BYTE, ASCII, SHORT, LONG, RATIONAL = 1, 2, 3, 4, 5


def photo() -> Image.Image:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    pixels = np.stack([5 * columns, 7 * rows, 200 - columns - rows], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")


def exif(*entries: bytes, announced: int | None = None) -> bytes:
    """An EXIF block of a directory with these entries, or that announces more."""
    count = len(entries) if announced is None else announced
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", count) + b"".join(entries) + b"\0" * 4


def turned(number: int = 6) -> bytes:
    return entry(ORIENTATION, SHORT, 1, struct.pack("<H", number))


TEXT_IN_NUMBER = entry(IMAGE_WIDTH, ASCII, 4, b"abc\0")


def jpeg(path: Path, block: bytes = b"", segments: bytes = b"") -> Path:
    """A JPEG with an EXIF block, and with more segments, as they are given."""
    saved = BytesIO()
    photo().save(saved, "JPEG", quality=95)
    content = saved.getvalue()
    if block:
        segments = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + segments
    path.write_bytes(content[:2] + segments + content[2:])
    return path


def chunk(kind: bytes, data: bytes, *, flaw: int = 0) -> bytes:
    check = zlib.crc32(kind + data) ^ flaw
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def png(path: Path, *chunks: bytes, last: bytes = b"") -> Path:
    """A PNG with more chunks before its pixels, and behind them."""
    saved = BytesIO()
    photo().save(saved, "PNG")
    content = saved.getvalue()
    end = content.rindex(b"IEND") - 4
    path.write_bytes(content[:33] + b"".join(chunks) + content[33:end] + last + content[end:])
    return path


def seen(path: Path) -> DecodedImage:
    """A file, decoded in its own size by each of the ways."""
    found = decode_to(path, min(WIDTH, HEIGHT))
    assert np.array_equal(np.asarray(decode(path)), np.asarray(found.image))
    assert sorted(read_header(path)[:2]) == sorted((WIDTH, HEIGHT))
    return found


def assert_shows(path: Path, *, orientation: int, note: str | None = "") -> None:
    """The picture is the photo, turned as the orientation says."""
    found = seen(path)
    assert found.orientation == orientation
    if note is not None:
        assert (note in found.note) if note else not found.note
    expected = photo() if orientation == 1 else photo().transpose(Image.Transpose.ROTATE_270)
    assert found.image.size == expected.size
    difference = np.asarray(found.image).astype(int) - np.asarray(expected)
    assert np.abs(difference).mean() < 3


@pytest.mark.parametrize(
    "others",
    [
        pytest.param([TEXT_IN_NUMBER], id="text where a number stands"),
        pytest.param([entry(0x010F, RATIONAL, 1, b"\x99\0\0\0")], id="beyond the end"),
        pytest.param([entry(0x8769, ASCII, 4, b"\xff" * 4)], id="directory that is a text"),
        pytest.param([entry(0x0100, 77, 9, b"\xff" * 4)], id="type that does not exist"),
    ],
)
def test_the_orientation_is_read_whatever_stands_beside_it(
    tmp_path: Path, others: list[bytes]
) -> None:
    for name, block in (("a", exif(*others, turned())), ("b", exif(turned(), *others))):
        assert_shows(jpeg(tmp_path / f"{name}.jpg", block), orientation=6)
        assert_shows(png(tmp_path / f"{name}.png", chunk(b"eXIf", block[6:])), orientation=6)


def test_a_tiff_is_turned_whatever_else_its_tags_say(tmp_path: Path) -> None:
    saved = BytesIO()
    tags = Image.Exif()
    tags[ORIENTATION], tags[0x0131] = 6, "a program"
    photo().save(saved, "TIFF", exif=tags)
    content = bytearray(saved.getvalue())
    at = content.index(struct.pack("<HHI", 0x0131, ASCII, len("a program") + 1))
    content[at + 2] = RATIONAL  # a text that is called a fraction
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    assert_shows(path, orientation=6)


@pytest.mark.parametrize(
    ("block", "note"),
    [
        (exif(turned(), announced=9), ""),
        (exif(TEXT_IN_NUMBER, announced=9), "EXIF is cut short"),
        (exif(entry(ORIENTATION, ASCII, 2, b"6\0")), "EXIF orientation is no number"),
        (exif(entry(ORIENTATION, SHORT, 2, b"\6\0\6\0")), "EXIF orientation is no number"),
        (exif(turned(9)), "EXIF orientation '9': there is no such"),
        (b"Exif\0\0nothing of the kind", "no EXIF block"),
        (b"Exif\0\0", ""),
        (exif(turned(0)), ""),
        (exif(turned(1)), ""),
    ],
)
def test_exif_that_does_not_say_how_the_picture_lies_means_upright(
    tmp_path: Path, block: bytes, note: str
) -> None:
    right = 6 if turned() in block else 1
    assert_shows(jpeg(tmp_path / "a.jpg", block), orientation=right, note=note)


@pytest.mark.parametrize("kind", [BYTE, SHORT, LONG])
def test_an_orientation_of_any_whole_type_is_read(kind: int) -> None:
    assert orientation_in(exif(entry(ORIENTATION, kind, 1, b"\x08"))) == 8
    big = b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", ORIENTATION, SHORT, 1, 8, 0)
    assert orientation_in(big) == 8
    assert orientation_in(exif(TEXT_IN_NUMBER)) is None
    assert orientation_in_block(None) == (1, "")


def test_a_jpeg_whose_metadata_stop_its_decoder_is_decoded_without_them(tmp_path: Path) -> None:
    # A resolution that is cut short, in a block that is read while the file is opened.
    block = exif(entry(0x011A, 7, 1, b"\1"), entry(0x0128, SHORT, 1, b"\2"), turned())
    path = jpeg(tmp_path / "a.jpg", block, b"\xff\xfe\0\5odd")
    with pytest.raises(UnidentifiedImageError):
        Image.open(path)
    assert_shows(path, orientation=6, note="metadata passed over")


BIG = b"x" * (3 << 20)


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"a\0\0" + zlib.compress(BIG)),
        chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(BIG)),
        chunk(b"iCCP", b"a\0\0" + zlib.compress(BIG)),
        chunk(b"iCCP", b"a\0\7" + zlib.compress(b"profile")),
        chunk(b"tEXt", b"a\0text", flaw=1),
        chunk(b"gAMA", b"1"),
        chunk(b"eXIf", exif(turned())[6:], flaw=1) + chunk(b"tIME", b"1", flaw=1),
    ],
    ids=["zTXt", "iTXt", "iCCP", "odd iCCP", "flipped tEXt", "short gAMA", "flipped eXIf"],
)
def test_chunks_that_hold_no_pixel_are_read_past(tmp_path: Path, extra: bytes) -> None:
    block = b"" if b"eXIf" in extra else chunk(b"eXIf", exif(turned())[6:])
    before = png(tmp_path / "before.png", block, extra)
    with pytest.raises(Exception):  # noqa: B017, PT011  (whatever Pillow has for it)
        Image.open(before)
    note = "too large" if len(zlib.compress(BIG)) < len(extra) else "metadata passed over"
    assert_shows(before, orientation=6, note=note)
    # Behind the pixels Pillow reads past some of them itself.
    assert_shows(png(tmp_path / "behind.png", block, last=extra), orientation=6, note=None)


def test_pixels_that_are_damaged_stay_a_fault_of_the_file(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png")
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 20] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match="damaged or cut short"):
        decode(path)


def announcing(path: Path, width: int, height: int) -> Path:
    """A PNG that says it is so large."""
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")
    )
    return path


def test_an_image_of_too_many_pixels_is_refused_with_the_true_reason(tmp_path: Path) -> None:
    path = announcing(tmp_path / "a.png", 14_000, 13_000)
    assert read_header(path) == (14_000, 13_000, False)
    for read in (
        lambda: read_header(path, max_pixels=100_000_000),
        lambda: decode_to(path, 32, max_pixels=100_000_000),
    ):
        with pytest.raises(UnreadableImage) as refused:
            read()
        expected = "182 megapixels, allowed are 100 (data.max_pixels)"
        assert why_unreadable(refused.value) == expected
    path = announcing(tmp_path / "b.png", 50_000, 50_000)
    with pytest.raises(UnreadableImage, match="2,500 megapixels, allowed are 500"):
        decode(path)


def test_as_many_pixels_as_are_allowed_are_decoded(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png")
    assert decode_to(path, 16, max_pixels=WIDTH * HEIGHT).width == WIDTH
    with pytest.raises(UnreadableImage, match=r"0\.001536 megapixels, allowed are 0\.001535"):
        decode_to(path, 16, max_pixels=WIDTH * HEIGHT - 1)
    assert Data.model_fields["max_pixels"].default == MOST_PIXELS


def test_a_picture_within_a_file_is_not_larger_than_is_allowed(tmp_path: Path) -> None:
    inner = announcing(tmp_path / "inner.png", 20_000, 20_000).read_bytes()
    directory = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22)
    path = tmp_path / "a.ico"
    path.write_bytes(directory + inner)
    with pytest.raises(UnreadableImage, match=r"more pixels than are allowed \(data\.max_pixels"):
        decode_to(path, 16, max_pixels=1_000_000)


@pytest.mark.parametrize("error", [KeyError("a"), RecursionError(), AssertionError(), OSError(5)])
def test_whatever_a_decoder_raises_is_told_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object) -> ImageFile.ImageFile:
        raise error

    failing = {"JPEG": Opener(fails, openers()["JPEG"].accepts)}
    monkeypatch.setattr(opening, "openers", lambda: failing)
    path = jpeg(tmp_path / "a.jpg")
    for read in (decode, read_header, lambda path: decode_to(path, 16)):
        with pytest.raises(UnreadableImage, match="damaged or cut short"):
            read(path)
    assert UnreadableImage in UNREADABLE


def test_want_of_memory_is_said_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> ImageFile.ImageFile:
        raise MemoryError

    monkeypatch.setattr(opening, "openers", lambda: {"JPEG": Opener(fails, lambda _: True)})
    with pytest.raises(Hindered, match="more memory than there is"):
        decode(jpeg(tmp_path / "a.jpg"))


def test_no_library_warning_reaches_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    saved = BytesIO()
    photo().save(saved, "TIFF")
    content = bytearray(saved.getvalue())
    at = content.index(struct.pack("<HHI", 277, SHORT, 1))  # SamplesPerPixel
    content[at + 8] = 40
    (tmp_path / "samples.tif").write_bytes(content)
    jpeg(tmp_path / "short.jpg", exif(TEXT_IN_NUMBER, announced=9))
    announcing(tmp_path / "many.png", 14_000, 13_000)
    (tmp_path / "lzw.tif").write_bytes(compressed_tiff("tiff_lzw")[:-40])
    # libtiff speaks of this one itself, past Python.
    deflated = compressed_tiff("tiff_adobe_deflate")
    (tmp_path / "deflated.tif").write_bytes(deflated[:8] + b"\xff\xff" + deflated[10:])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for path in sorted(tmp_path.iterdir()):
            for read in (decode, read_header, lambda path: decode_to(path, 16)):
                with suppress(*UNREADABLE):
                    read(path)
    assert [str(each.message) for each in told] == []
    assert capfd.readouterr() == ("", "")


def compressed_tiff(compression: str) -> bytes:
    saved = BytesIO()
    photo().save(saved, "TIFF", compression=compression)
    return saved.getvalue()


def test_what_others_set_in_pillow_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 1)
    whole = png(tmp_path / "a.png", chunk(b"zTXt", b"a\0\0" + zlib.compress(b"a text")))
    assert_shows(whole, orientation=1)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(jpeg(tmp_path / "b.jpg").read_bytes()[:-200])
    with pytest.raises(UnreadableImage, match="cut short"):
        decode(cut)
    assert not logging.getLogger("PIL").propagate
