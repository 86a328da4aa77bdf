"""Properties of the files that give the class away, whatever the images show.

For each value of a property ("PNG") and each class: is the class so much more frequent among the
images with this value that guessing it there halves the errors? And would chance give that, were
the property of no meaning: the tail of a binomial distribution with the class's share of all
images, times the number of values and classes that were looked at (Bonferroni)? Three images of
three are chance, twelve of twelve are not; and twelve copies of one photo are one image.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import log2
from pathlib import Path

import numpy as np
import pandas as pd

from twinrun.file_names import suffix_of

# A chance of less than one in a thousand, for all that is looked at together.
_CHANCE = 1e-3


@dataclass(frozen=True)
class MetadataLeak:
    """A value of a property that gives a class away.

    Attributes:
        name: Of the property.
        value: Of it.
        label: The class.
        hits: Training images with the value that are of the class; copies of one photo
            count once, here and below.
        images: Training images with the value.
        share: The class's share of all training images.
        chance: That so many hits come about when the property means nothing, corrected for the
            number of questions asked.
    """

    name: str
    value: str
    label: str
    hits: int
    images: int
    share: float
    chance: float


def file_properties(train: pd.DataFrame, folder: Path) -> dict[str, pd.Series]:
    """What is known of each training image without looking at its picture, as text, by name.

    Args:
        train: Rows of an index with the columns of `with_pixels`.
        folder: The data folder.
    """
    width, height = train["width"].astype(int), train["height"].astype(int)
    # Half a doubling of the area to a step.
    steps = (width * height).map(lambda area: round(2 * log2(area)))
    shapes = (width / height).map(lambda ratio: round(4 * log2(ratio)))
    return {
        "extension": train["path"].map(lambda path: suffix_of(path) or "none"),
        "format": train["format"].astype(str),
        "mode": train["mode"].astype(str),
        "EXIF orientation": train["orientation"].astype(str),
        "size": width.astype(str) + " x " + height.astype(str),
        "rough size": steps.map(lambda step: f"about {round(2 ** (step / 4))} px square"),
        "rough shape": shapes.map(
            lambda shape: f"about {2 ** (shape / 4):.2f} times as wide as high"
        ),
        "day of last change": train["path"].map(lambda path: _day(folder / path)),
    }


def metadata_leaks(
    properties: Mapping[str, pd.Series], labels: pd.Series, photos: np.ndarray
) -> list[MetadataLeak]:
    """The values that give a class away, the most frequent first, by property.

    Args:
        properties: Values as text, by name; a row per training image.
        labels: Their classes.
        photos: Of each image a number, the same for copies of one photo; int64.
    """
    from scipy.special import bdtrc

    classes = pd.DataFrame({"photo": photos, "label": labels.to_numpy()})
    shares = classes.drop_duplicates()["label"].value_counts(normalize=True)
    tables = []
    for name, values in properties.items():
        # Copies of one photo may differ in the property: the photo then has both values.
        pairs = classes.assign(value=values.to_numpy()).drop_duplicates()
        counts = pairs.groupby(["value", "label"]).size().rename("hits").reset_index()
        counts["images"] = counts["value"].map(pairs["value"].value_counts())
        tables.append(counts.assign(name=name))
    every = pd.concat(tables, ignore_index=True)
    every["share"] = every["label"].map(shares).astype(float)
    chance = bdtrc(every["hits"] - 1, every["images"], every["share"])
    every["chance"] = np.minimum(1.0, chance * len(every))
    errors = 1 - every["hits"] / every["images"]
    found = every[(every["chance"] < _CHANCE) & (errors <= (1 - every["share"]) / 2)]
    order = {name: number for number, name in enumerate(properties)}
    found = found.sort_values(
        ["name", "hits", "value", "label"],
        ascending=[True, False, True, True],
        key=lambda column: column.map(order) if column.name == "name" else column,
    )
    fields = ["name", "value", "label", "hits", "images", "share", "chance"]
    return [MetadataLeak(*row) for row in found[fields].itertuples(index=False, name=None)]


def _day(path: Path) -> str:
    try:
        return datetime.fromtimestamp(os.stat(path).st_mtime, UTC).date().isoformat()  # noqa: PTH116
    except (OSError, ValueError, OverflowError):
        return "unknown"
