"""Confined code: what it can read, write and reach is what it was given, by each way there is."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from twinrun.errors import InputError
from twinrun.verify import confine
from twinrun.verify.confine import WAYS, View, Way, find_way, places_of, require_way, start, works

PYTHON = Path(sys.executable)
Confined = Callable[..., Any]


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: way.program)
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    if not works(found):
        pytest.skip(f"{found.program} does not work here")
    return found


@pytest.fixture
def confined(way: Way, tmp_path: Path) -> Confined:
    """Run Python code confined; it sees `given`, may write to `out`, and prints JSON."""
    for name in ("given", "out", "hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)

    def run(code: str) -> Any:
        view = View((*places_of(PYTHON), tmp_path / "given"), (tmp_path / "out",))
        command = [str(PYTHON), "-I", "-S", "-c", code]
        with start(way, view, tmp_path / "given", command) as process:
            assert process.stdout is not None
            printed = process.stdout.read()
            assert process.wait() == 0, printed
        return json.loads(printed)

    return run


def test_it_has_few_variables_and_an_empty_home(
    confined: Confined, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {"AWS_SECRET_ACCESS_KEY": "s3cret", "WANDB_API_KEY": "s3cret", "PYTHONPATH": "/evil"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    variables, home = confined(
        "import json, os; print(json.dumps([dict(os.environ), os.listdir(os.environ['HOME'])]))"
    )
    assert variables.keys() - {"PWD", "LC_CTYPE"} <= {
        *("PATH", "HOME", "USER", "LANG", "TMPDIR", "PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE"),
        *("GOMP_SPINCOUNT", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "PYTHONHASHSEED"),
        "CUDA_VISIBLE_DEVICES",
    }
    assert variables["HOME"] != str(Path.home())
    assert "s3cret" not in str(variables)
    assert home == []


def test_it_sees_the_files_that_it_was_given_and_no_other(
    confined: Confined, tmp_path: Path
) -> None:
    tried = [tmp_path / "hidden" / "file", Path("/etc/passwd"), Path(__file__), Path.home()]
    tried += [
        ROOT / "pyproject.toml",
        Path("/proc", "1", "root", *tmp_path.parts[1:], "hidden", "file"),
        Path("/var"),
        Path("/home"),
    ]
    given, seen, beside = confined(
        "import json, os, pathlib\n"
        f"there = [path for path in {[*map(str, tried)]!r} if os.path.exists(path)]\n"
        "given = pathlib.Path('file').read_text()\n"
        f"print(json.dumps([given, there, sorted(os.listdir({str(tmp_path)!r}))]))"
    )
    assert given == "given"
    # Of a folder that leads to what was given there may be the name.
    assert [path for path in seen if Path(path).is_file()] == []
    assert beside == ["given", "out"]


def test_it_writes_to_its_own_folder_alone(confined: Confined, tmp_path: Path) -> None:
    places = [tmp_path / "given", tmp_path / "out", Path(sys.prefix), Path("/usr"), Path("/etc")]
    tried = [str(place / "written") for place in places] + ["/written", "/proc/sys/kernel/hostname"]
    wrote = confined(
        "import json\n"
        "wrote = []\n"
        f"for path in {tried!r}:\n"
        "    try:\n"
        "        open(path, 'w').close()\n"
        "        wrote.append(path)\n"
        "    except OSError:\n"
        "        pass\n"
        "print(json.dumps(wrote))"
    )
    assert wrote == [str(tmp_path / "out" / "written")]


def test_it_reaches_no_network_and_no_other_process(confined: Confined) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        reached, processes = confined(
            "import json, os, socket\n"
            "reached = []\n"
            f"for address in (('127.0.0.1', {server.getsockname()[1]}), ('192.0.2.1', 53)):\n"
            "    try:\n"
            "        socket.create_connection(address, 1)\n"
            "        reached.append(address)\n"
            "    except OSError:\n"
            "        pass\n"
            "print(json.dumps([reached, [x for x in os.listdir('/proc') if x.isdigit()]]))"
        )
    assert reached == []
    assert len(processes) <= 2  # itself, and what bubblewrap leaves to wait for it


def test_it_has_no_privilege_to_undo_that(confined: Confined) -> None:
    done = confined(
        "import json, subprocess\n"
        "tried = ['mount -o remount,bind,rw /usr', 'umount /proc', 'mount -t tmpfs x /tmp',\n"
        "    'unshare --user --map-root-user --mount mount -o remount,bind,rw /usr']\n"
        "print(json.dumps([subprocess.run(['sh', '-c', each], capture_output=True).returncode\n"
        "    for each in tried]))"
    )
    assert 0 not in done


def test_all_of_it_ends_with_the_block(way: Way, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(confine, "_GRACE", 0.5)
    (tmp_path / "out").mkdir()
    beat = tmp_path / "out" / "beat"
    code = (
        "import os, pathlib, signal, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "os.fork(); os.setpgid(0, 0) if os.getpid() != 1 else None\n"
        f"while True: pathlib.Path({str(beat)!r}).write_text(str(time.time())); time.sleep(0.02)"
    )
    view = View(places_of(PYTHON), (tmp_path / "out",))
    command = [str(PYTHON), "-I", "-S", "-c", code]
    with start(way, view, tmp_path / "out", command) as process:
        while not beat.exists():
            assert process.poll() is None
            time.sleep(0.02)
    time.sleep(0.1)
    last = beat.read_text()
    time.sleep(0.2)
    assert beat.read_text() == last


def test_without_a_way_nothing_foreign_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    find_way.cache_clear()
    try:
        with pytest.raises(InputError, match="own code is not run") as caught:
            require_way()
    finally:
        find_way.cache_clear()
    assert "bubblewrap" in caught.value.fix
