"""The pages and scripts that each host asks of a winner."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from twinrun.errors import InputError, nearest
from twinrun.package.contents import CONTENTS, LOCK

HOSTS = {"zindi": "Zindi", "kaggle": "Kaggle", "drivendata": "DrivenData"}

# Markdown reads these as marks; a name or an address from the settings is only text.
_MARKS = re.compile(r"([\\`*_\[\]#|~!])")

# What the parts of a page leave between them.
_GAPS = re.compile(r"\n{3,}")

_SETTINGS = {"RAW_DATA_DIR": "data", "RUN_DIR": "run", "OUTPUT_DIR": "output"}


def refuse_unknown_host(host: str) -> None:
    """Raise InputError for a host that no package is known for."""
    if host not in HOSTS:
        raise InputError(
            f"--for {host}: no such host. {nearest(host, HOSTS)}".rstrip(),
            fix=f"Known hosts: {', '.join(HOSTS)}.",
        )


def texts_for(host: str, facts: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, bytes]:
    """The files that are written for a host, by name in the package.

    Args:
        host: Of `HOSTS`.
        facts: From `facts_of`.
        files: The package's other files.
    """
    texts = {"README.md": _page(f"{host}.md", facts)}
    if host == "kaggle":
        texts["SETTINGS.json"] = json.dumps(_SETTINGS, indent=2) + "\n"
        texts["entry_points.md"] = _page("entry_points.md", facts)
        texts["requirements.txt"] = files[LOCK].read_text(encoding="utf-8")
        for script in ("predict.py", "train.py"):
            texts[script] = _page("kaggle.py.txt", {"script": script})
        names = [*files, *texts, CONTENTS, "directory_structure.txt"]
        texts["directory_structure.txt"] = _tree(names)
    return {name: text.encode() for name, text in texts.items()}


def _page(name: str, facts: Mapping[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("twinrun", "package/texts"),
        # HTML in a name stays text.
        autoescape=name.endswith(".md"),
        finalize=_plain if name.endswith(".md") else None,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.get_template(name).render(facts)
    return _GAPS.sub("\n\n", text).rstrip() + "\n" if name.endswith(".md") else text


def _plain(value: Any) -> Any:
    """A value that Markdown shows as it is, in one line."""
    from markupsafe import Markup

    if isinstance(value, Markup):  # what a macro has put together
        return value
    text = _MARKS.sub(r"\\\1", " ".join(str(value).split()))
    return Markup(html.escape(text, quote=False))  # noqa: S704


def _tree(names: Iterable[str]) -> str:
    """Every folder and file, one a line, folders with a slash at the end."""
    places = {
        f"{parent}/"
        for name in names
        for parent in PurePosixPath(name).parents
        if str(parent) != "."
    }
    return "\n".join(sorted({*names, *places})) + "\n"
