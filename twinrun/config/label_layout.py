"""How training images carry their labels: what a layout of a data folder has to say for itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.config.csv_tables import CsvTable, Ids
from twinrun.config.data_folder import DataFolder
from twinrun.config.listing import Folder
from twinrun.file_names import stem_of

if TYPE_CHECKING:
    from twinrun.config.sections import Data

# (id, label, path relative to the data folder, with slashes)
LabelledImage = tuple[str, str, str]


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
class TrainingImages:
    """The training images of a data folder, as a layout recognises them.

    Attributes:
        layout: Its name.
        folder: The folder that data.train is to name.
        parts: The folders that hold the images: itself, or some below it.
        counts: How many images each class has, in Unicode's form NFC.
        table: The table of labels, where there is one, with its columns and kind of ids.
        unseen: Classes that the folder knows, and no image is of.
        sure: Of several layouts the sure one is taken.
    """

    layout: str
    folder: Folder
    parts: tuple[Folder, ...]
    counts: Mapping[str, int]
    table: CsvTable | None = None
    id_column: str = ""
    label_column: str = "label"
    ids: Ids | None = None
    unseen: Sequence[str] = ()
    sure: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def images(self) -> list[str]:
        """The paths of the training images, relative to the data folder, sorted."""
        return sorted(f"{folder.path}/{name}" for folder in self.parts for name in folder.images)


@dataclass(frozen=True)
class Candidate:
    """A folder that may be the one of the training images, and what else `init` knows.

    Attributes:
        data: The data folder.
        folder: The candidate; the one below it that holds the images where there is one way to go.
        asked: The columns of the sample submission after its ids; empty when it is not known.
        label_column: The column of labels that the user named.
    """

    data: DataFolder
    folder: Folder
    asked: Sequence[str]
    label_column: str | None


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
    def find_classes(self, data: Data, folder: Path) -> FoundClasses:
        """The classes that a data folder holds; there may be too few of them.

        Raises:
            InputError: What holds them is missing or cannot be read.
        """

    @abstractmethod
    def read_images(self, data: Data, folder: Path, classes: Sequence[str]) -> list[LabelledImage]:
        """Every training image with its label, in any order.

        Args:
            data: Of the settings.
            folder: The data folder.
            classes: Of the settings; each has an image, and each label is one of them.

        Raises:
            InputError: Folder and settings do not agree; what is wrong is listed all together.
        """

    @abstractmethod
    def recognise(self, candidate: Candidate) -> TrainingImages | None:
        """The training images of a folder that is laid out like this; None where it is not.

        Raises:
            InputError: It is, but no project could be made from it.
        """


def image_id(data: Data, name: str) -> str:
    """The id of an image, from its file's name."""
    return stem_of(name) if data.ids == "stem" else name
