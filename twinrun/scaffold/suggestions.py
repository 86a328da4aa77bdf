"""What is suggested to a new project, and why: decided by what its data folder holds."""

from __future__ import annotations

from pathlib import Path

from twinrun.data.image_count import ImageCount
from twinrun.data.splits import held_out_count
from twinrun.metrics import METRICS
from twinrun.scaffold.inspect import LARGEST_SUGGESTED, SMALLEST_SUGGESTED, Findings
from twinrun.scaffold.question import Choice, Known, Suggestion
from twinrun.submission_forms import FORMS

_SHARE, _FOLDS = 0.1, 5

# How a member is judged, as competition.toml says it.
HELD_OUT = Choice(
    "a tenth", "one training; every tenth image is held out", f"{{ share = {_SHARE} }}"
)
IN_FOLDS = Choice(
    "5 folds", "five trainings; each image is held out by one of them", f"{{ folds = {_FOLDS} }}"
)


def suggest_name(found: Findings, folder: Path, known: Known) -> Suggestion:  # noqa: ARG001
    """The project is called as its folder."""
    return Suggestion(folder.name, "as its folder")


def suggest_competition(found: Findings, folder: Path, known: Known) -> Suggestion:  # noqa: ARG001
    """The competition is called as the project."""
    return Suggestion(known["project_name"], "as the project")


def suggest_metric(found: Findings, folder: Path, known: Known) -> Suggestion:  # noqa: ARG001
    """The metric that competitions mostly have that ask for such a submission."""
    form = FORMS.get(found.columns)
    return Suggestion(METRICS.get(form.usual_metric).words, f"usual for {form.answer}")


def suggest_size(found: Findings, folder: Path, known: Known) -> Suggestion:  # noqa: ARG001
    """The side that networks are mostly trained at, or a smaller one that most images fill."""
    why = "a multiple of 32"
    if found.image_size == LARGEST_SUGGESTED:
        why = "the usual one"
    elif found.image_size == SMALLEST_SUGGESTED:
        why = "the least there is"
    why = f"{why}; the images' shorter sides: {found.shorter_side:,} px"
    return Suggestion(str(found.image_size), why)


def suggest_validation(found: Findings, folder: Path, known: Known) -> Suggestion:  # noqa: ARG001
    """Folds where a tenth of the images would be too few to judge by, and each class is in each."""
    held_out = held_out_count(found.train_images, _SHARE)
    tenth = f"a tenth of {found.train_images:,} images is {held_out:,}"
    # Which images are copies is not known before they are read: the audit counts without them.
    if ImageCount(held_out, held_out).enough:
        return Suggestion(HELD_OUT.answer, f"{tenth}: enough to judge by")
    smallest = min(found.counts, key=lambda name: found.counts[name])
    if found.counts[smallest] < _FOLDS:
        few = f"the class {smallest} has too few images for folds: {found.counts[smallest]}"
        return Suggestion(HELD_OUT.answer, few)
    return Suggestion(IN_FOLDS.answer, f"{tenth}: too few to judge by")
