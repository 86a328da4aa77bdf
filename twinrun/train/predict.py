"""Probabilities bound to ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from twinrun.data.keyed_loader import KeyedLoader
from twinrun.data.tta import View
from twinrun.errors import InputError
from twinrun.repro.group import current_group


def predict(
    model: nn.Module,
    loader: KeyedLoader,
    classes: Sequence[str],
    passes: Sequence[View] = (),
    mean: str = "arithmetic",
) -> pd.DataFrame:
    """Predict every image of a loader that does not shuffle.

    Args:
        model: Gives logits.
        loader: The images.
        classes: Their names, in the order of the logits.
        passes: Of test-time augmentation: the mean over them is taken, in float64 and in their
            order. None: the images once, as they are.
        mean: "arithmetic", of the probabilities; or "geometric", brought back to a sum of 1.

    Returns:
        One row per image in the loader's order: id (text), and a float32 column per class with the
        softmax of the logits.

    Raises:
        InputError: The model answers with numbers that are not finite.
    """
    model.eval()
    if passes:
        probabilities = _mean_over(passes, model, loader, mean).float().numpy()
    else:
        probabilities = _logits(model, loader).softmax(1).numpy()
    if not np.isfinite(probabilities).all():
        raise InputError(
            "the model's predictions are not finite numbers: the training has diverged",
            fix="Lower the recipe's learning rates.",
        )
    table = pd.DataFrame(probabilities, columns=list(classes))
    table.insert(0, "id", loader.ids)
    return table


def _mean_over(passes: Sequence[View], model: nn.Module, loader: KeyedLoader, mean: str) -> Tensor:
    total: Tensor | float = 0.0
    for view in passes:
        with loader.show_as(view):
            logits = _logits(model, loader).double()
        total = total + (logits.log_softmax(1) if mean == "geometric" else logits.softmax(1))
    middle = torch.as_tensor(total) / len(passes)
    return middle.softmax(1) if mean == "geometric" else middle


def _logits(model: nn.Module, loader: KeyedLoader) -> Tensor:
    sizes = [min(loader.bs, len(loader.ids) - at) for at in range(0, len(loader.ids), loader.bs)]
    with torch.no_grad():
        answers = [
            current_group().gather_batch(model(batch[0]), size, loader.ranks)
            for batch, size in zip(loader, sizes, strict=True)
        ]
    return torch.cat(answers).cpu()
