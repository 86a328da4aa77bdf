"""The engine's wheel: the same bytes each time, valid, and whole enough to make projects from."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from packaging.metadata import Metadata

from tests.conftest import ROOT
from twinrun.files import sha256_file
from twinrun.repro.source import code_digest
from twinrun.wheel.engine_wheel import RESOURCES

PYTHONS = [
    path
    for minor in (11, 12, 13)
    if (path := shutil.which(f"python3.{minor}"))
    and subprocess.run([path, "-c", "import zipfile"], check=False).returncode == 0
]
WRITE = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import engine_wheel
print(engine_wheel.write_wheel(pathlib.Path(sys.argv[2])))
"""


def git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=a", "-c", "user.email=a@b.org", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *settings, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def write(home: Path, target: Path, python: str = sys.executable, **environment: str) -> Path:
    """The wheel of the engine in `home`, written by a Python that has nothing but itself."""
    done = subprocess.run(
        [python, "-I", "-c", WRITE, str(home / "twinrun" / "wheel"), str(target)],
        env={**os.environ, **environment},
        cwd=target.parent,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This working tree as a clone of its own, with one commit."""
    folder = tmp_path_factory.mktemp("clone") / "twinrun"
    parts = ["twinrun", "template", "pyproject.toml", ".gitattributes", ".gitignore", *RESOURCES]
    listed = git(ROOT, "ls-files", "-co", "--exclude-standard", "-z", "--", *parts)
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "Begin")
    return folder


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(clone, tmp_path_factory.mktemp("wheel") / "first")


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Path:
    """The wheel in an environment's folder, with what installers add to it."""
    folder = tmp_path / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (info,) = folder.glob("*.dist-info")
    (info / "INSTALLER").write_text("pip\n")
    (folder / "twinrun" / "__pycache__").mkdir()
    (folder / "twinrun" / "__pycache__" / "names.cpython-311.pyc").write_bytes(b"compiled")
    with (info / "RECORD").open("a") as record:
        record.write(f"{info.name}/INSTALLER,sha256=abc,4\n")
        record.write(
            "twinrun/__pycache__/names.cpython-311.pyc,,\n../../../bin/twinrun,sha256=x,9\n"
        )
    return folder


def test_the_bytes_are_the_same_whenever_wherever_and_by_whichever_python(
    clone: Path, wheel: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere" / "a clone"
    git(tmp_path, "clone", "-q", str(clone), str(other))
    for path in other.rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    found = [
        write(clone, tmp_path / "again"),
        write(other, tmp_path / "other", PYTHONHASHSEED="7", LC_ALL="C", TZ="Pacific/Kiritimati"),
        *(write(other, tmp_path / Path(python).name, python) for python in PYTHONS),
    ]
    assert {sha256_file(path) for path in found} == {sha256_file(wheel)}
    with zipfile.ZipFile(wheel) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize(
    "name",
    ["twinrun/names.py", "template/generation.py", "tests/fixture/sample_submission.csv"],
)
def test_another_byte_gives_another_wheel(
    name: str, clone: Path, wheel: Path, tmp_path: Path
) -> None:
    other = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(clone), str(other))
    with (other / name).open("a") as file:
        file.write("\n")
    assert sha256_file(write(other, tmp_path / "changed")) != sha256_file(wheel)
    with zipfile.ZipFile(tmp_path / "changed" / wheel.name) as archive:
        assert b'+changes"' in archive.read("twinrun/origin.json")


def test_a_zip_of_the_repository_gives_the_same_wheel(
    clone: Path, wheel: Path, tmp_path: Path
) -> None:
    git(clone, "archive", "--format=zip", "-o", str(tmp_path / "a.zip"), "HEAD")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    assert sha256_file(write(tmp_path / "unpacked", tmp_path / "b")) == sha256_file(wheel)
    # Also within a repository that has nothing to do with it.
    git(tmp_path, "init", "-q")
    assert sha256_file(write(tmp_path / "unpacked", tmp_path / "c")) == sha256_file(wheel)


def test_an_installed_engine_gives_the_wheel_that_it_came_from(
    installed: Path, wheel: Path, tmp_path: Path
) -> None:
    assert sha256_file(write(installed, tmp_path / "again")) == sha256_file(wheel)


@pytest.mark.parametrize("change", ["edit", "remove"])
def test_an_installed_engine_that_was_changed_is_refused(
    change: str, installed: Path, tmp_path: Path
) -> None:
    path = installed / "twinrun" / "names.py"
    path.write_text("# mine\n") if change == "edit" else path.unlink()
    with pytest.raises(AssertionError, match=r"not as it was installed: twinrun/names.py"):
        write(installed, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_an_engine_that_was_unpacked_gives_no_wheel(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith("twinrun/")]
        archive.extractall(tmp_path / "project", names)
    with pytest.raises(AssertionError, match="an engine that a project unpacked"):
        write(tmp_path / "project", tmp_path / "again")


def test_the_wheel_has_the_engine_and_the_template_whole(clone: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {
        name.replace("template/", "twinrun_template/", 1) if name.startswith("template") else name
        for name in git(clone, "ls-files", "--", "twinrun", "template").splitlines()
        if name != "template/commit.txt"
    }
    assert expected <= names
    own = {"twinrun/pyproject.toml", "twinrun/origin.json"}
    rest = {
        name
        for name in names - expected - own
        if not name.startswith(("twinrun_template/resources/", "twinrun-"))
    }
    assert rest == set()


def test_what_git_ignores_stays_out_and_what_is_new_is_marked(
    clone: Path, wheel: Path, tmp_path: Path
) -> None:
    other = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(clone), str(other))
    (other / "twinrun" / "__pycache__").mkdir(exist_ok=True)
    (other / "twinrun" / "__pycache__" / "x.pyc").write_bytes(b"")
    assert sha256_file(write(other, tmp_path / "a")) == sha256_file(wheel)
    (other / "twinrun" / "new.py").write_text('"""New."""\n')
    with zipfile.ZipFile(write(other, tmp_path / "b")) as archive:
        assert "twinrun/new.py" in archive.namelist()
        assert b'+changes"' in archive.read("twinrun/origin.json")


def test_wheel_clone_and_installed_engine_are_one_code(clone: Path, installed: Path) -> None:
    assert code_digest(installed / "twinrun") == code_digest(clone / "twinrun")


def test_the_metadata_are_valid_and_complete(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        content = archive.read(name)
        scripts = archive.read(name.replace("METADATA", "entry_points.txt")).decode()
    metadata = Metadata.from_email(content, validate=True)
    assert metadata.name == "twinrun"
    assert metadata.license_expression == "Apache-2.0"
    named = {requirement.name for requirement in metadata.requires_dist or []}
    assert {"torch", "fastai", "ray"} <= named
    assert "twinrun" not in named
    ray = next(each for each in metadata.requires_dist or [] if each.name == "ray")
    assert ray.marker is not None
    assert ray.marker.evaluate({"extra": "cluster"})
    assert not ray.marker.evaluate({"extra": ""})
    assert {"cluster", "tracking"} <= set(metadata.provides_extra or [])
    assert "twinrun = twinrun.__main__:main" in scripts
    assert message_from_bytes(content)["Requires-Python"] == ">=3.11,<3.14"


def registry_asked(text: str) -> bool:
    """Whether a line of a lock, or an entry of pyproject.toml, asks for `twinrun` by its name."""
    pattern = r"""^[\s"']*twinrun\s*(\[[^\]]*\])?\s*($|[=<>~!;@,"'\\])"""
    return any(re.search(pattern, line) for line in text.splitlines() if " = " not in line)


@pytest.mark.parametrize(
    "line",
    [
        "twinrun",
        '    "twinrun",',
        "'twinrun>=1',",
        "twinrun[cluster]",
        "twinrun~=0.3",
        "twinrun<1",
        "twinrun @ https://example.org",
        "twinrun==1 \\",
        "twinrun ; python_version > '3'",
    ],
)
def test_a_requirement_that_a_registry_could_serve_would_be_seen(line: str) -> None:
    assert registry_asked(line)


def test_no_package_index_is_ever_asked_for_the_engine(wheel: Path) -> None:
    project = ROOT / "template" / "{{cookiecutter.project_slug}}"
    names = ("requirements.lock", "requirements-dev.lock", "pyproject.toml")
    paths = [
        path for folder in (ROOT, project) for name in names if (path := folder / name).exists()
    ]
    assert len(paths) == 5
    for path in paths:
        assert not registry_asked(path.read_text(encoding="utf-8")), path
    assert not registry_asked(f"./vendor/{wheel.name} \\")


def test_a_repository_that_git_refuses_gives_no_wheel(clone: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="git cannot read the repository"):
        write(clone, tmp_path / "a", GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert not (tmp_path / "a").exists()
