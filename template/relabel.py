"""The drawn photos under a project's own class names, in its layout and form of submission.

It runs inside cookiecutter's or cruft's own Python: the standard library is all it imports.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

# The fixture holds this many images of a class at least; fewer could not be split.
_FEWEST = 4

# (class, image, id) of each training image of the project's fixture
Photos = list[tuple[str, Path, str]]
# The names of the columns of ids and of labels.
Columns = tuple[str, str]
Row = tuple[str, ...]
# The header of a sample submission, and its rows.
Sample = tuple[Row, list[Row]]


def relabel(
    fixture: Path,
    target: Path,
    *,
    layout: str,
    form: str,
    classes: list[str],
    unseen: list[str],
    columns: Columns,
) -> None:
    """Copy the drawn photos under other class names, layout and columns.

    The photos of a drawn class are dealt out among every third class of the project, so that each
    keeps a look of its own where there are up to three; of many classes each gets some photos
    again, under ids of their own.

    Args:
        fixture: The engine's, with train/<class>/, test/ and sample_submission.csv.
        target: The project's.
        layout: As data.layout.
        form: As submission.columns.
        classes: Of the project; class_1 and so on when there are none, in the order of the drawn
            ones.
        unseen: Classes that the sample asks for and no photo is of.
        columns: Of the tables.
    """
    drawn = sorted(path for path in (fixture / "train").iterdir() if path.is_dir())
    classes = classes or [f"class_{number}" for number in range(1, len(drawn) + 1)]
    photos = list(_dealt(drawn, classes))
    LABELLED[layout](target, photos, columns)
    shutil.copytree(fixture / "test", target / "test", dirs_exist_ok=True)
    with (fixture / "sample_submission.csv").open(newline="", encoding="utf-8") as lines:
        ids = [row[0] for row in csv.reader(lines)][1:]
    header, rows = SAMPLES[form](ids, [*classes, *unseen], columns)
    _write_csv(target / "sample_submission.csv", header, rows)


def lacking(layouts: Iterable[str], forms: Iterable[str]) -> list[str]:
    """A line for each layout and form of submission that the fixture cannot have.

    Args:
        layouts: Their names in the settings.
        forms: Likewise.
    """
    found = [f"LABELLED: layout {name!r}" for name in layouts if name not in LABELLED]
    return found + [f"SAMPLES: form of submission {n!r}" for n in forms if n not in SAMPLES]


def _in_class_folders(target: Path, photos: Photos, columns: Columns) -> None:  # noqa: ARG001
    for label, image, image_id in photos:
        _copy(image, target / "train" / label / (image_id + image.suffix))


def _beside_a_table(target: Path, photos: Photos, columns: Columns) -> None:
    for _, image, image_id in photos:
        _copy(image, target / "train" / (image_id + image.suffix))
    rows: list[Row] = [(image_id, label) for label, _, image_id in photos]
    _write_csv(target / "labels.csv", columns, rows)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _sample_of_classes(ids: list[str], classes: list[str], columns: Columns) -> Sample:
    return (columns[0], *classes), [(image_id, *("0",) * len(classes)) for image_id in ids]


def _sample_of_rows(ids: list[str], classes: list[str], columns: Columns) -> Sample:
    rows: list[Row] = [(image_id, name, "0") for image_id in ids for name in classes]
    return (columns[0], _other("class", columns), _other("probability", columns)), rows


def _sample_of_joined_ids(ids: list[str], classes: list[str], columns: Columns) -> Sample:
    rows: list[Row] = [(f"{image_id}_{name}", "0") for image_id in ids for name in classes]
    return (columns[0], _other("probability", columns)), rows


def _sample_of_labels(ids: list[str], classes: list[str], columns: Columns) -> Sample:
    return columns, [(image_id, classes[0]) for image_id in ids]


def _sample_of_probabilities(ids: list[str], classes: list[str], columns: Columns) -> Sample:  # noqa: ARG001
    return columns, [(image_id, "0.5") for image_id in ids]


def _other(name: str, columns: Columns) -> str:
    """A column's name that is not that of the ids."""
    return name if name != columns[0] else f"{name} of it"


# How the fixture is laid out, and what its sample holds, by their names in the settings.
LABELLED: dict[str, Callable[[Path, Photos, Columns], None]] = {
    "folders": _in_class_folders,
    "table": _beside_a_table,
}
SAMPLES: dict[str, Callable[[list[str], list[str], Columns], Sample]] = {
    "classes": _sample_of_classes,
    "long": _sample_of_rows,
    "joined": _sample_of_joined_ids,
    "label": _sample_of_labels,
    "probability": _sample_of_probabilities,
}


def _dealt(drawn: list[Path], classes: list[str]) -> Iterator[tuple[str, Path, str]]:
    """(class, image, id) for every training image of the project's fixture."""
    used: dict[str, int] = {}
    for number, label in enumerate(classes):
        kind = number % len(drawn)
        images = sorted(drawn[kind].iterdir())
        sharing = len(range(kind, len(classes), len(drawn)))
        turn = number // len(drawn)
        count = max(_FEWEST, len(images) // sharing)
        for place in range(turn * count, (turn + 1) * count):
            image = images[place % len(images)]
            again = used[image.stem] = used.get(image.stem, -1) + 1
            yield label, image, f"{image.stem}-{again}" if again else image.stem


def _write_csv(path: Path, header: Row, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
