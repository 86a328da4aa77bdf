"""competition/hooks.py: code in it is not passed over in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from twinrun.config.reading import read_settings
from twinrun.errors import InputError

TEMPLATE = ROOT / "template" / "{{cookiecutter.project_slug}}" / "competition" / "hooks.py"


@pytest.mark.parametrize(
    "text", ["", "# Mine.\n", '"""Mine."""\n\n# More.\n', TEMPLATE.read_text()]
)
def test_comments_are_no_code(text: str, small_toml: Path) -> None:
    small_toml.with_name("hooks.py").write_text(text, encoding="utf-8")
    assert read_settings(small_toml).members


@pytest.mark.parametrize(
    "text", ["import torch\n", "def loss():\n    ...\n", "x = 1\n", '"""Mine."""\nprint()\n']
)
def test_code_is_refused_with_its_line(text: str, small_toml: Path) -> None:
    small_toml.with_name("hooks.py").write_text(text, encoding="utf-8")
    line = 2 if text.startswith('"""') else 1
    with pytest.raises(InputError, match=rf"hooks\.py, line {line}: this version") as refused:
        read_settings(small_toml)
    assert "nox -s eject" in str(refused.value)


@pytest.mark.parametrize("content", [b"def (", b"x = '\xff'\n", b"\x00"])
def test_what_is_no_python_is_refused(content: bytes, small_toml: Path) -> None:
    small_toml.with_name("hooks.py").write_bytes(content)
    with pytest.raises(InputError, match=r"hooks\.py cannot be read"):
        read_settings(small_toml)
