"""Which image each row of a table of labels is of; rows that say the same twice count once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from twinrun.config.image_ids import find_images
from twinrun.console import count_of
from twinrun.errors import shorten


@dataclass(frozen=True)
class TableRows:
    """The rows of a table, beside the training images.

    Attributes:
        labels: The label by the image's path; none of those that have none.
        repeated: Ids of rows that say once more what a row above them says.
        conflicting: Ids of images that have rows with different labels; each with these.
        unlabelled: Ids of training images whose row has no label; each with the image's path.
        unclear: Ids that name several images; each with their paths.
        strangers: Ids with a label that name no training image.
        blank: Ids without a label that name no training image.
        missing: Paths of the images that have no row.
    """

    labels: dict[str, str] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)
    conflicting: dict[str, list[str]] = field(default_factory=dict)
    unlabelled: dict[str, str] = field(default_factory=dict)
    unclear: dict[str, list[str]] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)
    blank: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def beside(self, tests: Collection[str]) -> TableRows:
        """The same rows where these images are test images, which need no row and no label.

        Args:
            tests: Their paths.
        """
        unasked = [name for name, path in self.unlabelled.items() if path in tests]
        return replace(
            self,
            unlabelled={n: path for n, path in self.unlabelled.items() if path not in tests},
            blank=[*self.blank, *unasked],
            missing=[path for path in self.missing if path not in tests],
        )

    def said(self, table: str) -> list[str]:
        """What is passed over, a line each.

        Args:
            table: Its name.
        """
        return [
            f"{count_of(len(ids), 'row')} of {table} {what}: {', '.join(shorten(ids, most=3))}"
            for ids, what in (
                (self.repeated, "read once, as a row above says the same"),
                (self.blank, "left out, without a label and without a training image"),
            )
            if ids
        ]


def read_rows(ids: Sequence[str], labels: Sequence[str], paths: Collection[str]) -> TableRows:
    """Find the image of each row.

    Args:
        ids: Of the rows, as the table has them.
        labels: Of the rows, in Unicode's form NFC; empty where there is none.
        paths: Of the training images, relative to the data folder, with slashes.
    """
    found = find_images(set(ids), paths)
    rows = TableRows()
    read: dict[str, str] = {}
    for name, label in zip(ids, labels, strict=True):
        images = found.get(name, [])
        if len(images) > 1:
            rows.unclear[name] = images
        elif not images:
            (rows.strangers if label else rows.blank).append(name)
        elif images[0] not in read:
            read[images[0]] = label
            if label:
                rows.labels[images[0]] = label
            else:
                rows.unlabelled[name] = images[0]
        elif read[images[0]] == label:
            rows.repeated.append(name)
        else:
            rows.conflicting.setdefault(name, [read[images[0]]]).append(label)
    rows.missing.extend(sorted(set(paths) - read.keys()))
    return rows
