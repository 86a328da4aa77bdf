"""Probabilities bound to ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from competition.data.loading import KeyedLoader
from competition.errors import InputError


def predict(model: nn.Module, loader: KeyedLoader, classes: Sequence[str]) -> pd.DataFrame:
    """Predict every image of a loader that does not shuffle.

    Returns:
        One row per image in the loader's order: id (text), and a float32 column per class with the
        softmax of the logits.

    Raises:
        InputError: The model answers with numbers that are not finite.
    """
    model.eval()
    with torch.no_grad():
        logits = [model(batch[0]) for batch in loader]
    probabilities = torch.cat(logits).cpu().softmax(1).numpy()
    if not np.isfinite(probabilities).all():
        raise InputError(
            "the model's predictions are not finite numbers: the training has diverged",
            mend="Lower the recipe's learning rates.",
        )
    table = pd.DataFrame(probabilities, columns=list(classes))
    table.insert(0, "id", loader.ids)
    return table
