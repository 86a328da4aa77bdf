"""What the tables of competition.toml besides the recipes may say, as types."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from twinrun.blend_methods.methods import AUTO, BLEND_METHODS, SIMPLEST
from twinrun.config.choices import name_in
from twinrun.config.layouts import LAYOUTS
from twinrun.config.local import TABLE_FOLDERS
from twinrun.config.one_hot import ONE_PER_CLASS
from twinrun.config.recipe_tables import Table
from twinrun.config.texts import AddressText, FolderText, PlaceText, PlainText
from twinrun.config.toml_file import LARGEST
from twinrun.config.value_range import AskedRange
from twinrun.intervals import check_ascending_or_off
from twinrun.metrics import METRICS
from twinrun.names import Classes, ClassName
from twinrun.neutral import Beside, Neutral
from twinrun.submission_forms import FORMS


def _once(names: list[Any]) -> list[Any]:
    if len(set(names)) < len(names):
        raise ValueError("each name once")
    return names


def _one_or_several(value: Any) -> str | None:
    if isinstance(value, str):
        return "[one]"
    return "[several]" if isinstance(value, list) else None


Folders = Annotated[
    Annotated[PlaceText, Tag("[one]")]
    | Annotated[list[PlaceText], Field(min_length=1), AfterValidator(_once), Tag("[several]")],
    Discriminator(
        _one_or_several,
        custom_error_type="folders",
        custom_error_message="a folder in the data folder, or a list of folders",
    ),
]


def _something_left(pair: list[float]) -> list[float]:
    # float32, as predictions are, has no much smaller numbers: all would be brought to 0.
    if pair and pair[1] < 1e-6:
        raise ValueError("the second number from 0.000001 on")
    return pair


MOST_WEIGHT = 1e9


def check_weight(value: float) -> float:
    """A weight that a mean can be taken with; raises ValueError.

    Of a much smaller one the products with probabilities are rounded away, and sums of much larger
    ones are no numbers.
    """
    if value != 0 and not 1 / MOST_WEIGHT <= value <= MOST_WEIGHT:
        raise ValueError("0, or from 0.000000001 to 1000000000")
    return value


Weight = Annotated[float, Field(ge=0, le=MOST_WEIGHT), AfterValidator(check_weight)]
Clamp = Annotated[
    list[Annotated[float, Field(ge=0, le=1)]],
    AfterValidator(check_ascending_or_off),
    AfterValidator(_something_left),
]


class Competition(Table):
    """What the organiser decided."""

    name: PlainText
    address: AddressText = Field("", description="where the data is downloaded from")
    classes: Classes = Field(description='names, or "auto": what the data folder holds')
    metric: Annotated[str, name_in(METRICS)] = "log_loss"

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [] if isinstance(self.classes, str) else self.classes
        if len({name.lower() for name in names}) < len(names):
            raise ValueError(f"each class once, got {names}")
        return self


class Data(Table):
    """Where the images are and how they carry their labels."""

    folder: Annotated[FolderText, Beside()]
    layout: Annotated[str, name_in(LAYOUTS)] = "folders"
    train: Folders = Field("train", description="a folder of training images, or a list of them")
    test: Folders = Field("test", description="a folder of images to predict, or a list of them")
    sample_submission: PlaceText = Field(
        "sample_submission.csv", description="in the data folder, or a full path"
    )
    sample_folder: Annotated[FolderText, Beside()] = ""
    labels: PlaceText = Field(
        "labels.csv",
        description="layout table: the table of labels, in the data folder or a full path",
    )
    labels_folder: Annotated[FolderText, Beside()] = ""
    id_column: PlainText = Field("ID", description="layout table: its column of ids")
    label_column: PlainText = Field(
        "label",
        description="layout table: its column of labels; "
        f'"{ONE_PER_CLASS}": a column of 0 and 1 for each class',
    )
    ids: Literal["stem", "name", "path"] = Field(
        "stem",
        description="an image's id is its file name without (stem) or with (name) extension, or "
        "its path in the data folder",
    )
    # Under unreadable = "prior" it decides which images are trained on.
    max_pixels: Annotated[int, Field(ge=1, le=10**12), Neutral(500_000_000)] = Field(
        500_000_000, description="of an image; one that has more is not decoded but refused"
    )
    unreadable: Annotated[Literal["error", "partial", "prior"], Neutral("error")] = Field(
        "error",
        description="images that cannot be read: no training at all; what is there of one that is "
        "cut short; training images left out, test images given the share of each class",
    )
    range: Annotated[AskedRange, Neutral("auto")] = Field(
        "auto",
        description="of images of more than 8 bits a value: which values are black and white; "
        '"auto": the lowest and the highest of all training images',
    )
    duplicates: Annotated[Literal["group", "drop", "keep"], Neutral("keep")] = Field(
        "group", description="images that are copies: held out together, dropped, or left alone"
    )
    conflicts: Annotated[Literal["keep", "drop", "error"], Neutral("keep")] = Field(
        "keep", description="copies with different labels: kept, dropped, or no training at all"
    )
    contradictions: Annotated[Literal["error", "ignore"], Neutral("ignore")] = Field(
        "error",
        description="images that a table and their folder label differently: no training at all, "
        "or as data.layout has it",
    )

    @model_validator(mode="before")
    @classmethod
    def _split_outside_paths(cls, content: Any) -> Any:
        """Keep a file's folder apart where it is not the data folder.

        Records hold the file's name: where it lies is a matter of the machine.
        """
        if not isinstance(content, Mapping):
            return content
        content = dict(content)
        for key, folder in TABLE_FOLDERS.items():
            text = content.get(key)
            if not isinstance(text, str) or "\0" in text:
                continue
            path = Path(os.path.expanduser(text))  # noqa: PTH111  (an unknown user's stays)
            if path.is_absolute() or ".." in path.parts:
                content |= {key: path.name, folder: path.parent.as_posix()}
        return content

    def labels_path(self, folder: Path) -> Path:
        """The table of labels.

        Args:
            folder: The data folder.
        """
        return folder / self.labels_folder / self.labels

    def sample_path(self, folder: Path) -> Path:
        """The host's sample submission.

        Args:
            folder: The data folder.
        """
        return folder / self.sample_folder / self.sample_submission


class Run(Table):
    """How a run is carried out. Seed and threads are part of the result."""

    seed: Annotated[int, Field(ge=0, le=LARGEST)]
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    workers: Annotated[int, Field(ge=0, le=256), Beside()] = 0
    device: Annotated[Literal["auto", "cpu", "cuda"], Beside()] = "auto"
    ledger: Annotated[Literal["epoch", "step", "tensor"], Beside()] = Field(
        "step", description="how finely a training writes down its digests"
    )
    cache: Annotated[FolderText, Beside()] = Field(
        "", description="folder of decoded images; cache/ beside the runs when empty"
    )
    checkpoint_seconds: Annotated[float, Field(gt=0), Beside()] = Field(
        300.0, description="between two checkpoints within an epoch; each epoch ends with one"
    )
    tracking: Annotated[
        list[Literal["tensorboard", "mlflow", "wandb"]], AfterValidator(_once), Beside()
    ] = Field([], description="who gets each epoch's row of history.csv; no bit depends on it")


class Cluster(Table):
    """What a training takes of a Ray node, and where nodes share files."""

    num_cpus: Annotated[
        float | None,
        Field(gt=0, le=1e6, description="cores of a node; run.threads when it is not given"),
    ] = None
    num_gpus: Annotated[
        float | None,
        Field(
            ge=0,
            le=1e6,
            description="GPUs of a node; when it is not given, one where nodes have any",
        ),
    ] = None
    memory: Annotated[float | None, Field(gt=0, le=1e9, description="gigabytes of a node")] = None
    storage: Annotated[
        AddressText,
        Field(description="a folder that all nodes see, or an address such as s3://bucket/folder"),
    ] = ""


class Blend(Table):
    """How the members' probabilities become one."""

    method: Annotated[str, name_in(BLEND_METHODS, AUTO)] = SIMPLEST.name
    calibrate: Annotated[
        bool,
        Neutral(False),
        Field(
            description="a temperature, where that helps on held-out images; auto always tries it"
        ),
    ] = False
    allow_missing: Annotated[
        bool,
        Neutral(False),
        Field(description="a blend of the members that are complete, without the others"),
    ] = False
    clamp: Annotated[Clamp, Neutral([])] = Field(default_factory=list)
    renormalise: Annotated[bool, Neutral(False)] = True
    weights: Annotated[dict[str, Weight], Neutral({})] = Field(default_factory=dict)

    @property
    def fitted(self) -> bool:
        """Whether held-out predictions decide anything of it."""
        return self.calibrate or self.method == AUTO or BLEND_METHODS.get(self.method).fitted

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if self.weights and sum(self.weights.values()) == 0:
            raise ValueError("weights: at least one above 0")
        return self

    @model_validator(mode="after")
    def _probabilities_to_calibrate(self) -> Self:
        name = self.method
        if not self.calibrate or name == AUTO or BLEND_METHODS.get(name).takes_temperature:
            return self
        if BLEND_METHODS.get(name).stack is None:
            raise ValueError(
                f'calibrate: a temperature is for probabilities, and method = "{name}" makes none'
            )
        raise ValueError(
            f'calibrate: method = "{name}" fits a model, which would be too sure of itself on the '
            "images that a temperature would be fitted to; leave it out"
        )


class Submission(Table):
    """What the host asks of a submission besides ids and columns."""

    columns: Annotated[
        str, name_in(FORMS), Field(description="what it holds for each image beside the id")
    ] = "classes"
    unseen: Annotated[
        list[ClassName],
        AfterValidator(_once),
        Neutral([]),
        Field(description="classes that the host asks for and no training image is of: always 0"),
    ] = Field(default_factory=list)
    rows_sum_to_one: Annotated[bool, Neutral(False)] = True
    copies: Annotated[
        Literal["keep", "mean"],
        Neutral("keep"),
        Field(description="test images with the same pixels: each its own answer, or their mean"),
    ] = "keep"
