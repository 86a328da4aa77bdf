"""One member from recipe to files: trained, predicted, written down."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
import torch

from competition.data.loading import member_loaders, prediction_loader
from competition.data.splits import validation_ids
from competition.determinism.randomness import Key
from competition.files import sha256_file, whole_file, write_csv, write_json
from competition.settings import Settings
from competition.training.fitting import fit
from competition.training.predicting import predict
from competition.training.recipes import build_learner
from competition.training.records import RESULT_FILES, member_identity


def train_member(
    name: str,
    settings: Settings,
    index: pd.DataFrame,
    environment: dict[str, Any],
    folder: Path,
) -> dict[str, Any]:
    """Train one member and write its files; member.json is the last, and says that it is complete.

    Args:
        name: The member's name in the settings.
        settings: Of the run.
        index: From `build_index`.
        environment: From `set_up`.
        folder: runs/<run>/members/<member>.

    Returns:
        The content of member.json: what decided the bits, the last epoch's scores, the files'
        digests, the seconds it took.

    Raises:
        InputError: As the stages say, or the folder cannot be written.
    """
    started = time.perf_counter()
    member = settings.members[name]
    classes = settings.competition.classes
    key = Key((settings.run.seed, name))
    train = index[index["part"] == "train"].reset_index(drop=True)
    test = index[index["part"] == "test"].reset_index(drop=True)
    held_out = validation_ids(
        train["id"].tolist(), share=member.validation.share, seed=settings.run.seed
    )
    loaders = member_loaders(
        train,
        held_out=held_out,
        folder=settings.data_folder,
        classes=classes,
        member=member,
        key=key,
        workers=settings.run.workers,
        device=torch.device(environment["decides"]["device"]),
    )
    learner = build_learner(member, loaders, classes=len(classes), key=key)
    scores = fit(learner, member, name=name, history=folder / "history.csv")
    valid = predict(learner.model, loaders.valid, classes)
    labels = dict(zip(train["id"], train["label"], strict=True))
    valid.insert(1, "label", [labels[image] for image in valid["id"]])
    unlabelled = prediction_loader(loaders, test, settings.data_folder)
    write_csv(folder / "valid.csv", valid)
    write_csv(folder / "test.csv", predict(learner.model, unlabelled, classes))
    with whole_file(folder / "weights.safetensors") as temporary:
        # Not save_file: on a full disk it raises an error that is no OSError.
        temporary.write_bytes(safetensors.torch.save(learner.model.state_dict()))
    record = {
        "identity": member_identity(name, settings, index, environment),
        "images": {"train": len(loaders.train.ids), "valid": len(valid), "test": len(test)},
        "scores": scores,
        "files": {file: sha256_file(folder / file) for file in RESULT_FILES},
        "seconds": round(time.perf_counter() - started, 3),
    }
    write_json(folder / "member.json", record)
    # Ten networks in a row must not add up in memory.
    del learner, loaders, unlabelled
    gc.collect()
    return record
