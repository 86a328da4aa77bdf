"""What the template does besides filling in names: checks answers, copies the engine, the fixture.

It runs inside cookiecutter's or cruft's own Python, where the engine's libraries need not be: the
standard library is all it imports.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

ENGINE = Path(__file__).resolve().parents[1]

READ_FROM_DATA = "read from the data folder"

# Files that every project shares with the engine's repository, byte for byte. Tests are shared
# where they need neither this competition's settings nor its drawn photos.
COMMON = (
    "twinrun/**/*.py",
    "twinrun/report/page/*",
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
    "tests/repro/*.py",
    "tests/blend/*.py",
    "tests/test_metrics.py",
    "tests/test_probabilities.py",
    "tests/compare/test_first_difference.py",
    "tests/train/test_checkpoints.py",
)
COMMON_WORKFLOWS = (".github/workflows/ci.yml", ".github/workflows/full_train.yml")

Answers = Mapping[str, str]

# A name for a folder that every system takes: what the engine's settings ask of a class, too.
_CLASS = re.compile(r'[^\x00-\x1f\x7f/\\:*?"<>|]{1,100}')
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ADDRESS = re.compile(r"https?://\S+")
# The fixture holds this many images of a class at least; fewer could not be split.
_FEWEST = 4


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
    if answers["submission_columns"] == "the last class's probability" and len(classes) != 2:
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
    """The [recipe] of the engine's competition.toml, with images of another size (pixels)."""
    text = part("competition/competition.toml", "[recipe]", "[members.M27g]")
    return _replaced(text, r"^image_size = \d+", f"image_size = {image_size}")


def members_of_the_13th_place() -> str:
    """The ten members as the engine has them, without their scores in another competition."""
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
    licence = {"none": "LicenseRef-Proprietary"}.get(answers["licence"], answers["licence"])
    text = (ENGINE / "pyproject.toml").read_text(encoding="utf-8")
    text = _replaced(text, r'^name = "twinrun"$', f"name = {toml(answers['project_slug'])}")
    # The extra "dev" holds other extras of the same distribution.
    text = _replaced(text, r'^    "twinrun(?=\[)', f'    "{answers["project_slug"]}')
    text = _replaced(text, r'^files = \["benchmarks", ', "files = [")
    described = f"description = {toml(answers['competition_name'])}"
    text = _replaced(text, r"^description = .*$", described)
    text = _replaced(text, r"^license = .*$", f'license = "{licence}"')
    files = '["LICENSE", "twinrun/LICENSE"]'
    if answers["licence"] == "none":
        files = '["twinrun/LICENSE"]'
    return _replaced(text, r"^license-files = .*$", f"license-files = {files}")


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
        toml,
        recipe,
        members_of_the_13th_place,
        blend_of_the_13th_place,
        fixture_profile,
    )
}


def common_files(answers: Answers) -> dict[str, Path]:
    """Where each file stands in the project, and the engine's file whose bytes it has."""
    patterns = COMMON + (COMMON_WORKFLOWS if answers["ci"] == "GitHub Actions" else ())
    files = {
        path.relative_to(ENGINE).as_posix(): path
        for pattern in patterns
        for path in sorted(ENGINE.glob(pattern))
    }
    files["twinrun/LICENSE"] = ENGINE / "LICENSE"
    if answers["licence"] == "Apache-2.0":
        files["LICENSE"] = ENGINE / "LICENSE"
    return files


def complete(project: Path, answers: Answers) -> None:
    """Add to a rendered project the engine's files and the fixture under its class names.

    Args:
        project: Its folder.
        answers: By the names of cookiecutter.json.
    """
    for name, source in common_files(answers).items():
        target = project / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    (project / "pyproject.toml").write_text(pyproject(answers), encoding="utf-8")
    if answers["licence"] != "MIT":
        (project / "LICENSE-MIT").unlink()
    else:
        (project / "LICENSE-MIT").rename(project / "LICENSE")
    relabel(ENGINE / "tests" / "fixture", project / "tests" / "fixture", answers)


def relabel(fixture: Path, target: Path, answers: Answers) -> None:
    """Copy the drawn photos under other class names, layout and columns.

    The photos of a drawn class are dealt out among every third class of the project, so that each
    keeps a look of its own where there are up to three; of many classes each gets some photos
    again, under ids of their own.

    Args:
        fixture: The engine's, with train/<class>/, test/ and sample_submission.csv.
        target: The project's.
        answers: By the names of cookiecutter.json.
    """
    drawn = sorted(path for path in (fixture / "train").iterdir() if path.is_dir())
    classes = classes_of(answers) or [path.name for path in drawn]
    labels: list[tuple[str, str]] = []
    for label, image, image_id in _dealt(drawn, classes):
        by_folder = answers["layout"] == "folder per class"
        folder = target / "train" / (label if by_folder else "")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, folder / (image_id + image.suffix))
        labels.append((image_id, label))
    if answers["layout"] == "table":
        _write_csv(target / "labels.csv", (answers["id_column"], answers["label_column"]), labels)
    shutil.copytree(fixture / "test", target / "test", dirs_exist_ok=True)
    with (fixture / "sample_submission.csv").open(newline="", encoding="utf-8") as lines:
        ids = [row[0] for row in csv.reader(lines)][1:]
    columns, values = {
        "a probability per class": (tuple(classes), ("0",) * len(classes)),
        "the likeliest class": ((answers["label_column"],), (classes[0],)),
        "the last class's probability": ((answers["label_column"],), ("0.5",)),
    }[answers["submission_columns"]]
    rows = [(image_id, *values) for image_id in ids]
    _write_csv(target / "sample_submission.csv", (answers["id_column"], *columns), rows)


def _dealt(drawn: list[Path], classes: list[str]) -> Iterator[tuple[str, Path, str]]:
    """(class, image, id) for every training image of the project's fixture."""
    used: dict[str, int] = {}
    for number, label in enumerate(classes):
        kind = number % len(drawn)
        images = sorted(drawn[kind].iterdir())
        sharing = len(range(kind, len(classes), len(drawn)))
        turn = number // len(drawn)
        count = max(_FEWEST, len(images) // sharing)
        for place in range(turn * count, (turn + 1) * count):
            image = images[place % len(images)]
            again = used[image.stem] = used.get(image.stem, -1) + 1
            yield label, image, f"{image.stem}-{again}" if again else image.stem


def _write_csv(path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
