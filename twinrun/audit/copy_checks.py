"""Checks of copies: how images are alike, their labels, and those across training and test."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import pandas as pd

from twinrun.audit.check import AuditedData, Check, Finding, Severity
from twinrun.console import count_of
from twinrun.errors import shorten

# By data.duplicates: what becomes of copies.
_THEN = {
    "group": "held out together",
    "drop": "of those with the same pixels one training image is kept",
    "keep": "the settings leave them alone: a held-out image may be a copy of a trained one",
}
# By data.conflicts: of copies with different labels.
_CONFLICTS: dict[str, tuple[Severity, str]] = {
    "keep": ("warning", "all are trained on"),
    "drop": ("note", "their training images are dropped"),
    "error": ("error", "the settings want no training on these"),
}


class CopyCheck(Check):
    """A check of one way in which images are copies; a warning where they are left alone."""

    severity = "note"

    @abstractmethod
    def groups(self, data: AuditedData) -> list[Sequence[int]]:
        """The rows of each group of copies."""

    def count(self, groups: Sequence[Sequence[int]]) -> int:
        """How many images there are more than pictures."""
        return sum(map(len, groups)) - len(groups)

    def find(self, data: AuditedData) -> list[Finding]:
        groups, policy = self.groups(data), data.settings.data.duplicates
        if not groups:
            return []
        title = f"{self.title}, in {count_of(len(groups), 'group')}; {_THEN[policy]}"
        return [
            self.finding(
                self.count(groups),
                data.paths_in(groups),
                [_line(data, rows) for rows in groups],
                title=title,
                severity="warning" if policy == "keep" else None,
            )
        ]


class FileCopies(CopyCheck):
    """Equal SHA-256 of the files."""

    name = "file-copies"
    title = "the same file more than once"
    meaning = "images are the same file"

    def groups(self, data: AuditedData) -> list[Sequence[int]]:
        return _repeated(data.index["sha256"])


class PixelCopies(CopyCheck):
    """Equal digests of the decoded pixels; of each file one image counts."""

    name = "pixel-copies"
    title = "different files with the same pixels"
    meaning = "different files have the same decoded pixels"

    def groups(self, data: AuditedData) -> list[Sequence[int]]:
        one_of_each_file = ~data.index["sha256"].duplicated().to_numpy()
        return _repeated(pd.Series(data.exact)[one_of_each_file])


class NearCopies(CopyCheck):
    """Perceptual hashes that differ in few bits."""

    name = "near-copies"
    title = "nearly the same picture as a different one"
    meaning = "images are nearly the same picture"

    def groups(self, data: AuditedData) -> list[Sequence[int]]:
        return [group.rows for group in data.groups if group.kind == "near"]

    def count(self, groups: Sequence[Sequence[int]]) -> int:
        return sum(map(len, groups))


class Labels(Check):
    """Copies of which at least one label is wrong."""

    name = "labels"
    severity = "warning"
    title = "groups of copies with different labels"
    meaning = (
        "training images of one group of copies have different labels. An error with "
        '`data.conflicts = "error"`, a note with `"drop"`'
    )
    fix = "Correct the labels, or set data.conflicts to 'keep' or 'drop'."

    def find(self, data: AuditedData) -> list[Finding]:
        torn = [group.rows for group in data.groups if group.conflict]
        if not torn:
            return []
        severity, then = _CONFLICTS[data.settings.data.conflicts]
        return [
            self.finding(
                len(torn),
                data.paths_in(torn),
                [self._line(data, rows) for rows in torn],
                title=f"{self.title}; {then}",
                severity=severity,
            )
        ]

    def _line(self, data: AuditedData, rows: Sequence[int]) -> str:
        labels = data.index["label"].to_numpy()
        train = [f"{data.paths[row]} ({labels[row]})" for row in rows if data.train[row]]
        return " = ".join(shorten(train, 6))


class Across(Check):
    """What a score on the test images cannot be trusted for."""

    name = "across"
    severity = "warning"
    title = "test images that are copies of training images"
    meaning = "a group of copies has training and test images"

    def find(self, data: AuditedData) -> list[Finding]:
        across = [group.rows for group in data.groups if group.spans]
        if not across:
            return []
        files = data.index["sha256"].to_numpy()
        tests = [row for rows in across for row in rows if not data.train[row]]
        same = int(np.isin(files[tests], files[data.train]).sum())
        title = (
            f"{self.title} ({same} of them the same file); a score on them says nothing of new "
            "images"
        )
        lines = [_line(data, rows) for rows in across]
        return [self.finding(len(tests), data.paths_in(across), lines, title=title)]


def _line(data: AuditedData, rows: Sequence[int]) -> str:
    return " = ".join(shorten(data.paths[list(rows)], 6)).replace(" = ...", " ...")


def _repeated(values: pd.Series) -> list[Sequence[int]]:
    """The rows of each value that more than one row has, in the rows' order."""
    repeated = values[values.duplicated(keep=False)]
    groups: dict[object, list[int]] = {}
    for row, value in repeated.items():
        groups.setdefault(value, []).append(int(str(row)))
    return list(groups.values())
