"""No print can end a command, whatever stands behind stdout and stderr."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from twinrun.streams import open_lasting

TELL = """
import sys
from pathlib import Path
from twinrun.streams import let_no_print_fail

let_no_print_fail()
for stream in (sys.stdout, sys.stderr):
    print("first", file=stream)
    print("Blätter → \\udcff", file=stream, flush=True)
    print("more" * 100_000, file=stream)
    stream.buffer.write(b"bytes")
    stream.flush()
    print(sys.argv[1:], file=stream, flush=True)
Path("done").write_text("whole")
"""
FULL = Path("/dev/full")


def tell(folder: Path, *, out: IO[bytes], flags: tuple[str, ...] = (), **environment: str) -> int:
    """Print much to stdout and stderr, both of which lead to one place; gives the exit code."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", TELL],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=out,
        check=False,
    )
    assert (folder / "done").read_text() == "whole"
    return done.returncode


@pytest.mark.parametrize("flags", [(), ("-u",)])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict", "utf-8"])
def test_what_an_encoding_lacks_is_written_as_an_escape(
    tmp_path: Path, encoding: str, flags: tuple[str, ...]
) -> None:
    place = tmp_path / "printed"
    with place.open("wb") as out:
        assert tell(tmp_path, out=out, flags=flags, PYTHONIOENCODING=encoding) == 0
    printed = place.read_bytes()
    words = {"utf-8": "Blätter → ".encode(), "latin-1": b"Bl\xe4tter \\u2192 "}
    assert words.get(encoding, b"Bl\\xe4tter \\u2192 ") + b"\\udcff\n" in printed
    # Everything, of both streams, each in its order.
    assert printed.count(b"more") == 200_000
    assert printed.endswith(b"bytes[]\n")


@pytest.mark.parametrize("flags", [(), ("-u",)])
@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_ends_nothing(tmp_path: Path, flags: tuple[str, ...]) -> None:
    with FULL.open("wb") as out:
        assert tell(tmp_path, out=out, flags=flags) == 0


@pytest.mark.parametrize("flags", [(), ("-u",)])
def test_a_closed_pipe_ends_nothing(tmp_path: Path, flags: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as out:
        assert tell(tmp_path, out=out, flags=flags) == 0


def test_a_pipe_that_does_not_wait_gets_everything(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    with (
        os.fdopen(write, "wb") as out,
        subprocess.Popen(
            [sys.executable, "-c", TELL], cwd=tmp_path, stdout=out, stderr=out
        ) as process,
        os.fdopen(read, "rb") as reader,
    ):
        out.close()
        printed = reader.read()
        assert process.wait() == 0
    assert printed.count(b"more") == 200_000


def test_a_process_without_streams_writes_into_no_file(tmp_path: Path) -> None:
    # Without care the file that is opened first has number 1.
    script = f"{TELL}\nwith open('mine', 'w') as mine:\n    os.write(1, b'theirs')\n"
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c"]
    done = subprocess.run([*command, f"import os\n{script}"], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert (tmp_path / "mine").read_text() == ""
    assert (tmp_path / "done").read_text() == "whole"


def test_a_log_takes_what_no_encoding_has(tmp_path: Path) -> None:
    with open_lasting(tmp_path / "log.txt") as log:
        print("a \udcff", file=log)
    assert (tmp_path / "log.txt").read_text(encoding="utf-8") == "a \\udcff\n"


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_log_on_a_full_disk_ends_nothing() -> None:
    with open_lasting(FULL) as log:
        print("much" * 100_000, file=log)


@pytest.mark.parametrize(
    "door", ["twinrun", pytest.param("twinrun.compare.replay_step", marks=pytest.mark.slow)]
)
@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_the_doors_print_so(door: str) -> None:
    command = [sys.executable, "-m", door, "--help"]
    with FULL.open("wb") as out:
        assert subprocess.run(command, stdout=out, stderr=out, check=False).returncode == 0
    closed = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command]
    assert subprocess.run(closed, check=False).returncode == 0


@pytest.mark.slow  # a whole run
@pytest.mark.parametrize("place", ["ascii", "full"])
def test_a_run_comes_to_its_end_where_nothing_can_be_printed(
    small_toml: Path, tmp_path: Path, place: str
) -> None:
    text = small_toml.read_text(encoding="utf-8")
    small_toml.write_text(text.replace('"small"', '"Blätter → ½"'), encoding="utf-8")
    if place == "full" and not FULL.exists():
        pytest.skip("needs /dev/full")
    options = ["--run", "full", "--config", str(small_toml), "--set", 'competition.name="Ä ½"']
    with (FULL if place == "full" else tmp_path / "printed").open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "twinrun", "run", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            stdout=out,
            stderr=out,
            check=False,
        )
    assert done.returncode == 0
    run = tmp_path / "runs" / "full"
    assert all((run / name).is_file() for name in ("submission.csv", "report.html"))
