"""Images through every member and fold of a run.

Each step is the one that the run took: `train.predict` for a network, `blend.out_of_fold` for a
member's folds. Both treat each image by itself, so that a few at a time come out as all of them
together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from twinrun.blend.out_of_fold import mean_of_folds
from twinrun.config.settings import Settings
from twinrun.data.augment import Augmentation
from twinrun.data.normalise import IMAGENET, as_tensors, normalise
from twinrun.data.pixels import PixelRows
from twinrun.data.tta import View, tta_views
from twinrun.files import as_written
from twinrun.networks.table import family_of
from twinrun.predict.feed import Decoded, HeldRows
from twinrun.predict.networks import Networks, Trained
from twinrun.train.predict import logits_of, probabilities_of, rows_computed

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Ensemble:
    """The members of a run that its blend is made of.

    Args:
        settings: Of the run.
        trained: By member, its trainings.
        networks: Of all of them.
    """

    def __init__(
        self,
        settings: Settings,
        trained: Mapping[str, Sequence[Trained]],
        networks: Networks,
    ) -> None:
        self.settings, self.trained, self.networks = settings, trained, networks

    def members(
        self, images: Sequence[Decoded], tell: Callable[[], object]
    ) -> dict[str, pd.DataFrame]:
        """What each member predicts of some images.

        Args:
            images: All of which could be decoded.
            tell: Called when a training has predicted them.

        Returns:
            By member a row per image in their order: id, and a float64 column per class.

        Raises:
            InputError: A network answers with what is no number.
        """
        ids = [image.id for image in images]
        tables = {}
        for name, trainings in self.trained.items():
            folds = []
            for each in trainings:
                folds.append(self._table(ids, self._probabilities(each, images)))
                tell()
            tables[name] = as_written(mean_of_folds(folds) if trainings[1:] else folds[0])
        return tables

    def _table(self, ids: Sequence[str], values: np.ndarray) -> pd.DataFrame:
        table = pd.DataFrame(values, columns=self.settings.classes)
        table.insert(0, "id", list(ids))
        return table

    def _probabilities(self, trained: Trained, images: Sequence[Decoded]) -> np.ndarray:
        member = trained.member
        model = self.networks.of(trained)
        size = member.cached_size
        look = _Look(
            trained,
            [image.id for image in images],
            HeldRows(size, [image.pixels[size] for image in images]),
            self.networks.device,
        )
        return probabilities_of(
            lambda view: look.logits(model, view), tta_views(member), member.test_time.mean
        )


class _Look:
    """Images as a training's passes see them."""

    def __init__(
        self, trained: Trained, ids: Sequence[str], rows: PixelRows, device: torch.device
    ) -> None:
        self.trained, self.ids, self.rows, self.device = trained, ids, rows, device
        member = trained.member
        self.augmentation = Augmentation(member)
        statistics = family_of(member.network).pixel_statistics(member.network)
        self.statistics = as_tensors(statistics or IMAGENET, device)

    def logits(self, model: torch.nn.Module, view: View | None) -> Tensor:
        """A row per image, on the CPU."""
        import torch

        member, found = self.trained.member, []
        rows = rows_computed(member.prediction_batch_size, self.trained.ranks)
        for first in range(0, len(self.ids), rows):
            places = range(first, min(first + rows, len(self.ids)))
            images = normalise(self._seen(places, view), *self.statistics)
            found.append(logits_of(model, images, rows).cpu())
        return torch.cat(found)

    def _seen(self, places: Sequence[int], view: View | None) -> Tensor:
        ids, key = [self.ids[place] for place in places], self.trained.key
        shares: np.ndarray | float = 0.5
        if view is not None:
            chosen = list(places)
            shares = view.shares_of(self.rows.rows[chosen], self.rows.columns[chosen], key, ids)
        images = self.rows.crops(self.rows.windows(places, shares)).to(self.device)
        if view is None:
            return self.augmentation.unchanged(images)
        return view.see(self.augmentation, images, key, ids)
