"""The command for a GPU: parts end in time, FILE is whole after each, what is missing is said."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cuda import page, part_mutations, part_tests
from benchmarks.cuda.part_tests import Outcome
from benchmarks.cuda.parts import PARTS
from benchmarks.cuda.schedule import DONE, FAILED, LATE, LEFT, Part, Report, run_parts
from benchmarks.cuda.work import NEEDS_CUDA, REAL, TINY, Answer
from tests.conftest import ROOT

# Writes a row of this name and verdict, then does something.
WRITES = (
    "import json, sys, time; "
    "json.dump({'rows': [{'what': %r, 'kept': %r}]}, open(sys.argv[1], 'w')); %s"
)
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run parts that are pieces of Python; FILE's content."""

    def made(codes: dict[str, str], *, limits: dict[str, float], minutes: float) -> dict[str, Any]:
        report = Report(tmp_path / "out" / "file.json", {}, [(str(tmp_path), "FOLDER")])

        def command(part: Part, limit: float, answer: Path) -> Sequence[str]:
            seen = json.loads(report.path.read_text()) if report.path.is_file() else {"parts": []}
            order.append((part.name, len(seen["parts"])))
            return [sys.executable, "-c", codes[part.name], str(answer)]

        order: list[tuple[str, int]] = []
        parts = [Part(name, name, limits.get(name), least=0.2) for name in codes]
        until = time.monotonic() + minutes * 60
        run_parts(
            parts,
            command,
            report,
            minutes=minutes,
            until=until,
            folder=tmp_path,
            say=lambda _: None,
        )
        content: dict[str, Any] = json.loads(report.path.read_text())
        # Each part found all that were before it in FILE.
        started = [each["part"] for each in content["parts"] if each["state"] != LEFT]
        assert [name for name, _ in order] == started
        places = {each["part"]: number for number, each in enumerate(content["parts"])}
        assert all(before == places[name] for name, before in order)
        assert not list(report.path.parent.glob(".*"))
        return content

    return made


def test_a_part_that_fails_is_recorded_and_the_next_begins(run: Run, tmp_path: Path) -> None:
    content = run(
        {
            "first": WRITES % ("a", "yes", "pass"),
            "fails": WRITES % ("b", "yes", f"print({str(tmp_path)!r}); sys.exit('no kernel')"),
            "silent": "import os; os._exit(3)",
            "last": WRITES % ("c", "yes", "pass"),
        },
        limits={},
        minutes=1,
    )
    parts = {each["part"]: each for each in content["parts"]}
    assert [each["state"] for each in content["parts"]] == [DONE, FAILED, FAILED, DONE]
    assert [row["what"] for row in parts["fails"]["rows"]] == ["b"]
    # The folder's name is of no use to a reader.
    assert parts["fails"]["last_lines"] in (["FOLDER", "no kernel"], ["no kernel", "FOLDER"])
    assert parts["silent"]["rows"] == []
    assert "last_lines" not in parts["first"]


def test_what_was_not_kept_is_shown_with_what_was_printed(run: Run) -> None:
    says = "print('no deterministic kernel')"
    content = run(
        {"one": WRITES % ("a", "no", says), "two": WRITES % ("b", "needs CUDA", says)},
        limits={},
        minutes=1,
    )
    one, two = content["parts"]
    assert (one["state"], one["last_lines"]) == (DONE, ["no deterministic kernel"])
    assert "last_lines" not in two


def test_a_part_that_runs_out_of_time_is_ended_with_all_it_started(
    run: Run, tmp_path: Path
) -> None:
    alive = tmp_path / "alive"
    child = (
        f"import time, pathlib\nwhile True: pathlib.Path({str(alive)!r}).touch(); time.sleep(.01)"
    )
    starts = (
        f"import subprocess; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(99)"
    )
    content = run(
        {"endless": WRITES % ("found", "yes", starts), "next": WRITES % ("b", "yes", "pass")},
        limits={"endless": 4.0 * 8},
        minutes=1,
    )
    endless, after = content["parts"]
    assert endless["state"] == LATE
    assert [row["what"] for row in endless["rows"]] == ["found"]
    assert endless["limit"] == 4.0
    assert 4 <= endless["seconds"] < 12
    assert after["state"] == DONE
    assert alive.is_file()
    alive.unlink()
    time.sleep(0.2)
    assert not alive.exists()


def test_parts_share_the_minutes_and_what_is_left_goes_to_the_last(run: Run) -> None:
    waits = WRITES % ("a", "yes", "time.sleep(0.5)")
    codes = {"one": waits, "two": WRITES % ("b", "yes", "time.sleep(99)"), "three": waits}
    content = run(codes, limits={"one": 80.0, "two": 80.0}, minutes=0.05)  # 3 s
    one, two, three = content["parts"]
    assert one["limit"] == two["limit"] == 0.5
    assert three["limit"] > 0.5
    assert one["seconds"] + two["seconds"] + three["seconds"] < 6


def test_no_part_is_started_when_the_time_is_over(run: Run) -> None:
    content = run({"one": "import time; time.sleep(99)", "two": "pass"}, limits={}, minutes=0.02)
    assert [each["state"] for each in content["parts"]] == [LATE, LEFT]


def test_the_parts_fit_into_their_minutes() -> None:
    assert PARTS[-1].seconds is None
    limits = [part.seconds for part in PARTS if part.seconds is not None]
    # All at their limit leave the last part its least, and the environment its seconds.
    assert sum(limits) + PARTS[-1].least <= 8 * 60
    for part in PARTS:
        assert (ROOT / "benchmarks" / "cuda" / f"part_{part.name}.py").is_file()


def fails() -> None:
    raise ValueError("no such algorithm\nmore")


def test_an_answer_is_written_with_each_row(tmp_path: Path) -> None:
    answer = Answer(tmp_path / "answer.json", TINY)

    def rows() -> list[list[str]]:
        return [list(row.values()) for row in json.loads(answer.path.read_text())["rows"]]

    answer.row("a", "b", asked="c", kept=True)
    assert rows() == [["a", "b", "c", "yes"]]
    with answer.attempt("what fails"):
        fails()
    assert rows()[1] == ["what fails", "failed: ValueError: no such algorithm", "", "no"]
    answer.row("d", "not run", kept=NEEDS_CUDA)
    # A CPU cannot judge speed.
    answer.timed("speed", "0.5", asked="at least 0.9", kept=False)
    assert [row[3] for row in rows()[2:]] == [NEEDS_CUDA, "rehearsed"]
    Answer(answer.path, REAL).timed("speed", "0.5", asked="at least 0.9", kept=False)
    assert rows() == [["speed", "0.5", "at least 0.9", "no"]]


@pytest.mark.parametrize(
    ("same", "atomic", "benchmark", "verdicts"),
    [
        ("passed", True, False, ["yes", "", "", "yes"]),
        ("passed", False, True, ["yes", "no", "", "yes"]),  # its own test asks that it differs
        ("passed", False, False, ["yes", "no", "", "no"]),
        ("failed", True, True, ["no", "", "", "yes"]),
        ("skipped", None, None, [NEEDS_CUDA] * 4),
    ],
)
def test_one_of_the_controls_on_a_gpu_must_differ(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    same: str,
    atomic: bool | None,
    benchmark: bool | None,
    verdicts: list[str],
) -> None:
    def outcome(name: str, differs: bool | None, *, asked: bool = False) -> Outcome:
        state = "skipped" if differs is None else "failed" if asked and not differs else "passed"
        return Outcome(name, state, "assert", {} if differs is None else {"differs": str(differs)})

    told = [
        Outcome("test_25_identical_runs_on_a_gpu_are_the_same", same, "assert", {}),
        outcome("test_25_an_atomic_operation", atomic, asked=True),
        outcome("test_25_cudnn_benchmark_on", benchmark),
    ]
    monkeypatch.setattr(part_mutations, "run_tests", lambda *_: told)
    answer = Answer(tmp_path / "answer.json", REAL)
    part_mutations.measure(REAL, answer, 0)
    assert [row["kept"] for row in answer.rows] == verdicts


def test_what_tests_said_is_read_with_what_they_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_good(record_property): record_property('differs', True)\n"
        "def test_bad(): assert 1 == 2, 'no such kernel'\n"
        "@pytest.mark.skip(reason='needs CUDA')\n"
        "def test_later(): pass\n"
    )
    monkeypatch.setattr(part_tests, "ROOT", tmp_path)
    found = {each.name: each for each in part_tests.run_tests(["test_some.py"], tmp_path)}
    assert {name: each.state for name, each in found.items()} == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_later": "skipped",
    }
    assert found["test_good"].noted == {"differs": "True"}
    assert "no such kernel" in found["test_bad"].why
    with pytest.raises(RuntimeError, match="pytest ended with code"):
        list(part_tests.run_tests(["--no-such-option"], tmp_path))


def test_the_pages_figures_are_those_of_its_file(tmp_path: Path) -> None:
    file = page.named_file()
    text = page.PAGE.read_text(encoding="utf-8")
    copy = tmp_path / "gpu.md"
    copy.write_text(text, encoding="utf-8")
    page.write_page(file, copy)
    assert copy.read_text(encoding="utf-8") == text
    content = page.read(file)
    assert ("no GPU has computed any of this" in text) is content["rehearsed"]
    assert ("gpu" in content["machine"]) is not content["rehearsed"]


def test_a_files_page_says_rehearsed_and_every_row() -> None:
    content = {
        "rehearsed": True,
        "date": "2026-11-30",
        "minutes": {"given": 8.0, "used": 7.4},
        "machine": {"processor": "a CPU", "cores": 2, "memory": 4},
        "versions": {"torch": "2.11.0"},
        "parts": [
            {
                "title": "Twins",
                "state": LATE,
                "seconds": 12.3,
                "rows": [{"what": "a|b", "found": "c", "asked": "d", "kept": NEEDS_CUDA}],
            }
        ],
    }
    lines = list(page.figures(content))
    assert "Rehearsed on a CPU" in lines[0]
    assert "| **Twins**: out of time, 12 s | | | |" in lines
    assert lines[-1] == "| a/b | c | d | needs CUDA |"
    measured = {**content, "rehearsed": False, "machine": {"gpu": "a GPU", "driver": "1.2"}}
    lines = list(page.figures(measured))
    assert lines[0].startswith("- Machine: a GPU, driver 1.2; ")


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.cuda", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "one of --gather, --wheels and --page"),
        (("--wheels", "x"), "--wheels needs --output FILE"),
        (
            ("--wheels", "x", "--output", "y", "--part", "twin"),
            "no such part: twin; there",
        ),
        (("--page", "README.md"), "not a file of `python -m benchmarks.cuda`"),
    ],
)
def test_a_wrong_use_is_refused(arguments: tuple[str, ...], said: str) -> None:
    answer = command(*arguments)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
