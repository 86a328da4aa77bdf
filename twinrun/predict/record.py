"""What new predictions were made of, in a file beside them, so that they can be checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from twinrun.file_names import stem_of
from twinrun.run_folder.documents import read_document, write_document
from twinrun.run_folder.shapes import Digest, EngineRecord, Name, Place, Shape

RECORD = "predictions.json"


def record_path(output: Path) -> Path:
    """Where the record of a file of predictions lies: each file has its own.

    Of `today.csv` it is `today.predictions.json` beside it; of `predictions.csv`, whose name would
    say it twice, `predictions.json`.
    """
    stem = stem_of(output.name)
    return output.with_name(RECORD if f"{stem}.json" == RECORD else f"{stem}.{RECORD}")


def is_record(path: Path) -> bool:
    """Whether a file is called like a record of predictions."""
    return path.name == RECORD or path.name.endswith(f".{RECORD}")


class OutputRecord(Shape):
    """The file of predictions: `submission` where it was bound to a sample."""

    file: Name
    kind: Literal["predictions", "submission"]
    sha256: Digest


class UsedBlend(Shape):
    """What made one answer of the members' predictions.

    Attributes:
        missing: Members and folds that the settings give a weight, and that it was made without.
        partial: It is to be replaced when these are complete; else the settings allow it.
        model: SHA-256 of a stack's numbers; not there in any other blend.
    """

    method: str
    weights: dict[Place, float]
    temperature: float
    missing: list[Place]
    partial: bool
    model: Digest | None = None


class PredictionRecord(Shape):
    """What decided new predictions.

    Attributes:
        images: SHA-256 of each file by id; empty of one that cannot be read.
        unread: By id, why it cannot be: such an image got the share of each class.
        parts: By id, why only a part of an image was there.
        weights: SHA-256 by training.
        blend: That the run recorded.
        hooks: SHA-256 by name of the competitor's own functions that were called.
        settings: SHA-256 of the run's settings.
        sample: SHA-256 of the sample that a submission was bound to.
        environment: What decides bits.
        code: The engine's source.
    """

    version: Literal[1]
    output: OutputRecord
    images: dict[str, Digest | Literal[""]]
    unread: dict[str, str]
    parts: dict[str, str]
    weights: dict[str, Digest]
    blend: UsedBlend
    hooks: dict[str, Digest]
    settings: Digest
    sample: Digest | None
    environment: dict[str, Any]
    code: Digest
    engine: EngineRecord


def write_predictions(path: Path, content: Mapping[str, Any]) -> None:
    """Write a record of predictions.

    Raises:
        InputError: The folder cannot be written.
    """
    write_document(path, PredictionRecord, content)


def read_record_of(path: Path) -> dict[str, Any]:
    """The content of a record of predictions, `PredictionRecord`.

    Raises:
        InputError: It is missing or damaged.
    """
    return read_document(path, PredictionRecord, fix="Predict again with `twinrun predict`.")
