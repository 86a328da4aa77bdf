"""What a message tells to run where a package is missing: it depends on where that is."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT
from twinrun.cluster.connect import connect
from twinrun.config import extras
from twinrun.config.extras import how_to_install, how_to_install_extra
from twinrun.errors import InputError

SOURCES = sorted((ROOT / "twinrun").rglob("*.py"))
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "template").rglob("*.md")]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made project, in which the command stands."""
    for name in ("competition/competition.toml", "vendor/twinrun-1-py3-none-any.whl"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("before", "command"),
    [
        (None, "nox -s lock -- --extra cluster"),
        ("nox -s lock", "nox -s lock -- --extra cluster"),
        ("nox -s lock -- --extra gcs", "nox -s lock -- --extra gcs --extra cluster"),
        ("nox -s lock -- --extra cluster", "nox -s lock -- --extra cluster"),
    ],
)
def test_a_project_is_told_to_lock_the_extra_beside_those_it_has(
    before: str | None, command: str, project: Path
) -> None:
    if before is not None:
        (project / "requirements.lock").write_text(f"# Written by:\n#    {before}\nx==1 \\\n")
    assert how_to_install_extra("cluster") == f"{command}, then rerun the session"


def test_a_project_is_told_to_name_a_package_that_no_extra_holds(project: Path) -> None:
    fix = how_to_install("adlfs")
    assert fix.startswith('Add "adlfs" to the dependencies in pyproject.toml, then nox -s lock')


def test_a_clone_is_told_its_own_lock_where_that_holds_the_extra() -> None:
    lock = f"pip install --require-hashes -r {ROOT / 'requirements-dev.lock'}"
    for name in ("cluster", "distributed", "tracking"):
        assert how_to_install_extra(name) == lock
    assert how_to_install_extra("gcs") == "pip install gcsfs"
    assert how_to_install("adlfs") == "pip install adlfs"


def test_any_other_environment_is_told_the_packages_and_never_the_engines_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(extras, "CLONED_TEMPLATE", tmp_path / "template")
    assert how_to_install_extra("cluster") == "pip install fsspec 'ray>=2.50' s3fs"


def test_without_ray_the_message_names_the_session_that_adds_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="Ray, which is not installed") as error, connect(""):
        pass
    assert error.value.fix == "nox -s lock -- --extra cluster, then rerun the session"


def test_every_extra_that_a_message_or_a_page_names_is_one() -> None:
    described = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set()
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r"how_to_install_extra(?:, |\()[\"'](\w+)[\"']", text))
    in_sources = set(named)
    for page in PAGES:
        named |= set(re.findall(r"--extra (\w+)", page.read_text(encoding="utf-8")))
    assert in_sources == named == set(described["optional-dependencies"])


def test_nothing_asks_a_registry_for_a_package_of_the_engines_name() -> None:
    for path in (*SOURCES, *PAGES):
        assert not re.search(r"install +'?\"?twinrun", path.read_text(encoding="utf-8")), path
