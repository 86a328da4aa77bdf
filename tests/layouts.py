"""One set of labelled images in every way in which a data folder may hold it.

`python -m tests.layouts SET FOLDER` lays a real set out: a folder with train/<class>/<image>,
test/<image> and sample_submission.csv. Each layout becomes a folder of its own.
"""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

# Some ids that a careless reader changes.
DRAWN = {"004217": "rust", "1e5": "healthy", "NA": "smut"} | {
    f"{name[0].upper()}{number}Q": name
    for name in ("rust", "healthy", "smut")
    for number in range(5)
}
DRAWN_TEST = ("00T1", "T2", "T3")


@dataclass(frozen=True)
class Labelled:
    """An image of the set, with its class; empty for a test image."""

    file: Path
    label: str

    @property
    def stem(self) -> str:
        """Its id."""
        return self.file.stem


@dataclass
class Laid:
    """A set as it lies in a folder.

    Attributes:
        folder: The data folder.
        truth: The class of each training image, by its path in the data folder.
        test: The paths of the test images, by their ids.
        labels: The table, where it lies elsewhere.
        said: What reading it must say, a word or two each.
    """

    folder: Path
    truth: dict[str, str] = field(default_factory=dict)
    test: dict[str, str] = field(default_factory=dict)
    labels: Path | None = None
    said: tuple[str, ...] = ()

    def put(self, image: Labelled, place: str) -> str:
        """Copy an image there; its path in the data folder."""
        target = self.folder / place / image.file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image.file, target)
        path = target.relative_to(self.folder).as_posix()
        if image.label:
            self.truth[path] = image.label
        return path

    def write(
        self, name: str | Path, rows: Iterable[Sequence[str]], *, separator: str = ","
    ) -> Path:
        """Write a table of ids and labels."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "".join(f"{separator.join(row)}\n" for row in [("ID", "label"), *rows]),
            encoding="utf-8",
        )
        return path


def draw(folder: Path) -> tuple[list[Labelled], list[Labelled]]:
    """Draw the small set: 18 training and 3 test images of three classes."""
    folder.mkdir(parents=True)
    images = []
    for number, (name, label) in enumerate([*DRAWN.items(), *((name, "") for name in DRAWN_TEST)]):
        path = folder / f"{name}.png"
        Image.new("RGB", (40, 36), (number * 9, 80, 200 - number * 7)).save(path)
        images.append(Labelled(path, label))
    return [image for image in images if image.label], [i for i in images if not i.label]


def read_set(folder: Path) -> tuple[list[Labelled], list[Labelled]]:
    """A real set, from train/<class>/<image> and test/<image>."""
    train = [Labelled(path, path.parent.name) for path in sorted((folder / "train").glob("*/*"))]
    return train, [Labelled(path, "") for path in sorted((folder / "test").iterdir())]


Lay = Callable[[Laid, list[Labelled]], None]


def _rows(train: list[Labelled]) -> list[tuple[str, str]]:
    return [(image.stem, image.label) for image in train]


def _in_shards(*places: str) -> Lay:
    def lay(laid: Laid, train: list[Labelled]) -> None:
        for number, image in enumerate(train):
            laid.put(image, places[number % len(places)])
        laid.write("train.csv", _rows(train))

    return lay


def _with_suffix(laid: Laid, train: list[Labelled]) -> None:
    for image in train:
        laid.put(image, "train")
    laid.write("train.csv", [(image.file.name, image.label) for image in train])


def _with_paths(form: Callable[[str], str]) -> Lay:
    def lay(laid: Laid, train: list[Labelled]) -> None:
        paths = [laid.put(image, f"train/part{n % 2 + 1}") for n, image in enumerate(train)]
        laid.write("train.csv", [(form(path), laid.truth[path]) for path in paths])

    return lay


def _same_names(laid: Laid, train: list[Labelled]) -> None:
    """Cameras that number their photos each from 1 on, told apart by the table's paths."""
    paths = []
    for number, image in enumerate(train):
        target = laid.folder / "train" / f"camera{number % 2 + 1}" / f"{number // 2}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image.file, target)
        path = target.relative_to(laid.folder).as_posix()
        laid.truth[path] = image.label
        paths.append(path)
    laid.write("train.csv", [(path.removeprefix("train/"), laid.truth[path]) for path in paths])


def _as_table(name: str, separator: str, *said: str) -> Lay:
    def lay(laid: Laid, train: list[Labelled]) -> None:
        for image in train:
            laid.put(image, "train")
        laid.write(name, _rows(train), separator=separator)
        laid.said = said

    return lay


def _rows_twice(laid: Laid, train: list[Labelled]) -> None:
    for image in train:
        laid.put(image, "train")
    rows = _rows(train)
    laid.write("train.csv", [*rows, *rows[:3]])
    laid.said = ("3 rows of train.csv read once",)


def _quoted(laid: Laid, train: list[Labelled]) -> None:
    for image in train:
        laid.put(image, "train")
    with (laid.folder / "train.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("ID", "label"), *_rows(train)])


def _elsewhere(laid: Laid, train: list[Labelled]) -> None:
    for number, image in enumerate(train):
        laid.put(image, f"train/part{number % 2 + 1}")
    laid.labels = laid.write(
        laid.folder.parent / f"{laid.folder.name} tables/mine.csv", _rows(train)
    )


def _one_folder(laid: Laid, train: list[Labelled]) -> None:
    """Training and test images together: the table names the former, the sample the latter."""
    for image in train:
        laid.put(image, "images")
    laid.write("train.csv", _rows(train))


def _class_folders(*shards: str) -> Lay:
    def lay(laid: Laid, train: list[Labelled]) -> None:
        turn: dict[str, int] = {}
        for image in train:
            number = turn[image.label] = turn.get(image.label, -1) + 1
            laid.put(image, f"{shards[number % len(shards)]}/{image.label}")

    return lay


def _folders_and_table(laid: Laid, train: list[Labelled]) -> None:
    for image in train:
        laid.put(image, f"train/{image.label}")
    laid.write("labels.csv", _rows(train))


def _numbered_in_classes(laid: Laid, train: list[Labelled]) -> None:
    """Each class numbers its images from 0 on."""
    turn: dict[str, int] = {}
    for image in train:
        number = turn[image.label] = turn.get(image.label, -1) + 1
        target = laid.folder / "train" / image.label / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image.file, target)
        laid.truth[target.relative_to(laid.folder).as_posix()] = image.label


LAYOUTS: dict[str, Lay] = {
    "table over shards": _in_shards("train/part1", "train/part2"),
    "table over several training folders": _in_shards("train_1", "train_2"),
    "table over nested folders": _in_shards("train/a/x", "train/a/y", "train/b"),
    "table over one folder": _in_shards("train"),
    "table over images in the data folder itself": _in_shards("."),
    "table over folders of other names": _in_shards("batch-7", "scans/old"),
    "ids with suffix": _with_suffix,
    "paths in the id column": _with_paths(lambda path: path),
    "paths without suffix": _with_paths(lambda path: path.rpartition(".")[0]),
    "paths from the training folder": _with_paths(lambda path: path.removeprefix("train/")),
    "paths of the host's machine": _with_paths(lambda path: f"/kaggle/input/x/{path}"),
    "paths with backslashes": _with_paths(lambda path: path.replace("/", "\\")),
    "paths of folders with other names": _with_paths(
        lambda path: f"images/{path.rpartition('/')[2]}"
    ),
    "same file names in several folders": _same_names,
    "identical rows twice": _rows_twice,
    "a blank after the comma": _as_table("train.csv", ", "),
    "quoted cells": _quoted,
    "tabs": _as_table("train.tsv", "\t", "train.tsv is read as separated by tabs"),
    "tabs in a .csv": _as_table("train.csv", "\t", "separated by tabs"),
    "semicolons": _as_table("train.csv", ";", "train.csv is read as separated by semicolons"),
    "table elsewhere": _elsewhere,
    "training and test images in one folder": _one_folder,
    "class folders": _class_folders("train"),
    "class folders in shards": _class_folders("train/part1", "train/part2"),
    "class folders in several training folders": _class_folders("train_1", "train_2"),
    "class folders in the data folder itself": _class_folders("."),
    "class folders and a table that agrees": _folders_and_table,
    "class folders that each number their images": _numbered_in_classes,
}


def lay_out(name: str, folder: Path, train: list[Labelled], test: list[Labelled]) -> Laid:
    """Lay a set out in one layout.

    Args:
        name: Of LAYOUTS.
        folder: The data folder; it is made.
        train: The training images.
        test: The test images.
    """
    laid = Laid(folder)
    folder.mkdir(parents=True)
    LAYOUTS[name](laid, train)
    together = "images" if "one folder" in name and "training and test" in name else "test"
    for image in test:
        laid.test[image.stem] = laid.put(image, together)
    classes = sorted({image.label for image in train})
    rows = [",".join([image.stem, *"0" * len(classes)]) for image in test]
    text = "\n".join([",".join(["ID", *classes]), *rows]) + "\n"
    (folder / "sample_submission.csv").write_text(text, encoding="utf-8")
    return laid


if __name__ == "__main__":
    for _name in LAYOUTS:
        lay_out(_name, Path(sys.argv[2]) / _name.replace(" ", "-"), *read_set(Path(sys.argv[1])))
