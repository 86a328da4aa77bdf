"""The versions that are recorded are those that are imported."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import cv2
import pytest

from twinrun.errors import InputError
from twinrun.repro.environment import set_up
from twinrun.repro.in_force import refuse_changed
from twinrun.repro.versions import Imported, imported_packages, versions

OPENCV = "opencv-python-headless"

# Enough of OpenCV to be set up.
STUB = """
__version__ = "{version}"
def useOptimized(): return True
def setUseOptimized(on): pass
def getNumThreads(): return 1
def setNumThreads(count): pass
def getCPUFeaturesLine(): return "SSE *AVX2"
class ipp:
    useIPP = staticmethod(lambda: False)
    setUseIPP = staticmethod(lambda on: None)
"""


def put_in_front(patch: pytest.MonkeyPatch, folder: Path, module: str, text: str) -> None:
    """Let another copy of a module be found first; as in a process that has not imported it."""
    (folder / module).mkdir(parents=True)
    (folder / module / "__init__.py").write_text(text)
    patch.syspath_prepend(folder)
    patch.delitem(sys.modules, module, raising=False)


def imported(package: str) -> Imported:
    (found,) = [each for each in imported_packages() if each.package == package]
    return found


def test_what_is_imported_is_what_is_installed() -> None:
    found = versions()
    assert found[OPENCV] == version(OPENCV) != cv2.__version__
    assert all(each.is_installed for each in imported_packages())
    assert found == {name: version(name) for name in found}


@pytest.mark.parametrize(
    ("told", "recorded"),
    [
        ("4.11.0", "4.11.0 is imported, {installed} is installed"),
        # Of the same version, yet another copy.
        (cv2.__version__, f"{cv2.__version__} is imported, {{installed}} is installed"),
    ],
)
def test_another_opencv_in_front_is_recorded_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, recorded: str
) -> None:
    before = set_up(threads=1, device="cpu")
    put_in_front(monkeypatch, tmp_path, "cv2", STUB.format(version=told))
    decides = set_up(threads=1, device="cpu")["decides"]
    installed = version(OPENCV)
    assert decides["packages"] == {
        **before["decides"]["packages"],
        OPENCV: recorded.format(installed=installed),
    }
    assert imported(OPENCV).warning == (
        f"cv2 {told} is imported from {tmp_path / 'cv2'}, not the {OPENCV} {installed} that is "
        "installed: another copy lies in front of it, and decides bits"
    )
    # The same, had it come after set-up.
    with pytest.raises(InputError, match=rf"packages\.{OPENCV}"):
        refuse_changed(before, "a")


def test_files_of_another_version_in_the_same_place_are_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cv2, "__version__", "4.11.0")
    assert versions()[OPENCV] == f"4.11.0 is imported, {version(OPENCV)} is installed"


def test_what_takes_long_to_import_is_told_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "fastai", raising=False)
    assert imported("fastai").version is None
    assert versions()["fastai"] == version("fastai")
    put_in_front(monkeypatch, tmp_path, "fastai", "raise ImportError('not to be imported')")
    assert versions()["fastai"] == f"a copy is imported, {version('fastai')} is installed"


def test_a_build_is_no_other_version() -> None:
    def recorded(told: str, installed: str) -> str:
        return Imported("p", "p", installed, told, None, own=True).words

    assert recorded("2.15.0+cu132", "2.15.0") == "2.15.0"
    assert recorded("2.15.0+cpu", "2.15.0+cpu") == "2.15.0+cpu"
    assert recorded("5.0.0", "5.0.0.93") == "5.0.0.93"
    assert recorded("5.0", "5.01") == "5.0 is imported, 5.01 is installed"
    assert recorded("5.0.0.93", "5.0.0") == "5.0.0.93 is imported, 5.0.0 is installed"
