"""A member's folds put together: out-of-fold predictions, the mean of the test predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from twinrun.errors import InputError, shorten
from twinrun.files import write_csv
from twinrun.metrics import member_scores
from twinrun.run_folder.paths import PREDICTION_FILES
from twinrun.run_folder.records import folds_digests, write_record
from twinrun.run_folder.tables import read_predictions


def fold_predictions(folder: Path) -> dict[str, pd.DataFrame]:
    """valid.csv and test.csv of a training or member by name, probabilities as float32.

    Raises:
        InputError: As `read_predictions`.
    """
    tables = {}
    for file in PREDICTION_FILES:
        table = read_predictions(folder, file)
        classes = [name for name in table.columns if name not in ("id", "label")]
        tables[file] = table.astype(dict.fromkeys(classes, "float32"))
    return tables


def join_folds(folds: Sequence[Mapping[str, pd.DataFrame]], what: str) -> dict[str, pd.DataFrame]:
    """The predictions of a member out of those of its folds.

    Args:
        folds: valid.csv and test.csv of each fold, by name, in the folds' order.
        what: The member, for an error.

    Returns:
        valid.csv: the rows of all folds, sorted by id: each image was predicted by the network that
        had not seen it. test.csv: the arithmetic mean, added up in float64 in the folds' order and
        rounded to float32; rows in the first fold's order.

    Raises:
        InputError: An image is held out by two folds, or they predict other test images or classes.
    """
    valid = pd.concat([fold["valid.csv"] for fold in folds], ignore_index=True)
    twice = sorted(set(valid["id"][valid["id"].duplicated()]))
    tests = [fold["test.csv"] for fold in folds]
    first = tests[0]
    alike = all(
        list(table.columns) == list(first.columns) and table["id"].tolist() == first["id"].tolist()
        for table in tests
    )
    if twice or not alike:
        raise InputError(
            f"the folds of {what} do not belong together:",
            details=[f"{image}: held out by more than one" for image in shorten(twice)]
            or ["their test.csv are of other images or classes"],
            fix="Remove the folder of that member to train it again.",
        )
    order = np.argsort(np.array(valid["id"].tolist(), dtype=object), kind="stable")
    return {"valid.csv": valid.iloc[order].reset_index(drop=True), "test.csv": mean_of_folds(tests)}


def mean_of_folds(tests: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """What the networks of a member's folds predict together.

    Args:
        tests: Of each fold in order: id, then float32 probabilities per class, rows alike.

    Returns:
        The arithmetic mean, added up in float64 in the folds' order and rounded to float32.
    """
    first = tests[0]
    classes = list(first.columns[1:])
    total = np.zeros((len(first), len(classes)))
    for table in tests:
        total += table[classes].to_numpy(dtype=np.float64)
    mean = pd.DataFrame((total / len(tests)).astype(np.float32), columns=classes)
    mean.insert(0, "id", first["id"].to_numpy())
    return mean


def write_out_of_fold(
    folder: Path,
    identity: Mapping[str, Any],
    records: Mapping[str, Mapping[str, Any]],
    train_ids: Sequence[str],
    metric: str,
) -> dict[str, Any]:
    """Write a member's own files, when all of its folds are complete; member.json is the last.

    Args:
        folder: runs/<run>/members/<member>.
        identity: What decided the bits of all folds.
        records: The content of the folds' member.json, by the names of their folders below
            `folder`, in order.
        train_ids: The images of which each must have been held out once.
        metric: The competition's.

    Returns:
        The content of member.json: as of a training, the scores those of the out-of-fold
        predictions, the files those of all folds and the member's own, the seconds the folds' sum;
        the folds' own scores; by fold, environments that are different, and nodes.

    Raises:
        InputError: The folds do not fit together, or the folder cannot be written.
    """
    tables = join_folds([fold_predictions(folder / name) for name in records], str(folder))
    valid, test = (tables[file] for file in PREDICTION_FILES)
    if lacking := sorted(set(train_ids) - set(valid["id"])):
        raise InputError(
            f"no fold of {folder} has held out these images:",
            details=shorten(lacking),
            fix="Remove that folder to train the member again.",
        )
    for file, table in tables.items():
        write_csv(folder / file, table)
    content = {
        "identity": dict(identity),
        "images": {"train": len(valid), "valid": len(valid), "test": len(test)},
        "scores": member_scores(valid, metric),
        "folds": [dict(record["scores"]) for record in records.values()],
        **folds_digests(folder, records),
        "seconds": round(sum(record["seconds"] for record in records.values()), 3),
    }
    others = {
        name: record["identity"]["environment"]
        for name, record in records.items()
        if record["identity"]["environment"] != identity["environment"]
    }
    nodes = {name: record["node"] for name, record in records.items() if "node" in record}
    content |= {"environments": others} if others else {}
    content |= {"node": nodes} if nodes else {}
    write_record(folder, content)
    return content
