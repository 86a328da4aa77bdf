"""Image formats: those that Pillow decodes by itself, and how others are called.

The formats are those of Pillow's own registry, so that a newer Pillow brings its own. Left out are
those that Pillow hands to another program or knows by name only. HEIC counts where the package
pillow-heif is installed, which adds itself to that registry.

What Pillow keeps for the whole process is set here, where every process comes by that reads an
image: loaders, threads of the cache, nodes of a cluster.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from PIL import Image, ImageFile, PngImagePlugin, _imaging

# Formats that Pillow opens and does not decode by itself, beside its stubs, which have a class.
_LEFT_OUT = {"EPS": "starts Ghostscript", "MPEG": "a film: no frame of it is decoded"}
# So much of a file is looked at; DICOM says what it is after 128 bytes.
HEAD = 512
# So much of it Pillow's own checks are given.
_PREFIX = 16
# Distributions that add a format to Pillow, by the name of the module: the call that does it.
_PLUGINS = {"pillow_heif": "register_heif_opener"}
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_FROM_PILLOW = re.compile(r"PIL\.")
# Bytes that stand in a text: all but the control characters.
_TEXT = bytes({7, 8, 9, 10, 12, 13, 27} | set(range(0x20, 0x100)) - {0x7F})


class Opener(NamedTuple):
    """How Pillow opens files of a format.

    Attributes:
        factory: Makes an image of an open file, whose pixels are not decoded yet.
        accepts: Whether the first bytes are of the format; None where they cannot tell.
    """

    factory: Callable[[Any, str], Any]
    accepts: Callable[[bytes], Any] | None

    def knows(self, head: bytes) -> bool:
        """Whether these first bytes are of the format."""
        try:
            # A text in place of a yes says which library this Pillow was built without.
            return self.accepts is not None and self.accepts(head[:_PREFIX]) is True
        except Exception:  # so few bytes are no format's
            return False


class Other(NamedTuple):
    """A file that is no image that can be decoded here.

    Attributes:
        words: What it is: "DICOM", "text".
        advice: What to do where it is a picture; empty where it is none.
        package: What decodes it where it is installed.
    """

    words: str
    advice: str = ""
    package: str = ""

    def __str__(self) -> str:
        return f"{self.words}: {self.advice}" if self.advice else self.words


@cache
def openers() -> dict[str, Opener]:
    """The formats that are decoded, by Pillow's names, in the order in which Pillow tries them."""
    _silence()
    plugins()
    Image.init()
    return {
        name: Opener(factory, accepts)
        for name in Image.ID
        for factory, accepts in [Image.OPEN[name]]
        if name not in _LEFT_OUT
        and not (isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile))
    }


@cache
def plugins() -> dict[str, str]:
    """The versions of the installed packages that add a format to Pillow, by module."""
    found = {}
    for name, register in _PLUGINS.items():
        with suppress(ImportError):
            module = import_module(name)
            getattr(module, register)()
            found[name] = str(module.__version__)
    return found


def set_pillow(max_pixels: int) -> None:
    """Set what Pillow keeps for the whole process; before each image, since others may set it too.

    Args:
        max_pixels: Of a picture within a file, as in an icon; Pillow refuses one that has more.
            Those of the file itself whoever opens it counts.
    """
    Image.MAX_IMAGE_PIXELS = (max_pixels + 1) // 2  # it warns from here, and refuses from twice it
    # Larger texts and colour profiles are not unpacked.
    PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = 1 << 20, 64 << 20
    # What is missing of a file is not filled with grey.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    # What it warns of (damaged metadata, many pixels) is found here too, and told with the file's
    # name. An entry of this list: action, message, category, module, line; the first one counts.
    if not warnings.filters or warnings.filters[0][3] != _FROM_PILLOW:
        warnings.filterwarnings("ignore", module=_FROM_PILLOW.pattern)


def _silence() -> None:
    """Keep Pillow's log and libtiff's own messages from the terminal, for the whole process."""
    import ctypes  # few processes read images

    log = logging.getLogger("PIL")
    log.propagate = False
    log.addHandler(logging.NullHandler())
    # libtiff prints its errors itself, beside giving them to Pillow, which silences its warnings
    # only. It is found among the libraries that Pillow's own one is linked with.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def what_else(head: bytes) -> Other:
    """What a file is that no opener knows, by its first bytes."""
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        advice = "install the package pillow-heif, or save it as JPEG or PNG"
        return Other("HEIC", advice, "pillow-heif")
    if head[128:132] == b"DICM":
        return Other(
            "DICOM",
            "a medical image with more values than a photo; save it as PNG, in the window of "
            "values that shows what is asked for",
        )
    for name, opener in Image.OPEN.items():
        if name not in openers() and Opener(*opener).knows(head):
            reason = _LEFT_OUT.get(name, "Pillow does not decode it by itself")
            return Other(name, f"{reason}; save it as PNG")
    for words, start in (("PDF", b"%PDF"), ("a ZIP archive", b"PK\x03\x04")):
        if head.startswith(start):
            return Other(words)
    if not head:
        return Other("empty")
    return Other("text" if is_text(head) else "not an image")


def is_text(head: bytes) -> bool:
    """Whether no byte is one that stands in no text."""
    return not head.translate(None, _TEXT)
