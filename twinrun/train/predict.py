"""Probabilities bound to ids, computed in batches of one shape.

Kernels are chosen by the shape of what they get, and other kernels give other last bits. So no
batch is smaller than the others: an image's bits do not depend on how many others there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from twinrun.data.tta import View
from twinrun.errors import InputError
from twinrun.repro.group import current_group
from twinrun.repro.ranks import Ranks

if TYPE_CHECKING:  # it imports fastai, which whoever only predicts does without
    from twinrun.data.keyed_loader import KeyedLoader

# A batch has a multiple of so many rows. In one of 5, 6, 7, 9 or 10 rows, two threads divide a
# product of matrices so that its last rows are added up in another order than its first.
_MULTIPLE = 8


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

    def logits(view: View | None) -> Tensor:
        if view is None:
            return _logits(model, loader)
        with loader.show_as(view):
            return _logits(model, loader)

    table = pd.DataFrame(probabilities_of(logits, passes, mean), columns=list(classes))
    table.insert(0, "id", loader.ids)
    return table


def probabilities_of(
    logits: Callable[[View | None], Tensor], passes: Sequence[View], mean: str
) -> np.ndarray:
    """The probabilities of images by a network that sees each of them once, or in several passes.

    Args:
        logits: Of a pass, a row per image, on the CPU; of no pass, of the images as they are.
        passes: As for `predict`.
        mean: As for `predict`.

    Returns:
        float32, a row per image, a column per class. No row depends on another one.

    Raises:
        InputError: As `predict`.
    """
    if passes:
        found = _mean_over(passes, logits, mean).float().numpy()
    else:
        found = logits(None).softmax(1).numpy()
    if not np.isfinite(found).all():
        raise InputError(
            "the model's predictions are not finite numbers: the training has diverged",
            fix="Lower the recipe's learning rates.",
        )
    return found


def _mean_over(
    passes: Sequence[View], logits: Callable[[View | None], Tensor], mean: str
) -> Tensor:
    total: Tensor | float = 0.0
    for view in passes:
        seen = logits(view).double()
        total = total + (seen.log_softmax(1) if mean == "geometric" else seen.softmax(1))
    middle = torch.as_tensor(total) / len(passes)
    return middle.softmax(1) if mean == "geometric" else middle


def rows_computed(batch_size: int, ranks: Ranks) -> int:
    """How many rows a network is given at a time, however many images there are.

    Args:
        batch_size: Of the recipe's predictions, all ranks together.
        ranks: Who share it.
    """
    share = -(-batch_size // ranks.count)
    return -(-share // _MULTIPLE) * _MULTIPLE


def logits_of(model: nn.Module, images: Tensor, rows: int) -> Tensor:
    """The logits of images in a batch of a fixed shape, filled up with zeros.

    Args:
        model: Gives logits; no row's depend on another's.
        images: float32, at most `rows` x 3 x size x size.
        rows: From `rows_computed`.

    Returns:
        A row for each of the images.
    """
    plain, count = images.as_subclass(Tensor), len(images)
    whole = torch.empty(
        (rows, *plain.shape[1:]),
        dtype=plain.dtype,
        device=plain.device,
        memory_format=torch.channels_last,
    )
    whole[:count], whole[count:] = plain, 0
    with torch.no_grad():
        logits: Tensor = model(whole)
    return logits[:count]


def _logits(model: nn.Module, loader: KeyedLoader) -> Tensor:
    sizes = [min(loader.bs, len(loader.ids) - at) for at in range(0, len(loader.ids), loader.bs)]
    rows = rows_computed(loader.bs, loader.ranks)
    answers = [
        current_group().gather_batch(logits_of(model, batch[0], rows), size, loader.ranks)
        for batch, size in zip(loader, sizes, strict=True)
    ]
    return torch.cat(answers).cpu()
