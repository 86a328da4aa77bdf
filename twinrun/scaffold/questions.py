"""What a new project is asked: the template's questions, in one table.

template/cookiecutter.json is written from it: `python -m twinrun.scaffold.questions`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path, PurePath
from typing import Any

from twinrun.config.layouts import LAYOUTS
from twinrun.errors import InputError
from twinrun.files import write_text
from twinrun.metrics import METRICS
from twinrun.registry import Registry
from twinrun.scaffold.inspect import Findings
from twinrun.scaffold.question import Choice, Question
from twinrun.scaffold.suggestions import (
    HELD_OUT,
    IN_FOLDS,
    suggest_competition,
    suggest_metric,
    suggest_name,
    suggest_size,
    suggest_validation,
)
from twinrun.submission_forms import FORMS
from twinrun.wheel.engine_wheel import CLONED_TEMPLATE, template_folder

# The template that this engine was taken with, or would have in a clone.
TEMPLATE = template_folder() or CLONED_TEMPLATE
FILE = TEMPLATE / "cookiecutter.json"

# The longest that the template takes.
_LONGEST_SLUG = 60

_EXTENSION = "twinrun_extension.Twinrun"


def slug(name: str) -> str:
    """A folder's name in the letters that a package may have."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return words[:_LONGEST_SLUG].rstrip("-") or "competition"


def _join_classes(found: Findings, folder: Path) -> str:  # noqa: ARG001
    for name in [*found.classes, *found.unseen]:
        if "," in name:
            raise InputError(
                f"the class {name!r} has a comma in its name",
                fix="Rename its folder, or the label in the table.",
            )
    return ",".join(found.classes)


def _folders(names: str | list[str]) -> str:
    """An answer is one text: a list of folders is written as JSON and TOML have it."""
    return names if isinstance(names, str) else json.dumps(names, ensure_ascii=False)


def _without_place(path: str) -> str:
    """A table's path in the data folder; of one that lies elsewhere its name, and no place."""
    return PurePath(path).name if PurePath(path).is_absolute() else path


_ID_ANSWERS = {
    "stem": "the file's name without extension",
    "name": "the file's name with extension",
    "path": "the file's path in the data folder",
}

# Members that say themselves what they are judged by.
_OTHERS = "13th place"

QUESTIONS: Registry[Question] = Registry("question", Question, setting="--answer")
for _question in (
    Question(
        name="project_name",
        prompt="Name of the project",
        answered_by="user",
        default="My competition",
        suggest=suggest_name,
    ),
    Question(
        name="project_slug",
        prompt="Its folder (small letters, digits, dashes)",
        answered_by="data",
        default="{{ (cookiecutter.project_name | slugify) or 'competition' }}",
        read=lambda _found, folder: slug(folder.name),
    ),
    Question(
        name="competition_name",
        prompt="Name of the competition",
        answered_by="user",
        default="{{ cookiecutter.project_name }}",
        suggest=suggest_competition,
    ),
    Question(
        name="competition_address",
        prompt="Web address from which its data is downloaded (may be empty)",
        answered_by="user",
        default="",
    ),
    Question(
        name="classes",
        prompt="Classes, separated by commas",
        answered_by="data",
        default="read from the data folder",
        read=_join_classes,
    ),
    Question(
        name="unseen",
        prompt="Classes that a submission is of and no training image is (mostly none)",
        answered_by="data",
        default="",
        read=lambda found, _folder: ",".join(found.unseen),
    ),
    Question(
        name="layout",
        prompt="How are the training images labelled?",
        answered_by="data",
        choices=lambda: [Choice(each.answer, each.words, each.name) for each in LAYOUTS],
        read=lambda found, _folder: LAYOUTS.get(found.layout).answer,
    ),
    Question(
        name="id_column",
        prompt="Column of the image ids in the CSV files",
        answered_by="data",
        default="ID",
        read=lambda found, _folder: found.id_column,
    ),
    Question(
        name="label_column",
        prompt="Column of the labels (layout table)",
        answered_by="data",
        default="label",
        read=lambda found, _folder: found.label_column,
    ),
    Question(
        name="train",
        prompt='Folder of the training images, in the data folder; several as ["a", "b"]',
        answered_by="data",
        default="train",
        read=lambda found, _folder: _folders(found.train),
    ),
    Question(
        name="test",
        prompt="Folder of the images to predict, or several likewise",
        answered_by="data",
        default="test",
        read=lambda found, _folder: _folders(found.test),
    ),
    Question(
        name="labels",
        prompt="CSV of the labels (layout table)",
        answered_by="data",
        default="labels.csv",
        read=lambda found, _folder: _without_place(found.labels or "labels.csv"),
    ),
    Question(
        name="sample_submission",
        prompt="The host's sample submission",
        answered_by="data",
        default="sample_submission.csv",
        read=lambda found, _folder: _without_place(found.sample_submission),
    ),
    Question(
        name="ids",
        prompt="What is an image's id?",
        answered_by="data",
        choices=lambda: [Choice(answer, setting=name) for name, answer in _ID_ANSWERS.items()],
        read=lambda found, _folder: _ID_ANSWERS[found.ids],
    ),
    Question(
        name="metric",
        prompt="Metric of the competition",
        answered_by="user",
        choices=lambda: [Choice(each.words, setting=each.name) for each in METRICS],
        suggest=suggest_metric,
    ),
    Question(
        name="submission_columns",
        prompt="What does a submission hold for each image?",
        answered_by="data",
        choices=lambda: [Choice(each.answer, each.words, each.name) for each in FORMS],
        read=lambda found, _folder: FORMS.get(found.columns).answer,
    ),
    Question(
        name="image_size",
        prompt="Side at which images are trained on, in pixels (32 to 4096)",
        answered_by="user",
        default="224",
        suggest=suggest_size,
    ),
    Question(
        name="members",
        prompt="First members",
        answered_by="user",
        choices=lambda: [
            Choice("quick", "one ResNet-34, 8 epochs: a first submission soon"),
            Choice("strong", "DenseNet-201, ResNet-152, ResNet-50, 25 epochs each: for a GPU"),
            Choice(_OTHERS, "the crop-disease competition's 13th place: ten, 50 to 80 epochs"),
        ],
    ),
    Question(
        name="validation",
        prompt="What is each member judged by? (quick and strong)",
        answered_by="user",
        choices=lambda: [HELD_OUT, IN_FOLDS],
        suggest=suggest_validation,
        applies=lambda known: known.get("members") != _OTHERS,
    ),
    Question(
        name="licence",
        prompt="Licence of the project (the engine stays under Apache-2.0)",
        answered_by="user",
        choices=lambda: [Choice("Apache-2.0"), Choice("MIT"), Choice("none")],
    ),
    Question(
        name="ci",
        prompt="Continuous integration",
        answered_by="user",
        choices=lambda: [Choice("GitHub Actions"), Choice("none")],
    ),
):
    QUESTIONS.add(_question)


def cookiecutter_json() -> str:
    """The text of template/cookiecutter.json.

    Beside the questions it holds, under `_settings`, what competition.toml calls an answer and,
    under `_data_settings`, which keys of [data] a layout needs.
    """
    asked: dict[str, Any] = {each.name: each.answers or each.default for each in QUESTIONS}
    settings: dict[str, dict[str, str]] = {}
    prompts: dict[str, Any] = {}
    for question in QUESTIONS:
        choices = question.choices() if question.choices else []
        named = {choice.answer: choice.setting for choice in choices if choice.setting}
        if named:
            settings[question.name] = named
        explained = {choice.answer: choice.words for choice in choices if choice.words}
        prompts[question.name] = (
            {"__prompt__": question.prompt, **explained} if explained else question.prompt
        )
    content = {
        **asked,
        "_settings": settings,
        "_data_settings": {layout.name: list(layout.settings) for layout in LAYOUTS},
        "_extensions": [_EXTENSION],
        # Their braces are not the template's.
        "_copy_without_render": [".github/*", "noxfile.py", "*.lock"],
        "__prompts__": prompts,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_text(FILE, cookiecutter_json())
