"""What is there of an image that is cut short: decoded where asked for, the same each time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from twinrun.data.decoding import DecodedImage, decode_to
from twinrun.data.opening import UnreadableImage
from twinrun.data.wide_values import ValueRange

SIDE = 96


def picture() -> Image.Image:
    """Noise, so that no part of a file is small, and a bright frame, so that no row is black."""
    values = np.random.default_rng(5).integers(60, 256, (SIDE, SIDE, 3), np.uint8)
    return Image.fromarray(values)


def written(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    content = BytesIO()
    (image or picture()).save(content, kind, **options)
    return content.getvalue()


CUT: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: written("JPEG", quality=95),
    "PNG": lambda: written("PNG"),
    "GIF": lambda: written("GIF", interlace=0),
    "BMP": lambda: written("BMP"),
    "TIFF": lambda: written("TIFF"),
    "MPO": lambda: written("MPO", quality=95),
}


def before_the_first_block() -> bytes:
    """A JPEG of which no pixel is there; its decoder makes an even grey of that."""
    content = CUT["JPEG"]()
    scan = content.index(b"\xff\xda")
    return content[: scan + 2 + int.from_bytes(content[scan + 2 : scan + 4])]


def part_of(content: bytes, scale: ValueRange | None = None) -> DecodedImage:
    return decode_to(BytesIO(content), SIDE, part=True, scale=scale)


@pytest.mark.parametrize("kind", CUT)
def test_the_rows_that_are_there_are_those_of_the_whole_file(kind: str) -> None:
    content = CUT[kind]()
    cut = content[: len(content) * 6 // 10]
    with pytest.raises(UnreadableImage) as refused:
        decode_to(BytesIO(cut), SIDE)
    found, whole = part_of(cut), decode_to(BytesIO(content), SIDE)
    assert (found.width, found.height) == (SIDE, SIDE)
    # What is wrong with the file is told as where it is refused.
    assert found.missing == str(refused.value)
    assert found.missing.startswith("damaged or cut short (")
    # A BMP begins with its last row.
    turn = -1 if kind == "BMP" else 1
    ours, theirs = (np.asarray(each.image)[::turn] for each in (found, whole))
    assert (ours[: SIDE // 3] == theirs[: SIDE // 3]).all()
    assert (ours[-SIDE // 6 :] != theirs[-SIDE // 6 :]).any()


def test_of_a_progressive_jpeg_all_rows_are_there_in_less_detail() -> None:
    content = written("JPEG", Image.effect_mandelbrot((SIDE, SIDE), (-2, -1, 1, 1), 30), quality=90)
    smooth = Image.open(BytesIO(content)).convert("RGB")
    content = written("JPEG", smooth, quality=90, progressive=True)
    found = np.asarray(part_of(content[: len(content) * 6 // 10]).image).astype(int)
    assert np.abs(found - np.asarray(smooth)).mean() < 20
    assert found[-4:].std() > 1


def test_the_same_bits_each_time_and_in_any_thread() -> None:
    cut = CUT["JPEG"]()[:9000]
    whole = CUT["PNG"]()

    def decode(number: int) -> bytes:
        return part_of(cut).pixels if number % 2 else decode_to(BytesIO(whole), SIDE).pixels

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(decode, range(64)))
    assert len(set(found)) == 2


def test_no_other_decoding_is_told_to_fill_what_is_missing() -> None:
    # Pillow's own way is one switch for the whole process: other threads would obey it too.
    cut = CUT["PNG"]()[:9000]
    part_of(cut)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    with pytest.raises(UnreadableImage):
        decode_to(BytesIO(cut), SIDE)


def test_a_whole_file_is_what_it_is_without_being_asked_for_a_part() -> None:
    for make in CUT.values():
        found, plain = part_of(make()), decode_to(BytesIO(make()), SIDE)
        assert found.missing == plain.missing == ""
        assert found.digest == plain.digest


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"404 not found", id="text"),
        pytest.param(CUT["JPEG"]()[:30], id="cut within the header"),
        pytest.param(CUT["PNG"]()[:45], id="cut before the first row"),
        pytest.param(before_the_first_block(), id="cut before the first block"),
        pytest.param(CUT["TIFF"]()[:40], id="cut before its table"),
    ],
)
def test_where_nothing_is_there_it_stays_refused(content: bytes) -> None:
    with pytest.raises(UnreadableImage) as whole:
        decode_to(BytesIO(content), SIDE)
    with pytest.raises(UnreadableImage) as part:
        part_of(content)
    assert str(part.value) == str(whole.value)


@pytest.mark.parametrize("share", range(20, 100, 2))
def test_of_a_progressive_jpeg_a_black_picture_is_no_part(share: int) -> None:
    # Cut between two scans, its decoder may give up before it writes anything.
    content = written("JPEG", quality=95, progressive=True)
    with suppress(UnreadableImage):
        assert part_of(content[: len(content) * share // 100]).image.getbbox()


def test_an_even_background_is_a_picture() -> None:
    values = np.full((SIDE, SIDE, 3), 200, np.uint8)
    values[5:9, 5:9] = 30
    # So that the file is not too small to be cut in its last rows.
    values[-8:] = np.random.default_rng(8).integers(0, 256, (8, SIDE, 3), np.uint8)
    for kind in ("PNG", "TIFF", "JPEG"):
        content = written(
            kind, Image.fromarray(values), **({"quality": 95} if kind == "JPEG" else {})
        )
        found = np.asarray(part_of(content[: len(content) - 400]).image).astype(int)
        assert np.abs(found[20:76] - 200).max() <= 2


@pytest.mark.parametrize("size", [SIDE, SIDE // 2, 9])
@pytest.mark.parametrize("kind", CUT)
def test_what_is_enough_does_not_depend_on_the_size(kind: str, size: int) -> None:
    content = written(
        kind,
        picture().resize((SIDE, 8 * SIDE)),
        **({"quality": 95} if kind in ("JPEG", "MPO") else {}),
    )
    few, enough = (content[: int(len(content) * share)] for share in (0.035, 0.12))
    with pytest.raises(UnreadableImage):
        decode_to(BytesIO(few), size, part=True)
    assert decode_to(BytesIO(enough), size, part=True).missing


@pytest.mark.parametrize("high", [300, 4096, 65_535])
def test_what_is_enough_does_not_depend_on_the_range(high: int) -> None:
    values = np.random.default_rng(6).integers(300, 4096, (SIDE, SIDE), np.uint16)
    content = written("TIFF", Image.fromarray(values))
    scale = ValueRange(0, high)
    assert part_of(content[: len(content) // 10], scale).missing
    with pytest.raises(UnreadableImage):
        part_of(content[: len(content) // 30], scale)


def even_palette() -> Image.Image:
    """Of which the first colour is white."""
    image = picture().quantize(200)
    palette = image.getpalette()
    assert palette
    image.putpalette([255, 255, 255, *palette[3:]])
    return image


@pytest.mark.parametrize(
    ("kind", "make", "scale"),
    [
        pytest.param("PNG", even_palette, None, id="a palette"),
        pytest.param("TIFF", lambda: picture().convert("CMYK"), None, id="inks"),
        pytest.param(
            "TIFF",
            lambda: Image.fromarray(
                np.random.default_rng(3).integers(500, 900, (SIDE, SIDE)).astype(np.int32)
            ),
            ValueRange(-900, 900),
            id="values below 0",
        ),
    ],
)
def test_what_is_missing_is_black_and_has_no_values(
    kind: str, make: Callable[[], Image.Image], scale: ValueRange | None
) -> None:
    content = written(kind, make())
    found = part_of(content[: len(content) * 6 // 10], scale)
    shown = np.asarray(found.image)
    assert shown[: SIDE // 3].max() > 0
    assert shown[-SIDE // 4 :].max() == 0
    if found.values:
        assert found.values.lowest >= 500


def test_a_number_that_is_none_is_there() -> None:
    values = np.random.default_rng(6).random((SIDE, SIDE)).astype(np.float32)
    values[: SIDE // 2] = np.nan
    content = written("TIFF", Image.fromarray(values))
    assert part_of(content[: len(content) * 55 // 100], ValueRange(0, 1)).missing


def test_limits_hold_for_a_part_too() -> None:
    cut = CUT["PNG"]()[:9000]
    with pytest.raises(UnreadableImage, match=r"data\.max_pixels"):
        decode_to(BytesIO(cut), SIDE, part=True, max_pixels=SIDE)


def test_a_part_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = written("JPEG", picture().resize((SIDE, 2 * SIDE)), exif=exif, quality=95)
    found = part_of(content[: len(content) * 6 // 10])
    assert (found.width, found.height, found.orientation) == (2 * SIDE, SIDE, 6)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_of_values_of_more_than_8_bits_a_part_is_seen_in_the_range(kind: str) -> None:
    values = np.random.default_rng(6).integers(300, 4096, (SIDE, SIDE), np.uint16)
    content = written(kind, Image.fromarray(values))
    scale = ValueRange(0, 4095)
    found = part_of(content[: len(content) * 6 // 10], scale)
    assert found.missing
    rows = np.asarray(found.image)[: SIDE // 3, :, 0]
    assert (rows == scale.to_bytes(values[: SIDE // 3])).all()


def test_a_jpeg_that_is_reduced_as_it_is_decoded(tmp_path: Path) -> None:
    content = written("JPEG", picture().resize((8 * SIDE, 8 * SIDE)), quality=95)
    found = decode_to(BytesIO(content[: len(content) * 6 // 10]), SIDE // 2, part=True)
    assert found.missing
    assert (found.width, found.height) == (8 * SIDE, 8 * SIDE)
    assert found.image.size == (SIDE // 2, SIDE // 2)
