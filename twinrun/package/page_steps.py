"""How a submission is made of the members' predictions, for a page: each step in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from twinrun.blend_methods.methods import BLEND_METHODS, mean_of
from twinrun.data.image_count import ImageCount
from twinrun.data.unread import WHY
from twinrun.metrics import SMALLEST
from twinrun.submission_forms import FORMS

_VIEWS = {
    "crops": "in five crops of seven eighths of its side, the middle and the corners",
    "train": "{times} times, each changed at random as in training",
}
_SYMMETRIES = "in the eight symmetries of a square"
_MIRRORED = "as it is and mirrored left to right"


def submission_steps(
    settings: Mapping[str, Any],
    blended: Mapping[str, Any],
    pixels: str,
    shares: Mapping[str, float],
) -> list[str]:
    """What is done to members' predictions, in this order, from their networks to the submission.

    Whoever does that by hand, with the weights of the page, has the submission.

    Args:
        settings: Of the run, from `write_out_settings`.
        blended: blend.json; empty where there is none.
        pixels: The column of the index that tells copies.
        shares: Of each class, where test images that cannot be read are given them; else empty.
    """
    return list(_steps(settings, blended, pixels, shares))


def describe_fit(blended: Mapping[str, Any]) -> str:
    """Where weights and temperature come from.

    Args:
        blended: blend.json; empty where there is none.
    """
    parts: list[str] = []
    if blended:
        method = BLEND_METHODS.get(blended["method"])
        if method.stack is not None:
            parts += ["stack"]
        elif method.fitted:
            parts += ["weights"]
        parts += ["temperature"] if blended["temperature"] != 1.0 else []
        if parts:
            images = ImageCount(blended["images"], blended["without_copies"])
            return (
                f"Fitted to what the members predicted of {images.words('held-out image')}: "
                f"{' and '.join(parts)} ({method.words}); run/blend.json has all that was tried, "
                "with nested scores."
            )
    return "The weights are those of the settings; nothing was fitted."


def _steps(
    settings: Mapping[str, Any],
    blended: Mapping[str, Any],
    pixels: str,
    shares: Mapping[str, float],
) -> Iterator[str]:
    yield from _predictions(settings["members"])
    blend, classes = settings["blend"], settings["competition"]["classes"]
    if blend["clamp"]:
        low, high = blend["clamp"]
        yield (
            f"Every probability is brought to at least {low!r} and at most {high!r}, as float32 "
            "has these numbers."
        )
    stack = BLEND_METHODS.get(blended["method"]).stack if blended else None
    if stack is not None:
        yield (
            f"A {stack.name} makes one answer of the members' probabilities; its numbers are "
            f"`stack` in run/blend.json: {stack.formula}. What is above is {stack.weight}."
        )
        if len(blended["stack"]["seen"]) < len(classes):
            yield (
                "Classes that are not in `seen` keep their share of the members' mean with the "
                "weights above; the model's probabilities share what is left."
            )
    else:
        mean = mean_of(blended.get("method") or blend["method"])
        yield (
            f"The members' {mean.name} mean is taken with the weights above: {mean.formula}, over "
            "the members with weight w and probability p."
        )
    if blend["renormalise"]:
        yield "Each row is divided by its sum."
    temperature = blended.get("temperature", 1.0)
    if temperature != 1.0:
        yield (
            f"Every probability is raised to the power of 1 / {temperature!r} (one below "
            f"{SMALLEST!r} counts as that), and each row is divided by its sum."
        )
    if shares:
        named = ", ".join(f"{name} {share!r}" for name, share in shares.items())
        yield (
            "Test images that cannot be read, of which run/index.parquet says why in the column "
            f"{WHY}, get the share of each class among the training images: {named}."
        )
    if settings["submission"]["copies"] == "mean":
        yield (
            "Test images with the same pixels, which have the same text in the column "
            f"{pixels} of run/index.parquet, get one answer: the mean of their rows."
        )
    if unseen := settings["submission"]["unseen"]:
        yield (
            f"No training image is of {', '.join(unseen)}: the probability of each of these is 0, "
            "after those of the others."
        )
        classes = [*classes, *unseen]
    form = FORMS.get(settings["submission"]["columns"])
    yield (
        f"run/submission.csv holds of each image {form.asks_for(classes)}, joined by id to the "
        "host's sample submission, in its order of rows and columns. The order of the classes is "
        f"{', '.join(classes)}; of equally likely ones the first is the likeliest."
    )


def _predictions(members: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield (
        "Each member's network gives each test image a probability per class, the softmax of its "
        "logits: run/members/NAME/test.csv."
    )
    for name, recipe in members.items():
        views = _views(recipe)
        if views:
            times = recipe["test_time"]["mean"]
            again = ", brought back to a sum of 1" if times == "geometric" else ""
            yield (
                f"{name} sees each image {views}; the {times} mean of the probabilities is taken"
                f"{again}."
            )
    for name, recipe in members.items():
        folds = recipe["validation"].get("folds")
        if folds:
            yield (
                f"{name} is {folds} networks, one for each fold: its test.csv is the arithmetic "
                f"mean of those of fold-1 to fold-{folds} in its folder, read and written as "
                "float32."
            )


def _views(recipe: Mapping[str, Any]) -> str:
    """How an image is seen at test time; empty where it is seen once, as it is."""
    method = recipe["test_time"]["method"]
    if method == "none":
        return ""
    if method == "flips":
        return _SYMMETRIES if recipe.get("flip_vertical") else _MIRRORED
    return _VIEWS[method].format(times=recipe["test_time"].get("times"))
