"""How training images carry their labels: what a layout of a data folder has to say for itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.config.csv_tables import CsvTable
from twinrun.config.data_folder import DataFolder
from twinrun.config.listing import Folder, named_folders, places
from twinrun.config.table_rows import TableRows
from twinrun.errors import InputError

if TYPE_CHECKING:
    from twinrun.config.sections import Data


@dataclass(frozen=True)
class Labelled:
    """The training images of a data folder with their labels.

    Attributes:
        labels: The label by the image's path, relative to the data folder, with slashes.
        folders: That were looked into, as data.train names them.
        source: What says so, for messages.
        said: What was passed over or read in an unusual way, a line each.
    """

    labels: Mapping[str, str]
    folders: Sequence[Folder]
    source: str
    said: Sequence[str] = ()


@dataclass(frozen=True)
class FoundClasses:
    """The classes that a data folder holds, and what is printed where they are too few.

    Attributes:
        names: In Unicode's form NFC, sorted by their characters' numbers.
        looked_at: Where they were looked for.
        fix: What to do where there are not enough of them.
    """

    names: list[str]
    looked_at: str
    fix: str


@dataclass(frozen=True)
class TrainingImages(Labelled):
    """The training images of a data folder, as a layout recognises them.

    Attributes:
        layout: Its name.
        counts: How many images each class has, in Unicode's form NFC.
        table: The table of labels, where there is one, with its columns and what it says of images.
        unseen: Classes that the folder knows, and no image is of.
        sure: Of several layouts the sure one is taken.
    """

    layout: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    table: CsvTable | None = None
    id_column: str = ""
    label_column: str = "label"
    unseen: Sequence[str] = ()
    rows: TableRows | None = None
    sure: bool = True

    def beside(self, tests: Collection[str]) -> TrainingImages:
        """The same where these images are test images, which need no row and no label in the table.

        Args:
            tests: Their paths, those of training images among them where they lie together.
        """
        if self.table is None or self.rows is None:
            return self
        name, rows = self.table.name, self.rows.beside(tests)
        before = self.rows.said(name)
        said = [*(line for line in self.said if line not in before), *rows.said(name)]
        return replace(self, rows=rows, said=said)

    @property
    def images(self) -> list[str]:
        """The paths of the training images, those without a label among them, sorted."""
        return sorted([*self.labels, *(self.rows.missing if self.rows else ())])


@dataclass(frozen=True)
class Candidate:
    """Folders that may be those of the training images, and what else `init` knows.

    Attributes:
        data: The data folder.
        folders: The candidates; each the one below it that holds the images where there is one way
            to go.
        asked: The columns of the sample submission after its ids; empty when it is not known.
        label_column: The column of labels that the user named.
        unseen: Classes that the user goes without.
    """

    data: DataFolder
    folders: Sequence[Folder]
    asked: Sequence[str]
    label_column: str | None
    unseen: Collection[str] = ()


class NoTable(InputError):
    """No table labels some images, which matters where their folders do not either."""


class LabelLayout(ABC):
    """A layout of training images and labels, and everything that any room asks of it.

    Attributes:
        name: In the settings: data.layout.
        words: Where images and labels are, for a reader.
        answer: What the template's question calls it.
        settings: The keys of [data] that it needs beside `train`.
    """

    name: str
    words: str
    answer: str
    settings: tuple[str, ...]

    @abstractmethod
    def find_classes(self, data: Data, folder: Path, unseen: Collection[str] = ()) -> FoundClasses:
        """The classes that a data folder holds; there may be too few of them.

        Args:
            data: Of the settings.
            folder: The data folder.
            unseen: Classes that no training image is to be of.

        Raises:
            InputError: What holds them is missing or cannot be read.
        """

    @abstractmethod
    def read_images(
        self, data: Data, folder: Path, classes: Sequence[str], unseen: Collection[str] = ()
    ) -> Labelled:
        """Every training image with its label.

        Args:
            data: Of the settings.
            folder: The data folder.
            classes: Of the settings; each has an image, and each label is one of them.
            unseen: Classes that no training image is to be of.

        Raises:
            InputError: Folder and settings do not agree; what is wrong is listed all together.
        """

    @abstractmethod
    def recognise(self, candidate: Candidate) -> TrainingImages | None:
        """The training images of a folder that is laid out like this; None where it is not.

        Raises:
            InputError: It is, but no project could be made from it.
        """


def training_folders(data: Data, folder: Path) -> list[Folder]:
    """The folders of the training images, without the test images' folders in them.

    Args:
        data: Of the settings.
        folder: The data folder.

    Raises:
        InputError: One is not there, or cannot be read.
    """
    found = named_folders(folder, data.train, "data.train")
    tests = places(folder, data.test).values()
    return [each.without(tests) for each in found]


def test_images(data: Data, folder: Path) -> list[str]:
    """The paths of the images in the folders of test images, in these folders' order.

    Of a folder that holds both, the training images are among them.

    Args:
        data: Of the settings.
        folder: The data folder.

    Raises:
        InputError: A folder is not there, or cannot be read.
    """
    found = named_folders(folder, data.test, "data.test")
    training = places(folder, data.train).values()
    return list(dict.fromkeys(path for each in found for path in each.without(training).nearest))
