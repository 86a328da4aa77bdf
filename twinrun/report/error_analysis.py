"""What held-out predictions get right and wrong: by class, by image, and how sure they were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from twinrun.data.image_count import ImageCount
from twinrun.metrics import Numbers, Values, losses_of_truth

# What a page can hold and a reader can take in; what is left out is counted.
MOST_CLASSES = 12
MOST_PAIRS = 12
MOST_ROWS = 40
MOST_IMAGES = 16
BINS = 10
_GUESSES = 3


@dataclass(frozen=True)
class LabelledPredictions:
    """Predictions for images that no training saw, and the truth.

    Attributes:
        ids: Of the images.
        groups: Of each image the name of its group of copies.
        classes: Their names.
        probabilities: Images x classes.
        truth: Of each image the number of its class.
    """

    ids: list[str]
    groups: list[str]
    classes: list[str]
    probabilities: Values
    truth: Numbers


def analyse_errors(held_out: LabelledPredictions) -> dict[str, Any]:
    """All that the report says about predictions, as JSON values; there is at least one image.

    `loss` is -log of the label's probability in nats, of an image or as a mean over images. A
    prediction is the likeliest class, the first of equals.

    Returns:
        images, without_copies and enough: see `ImageCount`; loss, accuracy; confusion,
        calibration, classes, worst, suspects: see the functions of these names.
    """
    own = held_out.probabilities[np.arange(len(held_out.truth)), held_out.truth]
    losses = losses_of_truth(own) + 0.0  # no image loses -0
    guesses = held_out.probabilities.argmax(axis=1)
    count = ImageCount.of(held_out.groups)
    return {
        "images": count.all,
        "without_copies": count.distinct,
        "enough": count.enough,
        "loss": float(losses.mean()),
        "accuracy": float((guesses == held_out.truth).mean()),
        "confusion": confusion(held_out, guesses),
        "calibration": calibration(held_out, guesses),
        "classes": classes(held_out, guesses, losses),
        "worst": worst(held_out, losses),
        "suspects": suspects(held_out),
    }


def confusion(held_out: LabelledPredictions, guesses: Numbers) -> dict[str, Any]:
    """Labels against predictions, of the classes that are mistaken most often.

    Args:
        held_out: Images of any number of classes.
        guesses: The predicted column of each image.

    Returns:
        classes (at most MOST_CLASSES, in the order of the columns), left_out (how many others),
        counts (a row per label, a column per prediction), pairs (label, predicted, images: what is
        taken for what, most often first), more_pairs (how many are left out).
    """
    names, truth = held_out.classes, held_out.truth
    wrong = guesses != truth
    mistakes = np.bincount(truth[wrong], minlength=len(names))
    mistakes += np.bincount(guesses[wrong], minlength=len(names))
    images = np.bincount(truth, minlength=len(names))
    # Of many classes those with the most mistakes, then those with the most images.
    order = sorted(range(len(names)), key=lambda c: (-mistakes[c], -images[c], c))
    kept = sorted(order[:MOST_CLASSES])
    place = np.full(len(names), -1)
    place[kept] = range(len(kept))
    counts = np.zeros((len(kept), len(kept)), np.int64)
    both = (place[truth] >= 0) & (place[guesses] >= 0)
    np.add.at(counts, (place[truth[both]], place[guesses[both]]), 1)
    pairs, often = np.unique(
        np.stack([truth[wrong], guesses[wrong]], axis=1), axis=0, return_counts=True
    )
    most = np.argsort(-often, kind="stable")[:MOST_PAIRS]
    return {
        "classes": [names[column] for column in kept],
        "left_out": len(names) - len(kept),
        "counts": counts.tolist(),
        "pairs": [
            {
                "label": names[pairs[row, 0]],
                "predicted": names[pairs[row, 1]],
                "images": int(often[row]),
            }
            for row in most
        ],
        "more_pairs": len(often) - len(most),
    }


def calibration(held_out: LabelledPredictions, guesses: Numbers) -> dict[str, Any]:
    """How often a prediction is right, against how sure it was.

    The confidence is the predicted class's probability. The expected calibration error is the mean
    over the images of |share that is right - mean confidence| in the image's bin, with bins of
    equal width: Guo et al., "On calibration of modern neural networks", ICML 2017.

    Returns:
        error, and bins: low, high, images, confidence (mean), accuracy; of those with an image.
    """
    confidence = held_out.probabilities[np.arange(len(guesses)), guesses]
    right = guesses == held_out.truth
    # A bin holds its upper edge and not its lower one.
    edges = np.arange(1, BINS) / BINS
    bins = np.searchsorted(edges, confidence, side="left")
    found = []
    for number in range(BINS):
        inside = bins == number
        if inside.any():
            found.append(
                {
                    "low": number / BINS,
                    "high": (number + 1) / BINS,
                    "images": int(inside.sum()),
                    "confidence": float(confidence[inside].mean()),
                    "accuracy": float(right[inside].mean()),
                }
            )
    error = sum(each["images"] * abs(each["accuracy"] - each["confidence"]) for each in found)
    return {"error": error / len(guesses), "bins": found}


def classes(held_out: LabelledPredictions, guesses: Numbers, losses: Values) -> dict[str, Any]:
    """Each class by its images' mean loss, the highest first.

    Returns:
        rows (at most MOST_ROWS): class, images, loss, recall, precision (None where the class was
        never predicted); left_out: how many classes with an image are not among them; absent: how
        many classes have no held-out image.
    """
    names, truth = held_out.classes, held_out.truth
    images = np.bincount(truth, minlength=len(names))
    predicted = np.bincount(guesses, minlength=len(names))
    right = np.bincount(truth[guesses == truth], minlength=len(names))
    sums = np.bincount(truth, weights=losses, minlength=len(names))
    there = np.flatnonzero(images)
    order = sorted(there.tolist(), key=lambda c: (-sums[c] / images[c], c))
    return {
        "rows": [
            {
                "class": names[column],
                "images": int(images[column]),
                "loss": float(sums[column] / images[column]),
                "recall": float(right[column] / images[column]),
                "precision": float(right[column] / predicted[column])
                if predicted[column]
                else None,
            }
            for column in order[:MOST_ROWS]
        ],
        "left_out": max(0, len(order) - MOST_ROWS),
        "absent": len(names) - len(order),
    }


def worst(held_out: LabelledPredictions, losses: Values) -> list[dict[str, Any]]:
    """The images with the highest loss, at most MOST_IMAGES: id, label, loss, guesses."""
    ids = held_out.ids
    order = sorted(range(len(ids)), key=lambda row: (-losses[row], ids[row]))
    return [
        {
            "id": ids[row],
            "label": held_out.classes[held_out.truth[row]],
            "loss": float(losses[row]),
            "guesses": _guesses(held_out, row),
        }
        for row in order[:MOST_IMAGES]
    ]


def suspects(held_out: LabelledPredictions) -> dict[str, Any]:
    """Images whose label the predictions doubt, by the rule of confident learning.

    A class's threshold is the mean of its probability over the images that carry its label. An
    image is confidently of a class whose probability reaches the threshold; where several do, of
    the likeliest. It is a suspect when that class is not its label: an off-diagonal entry of the
    confident joint (Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in
    dataset labels", JAIR 70, 2021). The widest gap between the two probabilities comes first.

    A model that is often wrong doubts many right labels. So beside the count stands that of chance:
    were no label wrong, and each class as likely as the prediction says, an image that is
    confidently of a class with probability p would be a suspect with probability 1 - p. Copies of
    one photo are doubted together: their deviations add up, those of different photos do not.

    Returns:
        images (at most MOST_IMAGES): id, label, likely, label_probability, likely_probability;
        found: how many there are; by_chance: how many chance would give, and spread: the standard
        deviation of that.
    """
    probabilities, truth, names = held_out.probabilities, held_out.truth, held_out.classes
    rows = np.arange(len(truth))
    own = probabilities[rows, truth]
    images = np.bincount(truth, minlength=len(names))
    sums = np.bincount(truth, weights=own, minlength=len(names))
    # A class that no held-out image carries has no threshold to reach.
    thresholds = np.divide(sums, images, out=np.full(len(names), np.inf), where=images > 0)
    reached = np.where(probabilities >= thresholds, probabilities, -1.0)
    likely = reached.argmax(axis=1)
    sure = reached[rows, likely]
    found = np.flatnonzero((sure >= 0) & (likely != truth))
    sums = probabilities.sum(axis=1)
    doubt = 1 - np.divide(sure, sums, out=np.zeros_like(sure), where=sums > 0)[sure >= 0]
    photos = np.unique(np.array(held_out.groups)[sure >= 0], return_inverse=True)[1]
    deviations = np.bincount(photos, weights=np.sqrt(doubt * (1 - doubt)))
    ids = held_out.ids
    order = sorted(found.tolist(), key=lambda row: (own[row] - sure[row], ids[row]))
    return {
        "found": len(order),
        "by_chance": float(doubt.sum()),
        "spread": float(np.sqrt((deviations**2).sum())),
        "images": [
            {
                "id": ids[row],
                "label": names[truth[row]],
                "likely": names[likely[row]],
                "label_probability": float(own[row]),
                "likely_probability": float(sure[row]),
            }
            for row in order[:MOST_IMAGES]
        ],
    }


def _guesses(held_out: LabelledPredictions, row: int) -> list[dict[str, Any]]:
    """The likeliest classes of an image, and how likely."""
    values = held_out.probabilities[row]
    order = np.argsort(-values, kind="stable")[:_GUESSES]
    return [
        {"class": held_out.classes[column], "probability": float(values[column])}
        for column in order
    ]
