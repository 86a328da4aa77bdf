"""What the template does besides filling in names: checks answers, brings the engine and its lock.

It runs inside cookiecutter's or cruft's own Python, where the engine's libraries need not be: the
standard library is all it imports.
"""

from __future__ import annotations

import hashlib
import json
import re
import runpy
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# What the template takes from the repository: beside it in a clone, below it in a wheel.
RESOURCES = HERE / "resources" if (HERE / "resources").is_dir() else HERE.parent
FIXTURE = RESOURCES / "tests" / "fixture"
ENGINE_WHEEL = HERE.parent / "twinrun" / "wheel" / "engine_wheel.py"

# The questions and their answers, as the engine's own tables have them.
OFFERED = json.loads((HERE / "cookiecutter.json").read_text(encoding="utf-8"))
READ_FROM_DATA: str = OFFERED["classes"]

LOCK = "requirements.lock"

# Files of the engine's repository that every project has, byte for byte.
COMMON = ("tests/test_competition.py",)
WORKFLOWS = ".github"
CI = ("GitHub Actions", "none")
# What the data folder's parts are called.
DATA = ("train", "test", "labels", "sample_submission")


LICENCES = ("Apache-2.0", "MIT", "none")
# Of which competition.toml's template has the tables.
MEMBERS = ("quick", "strong", "13th place")

Answers = Mapping[str, str]

# A name for a folder that every system takes: what the engine's settings ask of a class, too.
_CLASS = re.compile(r'[^\x00-\x1f\x7f/\\:*?"<>|]{1,100}')
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ADDRESS = re.compile(r"https?://\S+")
_SIZE = re.compile(r"[0-9]{1,5}")
LONGEST_SLUG = 60


def mistakes(answers: Answers) -> list[str]:
    """A line for each answer that cannot be used; empty when all can.

    Args:
        answers: By the names of cookiecutter.json.
    """
    return [f"{name}: {line}" for name in _CHECKS for line in mistakes_in(name, answers)]


def mistakes_in(question: str, answers: Answers) -> list[str]:
    """Why one answer cannot be used, a line each; empty when it can.

    Args:
        question: Its name in cookiecutter.json.
        answers: To it, and to what was asked before; an answer is judged without those that are
            not there yet.
    """
    check = _CHECKS.get(question)
    return list(check(answers[question], answers)) if check else []


def _mistakes_in_text(text: str, answers: Answers) -> Iterator[str]:  # noqa: ARG001
    if not text.strip() or not text.isprintable():
        yield f"got {text!r}, allowed: printable text"


def _mistakes_in_slug(slug: str, answers: Answers) -> Iterator[str]:  # noqa: ARG001
    if not _SLUG.fullmatch(slug) or len(slug) > LONGEST_SLUG:
        yield (
            f"got {slug!r}, allowed: small letters and digits, single dashes between them, at most "
            f"{LONGEST_SLUG}"
        )


def _mistakes_in_address(address: str, answers: Answers) -> Iterator[str]:  # noqa: ARG001
    if address and not (_ADDRESS.fullmatch(address) and address.isprintable()):
        yield f"got {address!r}, allowed: https://... or nothing"


def _mistakes_in_size(size: str, answers: Answers) -> Iterator[str]:  # noqa: ARG001
    if not (_SIZE.fullmatch(size) and 32 <= int(size) <= 4096):
        yield f"got {size!r}, allowed: a whole number from 32 to 4096"


def _mistakes_in_form(answer: str, answers: Answers) -> Iterator[str]:
    if "classes" not in answers or setting_of("submission_columns", answer) != "probability":
        return
    classes = [*classes_of(answers), *unseen_of(answers)]
    if len(classes) != 2:
        yield (
            "one column of probabilities needs exactly two classes, named in 'classes'; there are "
            f"{len(classes) or 'none named'}"
        )


def _mistakes_in_classes(text: str, answers: Answers) -> Iterator[str]:
    if text == READ_FROM_DATA:
        return
    names = classes_of(answers)
    if len({name.casefold() for name in names}) < max(2, len(names)):
        yield (
            f"got {', '.join(names)!r}, allowed: two or more different names, separated by commas, "
            f"or {READ_FROM_DATA!r}"
        )
    yield from _mistakes_in_names(names)


def _mistakes_in_unseen(text: str, answers: Answers) -> Iterator[str]:
    names, classes = unseen_of(answers), classes_of(answers) if "classes" in answers else []
    if names and len({each.casefold() for each in [*classes, *names]}) < len(classes + names):
        yield f"got {text!r}, allowed: different names, none of them in 'classes'"
    yield from _mistakes_in_names(names)


def _mistakes_in_names(names: list[str]) -> Iterator[str]:
    for name in names:
        if name.casefold() in ("id", "label"):
            yield f"{name!r} is the name of a column in the files of a run"
        if (
            not _CLASS.fullmatch(name)
            or not name.isprintable()
            or name[0] == "."
            or name[-1] == "."
        ):
            yield (
                f"{name!r} cannot be a folder's name on every system. Allowed: 1 to 100 printable "
                'characters, none of / \\ : * ? " < > |, no dot at either end'
            )


# What an answer must be, by its question. Of a question with choices it is one of them.
_CHECKS: dict[str, Callable[[str, Answers], Iterator[str]]] = {
    **dict.fromkeys(
        ("project_name", "competition_name", "id_column", "label_column", *DATA), _mistakes_in_text
    ),
    "project_slug": _mistakes_in_slug,
    "competition_address": _mistakes_in_address,
    "image_size": _mistakes_in_size,
    "classes": _mistakes_in_classes,
    "unseen": _mistakes_in_unseen,
    "submission_columns": _mistakes_in_form,
}


def classes_of(answers: Answers) -> list[str]:
    """The classes as named in the answers; none when they are to be read from the data folder."""
    if answers["classes"] == READ_FROM_DATA:
        return []
    return [unicodedata.normalize("NFC", name.strip()) for name in answers["classes"].split(",")]


def unseen_of(answers: Answers) -> list[str]:
    """The classes that a submission is of and no training image is."""
    text = answers.get("unseen", "")
    names = text.split(",") if text.strip() else []
    return [unicodedata.normalize("NFC", name.strip()) for name in names]


def setting_of(question: str, answer: str) -> str:
    """What competition.toml calls an answer."""
    return settings_of(question)[answer]


def choices_of(question: str) -> str:
    """What competition.toml may say in place of an answer, each with what it means."""
    words = OFFERED["__prompts__"][question]
    return "; ".join(f'"{name}": {words[answer]}' for answer, name in settings_of(question).items())


def settings_of(question: str) -> dict[str, str]:
    """What competition.toml calls the answers to a question, by answer."""
    named: dict[str, str] = OFFERED["_settings"][question]
    return named


def fixture_of(answers: Answers) -> dict[str, Any]:
    """What relabel.py needs to know of the answers."""
    return {
        "layout": setting_of("layout", answers["layout"]),
        "form": setting_of("submission_columns", answers["submission_columns"]),
        "classes": classes_of(answers),
        "unseen": unseen_of(answers),
        "columns": (answers["id_column"], answers["label_column"]),
    }


def data_settings(answers: Answers, labels: str) -> str:
    """The lines of [data] that the layout of the labels needs, each with its end.

    Args:
        answers: By the names of cookiecutter.json.
        labels: The table of labels, where there is one.
    """
    values = {**answers, "labels": labels}
    needed = OFFERED["_data_settings"][setting_of("layout", answers["layout"])]
    return "".join(f"{key} = {toml(values[key])}\n" for key in needed)


def folders_of(answer: str) -> str | list[str]:
    """The folder that an answer names; or several, where it is a list as JSON has it."""
    if answer.startswith("["):
        with suppress(ValueError):
            found = json.loads(answer)
            if found and all(isinstance(each, str) for each in found):
                return list(found)
    return answer


def folder_names(answer: str, below: str = "") -> str:
    """The same for a page: each folder with its slash, and what is below it."""
    found = folders_of(answer)
    names = [found] if isinstance(found, str) else found
    return ", ".join(f"`{name}/{below}`" for name in names)


def toml(value: str | list[str]) -> str:
    """A text, or a list of texts, as TOML writes it; what is readable stays so.

    JSON's own form differs: it writes a character beyond 16 bits as two, which TOML refuses.
    """
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def part(name: str, start: str, end: str | None = None) -> str:
    """The text of an engine's file from the line `start` up to the line `end`, or to its end.

    Raises:
        ValueError: There is no such line, or more than one.
    """
    lines = (RESOURCES / name).read_text(encoding="utf-8").splitlines()
    for mark in (start, end):
        if mark is not None and lines.count(mark) != 1:
            raise ValueError(f"{name}: needs exactly one line {mark!r}")
    stop = lines.index(end) if end is not None else len(lines)
    return "\n".join(lines[lines.index(start) : stop]).strip()


def recipe_of_the_13th_place(image_size: str) -> str:
    """The [recipe] of the engine's competition.toml, with images of a different size (pixels)."""
    text = part("competition/competition.toml", "[recipe]", "[members.M27g]")
    return _replaced(text, r"^image_size = \d+", f"image_size = {image_size}")


def members_of_the_13th_place() -> str:
    """The ten members as the engine has them, without their scores in a different competition."""
    text = part("competition/competition.toml", "[members.M27g]", "[blend]")
    text = text[: text.rindex("\n\n#")]
    return re.sub(r"^public_score = .*\n?", "", text, flags=re.MULTILINE).strip()


def blend_of_the_13th_place() -> str:
    """The engine's [blend] and its weights."""
    return part("competition/competition.toml", "[blend]", "[submission]")


def fixture_profile() -> str:
    """What the engine's profile "fixture" lays over a run and the recipe of every member."""
    return part("competition/competition.toml", "[profiles.fixture.run]")


def _replaced(text: str, pattern: str, by: str) -> str:
    result, count = re.subn(pattern, lambda _: by, text, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"needs exactly one line like {pattern!r}, found {count}")
    return result


# What the files of the template may use besides the answers.
TEMPLATE_NAMES = {
    function.__name__: function
    for function in (
        classes_of,
        unseen_of,
        setting_of,
        choices_of,
        data_settings,
        folders_of,
        folder_names,
        toml,
        recipe_of_the_13th_place,
        members_of_the_13th_place,
        blend_of_the_13th_place,
        fixture_profile,
    )
}


def complete(project: Path, answers: Answers) -> None:
    """Add to a rendered project what is not a text with names in it.

    Args:
        project: Its folder.
        answers: By the names of cookiecutter.json.
    """
    for name in COMMON:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(RESOURCES / name, project / name)
    mit = project / "LICENSE-MIT"
    if answers["licence"] == "MIT":
        mit.rename(project / "LICENSE")
    else:
        mit.unlink()
    if answers["licence"] == "Apache-2.0":
        shutil.copyfile(RESOURCES / "LICENSE", project / "LICENSE")
    if answers["ci"] == "none":
        shutil.rmtree(project / WORKFLOWS)
    for folder in list(project.rglob("__pycache__")):  # of an installed template
        shutil.rmtree(folder)
    writer = runpy.run_path(str(ENGINE_WHEEL))
    try:
        wheel: Path = writer["write_wheel"](project / "vendor")
    except writer["NoEngine"] as error:
        sys.exit(str(error))
    locked = (RESOURCES / LOCK).read_text(encoding="utf-8")
    (project / LOCK).write_text(with_wheel(locked, wheel), encoding="utf-8")


def with_wheel(lock: str, wheel: Path) -> str:
    """A lock with the wheel in vendor/ among its packages, as `nox -s lock` writes it in a project.

    It is named by its path: a name could be served by whoever registers it.
    """
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    line = f"./vendor/{wheel.name} \\\n    --hash=sha256:{digest}\n"
    later = (
        found for found in re.finditer(r"^[\w.-]+", lock, re.MULTILINE) if found[0] > "twinrun"
    )
    start = next(later).start()
    return lock[:start] + line + lock[start:]


def lacking(offered: Mapping[str, Any]) -> list[str]:
    """A line for each answer that is offered and that this module cannot carry out.

    Args:
        offered: The content of cookiecutter.json.
    """
    needed = {key for keys in offered["_data_settings"].values() for key in keys}
    tables: dict[str, tuple[Iterable[str], Iterable[str]]] = {
        "LICENCES: licence": (offered["licence"], LICENCES),
        "CI: ci": (offered["ci"], CI),
        "MEMBERS: members": (offered["members"], MEMBERS),
        "questions: key of [data]": (sorted(needed), offered),
    }
    return [
        f"{where} {name!r}"
        for where, (names, known) in tables.items()
        for name in names
        if name not in known
    ]
