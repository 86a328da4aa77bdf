"""Checks of images of more than 8 bits a value: what of them is seen."""

from __future__ import annotations

import numpy as np

from twinrun.audit.check import AuditedData, Check, Finding, frequencies
from twinrun.data.wide_values import ValueRange, number
from twinrun.errors import shorten


class Values(Check):
    """Images of more than 8 bits a value, and the range that they are seen in."""

    name = "values"
    severity = "note"
    title = "more than 8 bits a value"
    meaning = (
        "an image has 16 or 32 bits a value, or floating-point ones: all such images are seen in "
        "one range, that of the training images or of `data.range`, and what lies beyond is clipped"
    )

    def find(self, data: AuditedData) -> list[Finding]:
        if data.scale is None:
            return []
        wide = wide_images(data)
        asked = data.settings.data.range != "auto"
        how = "as data.range says" if asked else "what training images reach"
        return [
            self.finding(
                int(wide.sum()),
                tuple(data.paths[wide]),
                [*frequencies(data.index["mode"], wide), *_beyond(data, data.scale)],
                title=f"{self.title}: seen from {data.scale.words}, {how}",
            )
        ]


class Unseen(Check):
    """Training images that one range leaves without a picture, though their file has one."""

    name = "unseen"
    severity = "error"
    title = "training images of more than 8 bits a value without a picture in the range"
    meaning = (
        "a training image of more than 8 bits a value is blank in the range that all are seen in, "
        "though its file holds different values. A warning where `data.range` is two numbers"
    )
    fix = (
        "Set data.range to the values that are to be black and white; to the range as it is, if "
        "that is right."
    )

    def find(self, data: AuditedData) -> list[Finding]:
        if data.scale is None:
            return []
        lowest, highest = (data.index[name].to_numpy() for name in ("lowest", "highest"))
        which = wide_images(data) & data.train & data.blank & (highest > lowest)
        if not which.any():
            return []
        lines = [
            f"{data.paths[row]}: values from {number(lowest[row])} to {number(highest[row])}"
            for row in np.flatnonzero(which)
        ]
        asked = data.settings.data.range != "auto"
        return [
            self.finding(
                len(lines),
                tuple(data.paths[which]),
                lines,
                title=f"{self.title} from {data.scale.words}",
                severity="warning" if asked else "error",
            )
        ]


def wide_images(data: AuditedData) -> np.ndarray:
    """bool: the images of more than 8 bits a value."""
    return data.index["wide"].to_numpy(bool)


def _beyond(data: AuditedData, scale: ValueRange) -> list[str]:
    """Lines about images that hold values that are not seen as they are."""
    beyond = (data.index["lowest"] < scale.low) | (data.index["highest"] > scale.high)
    beyond &= wide_images(data)
    not_numbers = data.index["not_numbers"] > 0
    lines = []
    for part, words in ((data.train, "training"), (~data.train, "test")):
        if count := int((beyond.to_numpy() & part).sum()):
            lines.append(f"{words} images with values beyond it, which are clipped: {count:,}")
    if not_numbers.any():
        named = ", ".join(shorten(data.paths[not_numbers.to_numpy()].tolist(), most=3))
        lines.append(f"values that are no numbers, taken for the lowest: in {named}")
    return lines
