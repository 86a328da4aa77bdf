"""What may be wrong with a competition's images: a finding per check that has something to say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from twinrun.audit.duplicates import Group
from twinrun.audit.metadata_leaks import Telltale
from twinrun.config.settings import Settings
from twinrun.data.decoding import LONGEST
from twinrun.errors import shorten

Severity = Literal["error", "warning", "note"]

# Brightness, of 255: an image is blank where 98 % of its pixels lie within so little ...
BLANK_SPAN = 8
# ... and nearly black where 99 % lie below this.
DARK = 32
# A format has other names in other programs: phones write several pictures into one JPEG.
_SAME_FORMAT = {"MPO": "JPEG"}


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


def counted(number: int, what: str) -> str:
    """`1 group`, `2 groups`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def unreadable(lines: Mapping[str, str]) -> list[Finding]:
    """Of images that cannot be decoded: why, by path."""
    if not lines:
        return []
    details = tuple(f"{path}: {reason}" for path, reason in lines.items())
    return [Finding("unreadable", "error", "cannot be decoded", len(lines), tuple(lines), details)]


def of_images(index: pd.DataFrame, signs: pd.DataFrame, size: int) -> list[Finding]:
    """What is told by each image alone.

    Args:
        index: From `with_pixels`.
        signs: From `signs_of`.
        size: The largest size that a member sees, in pixels.
    """
    paths = index["path"].to_numpy()
    width, height = (index[side].to_numpy(np.int64) for side in ("width", "height"))
    short, long = np.minimum(width, height), np.maximum(width, height)
    shapes = [f"{w} x {h}" for w, h in zip(width, height, strict=True)]
    even = blank(signs)
    dark = ~even & (signs["high"].to_numpy() < DARK)
    told = [
        ("blank", "warning", "blank: hardly any difference in brightness", even, None),
        ("dark", "warning", "nearly black", dark, None),
        (
            "shape",
            "warning",
            f"more than {LONGEST} times as long as wide: both ends are cut off",
            long > LONGEST * short,
            shapes,
        ),
        ("small", "note", f"smaller than the {size} px that are trained on", short < size, shapes),
        ("extension", "note", "another format than the extension says", _misnamed(index), None),
        ("mode", "note", "not plain RGB", (index["mode"] != "RGB").to_numpy(), index["mode"]),
        (
            "orientation",
            "note",
            "lie on a side or are mirrored in the file: turned upright",
            signs["orientation"].to_numpy() != 1,
            signs["orientation"].map(lambda number: f"EXIF orientation {number}"),
        ),
    ]
    found = []
    for check, severity, title, which, values in told:
        if which.any():
            details: tuple[str, ...] = ()
            if check == "extension":
                details = tuple(
                    f"{path}: {kind}"
                    for path, kind in zip(paths[which], index["format"][which], strict=True)
                )
            elif values is not None:
                counts = pd.Series(np.asarray(values)[which]).value_counts()
                lines = [f"{value}: {count}" for value, count in sorted(counts.items(), key=_often)]
                details = tuple(shorten(lines))
            found.append(
                Finding(check, severity, title, int(which.sum()), tuple(paths[which]), details)  # type: ignore[arg-type]
            )
    return found


def blank(signs: pd.DataFrame) -> np.ndarray:
    """bool: the images without a picture in them."""
    return (signs["high"] - signs["low"]).to_numpy() < BLANK_SPAN


def of_classes(train: pd.DataFrame) -> list[Finding]:
    """Classes with one image: it is either trained on or held out."""
    counts = train["label"].value_counts()
    alone = train[train["label"].map(counts) == 1]
    if alone.empty:
        return []
    return [
        Finding(
            "single",
            "warning",
            "classes with one image: it is trained on or held out, never both",
            len(alone),
            tuple(alone["path"]),
            tuple(sorted(alone["label"])),
        )
    ]


def of_groups(
    index: pd.DataFrame, groups: Sequence[Group], exact: np.ndarray, settings: Settings
) -> list[Finding]:
    """Copies, their labels, and those across training and test.

    Args:
        index: From `with_pixels`.
        groups: From `groups_of`.
        exact: From `copies`.
        settings: What is done about them.
    """
    paths, labels = index["path"].to_numpy(), index["label"].to_numpy()
    parts, files = index["part"].to_numpy(), index["sha256"].to_numpy()
    loose = settings.data.duplicates == "keep"
    copied: Severity = "warning" if loose else "note"
    then = {
        "group": "held out together",
        "drop": "of those with the same pixels one training image is kept",
        "keep": "the settings leave them alone: a held-out image may be a copy of a trained one",
    }[settings.data.duplicates]

    def line(rows: Sequence[int]) -> str:
        return " = ".join(shorten(paths[list(rows)], 6)).replace(" = ...", " ...")

    def labelled(group: Group) -> str:
        train = [row for row in group.rows if parts[row] == "train"]
        return " = ".join(shorten((f"{paths[row]} ({labels[row]})" for row in train), 6))

    found = []
    same_file = _several(files)
    # Of each file one.
    same_pixels = _several(exact, ~pd.Series(files).duplicated().to_numpy())
    alike = [group.rows for group in groups if group.kind == "near"]
    for check, title, some, more in (
        ("file-copies", "the same file more than once", same_file, _surplus(same_file)),
        ("pixel-copies", "other files with the same pixels", same_pixels, _surplus(same_pixels)),
        ("near-copies", "nearly the same picture as another one", alike, sum(map(len, alike))),
    ):
        if some:
            whole = f"{title}, in {counted(len(some), 'group')}; {then}"
            lines = tuple(map(line, some))
            found.append(Finding(check, copied, whole, more, _paths(some, paths), lines))
    torn = [group for group in groups if group.conflict]
    if torn:
        answers: dict[str, tuple[Severity, str]] = {
            "keep": ("warning", "all are trained on"),
            "drop": ("note", "their training images are dropped"),
            "error": ("error", "the settings want no training on these"),
        }
        severity, answer = answers[settings.data.conflicts]
        title = f"groups of copies with different labels; {answer}"
        found.append(
            Finding(
                "labels",
                severity,
                title,
                len(torn),
                _paths((group.rows for group in torn), paths),
                tuple(map(labelled, torn)),
            )
        )
    across = [group for group in groups if group.spans]
    if across:
        tests = [row for group in across for row in group.rows if parts[row] == "test"]
        known = {file for file, part in zip(files, parts, strict=True) if part == "train"}
        same = sum(files[row] in known for row in tests)
        title = (
            f"test images that are copies of training images ({same} of them the same file); a "
            "score on them says nothing of new images"
        )
        spanning = [group.rows for group in across]
        lines = tuple(map(line, spanning))
        found.append(
            Finding("across", "warning", title, len(tests), _paths(spanning, paths), lines)
        )
    return found


def of_telltales(found: Sequence[Telltale], properties: Mapping[str, pd.Series]) -> list[Finding]:
    """A finding for each property that gives classes away."""
    findings = []
    for name in dict.fromkeys(each.name for each in found):
        own = [each for each in found if each.name == name]
        values = properties[name]
        rows = values[values.isin([each.value for each in own])].index
        details = [
            f"{each.value}: {each.hits} of {each.images} are {each.label}, which are "
            f"{each.share:.0%} of all (by chance: {each.chance:.0e})"
            for each in own
        ]
        findings.append(
            Finding(
                "telltale",
                "warning",
                f"the {name} gives the class away; so may what comes with it, as another camera",
                len(rows),
                (),
                tuple(shorten(details)),
            )
        )
    return findings


def _misnamed(index: pd.DataFrame) -> np.ndarray:
    from PIL import Image

    formats = Image.registered_extensions()
    promised = index["path"].map(lambda path: formats.get(f".{path.rpartition('.')[2].lower()}"))
    return (index["format"].replace(_SAME_FORMAT) != promised).to_numpy()


def _several(values: np.ndarray, which: np.ndarray | None = None) -> list[list[int]]:
    """The rows of each value that more than one of `which` rows have, in the rows' order."""
    column = pd.Series(values) if which is None else pd.Series(values)[which]
    repeated = column[column.duplicated(keep=False)]
    groups: dict[object, list[int]] = {}
    for row, value in repeated.items():
        groups.setdefault(value, []).append(int(str(row)))
    return list(groups.values())


def _surplus(groups: Sequence[Sequence[int]]) -> int:
    """How many images there are more than pictures."""
    return sum(map(len, groups)) - len(groups)


def _paths(groups: Iterable[Sequence[int]], paths: np.ndarray) -> tuple[str, ...]:
    return tuple(paths[row] for rows in groups for row in rows)


def _often(item: tuple[object, int]) -> tuple[int, str]:
    return -item[1], str(item[0])
