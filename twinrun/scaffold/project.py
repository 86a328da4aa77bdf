"""A new project for a competition, made from the template with what its data folder shows."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import tempfile
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from twinrun.config.layouts import LAYOUTS
from twinrun.errors import InputError
from twinrun.scaffold.inspect import Findings
from twinrun.submission_forms import FORMS

# The repository that this engine stands in.
HOME = Path(__file__).resolve().parents[2]
TEMPLATE = "template"


def questions() -> dict[str, Any]:
    """The template's questions with their defaults, and how they are asked, under `__prompts__`.

    Raises:
        InputError: This engine's repository holds no template: it was made from one itself.
    """
    path = HOME / TEMPLATE / "cookiecutter.json"
    if not path.is_file():
        origin = HOME / ".cruft.json"
        where = json.loads(origin.read_text())["template"] if origin.is_file() else "Twinrun"
        raise InputError(
            f"{HOME} was made from the template and does not hold it",
            fix=f"Type the command in a clone of {where}.",
        )
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def answers_of(found: Findings, folder: Path) -> dict[str, str]:
    """The answers that a data folder and the project's own folder give.

    Raises:
        InputError: A class has a comma in its name, which separates the classes of an answer.
    """
    for name in found.classes:
        if "," in name:
            raise InputError(
                f"the class {name!r} has a comma in its name",
                fix="Rename its folder, or the label in the table.",
            )
    return {
        "project_slug": slug(folder.name),
        "classes": ",".join(found.classes),
        "layout": LAYOUTS.get(found.layout).answer,
        "id_column": found.id_column,
        "label_column": found.label_column,
        "submission_columns": FORMS.get(found.columns).answer,
        "image_size": str(found.image_size),
    }


def slug(name: str) -> str:
    """A folder's name in the letters that a package may have."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "competition"


def make(folder: Path, answers: Mapping[str, str], found: Findings) -> None:
    """Make the project; the folder appears whole or not at all.

    Args:
        folder: Of the project; it must not exist, or be empty.
        answers: To the template's questions.
        found: In the data folder, which the project's settings will name.

    Raises:
        InputError: The folder is in use, the template is no git repository, or an answer was
            refused.
    """
    refuse_folder_in_use(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".twinrun-init-", dir=folder.parent) as temporary:
        made = _rendered(Path(temporary), answers)
        _name_data(made / "competition" / "competition.toml", found)
        _name_published_template(made / ".cruft.json")
        if folder.is_dir():
            folder.rmdir()
        shutil.move(made, folder)


def refuse_folder_in_use(folder: Path) -> None:
    """Raise InputError when there is something in the folder of the new project."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"{folder} is not empty", fix="Name a folder that does not exist yet.")


def _rendered(parent: Path, answers: Mapping[str, str]) -> Path:
    from cookiecutter.exceptions import CookiecutterException
    from cruft import create
    from cruft.exceptions import CruftError

    # A refused answer is said by the template itself; what cookiecutter adds is a traceback.
    logging.getLogger("cookiecutter").setLevel(logging.CRITICAL)
    try:
        return Path(
            create(
                str(HOME),
                output_dir=parent,
                directory=TEMPLATE,
                extra_context=dict(answers),
                no_input=True,
                default_config=True,
            )
        )
    except CruftError as error:
        raise InputError(
            f"cannot take the template from {HOME}: {error}",
            fix="`init` works in a git clone of Twinrun. From a zip: cookiecutter --directory "
            "template ZIP.",
        ) from None
    except CookiecutterException as error:
        raise InputError(f"the template refused the answers: {error}") from None


def _name_data(settings: Path, found: Findings) -> None:
    """Write into competition.toml where the data lies and what its parts are called."""
    document = tomlkit.parse(settings.read_text(encoding="utf-8"))
    data: Any = document["data"]
    data["folder"] = found.folder.resolve().as_posix()
    data["train"], data["test"] = found.train, found.test
    data["sample_submission"] = found.sample_submission
    data["ids"] = found.ids
    if found.labels is not None:
        data["labels"] = found.labels
    settings.write_text(tomlkit.dumps(document), encoding="utf-8")


def _name_published_template(record: Path) -> None:
    """Record the address that others can reach, where it holds the version that was taken."""
    address = _git("remote", "get-url", "origin")
    if address and _git("branch", "--remotes", "--contains", "HEAD"):
        content = json.loads(record.read_text(encoding="utf-8"))
        content["template"] = content["context"]["cookiecutter"]["_template"] = address
        record.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=HOME, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""
