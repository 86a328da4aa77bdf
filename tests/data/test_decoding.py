"""Every image file becomes upright RGB, and the digest sees exactly what the pixels say."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from twinrun.data.decoding import bytes_digest, decode, decode_to, read_header
from twinrun.data.opening import UNREADABLE
from twinrun.data.wide_values import ValueRange
from twinrun.image_files import suffixes

TESTS = Path(__file__).parents[1]
FIXTURE = TESTS / "fixture"
ORIENTATION = 0x0112

# An upright picture from the pixels that a file of that orientation stores, after the table of the
# EXIF standard: which side of the picture the first stored row and the first stored column are.
STORED: dict[int, Callable[[Any], Any]] = {
    1: lambda upright: upright,  # top, left
    2: lambda upright: upright[:, ::-1],  # top, right
    3: lambda upright: upright[::-1, ::-1],  # bottom, right
    4: lambda upright: upright[::-1],  # bottom, left
    5: lambda upright: upright.swapaxes(0, 1),  # left, top
    6: lambda upright: upright[:, ::-1].swapaxes(0, 1),  # right, top
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda upright: upright[::-1].swapaxes(0, 1),  # left, bottom
}


def pixel_digest(image: Image.Image) -> str:
    return bytes_digest(image.tobytes(), image.width, image.height)


def load_script() -> Any:
    """The script that drew the fixture, from its path: a folder of the same name lies beside it."""
    spec = importlib.util.spec_from_file_location("draw_decoding_script", TESTS / "fixture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # NamedTuples look their module up while they are being made.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


drawing = load_script()
QUIRKS = {item.id: item for item in drawing.QUIRKS}


def drawn() -> Image.Image:
    """A small picture that no turning or mirroring leaves as it is; each pixel is different."""
    height, width = 5, 7
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([30 * columns, 50 * rows, 255 - 7 * columns * rows], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def pixels(image: Image.Image) -> list[Any]:
    """The values of an image, row by row: as a list, so that a failing test shows them."""
    values: list[Any] = np.asarray(image).tolist()
    return values


def save(image: Image.Image, path: Path, **options: Any) -> None:
    """Save an image without loss."""
    if path.suffix == ".webp":
        options["lossless"] = True
    image.save(path, **options)


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    """The largest channel's mean absolute difference, in levels of 255."""
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


@pytest.mark.parametrize("image_id", QUIRKS)
def test_each_odd_file_of_the_fixture_decodes_to_the_picture_that_was_drawn(image_id: str) -> None:
    item = QUIRKS[image_id]
    decoded = decode(FIXTURE / item.path)
    expected = drawing.draw_photo(item.twin or item.id, item.label)
    if item.quirk == "grey":
        expected = expected.convert("L").convert("RGB")
    assert decoded.mode == "RGB"
    assert decoded.size == expected.size
    # What JPEG or 64 colours lose; a turned, mirrored or inverted picture differs by far more.
    assert mean_difference(decoded, expected) < 12
    assert mean_difference(decoded.rotate(180), expected) > 12
    assert mean_difference(ImageChops.invert(decoded), expected) > 12


def images() -> list[Path]:
    return [path for path in FIXTURE.rglob("*.*") if path.suffix != ".csv"]


def test_every_image_of_the_fixture_decodes_to_rgb() -> None:
    assert {path.suffix.lower() for path in images()} >= {".jpg", ".jfif", ".jpeg", ".png", ".gif"}
    assert {decode(path).mode for path in images()} == {"RGB"}


def test_in_its_own_size_nothing_is_resized() -> None:
    # What is promised here of `decode` holds for what goes into a cache.
    for path in images():
        whole = decode(path)
        cached = decode_to(path, min(whole.size))
        assert pixel_digest(cached.image) == pixel_digest(whole), path
        assert (cached.width, cached.height) == whole.size


def test_orientation_6_of_the_fixture_is_the_same_picture_stored_upright(tmp_path: Path) -> None:
    turned = FIXTURE / QUIRKS["R7D2XQ"].path
    with Image.open(turned) as image:
        assert image.getexif()[ORIENTATION] == 6
        stored = np.asarray(image)
    # The first stored row is the right side: a quarter turn clockwise brings it there.
    upright = tmp_path / "upright.png"
    Image.fromarray(np.rot90(stored, k=-1)).save(upright)
    assert pixels(decode(turned)) == pixels(decode(upright))
    assert pixel_digest(decode(turned)) == pixel_digest(decode(upright))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_every_exif_orientation_is_turned_upright(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = np.ascontiguousarray(STORED[orientation](np.asarray(drawn())))
    path = tmp_path / f"turned{suffix}"
    save(Image.fromarray(stored), path, exif=exif)
    assert pixels(decode(path)) == pixels(drawn())


def test_a_16_bit_grey_image_is_turned_upright_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    upright = np.arange(6, dtype=np.uint16).reshape(2, 3) * 0x1010
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(STORED[6](upright))).save(path, exif=exif)
    found = decode(path, scale=ValueRange(0, 0xFFFF))
    assert np.asarray(found)[:, :, 0].tolist() == (upright // 0x101).tolist()


def test_alpha_leaves_the_colours_of_the_file(tmp_path: Path) -> None:
    picture = drawn()
    # From fully transparent to opaque: blending with any background would change a colour.
    alpha = Image.linear_gradient("L").resize(picture.size)
    alpha.putpixel((3, 2), 0)
    path = tmp_path / "alpha.png"
    Image.merge("RGBA", (*picture.split(), alpha)).save(path)
    assert pixels(decode(path)) == pixels(picture)


def test_grey_with_alpha_leaves_the_greys_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "alpha.png"
    Image.fromarray(np.array([[[200, 0], [30, 255]]], dtype=np.uint8), "LA").save(path)
    assert pixels(decode(path)) == [[[200, 200, 200], [30, 30, 30]]]


def palette_image() -> Image.Image:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 200, 100, 50, 1, 255, 2])
    image.putdata([2, 0, 1])
    return image


@pytest.mark.parametrize(
    "transparency",
    [
        pytest.param(None, id="opaque"),
        pytest.param(0, id="one entry transparent"),
        pytest.param(b"\x00\x80\xff", id="an alpha per entry"),
    ],
)
def test_a_palette_is_looked_up_whatever_of_it_is_transparent(
    tmp_path: Path, transparency: int | bytes | None
) -> None:
    path = tmp_path / "palette.png"
    options = {} if transparency is None else {"transparency": transparency}
    save(palette_image(), path, **options)
    assert pixels(decode(path)) == [[[1, 255, 2], [10, 20, 30], [200, 100, 50]]]


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_is_not_inverted(tmp_path: Path, suffix: str) -> None:
    colour = (250, 200, 10)
    path = tmp_path / f"inks{suffix}"
    Image.new("RGB", (16, 16), colour).convert("CMYK").save(path, quality=100)
    with Image.open(path) as image:
        assert image.mode == "CMYK"
    [[decoded]] = np.asarray(decode(path).resize((1, 1))).tolist()
    assert decoded == pytest.approx(colour, abs=3)


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(np.array([[0, 77, 255]], dtype=np.uint8)).save(path)
    assert pixels(decode(path)) == [[[0, 0, 0], [77, 77, 77], [255, 255, 255]]]


def test_black_and_white_become_the_ends_of_the_scale(tmp_path: Path) -> None:
    path = tmp_path / "bilevel.png"
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    image.save(path)
    assert pixels(decode(path)) == [[[0, 0, 0], [255, 255, 255]]]


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    first, second = Image.new("P", (4, 3), 0), Image.new("P", (4, 3), 1)
    for frame in (first, second):
        frame.putpalette([200, 30, 40, 20, 220, 60])
    path = tmp_path / "moving.gif"
    first.save(path, save_all=True, append_images=[second], duration=100)
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 2
    assert decode(path).getcolors() == [(12, (200, 30, 40))]


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    named_jpg = tmp_path / "really_a_png.jpg"
    drawn().save(named_jpg, "PNG")
    assert pixels(decode(named_jpg)) == pixels(drawn())


@pytest.mark.parametrize("suffix", [".bmp", ".png", ".tif", ".tiff", ".webp"])
def test_a_lossless_file_decodes_to_the_pixels_that_were_saved(tmp_path: Path, suffix: str) -> None:
    assert suffix in suffixes()
    path = tmp_path / f"picture{suffix}"
    save(drawn(), path)
    assert pixels(decode(path)) == pixels(drawn())


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged metadata before it gives up
@settings(
    max_examples=150,
    derandomize=True,  # it tries a library of others, whose next slip shall not come by chance
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_damaged_file_gives_an_image_or_one_of_the_named_errors(
    tmp_path: Path, data: st.DataObject
) -> None:
    # Anything else would end the command with a traceback.
    kind = data.draw(st.sampled_from(["5RL2B0", "A9E3KS", "M2ZQ7F", "R7D2XQ", "W7RCF8"]))
    content = bytearray((FIXTURE / QUIRKS[kind].path).read_bytes())
    for _ in range(data.draw(st.integers(0, 5))):
        # Most structure stands at the start of a file.
        place = data.draw(st.integers(0, 300) | st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    path = tmp_path / "damaged.jpg"
    path.write_bytes(content[:cut])
    with suppress(*UNREADABLE):
        assert decode(path).mode == "RGB"
    with suppress(*UNREADABLE):
        read_header(path)
    with suppress(*UNREADABLE):
        assert decode_to(path, 16).image.mode == "RGB"


@pytest.mark.parametrize("image_id", ["004217", "X10A7L", "A9E3KS", "M2ZQ7F", "D8XL5G"])
def test_a_file_that_is_cut_short_is_refused_and_not_filled_with_grey(
    tmp_path: Path, image_id: str
) -> None:
    source = FIXTURE / QUIRKS[image_id].path
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(UNREADABLE):
        decode(path)
    with pytest.raises(UNREADABLE):
        decode_to(path, 16)


THREE_SIZES = (
    b"Image type: Greyscale image\r\nImage size (x*y): 6*4*3\r\n".ljust(511, b"\0")
    + b"\x1a"
    + bytes(24)
)


@pytest.mark.parametrize(
    "content",
    [b"", b"no image at all\n", THREE_SIZES],
    ids=["empty", "text", "an IM file with three sizes"],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    for read in (decode, read_header, lambda path: decode_to(path, 16)):
        with pytest.raises(UNREADABLE):
            read(path)


def test_the_digest_sees_one_changed_level_of_one_channel() -> None:
    changed = drawn()
    red, green, blue = changed.getpixel((6, 4))  # type: ignore[misc]
    changed.putpixel((6, 4), (red, green, blue ^ 1))
    assert pixel_digest(changed) != pixel_digest(drawn())


@pytest.mark.parametrize("turn", Image.Transpose)
def test_the_digest_sees_every_flip_and_turn(turn: Image.Transpose) -> None:
    assert pixel_digest(drawn().transpose(turn)) != pixel_digest(drawn())


def test_the_digest_sees_another_shape_of_the_same_bytes() -> None:
    wide = drawn()
    tall = Image.frombytes("RGB", wide.size[::-1], wide.tobytes())
    flat = Image.frombytes("RGB", (wide.width * wide.height, 1), wide.tobytes())
    assert wide.tobytes() == tall.tobytes() == flat.tobytes()
    assert len({pixel_digest(image) for image in (wide, tall, flat)}) == 3


def test_the_digest_does_not_see_the_file_format(tmp_path: Path) -> None:
    paths = [tmp_path / "picture.png", tmp_path / "picture.bmp", tmp_path / "picture.tif"]
    for path in paths:
        drawn().save(path)
    assert len({path.read_bytes() for path in paths}) == 3
    assert {pixel_digest(decode(path)) for path in paths} == {pixel_digest(drawn())}


def test_the_digest_is_what_it_always_was() -> None:
    # It is part of every member's record: another one would make all trained members stale.
    assert pixel_digest(drawn()) == "e6f231ac1a9320f96ae38b9e49c4c4b0"
