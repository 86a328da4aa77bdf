"""Image files as the competitor's function `read_image` reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

from twinrun.data.decoding import DecodedImage, format_of, in_cache
from twinrun.data.opening import UnreadableImage
from twinrun.errors import InputError
from twinrun.hooks.calls import OwnHook
from twinrun.hooks.opened import allowing
from twinrun.repro.keys import Key


@dataclass(frozen=True)
class OwnReader:
    """Reads one image after the other: nobody says that the competitor's code bears threads.

    The global generators are set before each image from its name, so that what draws from them
    gives the same pixels in every order.

    Attributes:
        hook: `read_image` of hooks.py.
    """

    hook: OwnHook
    _one_at_a_time: Lock = field(default_factory=Lock, repr=False, compare=False)

    def read(self, path: Path) -> Image.Image:
        """An image of mode RGB, in the size that the function gives it.

        Raises:
            OSError: The function finds that the file is no image that it can read.
            UnreadableImage: Likewise, in the engine's own words.
            InputError: It raises a different error, or gives no image.
        """
        with self._one_at_a_time, allowing(path):
            Key(("read_image", path.name)).seed_generators()
            try:
                given = self.hook(path=path)
            except InputError as error:
                if isinstance(error.__cause__, OSError | UnreadableImage):
                    raise error.__cause__ from None
                details = [*error.details, f"while it read {path}"]
                raise InputError(error.what, details=details, fix=error.fix) from error
        return self._image(given, path)

    def decode(self, path: Path, size: int) -> DecodedImage:
        """As `decoding.decode_to`.

        Raises:
            Exception: As `read`.
        """
        image = self.read(path)
        resized = in_cache(image, image.width, image.height, size)
        kind = format_of(path)
        return DecodedImage(resized, kind, image.mode, image.width, image.height, 1, "", None, "")

    def _image(self, given: object, path: Path) -> Image.Image:
        if isinstance(given, Image.Image):
            if given.mode == "RGB" and given.width and given.height:
                return given
            raise self.hook.refuse(f"an image of mode {given.mode} and {given.size} for {path}")
        if isinstance(given, np.ndarray):
            if given.dtype == np.uint8 and given.shape[2:] == (3,) and given.size:
                return Image.fromarray(np.ascontiguousarray(given))
            raise self.hook.refuse(f"an array of {given.dtype}, {given.shape}, for {path}")
        raise self.hook.refuse(f"{type(given).__name__} for {path}")
