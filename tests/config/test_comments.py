"""The comments of competition.toml name what the tables hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from twinrun.blend_methods.methods import AUTO, BLEND_METHODS
from twinrun.metrics import METRICS

SETTINGS = Path(__file__).parents[2] / "competition" / "competition.toml"


@pytest.mark.parametrize(
    ("key", "names"),
    [("metric", METRICS.names), ("method", [*BLEND_METHODS.names, AUTO])],
)
def test_a_settings_comment_names_every_entry(key: str, names: list[str]) -> None:
    text = SETTINGS.read_text(encoding="utf-8")
    # The setting's line, and those below that are comments alone.
    (lines,) = re.findall(rf"^{key} = .*\n(?: +#.*\n)*", text, flags=re.MULTILINE)
    assert re.findall(r'"(\w+)"', lines) == names
