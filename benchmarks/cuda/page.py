"""The table of docs/gpu.md, written from FILE: `python -m benchmarks.cuda --page FILE`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from twinrun.errors import InputError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "gpu.md"
_MARKED = re.compile(r"(<!-- figures of (\S+) -->\n).*?(<!-- /figures -->)", re.DOTALL)


def write_page(file: Path, page: Path = PAGE) -> None:
    """Put a file's figures between the page's markers.

    Raises:
        InputError: The file cannot be read, or lies outside the repository.
    """
    text = page.read_text(encoding="utf-8")
    try:
        place = file.resolve().relative_to(ROOT).as_posix()
    except ValueError:
        raise InputError(
            f"{file} lies outside the repository", fix="Copy it into benchmarks/cuda/ first."
        ) from None
    page.write_text(_with_figures(text, place, read(file)), encoding="utf-8")


def read(file: Path) -> dict[str, Any]:
    """A file that the command wrote.

    Raises:
        InputError: It is none.
    """
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        content["parts"], content["minutes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file}: not a file of `python -m benchmarks.cuda`: {error}",
            fix="Name the FILE that --output named.",
        ) from None
    return content


def named_file(page: Path = PAGE) -> Path:
    """The file that the page's figures are of."""
    found = _MARKED.search(page.read_text(encoding="utf-8"))
    assert found is not None
    return ROOT / found[2]


def _with_figures(text: str, place: str, content: Mapping[str, Any]) -> str:
    lines = "\n".join(figures(content))
    return _MARKED.sub(lambda found: f"<!-- figures of {place} -->\n{lines}\n{found[3]}", text)


def figures(content: Mapping[str, Any]) -> Iterator[str]:
    """The page's lines: what machine it was, and a table of all rows."""
    machine, versions = content.get("machine", {}), content.get("versions", {})
    if content["rehearsed"]:
        yield "**Rehearsed on a CPU, with tiny sizes: no GPU has computed any of this.** Speeds"
        yield "mean nothing here; what needs CUDA was not run."
        yield ""
    gpu = machine.get("gpu", "no GPU")
    memory = f", {machine['gpu_memory']:g} GB" if "gpu_memory" in machine else ""
    driver = f", driver {machine['driver']}" if "driver" in machine else ""
    yield f"- Machine: {gpu}{memory}{driver}; {machine.get('processor', 'unknown processor')},"
    yield f"  {machine.get('cores', '?')} cores, {machine.get('memory', '?')} GB."
    yield f"- Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}."
    minutes = content["minutes"]
    yield f"- On {content['date']}, {minutes['used']:g} of {minutes['given']:g} minutes."
    yield ""
    yield "| what | found | asked for | kept |"
    yield "| --- | --- | --- | --- |"
    for part in content["parts"]:
        state = "" if part["state"] == "done" else f": {part['state']}"
        yield f"| **{part['title']}**{state}, {part['seconds']:.0f} s | | | |"
        for row in part["rows"]:
            cells = (row["what"], row["found"], row["asked"], row["kept"])
            yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
