"""What a file is, its first bytes say: every format that Pillow decodes by itself, and no other."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageFile

from twinrun import image_files, image_formats
from twinrun.data.decoding import decode
from twinrun.data.opening import UnreadableImage
from twinrun.data.wide_values import ValueRange
from twinrun.file_names import stem_of, suffix_of
from twinrun.image_files import is_image, look_into, suffixes
from twinrun.image_formats import openers

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40
DICOM = b"\0" * 128 + b"DICM" + b"\2\0\0\0" * 20


def photo() -> Image.Image:
    rows, columns = np.mgrid[0:64, 0:64]
    pixels = np.stack([3 * columns, 4 * rows - rows // 8, 200 - columns - rows], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def saved(kind: str) -> bytes | None:
    """A photo in a format, in the first mode that it can be written in."""
    for mode in ("RGB", "L", "P", "1", "RGBA", "F"):
        content = BytesIO()
        # Each format refuses other modes, in its own way.
        with suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            photo().convert(mode).save(content, kind)
            return content.getvalue()
    return None


def written() -> dict[str, bytes]:
    image_formats.openers()
    contents = {kind: saved(kind) for kind in openers() if kind in Image.SAVE}
    return {kind: content for kind, content in contents.items() if content is not None}


WRITTEN = written()
# Formats whose first bytes do not tell.
BY_SUFFIX = {kind for kind, opener in openers().items() if opener.accepts is None}


def test_the_formats_are_those_that_pillow_decodes_without_another_program() -> None:
    known = set(openers())
    assert known >= {"JPEG", "PNG", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "GIF", "BMP", "TGA"}
    assert known >= {"DDS", "FITS", "ICNS", "ICO", "PCX", "PSD", "QOI", "SGI", "XBM", "XPM"}
    assert not known & {"EPS", "MPEG", "WMF", "GRIB", "HDF5", "BUFR", "PDF", "PALM"}
    assert len(WRITTEN) > 15


@pytest.mark.parametrize("kind", WRITTEN)
def test_every_format_counts_with_any_suffix_or_none(tmp_path: Path, kind: str) -> None:
    own = [suffix for suffix, of in Image.EXTENSION.items() if of == kind]
    names = [f"a{suffix}{more}" for suffix in own for more in (suffix, suffix.upper())]
    if kind not in BY_SUFFIX or not own:
        names += ["a", "a.b.c", "a.jpg_large", "a.csv", "ümlaut 1"]
    for name in names:
        (tmp_path / name).write_bytes(WRITTEN[kind])
        assert is_image(tmp_path, name), name
        assert look_into(str(tmp_path / name)) is None, name
        # An icon holds several sizes, the largest of which is taken.
        assert min(decode(tmp_path / name, scale=ValueRange(0, 255)).size) >= 64


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes", b"Python notes\nP1 is first\n", "text"),
        ("a.csv", b"P6,label\n1,2\n", "text"),
        ("a.h", b"#define WIDTH 3\nint a;\n", "text"),
        ("a.json", b'{"a": 1}', "text"),
        ("a.im", b"Image type: none that there is\n", "text"),
        ("latin", "Größe".encode("latin-1"), "text"),
        ("GIF is a format.txt", b"GIF89a is what they begin with\n", "text"),
        ("a.npy", b"\x93NUMPY\1\0" + b"\0" * 90, "not an image"),
        ("a.bin", b"\x28\0\0\0" + b"\xff" * 90, "not an image"),
        ("a.pkl", b"\x0a\x05" + b"\xff" * 90, "not an image"),
        ("a.zip", b"PK\3\4" + b"\0" * 90, "a ZIP archive"),
        ("a.pdf", b"%PDF-1.7\n" + b"\0" * 90, "PDF"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "EPS"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 90, "HDF5"),
        ("a.mpg", b"\0\0\1\xb3\x14\0\xf0\x23" + b"\0" * 90, "MPEG"),
        ("a.heic", HEIC, "HEIC"),
        ("a", HEIC, "HEIC"),
        ("a.dcm", DICOM, "DICOM"),
        ("a.pcd", b"# .PCD v.7 - Point Cloud Data\nVERSION .7\n", "text"),
        ("empty", b"", "empty"),
    ],
)
def test_what_is_no_image_is_called_what_it_is(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert not is_image(tmp_path, name)
    found = look_into(str(tmp_path / name))
    assert found is not None
    assert found.words == words


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_damaged_image_is_an_image_all_the_same(tmp_path: Path, kind: str) -> None:
    # It is told with the images that cannot be read, and not passed over.
    (tmp_path / "a").write_bytes(WRITTEN[kind][:20] + b"\0" * 9)
    assert is_image(tmp_path, "a")
    with pytest.raises(UnreadableImage):
        decode(tmp_path / "a")


def test_a_picture_that_cannot_be_read_here_comes_with_what_to_do(tmp_path: Path) -> None:
    for content, advice in ((HEIC, "pillow-heif"), (DICOM, "save it as PNG")):
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(UnreadableImage, match=advice):
            decode(tmp_path / "a.jpg")


def test_a_pipe_and_a_folder_are_no_images_and_are_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "folder", Path("/dev/zero"), tmp_path / "nothing"):
        assert not is_image(place.parent, place.name)
        assert look_into(str(place)) is not None


def test_a_file_with_the_suffix_of_an_image_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(image_files, "look_into", opened.append)
    names = ["a.jpg", "a.JPEG", "a.png", "a.avif", "a.jpe", "a.ppm", "a.jp2", "a.tga", "a.webp"]
    assert all(is_image(tmp_path, name) for name in names)
    assert opened == []
    assert is_image(tmp_path, "a.jpg_large")
    assert len(opened) == 1


def test_suffixes_that_mean_other_things_elsewhere_are_not_believed() -> None:
    assert not suffixes() & {
        ".pcd",
        ".h5",
        ".hdf",
        ".im",
        ".fit",
        ".ps",
        ".eps",
        ".mpg",
        ".pdf",
        "",
    }
    assert suffixes() >= {
        ".bmp",
        ".gif",
        ".jfif",
        ".jpeg",
        ".jpg",
        ".png",
        ".tif",
        ".tiff",
        ".webp",
    }


def test_names_are_taken_apart_at_the_last_dot() -> None:
    for name, stem, suffix in (
        ("a.JPG", "a", ".jpg"),
        ("a", "a", ""),
        ("a.b.c", "a.b", ".c"),
        ("20288C.jpg_large", "20288C", ".jpg_large"),
    ):
        assert (stem_of(name), suffix_of(name)) == (stem, suffix)
    assert suffix_of("folder.d/a") == ""


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that decodes HEIC, as pillow-heif adds itself to Pillow: each is a grey picture."""

    class Grey(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self) -> None:
            assert self.fp is not None
            self._mode, self._size = "L", (20, 10)
            self.im = Image.new("L", self._size, 90).im

        def load(self) -> None:
            return None

    def register() -> None:
        Image.register_open("HEIF", Grey, lambda head: head[4:12] == b"ftypheic")
        Image.register_mime("HEIF", "image/heif")
        Image.register_extension("HEIF", ".heic")

    module = ModuleType("pillow_heif")
    vars(module).update(register_heif_opener=register, __version__="9.9")
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    for name in ("OPEN", "MIME", "EXTENSION"):
        monkeypatch.setattr(Image, name, dict(getattr(Image, name)))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    cached = (image_formats.openers, image_formats.plugins, image_files.suffixes)
    for each in cached:
        each.cache_clear()
    yield
    monkeypatch.undo()
    for each in cached:
        each.cache_clear()


def test_heic_counts_where_the_plugin_is_installed(tmp_path: Path, plugin: None) -> None:
    del plugin
    for name in ("a.heic", "a", "a.jpg"):
        (tmp_path / name).write_bytes(HEIC)
        assert is_image(tmp_path, name)
        assert decode(tmp_path / name).getpixel((0, 0)) == (90, 90, 90)
    assert ".heic" in suffixes()
    assert image_formats.plugins() == {"pillow_heif": "9.9"}
