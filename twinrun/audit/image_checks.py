"""Checks of each image by itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from twinrun.audit.check import AuditedData, Check, Finding, frequencies
from twinrun.data.decoding import LONGEST, UNKNOWN
from twinrun.file_names import suffix_of

# Brightness, of 255: nearly black where 99 % of the pixels lie below this.
_DARK = 32
# A format has other names in other programs: phones write several pictures into one JPEG.
_SAME_FORMAT = {"MPO": "JPEG"}


class FileCheck(Check):
    """A check that names files, each with a reason."""

    @abstractmethod
    def reasons(self, data: AuditedData) -> Mapping[str, str]:
        """What is the matter with each file, by its path."""

    def find(self, data: AuditedData) -> list[Finding]:
        reasons = self.reasons(data)
        paths = sorted(reasons)
        lines = [f"{path}: {reasons[path]}" for path in paths]
        return [self.finding(len(paths), paths, lines)] if paths else []


class Unreadable(FileCheck):
    """Files that cannot be opened, or that no image can be decoded from."""

    name = "unreadable"
    severity = "error"
    title = "cannot be decoded"
    meaning = (
        "a file cannot be opened, is empty, or no image can be decoded from it. `run` ends here "
        'with exit code 2. A warning with `data.unreadable = "prior"`: training images are left '
        "out, test images get the share of each class"
    )

    def reasons(self, data: AuditedData) -> Mapping[str, str]:
        return data.unreadable

    def find(self, data: AuditedData) -> list[Finding]:
        found = super().find(data)
        if data.settings.data.unreadable != "prior":
            return found
        title = f"{self.title}: training images left out, test images given the classes' shares"
        return [replace(one, title=title, severity="warning") for one in found]


class PassedOver(FileCheck):
    """Files among the images that are no images, or that nobody asks for."""

    name = "passed-over"
    severity = "note"
    title = "files among the images that are not read"
    meaning = (
        "a file in a folder of images is no image by its first bytes, is of a format that cannot "
        "be decoded, or stands where no image is looked for"
    )

    def reasons(self, data: AuditedData) -> Mapping[str, str]:
        return data.passed_over


class ImageCheck(Check):
    """A check that asks the same of every image."""

    @abstractmethod
    def which(self, data: AuditedData) -> np.ndarray:
        """bool: the images that have the fault."""

    def values(self, data: AuditedData) -> Sequence[object] | pd.Series | None:
        """What is counted of those images; None for nothing."""
        del data
        return None

    def headline(self, data: AuditedData) -> str:
        """A finding's title."""
        del data
        return self.title

    def find(self, data: AuditedData) -> list[Finding]:
        which = self.which(data)
        if not which.any():
            return []
        return [
            self.finding(
                int(which.sum()),
                tuple(data.paths[which]),
                self.details(data, which),
                title=self.headline(data),
            )
        ]

    def details(self, data: AuditedData, which: np.ndarray) -> list[str]:
        """Lines about the images that have the fault."""
        values = self.values(data)
        return [] if values is None else frequencies(values, which)


class Part(ImageCheck):
    """Images that are damaged or cut short, of which a part is taken."""

    name = "partial"
    severity = "warning"
    title = "damaged or cut short: only a part of the picture is there"
    meaning = 'with `data.unreadable = "partial"` what is there of a damaged image was decoded'

    def which(self, data: AuditedData) -> np.ndarray:
        return (data.index["missing"] != "").to_numpy()

    def details(self, data: AuditedData, which: np.ndarray) -> list[str]:
        pairs = zip(data.paths[which], data.index["missing"][which], strict=True)
        return [f"{path}: {why}" for path, why in pairs]


class Blank(ImageCheck):
    """Images without a picture in them."""

    name = "blank"
    severity = "warning"
    title = "blank: hardly any difference in brightness"
    meaning = "98 % of the pixels lie within 8 of 255 levels of brightness"

    def which(self, data: AuditedData) -> np.ndarray:
        return data.blank


class Dark(ImageCheck):
    """Images in which nothing can be seen, though they are not blank."""

    name = "dark"
    severity = "warning"
    title = "nearly black"
    meaning = "99 % of the pixels are darker than 32 of 255"

    def which(self, data: AuditedData) -> np.ndarray:
        return ~data.blank & (data.fingerprints["high"].to_numpy() < _DARK)


class Shape(ImageCheck):
    """Panoramas and banners."""

    name = "shape"
    severity = "warning"
    title = f"more than {LONGEST} times as long as wide: both ends are cut off"
    meaning = "one side is more than four times the other: the cache cuts both ends off"

    def which(self, data: AuditedData) -> np.ndarray:
        short, long = data.sides()
        return long > LONGEST * short

    def values(self, data: AuditedData) -> list[str]:
        return data.shapes()


class Small(ImageCheck):
    """Images that are enlarged for training."""

    name = "small"
    severity = "note"
    title = "smaller than what is trained on"
    meaning = "an image is smaller than what is trained on"

    def which(self, data: AuditedData) -> np.ndarray:
        return data.sides()[0] < data.settings.largest_size()

    def values(self, data: AuditedData) -> list[str]:
        return data.shapes()

    def headline(self, data: AuditedData) -> str:
        return f"smaller than the {data.settings.largest_size()} px that are trained on"


class Extension(ImageCheck):
    """Files that are named as a different format; MPO counts as JPEG."""

    name = "extension"
    severity = "note"
    title = "not of the format that the extension says"
    meaning = "the content is of a different format than the name says"

    def which(self, data: AuditedData) -> np.ndarray:
        from PIL import Image

        formats = Image.registered_extensions()
        promised = [formats.get(suffix_of(path)) for path in data.paths]
        found = data.index["format"].replace(_SAME_FORMAT)
        pairs = zip(found, promised, strict=True)
        # A suffix that is no format's, or none, promises nothing; own code may read any file.
        return np.array(
            [other is not None and one not in (other, UNKNOWN) for one, other in pairs], bool
        )

    def details(self, data: AuditedData, which: np.ndarray) -> list[str]:
        pairs = zip(data.paths[which], data.index["format"][which], strict=True)
        return [f"{path}: {kind}" for path, kind in pairs]


class Mode(ImageCheck):
    """Images with alpha, a palette, or without colour."""

    name = "mode"
    severity = "note"
    title = "not plain RGB"
    meaning = "not RGB: alpha is dropped, grey and palettes become RGB"

    def which(self, data: AuditedData) -> np.ndarray:
        return (data.index["mode"] != "RGB").to_numpy()

    def values(self, data: AuditedData) -> pd.Series:
        return data.index["mode"]


class Orientation(ImageCheck):
    """Images that a viewer without EXIF shows turned."""

    name = "orientation"
    severity = "note"
    title = "lie on a side or are mirrored in the file: turned upright"
    meaning = "EXIF says that the picture lies on a side or is mirrored; it is turned upright"

    def which(self, data: AuditedData) -> np.ndarray:
        return (data.index["orientation"] != 1).to_numpy()

    def values(self, data: AuditedData) -> list[str]:
        return [f"EXIF orientation {number}" for number in data.index["orientation"]]


class Metadata(ImageCheck):
    """Images that may lie on a side, because what says so cannot be read."""

    name = "metadata"
    severity = "note"
    title = "metadata cannot be read whole; the pictures are decoded"
    meaning = (
        "a part of the metadata is damaged or too large: it is passed over, and where EXIF does "
        "not say how the picture lies it is taken as it is stored"
    )

    def which(self, data: AuditedData) -> np.ndarray:
        return (data.index["note"] != "").to_numpy()

    def details(self, data: AuditedData, which: np.ndarray) -> list[str]:
        pairs = zip(data.paths[which], data.index["note"][which], strict=True)
        return [f"{path}: {note}" for path, note in pairs]
