"""The wheels for a GPU's machine: what is gathered, whose packages are taken, what is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from benchmarks.cuda import beside, gather
from benchmarks.cuda.requirements import closure, read_wheels, resolve, version_here
from tests.conftest import ROOT
from twinrun.errors import InputError


def wheel(folder: Path, name: str, version: str, *needs: str) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    head += "".join(f"Requires-Dist: {need}\n" for need in needs)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-{version}.dist-info/METADATA", head)
    return path


def test_the_systems_packages_are_kept_where_they_do(tmp_path: Path) -> None:
    engine = wheel(
        tmp_path, "engine", "1.0", "new>=2", "old>=2", "lone", "capped<3", "x; extra=='x'"
    )
    wheel(tmp_path, "new", "2.0", "deep")
    fresh = wheel(tmp_path, "old", "2.5")
    deep = wheel(tmp_path, "deep", "1.0", "spacy", "gone; python_version < '3'")
    here = {"new": "2.1", "old": "1.9", "capped": "3.1"}
    found = resolve(["engine==1.0"], read_wheels(tmp_path), here.get)
    assert found.kept == {"new": "2.1", "capped": "3.1"}
    assert found.taken == {"engine": engine, "old": fresh}
    assert found.missing == ["lone, which engine needs"]
    assert found.unmet == ["capped 3.1 is here; engine asks for <3"]
    found = resolve(["engine==1.0"], read_wheels(tmp_path), lambda _: None)
    assert found.taken["deep"] == deep
    assert found.missing == ["lone, which engine needs", "capped<3, which engine needs"]


def test_a_folder_without_an_engine_or_with_too_little_is_refused_with_all_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "PYTHON", f"{sys.version_info.major}.{sys.version_info.minor}")
    with pytest.raises(InputError, match="no wheel of the engine") as refusal:
        beside.check(tmp_path)
    assert "--gather" in refusal.value.fix
    wheel(tmp_path, "twinrun", "0.3.0", "numpy", "no-such-package>=3", "nor-this")
    with pytest.raises(InputError, match="2 packages are neither installed here") as refusal:
        beside.check(tmp_path)
    assert refusal.value.details == (
        "no-such-package>=3, which twinrun needs",
        "nor-this, which twinrun needs",
    )
    monkeypatch.setattr(beside, "PYTHON", "3.4")
    with pytest.raises(InputError, match=r"gathered for Python 3\.4"):
        beside.check(tmp_path)


def test_an_environment_has_the_folders_packages_first_and_the_systems_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "PYTHON", f"{sys.version_info.major}.{sys.version_info.minor}")
    system = tmp_path / "there" / "site-packages"
    (tmp_path / "more").mkdir()
    system.mkdir(parents=True)
    for place, name in ((system, "old"), (system, "only_there"), (tmp_path / "more", "editable")):
        (place / f"{name}.py").write_text("whose = 'the system'")
    (system / "editable.pth").write_text(f"{tmp_path / 'more'}\n")
    monkeypatch.syspath_prepend(str(system))
    wheel(tmp_path, "twinrun", "0.3.0", "old>=2", "pytest")
    with zipfile.ZipFile(wheel(tmp_path, "old", "2.0"), "a") as archive:
        archive.writestr("old.py", "whose = 'the folder'")
        archive.writestr("old-2.0.data/scripts/old", "#!python")
    made = beside.make(tmp_path, tmp_path / "environment")
    code = "import old, only_there, editable, pytest; print(old.whose, '|', only_there.whose)"
    answer = subprocess.run(
        [str(made.python), "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert answer.stdout.strip() == "the folder | the system"
    assert made.content()["from_the_folder"] == [
        "old-2.0-py3-none-any.whl",
        "twinrun-0.3.0-py3-none-any.whl",
    ]
    for seen, refused in (("False", True), ("True", False)):
        (system / "torch.py").write_text(
            f"class cuda:\n    is_available = staticmethod(lambda: {seen})"
        )
        with pytest.raises(InputError, match="CUDA device") if refused else nullcontext():
            beside.refuse_without_gpu(made)
    assert "pytest" in made.content()["of_the_system"]
    assert any("is not this one, which is measured" in line for line in made.resolved.unmet)


def test_what_is_gathered_is_all_that_the_engine_needs_but_what_is_there() -> None:
    target = {"python_version": "3.12", "sys_platform": "linux", "platform_machine": "x86_64"}
    names = closure(["fastai", "imagehash", "tomlkit"], target, without=gather.THERE)
    assert {"fastai", "fastcore", "fastprogress", "imagehash", "tomlkit"} <= names
    assert not names & (gather.THERE | {"spacy"})
    assert not [name for name in names if name.startswith("nvidia")]
    locks = [ROOT / "requirements.lock"]
    lines = gather.locked(names, locks)
    assert set(lines) == names
    assert all(re.match(r"[\w.-]+==\S+ --hash=sha256:", line) for line in lines.values())
    with pytest.raises(InputError, match="the locks do not name unheard-of"):
        gather.locked({"unheard-of"}, locks)


@pytest.mark.slow  # fetches 60 wheels
def test_the_gathered_wheels_are_small_and_nothing_is_missing(tmp_path: Path) -> None:
    try:
        gather.gather(tmp_path, lambda _: None)
    except InputError as error:
        pytest.skip(f"needs a package registry: {error}")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < gather.LIMIT_MB * 1e6
    there = {name: version_here(name) for name in gather.THERE} | {"torch": "2.11.0"}
    found = resolve(["twinrun", *gather.TESTS], read_wheels(tmp_path), there.get)
    assert found.missing == found.unmet == []
    assert {"twinrun", "fastai", "pydantic", "imagehash", "tomlkit"} <= set(found.taken)
    without = resolve(["twinrun"], read_wheels(tmp_path), lambda _: None)
    assert any(line.startswith("torch") for line in without.missing)


def test_a_lock_is_read_for_the_machines_python(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text(
        "# made by\nnumpy==1.0 ; python_full_version < '3.12' \\\n    --hash=sha256:aa\n"
        "numpy==2.0 ; python_full_version >= '3.12' \\\n    --hash=sha256:bb \\\n"
        "    --hash=sha256:cc\n"
    )
    assert gather.locked({"numpy"}, [lock]) == {
        "numpy": "numpy==2.0 --hash=sha256:bb --hash=sha256:cc"
    }
