"""Every library that a run needs has a lowest version, which `nox -s floors` installs and tests."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT


def without_floor(requirements: list[str]) -> list[str]:
    """The names of those that a resolver may take a version of however old."""
    parsed = [Requirement(text) for text in requirements]
    return [
        each.name
        for each in parsed
        if not any(part.operator in (">=", "==", "~=") for part in each.specifier)
    ]


def test_every_direct_dependency_has_a_lowest_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert len(project["dependencies"]) > 20
    assert without_floor(project["dependencies"]) == []


@pytest.mark.parametrize("text", ["numpy", "numpy<3", "numpy!=2.1", "numpy; python_version > '3'"])
def test_a_dependency_without_a_lowest_version_is_named(text: str) -> None:
    assert without_floor(["torch>=2.8", text, "rich>=13,<16"]) == ["numpy"]
