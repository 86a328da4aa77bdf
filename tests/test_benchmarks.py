"""The measurements say what they see: a bound that is not kept is said, and each figure runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from benchmarks.__main__ import main
from benchmarks.carried import largest_packages, last_commits, size_of, updates
from benchmarks.startup import first_step
from benchmarks.table import Figure, alternated, as_json, ratio, shown
from tests import terminal
from tests.conftest import ROOT


def figure(value: float, bound: float, *, at_least: bool) -> Figure:
    return Figure("speed", "itself", value, bound, at_least, "", "seen")


@pytest.mark.parametrize(
    ("value", "bound", "at_least", "met"),
    [
        (1.5, 1.4, True, True),
        (1.4, 1.4, True, True),
        (1.3, 1.4, True, False),
        (1.01, 1.02, False, True),
        (1.03, 1.02, False, False),
        (float("nan"), 1.02, False, False),
    ],
)
def test_a_bound_is_kept_or_not(value: float, bound: float, at_least: bool, met: bool) -> None:
    found = figure(value, bound, at_least=at_least)
    assert found.met is met
    text = terminal.shown(shown([found]))
    assert (" yes " in text) is met
    assert (" no " in text) is not met
    content = as_json([found], {"decides": {"threads": 2}})
    assert content["figures"][0]["met"] is met
    assert content["environment"] == {"threads": 2}
    assert content["machine"]["cores"] >= 1


def test_contestants_run_in_turns_and_their_rounds_are_compared() -> None:
    order: list[str] = []

    def contestant(name: str, values: list[float]) -> float:
        order.append(name)
        return values.pop(0)

    ours, others = [2.0, 8.0, 3.0], [1.0, 2.0, 1.0]
    found = alternated(
        3,
        {"ours": lambda: contestant("ours", ours), "others": lambda: contestant("others", others)},
        lambda _: None,
    )
    assert order == ["ours", "others"] * 3
    # Not 3 / 1: a machine that is twice as fast in one round is so for both.
    assert ratio(found["ours"], found["others"]) == 3.0


def benchmarks(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_unknown_figure_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.__main__.restart_process", lambda: None)
    monkeypatch.setattr("sys.argv", ["benchmarks", "sped"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "there are speed, determinism" in capsys.readouterr().err


def test_a_command_without_a_first_step_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no first step, code 3"):
        first_step([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "run" / "members")


@pytest.mark.slow  # starts two trainings and fastai twice each
def test_the_start_is_measured_against_fastai_and_a_different_command(tmp_path: Path) -> None:
    places = ("--folder", tmp_path / "bench", "--output", tmp_path / "bench.json")
    other = Path(sys.executable).with_name("twinrun")
    answer = benchmarks("startup", "--rounds", 1, *places, "--against", other)
    assert answer.returncode == 0, answer.stderr
    figures = json.loads((tmp_path / "bench.json").read_text())["figures"]
    assert [each["against"] for each in figures] == [
        "`import fastai.vision.all` in a new process",
        str(other),
    ]
    assert 0.3 < figures[1]["value"] < 3
    # Killed at its first step: neither epoch was trained.
    run = tmp_path / "bench" / "startup" / "own" / "runs" / "start" / "members" / "m"
    assert (run / "checkpoint").is_dir()
    assert not (run / "member.json").exists()


@pytest.mark.slow  # draws 32 large photos and trains on them a dozen times
def test_each_figure_of_training_can_be_measured(tmp_path: Path) -> None:
    small = ("--images", 8, "--batch", 4, "--size", 32, "--rounds", 1, "--network", "resnet18")
    places = ("--folder", tmp_path / "photos", "--output", tmp_path / "bench.json")
    names = ("speed", "determinism", "ledger", "resume", "decode", "filled", "freed")
    answer = benchmarks(*names, *small, *places)
    assert answer.returncode == 0, answer.stderr
    figures = json.loads((tmp_path / "bench.json").read_text())["figures"]
    assert [each["what"].split(",")[0] for each in figures] == [
        *["resnet18"] * 7,
        "step time",
        "step time",
        "resumed run's extra time",
        *["decoding the cache"] * 2,
        *["resnet18"] * 3,
    ]
    assert all(each["value"] == each["value"] for each in figures)


@pytest.mark.slow  # draws large photos, trains a small run and predicts 11,000 images with it
def test_the_figures_of_new_images_can_be_measured(tmp_path: Path) -> None:
    small = ("--images", 16, "--size", 64, "--rounds", 1, "--threads", 1)
    places = ("--folder", tmp_path / "photos", "--output", tmp_path / "bench.json")
    answer = benchmarks("beside", "new-memory", *small, *places)
    assert answer.returncode == 0, answer.stderr
    beside, memory = json.loads((tmp_path / "bench.json").read_text())["figures"]
    assert 0.2 < beside["value"] < 1.2
    assert memory["met"], memory["seen"]


@pytest.mark.slow  # compiles a network twice
@pytest.mark.skipif(which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_is_compared(tmp_path: Path) -> None:
    small = ("--images", 8, "--batch", 4, "--size", 32, "--rounds", 1, "--network", "resnet18")
    places = ("--folder", tmp_path / "photos", "--output", tmp_path / "bench.json")
    answer = benchmarks("compiled", *small, *places)
    assert answer.returncode == 0, answer.stderr
    figures = json.loads((tmp_path / "bench.json").read_text())["figures"]
    assert [each["what"] for each in figures] == ["resnet18, fp32, speed", "resnet18, bf16, speed"]
    assert all("bits" in each["seen"] for each in figures)


@pytest.mark.slow  # builds four networks
def test_what_grows_with_members_and_images_can_be_measured(tmp_path: Path) -> None:
    few = ("--images", 300, 600, "--members", 3, "--held-out", 50, "--fitted", 2)
    places = ("--folder", tmp_path / "made-up", "--output", tmp_path / "thousand.json")
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.thousand", *map(str, (*few, *places))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    seen = json.loads((tmp_path / "thousand.json").read_text())["seen"]
    assert all(each["value"] > 0 for each in seen)
    assert {each["of"] for each in seen if each["what"] == "near copies"} == {
        "300 images",
        "600 images",
    }
    whats = [each["what"] for each in seen]
    assert whats.count("checkpoint") == 3
    assert {"ledger", "arithmetic blend", "fitted weights", "manifest.json", "report.html"} <= set(
        whats
    )
    weights, checkpoints = (
        [each["value"] for each in seen if each["what"] == what]
        for what in ("weights", "checkpoint")
    )
    # Two averages of each parameter more.
    assert all(2.9 < c / w < 3 for w, c in zip(weights, checkpoints, strict=True))


@pytest.mark.slow
def test_what_versions_of_the_engine_take_in_git_is_seen() -> None:
    try:
        last_commits(2)
    except SystemExit:
        pytest.skip("needs a clone with the engine's last commits")
    lines: list[str] = []
    (found,) = updates(lines.append, versions=2)
    assert len(lines) == 2
    sizes = re.findall(r"([\d,]+) kB", found.seen)
    wheel, one, two, photos = (int(size.replace(",", "")) for size in sizes)
    assert photos < one < wheel
    # git keeps the second as what differs from the first.
    assert one <= two < 1.2 * one
    assert found.value == pytest.approx(two - photos, abs=1)


def test_more_versions_than_there_are_commits_are_refused() -> None:
    with pytest.raises(SystemExit, match="needs a clone with 1000000 commits"):
        last_commits(1_000_000)


def test_a_file_with_two_names_is_counted_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert size_of(tmp_path) == 1000
    (tmp_path / "c").write_bytes(b"x" * 1000)
    assert size_of(tmp_path) == 2000


@pytest.mark.slow
def test_the_largest_package_comes_first() -> None:
    site = Path(pytest.__file__).parents[1]
    found = largest_packages(site, 3)
    assert found[0][0] == "torch"
    assert [size for _, size in found] == sorted((size for _, size in found), reverse=True)
