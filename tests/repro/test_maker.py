"""What is kept from run to run is named after the code that made it; none of it is forgotten."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from twinrun.audit.fingerprints import FINGERPRINTER
from twinrun.data.cache_key import DECODER
from twinrun.repro.maker import Maker
from twinrun.wheel.engine_wheel import write_wheel

ENGINE = ROOT / "twinrun"
MAKERS = {"decoder": DECODER, "fingerprints": FINGERPRINTER}


def imports(file: Path) -> set[str]:
    """The dotted names that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found - {"__future__"}


def reached(first: str) -> tuple[set[str], set[str]]:
    """The engine's files that a module of it imports, itself with them; and the other packages."""
    files, packages, left = set[str](), set[str](), [first]
    while left:
        name = left.pop()
        files.add(name)
        for found in imports(ENGINE / name):
            top, _, rest = found.partition(".")
            if top != "twinrun":
                packages |= {top} - sys.stdlib_module_names
            elif (ENGINE / f"{rest.replace('.', '/')}.py").is_file():
                left += {f"{rest.replace('.', '/')}.py"} - files
    return files, packages


@pytest.mark.parametrize("name", MAKERS)
def test_all_that_the_making_code_imports_is_in_the_key(name: str) -> None:
    maker = MAKERS[name]
    files, packages = reached(maker.modules[0])
    assert files == set(maker.modules)
    assert packages <= set(maker.libraries)


def test_only_the_making_code_sees_an_image() -> None:
    # Who fills a cache, or keeps fingerprints, moves bytes about: what these are is decided above.
    for name in (
        "data/cache.py",
        "data/cache_filling.py",
        "data/cache_files.py",
        "audit/fingerprints.py",
    ):
        assert not {found.partition(".")[0] for found in imports(ENGINE / name)} & {"PIL", "cv2"}
    assert "PIL" in reached("data/decoding.py")[1]  # the test sees one


def test_a_library_that_is_imported_in_front_of_the_installed_one_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for maker in MAKERS.values():
        for library in maker.libraries:
            before = maker.facts()
            with monkeypatch.context() as patch:
                name = "VERSION" if library == "xxhash" else "__version__"
                patch.setattr(f"{library}.{name}", "99.0")
                assert maker.facts() != before


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda text: text.replace("_GAP = 2", "_GAP = 3"), True),
        (lambda text: text.replace("width - across) / 2", "width - across) / 3"), True),
        (lambda text: text.replace("LONGEST = 4", "LONGEST = 5"), True),
        (lambda text: text.replace("# A panorama or a banner", "# A banner"), False),
        (lambda text: text.replace('"""Read an image file of any mode', '"""Read an image'), False),
        (lambda text: text + "\n\n\n", False),
    ],
)
def test_code_counts_and_comments_do_not(
    tmp_path: Path, change: Callable[[str], str], differs: bool
) -> None:
    maker = Maker(("data/decoding.py",), ())
    text = (ENGINE / "data" / "decoding.py").read_text(encoding="utf-8")
    assert change(text) != text
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "decoding.py").write_text(change(text), encoding="utf-8")
    assert (maker.facts(tmp_path) != maker.facts()) == differs


NAME = "from twinrun.data.cache_key import cache_name; print(cache_name(32))"


def test_a_changed_decoder_has_another_cache_in_a_folder_and_in_a_wheel(tmp_path: Path) -> None:
    def cache_of(engine: Path) -> str:
        done = subprocess.run(
            [sys.executable, "-c", NAME],
            cwd=engine,
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": str(engine), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        return done.stdout

    wheel = write_wheel(tmp_path / "wheel")
    shutil.unpack_archive(wheel, tmp_path / "installed", "zip")
    here = cache_of(ROOT)
    assert cache_of(tmp_path / "installed") == here
    with (tmp_path / "installed" / "twinrun" / "audit" / "image_checks.py").open("a") as file:
        file.write("\nUNRELATED = 1\n")
    assert cache_of(tmp_path / "installed") == here
    with (tmp_path / "installed" / "twinrun" / "data" / "decoding.py").open("a") as file:
        file.write("\n_GAP = 3\n")
    assert cache_of(tmp_path / "installed") != here


def test_threads_parse_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    parsing, together, parse = set[str](), list[str](), ast.parse

    def slow(*source: Any, **options: Any) -> Any:
        if parsing:
            together.append("another one parses")
        parsing.add("parsing")
        time.sleep(0.005)
        parsing.discard("parsing")
        return parse(*source, **options)

    monkeypatch.setattr(ast, "parse", slow)
    with ThreadPoolExecutor(3) as threads:
        made = list(threads.map(lambda _: DECODER.facts()["code"], range(6)))
    assert len(set(made)) == 1
    assert not together
