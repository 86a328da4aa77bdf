"""The ledger's rows of what comes before the first step: environment, data, split, weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from fastai.data.core import DataLoaders
from torch import nn

from twinrun.repro.digests import digest_tensors, digest_text
from twinrun.repro.ledger import Ledger
from twinrun.repro.told import split_digest


def record_start(
    ledger: Ledger,
    environment: Mapping[str, Any],
    index: pd.DataFrame,
    pixels: str,
    loaders: DataLoaders,
    labels: Mapping[str, str],
    model: nn.Module,
) -> None:
    """Write down what a training begins with.

    Args:
        ledger: Where the rows go.
        environment: What decides bits: JSON values.
        index: From `with_pixels`.
        pixels: Its column of digests of the pixels that the member is trained on.
        loaders: From `member_loaders`; their vocabulary gives the classes' numbers.
        labels: Class by id, of the training images.
        model: Untrained.
    """
    for what, value in _flat(environment):
        ledger.add("environment", digest_text(repr(value)), what=what)
    ledger.add("files", digest_text(*index[["part", "id", "sha256"]].to_numpy().ravel()))
    numbers = {name: number for number, name in enumerate(loaders.vocab)}
    ledger.add("split", digest_text(*loaders.vocab), what="classes")
    for part in ("train", "valid"):
        for image in getattr(loaders, part).ids:
            ledger.add("split", split_digest(part, numbers[labels[image]]), what=image)
    ledger.add("pixels", digest_text(*index[["part", "id", pixels]].to_numpy().ravel()))
    for name, tensor in model.state_dict().items():
        ledger.add("init", digest_tensors([tensor]), what=name)


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """("packages.torch", "2.15.0") and so on."""
    for key in sorted(values):
        if isinstance(values[key], Mapping):
            yield from _flat(values[key], f"{above}{key}.")
        else:
            yield f"{above}{key}", values[key]
