"""The hosts that a package is made for: one table, see `Host`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from twinrun.files import read_text
from twinrun.package.pages import read_template, render_page
from twinrun.package.paths import CODE, CONTENTS, LOCK, README, RUN
from twinrun.registry import Registry


@dataclass(frozen=True)
class PackageParts:
    """What a file of a host's own can be made from.

    Attributes:
        facts: Of the run, from `collect_page_facts`.
        files: The package's other files by their name in it.
        names: All names in the package, those of the host's own files included.
    """

    facts: Mapping[str, Any]
    files: Mapping[str, Path]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Host:
    """Somebody who asks a winner for the code and the model.

    Attributes:
        name: As --for and package.json name it.
        title: As readers do.
        readme: The template of README.md, in Jinja's language, with the facts as variables;
            `{% import "common.md" as say with context %}` brings the sections that all have.
        hours: How long a winner has to send the package; None where that differs between its
            competitions.
        extra: The files that only it asks for: by name in the package, what makes their text.
    """

    name: str
    title: str
    readme: str
    hours: int | None = None
    extra: Mapping[str, Callable[[PackageParts], str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.extra:
            if name in (README, CONTENTS) or name.split("/")[0] in (CODE, RUN):
                raise ValueError(f"host {self.name!r}: its extra file {name} has a taken name")


HOSTS: Registry[Host] = Registry("host", Host, setting="--for")


def write_texts(
    host: Host, facts: Mapping[str, Any], files: Mapping[str, Path]
) -> dict[str, bytes]:
    """The files that are written for a host, by name in the package.

    Args:
        host: Whom the package is for.
        facts: From `collect_page_facts`.
        files: The package's other files.
    """
    names = (*files, README, *host.extra, CONTENTS)
    parts = PackageParts(facts, files, names)
    texts = {README: render_page(host.readme, facts)}
    texts |= {name: make(parts) for name, make in host.extra.items()}
    return {name: text.encode() for name, text in texts.items()}


HOSTS.add(Host("zindi", "Zindi", read_template("zindi.md"), hours=48))

_KAGGLE_SETTINGS = {"RAW_DATA_DIR": "data", "RUN_DIR": "run", "OUTPUT_DIR": "output"}


def _kaggle_settings(parts: PackageParts) -> str:
    """Its paths; of the new test set the places that the competition's own has in its data."""
    data, raw = parts.facts["data"], _KAGGLE_SETTINGS["RAW_DATA_DIR"]
    tests = [data["test"]] if isinstance(data["test"], str) else data["test"]
    places = {
        "TEST_DATA_DIRS": [f"{raw}/{test}" for test in tests],
        "SAMPLE_SUBMISSION": f"{raw}/{data['sample_submission']}",
    }
    return json.dumps(_KAGGLE_SETTINGS | places, indent=2, ensure_ascii=False) + "\n"


def _directory_structure(parts: PackageParts) -> str:
    """Every folder and file, one a line, folders with a slash at the end."""
    places = {
        f"{parent}/"
        for name in parts.names
        for parent in PurePosixPath(name).parents
        if str(parent) != "."
    }
    return "\n".join(sorted({*parts.names, *places})) + "\n"


def _requirements(parts: PackageParts) -> str:
    """The lock; it names files by their path from code/, and this is installed from above it."""
    from twinrun.package.lock import FIX, parse_lock

    text = read_text(parts.files[LOCK], fix=FIX)
    for each in parse_lock(text, LOCK):
        if each.place:
            text = text.replace(f"./{each.place}", f"./{CODE}/{each.place}")
    return text


def _kaggle_script(name: str) -> Callable[[PackageParts], str]:
    template = read_template("kaggle.py.txt")
    return lambda _: render_page(template, {"script": name}, markdown=False)


HOSTS.add(
    Host(
        "kaggle",
        "Kaggle",
        read_template("kaggle.md"),
        extra={
            "SETTINGS.json": _kaggle_settings,
            "entry_points.md": lambda parts: render_page(
                read_template("entry_points.md"), parts.facts
            ),
            "requirements.txt": _requirements,
            "predict.py": _kaggle_script("predict.py"),
            "train.py": _kaggle_script("train.py"),
            "directory_structure.txt": _directory_structure,
        },
    )
)

HOSTS.add(Host("drivendata", "DrivenData", read_template("drivendata.md")))
