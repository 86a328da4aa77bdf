"""What a data folder is made of: image files, names that can be written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from twinrun.errors import InputError, shorten


def no_image_in(folder: Path) -> str:
    """What is said of a folder without an image: what its files are, where it has any."""
    from twinrun.image_files import look_into

    there = [folder / name for name in sorted(_names_in(folder)) if not name.startswith(".")]
    files = [path for path in there if not path.is_dir()]
    kinds = Counter(other for path in files if (other := look_into(str(path))))
    if not kinds:
        return "no image in it"
    told = "; ".join(f"{count:,} {other}" for other, count in kinds.most_common())
    return f"no image in it that can be read: {told}"


def refuse_unread_classes(classes: Mapping[str, Sequence[Path]]) -> None:
    """Raise InputError for folders without an image all of whose pictures cannot be read here.

    They would be no classes, in silence.

    Args:
        classes: Those without an image, with their folders and those below.
    """
    from twinrun.image_files import look_into

    lost: list[str] = []
    unread: dict[str, None] = {}
    for label, folder in ((label, each) for label, places in classes.items() for each in places):
        others = (look_into(f"{folder}/{name}") for name in _names_in(folder))
        if any(other and other.advice for other in others):
            lost.append(f"{folder}: {no_image_in(folder)}")
            unread[label] = None
    if lost:
        raise InputError(
            "folders of classes whose files are all passed over:",
            details=shorten(lost),
            fix=(
                "Follow that advice, or let a table name the images to train on: --labels of init, "
                "data.layout = 'table' and data.labels of the settings. It may lie in any folder.",
                "Or go on without images of them, each always given 0: --answer "
                f"unseen={','.join(unread)!r} of init, submission.unseen of the settings.",
            ),
        )


def refuse_unspeakable_names(names: Iterable[str]) -> None:
    """Raise InputError for names that are not UTF-8: they can be neither printed nor written."""
    strange = [name for name in names if not _is_utf8(name)]
    if strange:
        raise InputError(
            "file names that are not UTF-8:",
            details=shorten(os.fsencode(n).decode("utf-8", "backslashreplace") for n in strange),
            fix="Rename these files.",
        )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _names_in(folder: Path) -> list[str]:
    return os.listdir(folder)  # noqa: PTH208  (Path.iterdir takes ten times as long)
