"""Places of this machine: found in a project, and left out of what a package says of it.

A file of the project may name them, as competition.toml does where data.folder is an absolute path.
Those of a run name none (run_folder/place.py), and are searched all the same.
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from urllib.parse import quote

from twinrun.config.local import LOCAL
from twinrun.config.project import SETTINGS
from twinrun.plain_files import read_bytes

_NUMBERS = ".safetensors"


def own_places(project: Path, run: Path, data: Path) -> dict[str, str]:
    """The folders of this machine that a package may not name, as `telling_places`.

    Args:
        project: The project's folder.
        run: runs/<run>.
        data: The data folder.
    """
    return telling_places(
        (data, "the data folder"),
        (run, "the run's folder"),
        (project, "the project's folder"),
    )


def telling_places(*named: tuple[Path, str]) -> dict[str, str]:
    """Folders of this machine that say whose it is, the longest first, each with a word for it.

    The home folder is among them. A folder right below the root, as /data, says nothing of anybody
    and is left out.

    Args:
        named: Folders, and a word for each; the first one counts where two are the same.
    """
    home = os.path.expanduser("~")  # noqa: PTH111  (Path.home fails where there is none)
    found: dict[str, str] = {}
    for folder, words in (*named, (Path(home), "the home folder")):
        for path in (folder.absolute(), folder.resolve()):
            if path.is_absolute() and len(path.parts) > 2:
                found.setdefault(str(path), words)
    return dict(sorted(found.items(), key=lambda each: -len(each[0])))


def hide_places(text: str, places: Mapping[str, str]) -> str:
    """A text with a word in the place of each path.

    Args:
        text: One that is handed on.
        places: From `own_places` or `telling_places`.
    """
    for place, words in places.items():
        text = _written(place).sub(words.replace("\\", r"\\"), text)
    return text


def find_places(files: Mapping[str, Path], places: Mapping[str, str]) -> Iterator[str]:
    """A line for each file that names a place of this machine.

    Args:
        files: By their names in the project or in the package. Weights are left out: they hold
            numbers.
        places: From `own_places`.
    """
    for name, path in sorted(files.items()):
        content = b"" if path.suffix == _NUMBERS else read_bytes(path)
        text = content.decode("utf-8", "surrogateescape")
        words = next((words for place, words in places.items() if _names(text, place)), None)
        if words:
            mend = f"; it belongs into {SETTINGS.with_name(LOCAL)}" if name == str(SETTINGS) else ""
            yield f"{name}: names {words} of this machine{mend}"


def _names(text: str, place: str) -> bool:
    # Looked for first, which takes a fraction of the time.
    there = any(written in text for written in _spellings(place))
    return there and _written(place).search(text) is not None


@cache
def _written(place: str) -> re.Pattern[str]:
    """A path in a text, in JSON, in HTML or in an address; not the beginning of a longer name."""
    ways = "|".join(map(re.escape, sorted(_spellings(place), key=lambda each: (-len(each), each))))
    # In a text that is quoted, the n of an end of line stands in front of what begins the next.
    return re.compile(rf"(?:(?<![\w-])|(?<=\\[nrt]))(?:{ways})(?![\w-])", re.ASCII)


def _spellings(place: str) -> set[str]:
    return {place, json.dumps(place)[1:-1], html.escape(place), quote(os.fsencode(place))}
