"""What the template does besides filling in names: checks answers, copies the engine, the fixture.

It runs inside cookiecutter's or cruft's own Python, where the engine's libraries need not be: the
standard library is all it imports.
"""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ENGINE = Path(__file__).resolve().parents[1]

# The questions and their answers, as the engine's own tables have them.
OFFERED = json.loads(Path(__file__).with_name("cookiecutter.json").read_text(encoding="utf-8"))
READ_FROM_DATA: str = OFFERED["classes"]

# Files that every project shares with the engine's repository, byte for byte. Tests are shared
# where they need neither this competition's settings nor its drawn photos.
COMMON = (
    "twinrun/**/*.py",
    "twinrun/report/page/**/*.*",
    "twinrun/package/texts/*",
    "docs/audit.md",
    "docs/blending.md",
    "docs/cluster.md",
    "docs/many-gpus.md",
    "docs/package.md",
    "docs/recipes.md",
    "docs/report.md",
    "docs/scaling.md",
    "docs/slurm.md",
    "docs/storage.md",
    "docs/tracking.md",
    "docs/validation.md",
    "noxfile.py",
    "requirements.lock",
    ".gitattributes",
    ".gitignore",
    ".pre-commit-config.yaml",
    "tests/__init__.py",
    "tests/conftest.py",
    "tests/predictions.py",
    "tests/test_competition.py",
    "tests/test_files.py",
    "tests/test_locks.py",
    "tests/data/test_splits.py",
    "tests/repro/__init__.py",
    "tests/repro/test_digests.py",
    "tests/repro/test_environment.py",
    "tests/repro/test_group.py",
    "tests/repro/test_keys.py",
    "tests/repro/test_ledger.py",
    "tests/repro/test_ranks.py",
    "tests/run_folder/__init__.py",
    "tests/run_folder/documents.py",
    "tests/blend/*.py",
    "tests/blend_methods/__init__.py",
    "tests/blend_methods/test_fitted_weights.py",
    "tests/test_metrics.py",
    "tests/test_probabilities.py",
    "tests/compare/test_first_difference.py",
    "tests/train/test_checkpoints.py",
)
WORKFLOWS: dict[str, tuple[str, ...]] = {
    "GitHub Actions": (".github/workflows/ci.yml", ".github/workflows/full_train.yml"),
    "none": (),
}


class Licence(NamedTuple):
    """A licence: its name in pyproject.toml, and the file that becomes the project's LICENSE."""

    spdx: str
    source: str


LICENCES = {
    "Apache-2.0": Licence("Apache-2.0", "LICENSE"),
    "MIT": Licence("MIT", "LICENSE-MIT"),
    "none": Licence("LicenseRef-Proprietary", ""),
}
# Of which competition.toml's template has the tables.
MEMBERS = ("quick", "strong", "13th place")

Answers = Mapping[str, str]

# A name for a folder that every system takes: what the engine's settings ask of a class, too.
_CLASS = re.compile(r'[^\x00-\x1f\x7f/\\:*?"<>|]{1,100}')
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ADDRESS = re.compile(r"https?://\S+")


def mistakes(answers: Answers) -> list[str]:
    """A line for each answer that cannot be used; empty when all can.

    Args:
        answers: By the names of cookiecutter.json.
    """
    found = []
    for key in ("project_name", "competition_name", "id_column", "label_column"):
        if not answers[key].strip() or not answers[key].isprintable():
            found.append(f"{key}: got {answers[key]!r}, allowed: printable text")
    slug = answers["project_slug"]
    if not _SLUG.fullmatch(slug) or len(slug) > 60:
        found.append(
            f"project_slug: got {slug!r}, allowed: small letters and digits, single dashes between "
            "them, at most 60"
        )
    address = answers["competition_address"]
    if address and not _ADDRESS.fullmatch(address):
        found.append(f"competition_address: got {address!r}, allowed: https://... or nothing")
    size = answers["image_size"]
    if not (size.isascii() and size.isdecimal() and 32 <= int(size) <= 4096):
        found.append(f"image_size: got {size!r}, allowed: a whole number from 32 to 4096")
    classes = classes_of(answers)
    if answers["classes"] != READ_FROM_DATA:
        found += _mistakes_in_classes(classes)
    form = setting_of("submission_columns", answers["submission_columns"])
    if form == "probability" and len(classes) != 2:
        found.append(
            "submission_columns: one column of probabilities needs exactly two classes, named in "
            f"'classes'; there are {len(classes) or 'none named'}"
        )
    return found


def _mistakes_in_classes(names: list[str]) -> list[str]:
    found = []
    if len({name.casefold() for name in names}) < max(2, len(names)):
        found.append(
            f"classes: got {', '.join(names)!r}, allowed: two or more different names, separated "
            f"by commas, or {READ_FROM_DATA!r}"
        )
    for name in names:
        if name.casefold() in ("id", "label"):
            found.append(f"classes: {name!r} is the name of a column in the files of a run")
        if (
            not _CLASS.fullmatch(name)
            or not name.isprintable()
            or name[0] == "."
            or name[-1] == "."
        ):
            found.append(
                f"classes: {name!r} cannot be a folder's name on every system. Allowed: 1 to 100 "
                'printable characters, none of / \\ : * ? " < > |, no dot at either end'
            )
    return found


def classes_of(answers: Answers) -> list[str]:
    """The classes as named in the answers; none when they are to be read from the data folder."""
    if answers["classes"] == READ_FROM_DATA:
        return []
    return [unicodedata.normalize("NFC", name.strip()) for name in answers["classes"].split(",")]


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
        "columns": (answers["id_column"], answers["label_column"]),
    }


def data_settings(answers: Answers) -> str:
    """The lines of [data] that the layout of the labels needs, each with its end."""
    values = data_values(answers)
    needed = OFFERED["_data_settings"][setting_of("layout", answers["layout"])]
    return "".join(f"{key} = {toml(values[key])}\n" for key in needed)


def data_values(answers: Answers) -> dict[str, str]:
    """What a layout may need in [data]."""
    return {
        "labels": "labels.csv",
        "id_column": answers["id_column"],
        "label_column": answers["label_column"],
    }


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
    lines = (ENGINE / name).read_text(encoding="utf-8").splitlines()
    for mark in (start, end):
        if mark is not None and lines.count(mark) != 1:
            raise ValueError(f"{name}: needs exactly one line {mark!r}")
    stop = lines.index(end) if end is not None else len(lines)
    return "\n".join(lines[lines.index(start) : stop]).strip()


def recipe(image_size: str) -> str:
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


def pyproject(answers: Answers) -> str:
    """The engine's pyproject.toml under the project's name, description and licence."""
    licence = LICENCES[answers["licence"]]
    text = (ENGINE / "pyproject.toml").read_text(encoding="utf-8")
    text = _replaced(text, r'^name = "twinrun"$', f"name = {toml(answers['project_slug'])}")
    # The extra "dev" holds other extras of the same distribution.
    text = _replaced(text, r'^    "twinrun(?=\[)', f'    "{answers["project_slug"]}')
    text = _replaced(text, r'^files = \["benchmarks", ', "files = [")
    described = f"description = {toml(answers['competition_name'])}"
    text = _replaced(text, r"^description = .*$", described)
    text = _replaced(text, r"^license = .*$", f"license = {toml(licence.spdx)}")
    files = [*(["LICENSE"] if licence.source else []), "twinrun/LICENSE"]
    return _replaced(text, r"^license-files = .*$", f"license-files = {toml(files)}")


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
        setting_of,
        choices_of,
        data_settings,
        toml,
        recipe,
        members_of_the_13th_place,
        blend_of_the_13th_place,
        fixture_profile,
    )
}


def common_files(answers: Answers) -> dict[str, Path]:
    """Where each file stands in the project, and the engine's file whose bytes it has."""
    patterns = COMMON + WORKFLOWS[answers["ci"]]
    files = {
        path.relative_to(ENGINE).as_posix(): path
        for pattern in patterns
        for path in sorted(ENGINE.glob(pattern))
    }
    files["twinrun/LICENSE"] = ENGINE / "LICENSE"
    source = LICENCES[answers["licence"]].source
    if source == "LICENSE":
        files["LICENSE"] = ENGINE / "LICENSE"
    return files


def complete(project: Path, answers: Answers) -> None:
    """Add to a rendered project the engine's files.

    Args:
        project: Its folder.
        answers: By the names of cookiecutter.json.
    """
    for name, source in common_files(answers).items():
        target = project / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    (project / "pyproject.toml").write_text(pyproject(answers), encoding="utf-8")
    if LICENCES[answers["licence"]].source == "LICENSE-MIT":
        (project / "LICENSE-MIT").rename(project / "LICENSE")
    else:
        (project / "LICENSE-MIT").unlink()


def lacking(offered: Mapping[str, Any]) -> list[str]:
    """A line for each answer that is offered and that this module cannot carry out.

    Args:
        offered: The content of cookiecutter.json.
    """
    needed = {key for keys in offered["_data_settings"].values() for key in keys}
    tables: dict[str, tuple[Iterable[str], Iterable[str]]] = {
        "LICENCES: licence": (offered["licence"], LICENCES),
        "WORKFLOWS: ci": (offered["ci"], WORKFLOWS),
        "MEMBERS: members": (offered["members"], MEMBERS),
        "data_values: key of [data]": (
            sorted(needed),
            data_values({"id_column": "", "label_column": ""}),
        ),
    }
    return [
        f"{where} {name!r}"
        for where, (names, known) in tables.items()
        for name in names
        if name not in known
    ]
