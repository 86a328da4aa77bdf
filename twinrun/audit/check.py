"""What a check of the audit is, what it looks at, and what it finds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from twinrun.audit.duplicates import Group
from twinrun.config.settings import Settings
from twinrun.data.wide_values import ValueRange
from twinrun.errors import shorten

Severity = Literal["error", "warning", "note"]

# Brightness, of 255: an image is blank where 98 % of its pixels lie within so little.
_BLANK_SPAN = 8


@dataclass(frozen=True)
class Finding:
    """What a check has found.

    Attributes:
        check: Its name: one word.
        severity: "error" where training on the data would be wrong, "warning" where scores or
            predictions may mislead, "note" where the engine copes and a user may want to know.
        title: One line.
        count: Of what the title speaks of.
        images: Paths relative to the data folder.
        details: Lines.
    """

    check: str
    severity: Severity
    title: str
    count: int
    images: tuple[str, ...] = ()
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuditedData:
    """What a check may look at.

    Attributes:
        index: From `with_pixels`.
        fingerprints: From `fingerprint_images`, a row per row of the index.
        exact: From `copies`.
        groups: From `duplicate_groups`.
        settings: Of the run.
        unreadable: Why images that are not in the index cannot be read, by path.
        passed_over: What the files are that stand among the images and are not read, by path.
        scale: The range that images of more than 8 bits a value are seen in; None where none has.
    """

    index: pd.DataFrame
    fingerprints: pd.DataFrame
    exact: np.ndarray
    groups: Sequence[Group]
    settings: Settings
    unreadable: Mapping[str, str]
    passed_over: Mapping[str, str]
    scale: ValueRange | None

    @cached_property
    def paths(self) -> np.ndarray:
        """Of the images, relative to the data folder; object."""
        return self.index["path"].to_numpy()

    @cached_property
    def train(self) -> np.ndarray:
        """bool: the training images."""
        return (self.index["part"] == "train").to_numpy()

    @cached_property
    def blank(self) -> np.ndarray:
        """bool: the images without a picture in them."""
        return blank_images(self.fingerprints)

    @cached_property
    def photos(self) -> np.ndarray:
        """int64: the same number for images that the settings take for copies of one photo."""
        numbers = np.arange(len(self.index), dtype=np.int64)
        if self.settings.data.duplicates != "keep":
            for group in self.groups:
                numbers[list(group.rows)] = group.rows[0]
        return numbers

    def sides(self) -> tuple[np.ndarray, np.ndarray]:
        """Shorter and longer side of each image, in pixels; int64."""
        width, height = (self.index[side].to_numpy(np.int64) for side in ("width", "height"))
        return np.minimum(width, height), np.maximum(width, height)

    def shapes(self) -> list[str]:
        """Of each image, such as "300 x 40"."""
        pairs = zip(self.index["width"], self.index["height"], strict=True)
        return [f"{width} x {height}" for width, height in pairs]

    def paths_in(self, groups: Sequence[Sequence[int]]) -> tuple[str, ...]:
        """The paths of all rows of some groups."""
        return tuple(self.paths[row] for rows in groups for row in rows)


class Check(ABC):
    """A fault that data may have, with all that any room asks of it.

    Attributes:
        name: One word, by which audit.json and docs/audit.md call it.
        severity: Of a finding, unless the settings make it a different one.
        title: Of a finding, as a rule.
        meaning: When it is found; a sentence's end, as docs/audit.md has it.
        fix: What a user does about it, where training is refused: a sentence.
    """

    name: str
    severity: Severity
    title: str
    meaning: str
    fix: str = "Fix these images or take them out."

    @abstractmethod
    def find(self, data: AuditedData) -> list[Finding]:
        """Every finding; none where there is nothing to report."""

    def finding(
        self,
        count: int,
        images: Sequence[str] = (),
        details: Sequence[str] = (),
        *,
        title: str | None = None,
        severity: Severity | None = None,
    ) -> Finding:
        """A finding of this check.

        Args:
            count: Of what the title speaks of.
            images: Paths relative to the data folder.
            details: Lines.
            title: In place of its own.
            severity: In place of its own.
        """
        return Finding(
            self.name,
            severity or self.severity,
            title or self.title,
            count,
            tuple(images),
            tuple(details),
        )


def blank_images(fingerprints: pd.DataFrame) -> np.ndarray:
    """bool: the images without a picture in them.

    Args:
        fingerprints: From `fingerprint_images`.
    """
    return (fingerprints["high"] - fingerprints["low"]).to_numpy() < _BLANK_SPAN


def frequencies(values: Sequence[object] | pd.Series, which: np.ndarray) -> list[str]:
    """How often each value occurs, the most frequent first, as lines "value: count".

    Args:
        values: Of each image.
        which: bool; the images that count.
    """
    counts = pd.Series(np.asarray(values)[which]).value_counts()
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    return shorten([f"{value}: {count}" for value, count in ordered])
