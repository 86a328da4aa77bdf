"""The workflows of the repository and of a made project; scripts are run as GitHub runs them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]
from safetensors.numpy import save_file
from typer.testing import CliRunner

from tests.conftest import ROOT
from twinrun.cli.app import app
from twinrun.cli.options import RUNS
from twinrun.repro.ledger import Ledger
from twinrun.run_folder.paths import TRAINING_FILES, RunFolder, RunsFolder
from twinrun.twins import twins as twins_module
from twinrun.twins.processes import TwinProcess

PROJECT = ROOT / "template" / "{{cookiecutter.project_slug}}"
FOLDERS = [ROOT / ".github", PROJECT / ".github"]
FILES = [path for folder in FOLDERS for path in sorted(folder.rglob("*.yml"))]
CI = [folder / "workflows" / "ci.yml" for folder in FOLDERS]
FULL_TRAIN = [folder / "workflows" / "full_train.yml" for folder in FOLDERS]
LOCKS = {"requirements.lock", "requirements-dev.lock"}

# How GitHub starts a step's script, by the shell that is named: pipefail comes only with a name.
SHELLS = {None: ("bash", "-e"), "bash": ("bash", "--noprofile", "--norc", "-eo", "pipefail")}
NOX = """#!/usr/bin/env bash
printf '%s\\n' "$@" > asked.txt
cat printed-by-nox.txt
echo "nox > Session ended." >&2
exit "$EXIT_CODE"
"""
# What `twinrun run` prints at its end, after the table of members.
RUN = """\
a (1/1) resnet18, valid loss 1.1102, accuracy 0.458, 2 s
blend's log loss on the 24 images that every member held out: 1.1102 (uniform guessing: 1.0986)
submission /home/me/wheat/runs/full/submission.csv, checked against the sample: valid
record     /home/me/wheat/runs/full/manifest.json
done in 7 s
"""

Step = dict[str, Any]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix().replace(f"{PROJECT.name}/", "")


each_file = pytest.mark.parametrize("path", FILES, ids=name_of)
each_ci = pytest.mark.parametrize("path", CI, ids=name_of)
each_full_train = pytest.mark.parametrize("path", FULL_TRAIN, ids=name_of)
each_with_twins = pytest.mark.parametrize("path", [*CI, *FULL_TRAIN], ids=name_of)


def read(path: Path) -> dict[str, Any]:
    """A workflow or action; every scalar stays text, also the key `on`."""
    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
    return content


def jobs_of(path: Path) -> dict[str, list[Step]]:
    """The steps of each job; the steps of an action of the same repository in place of its use."""
    return {
        name: [part for step in job["steps"] for part in _with_own_actions(path, step)]
        for name, job in read(path)["jobs"].items()
    }


def _with_own_actions(path: Path, step: Step) -> Iterator[Step]:
    own = step.get("uses", "").removeprefix("$/")
    if own == step.get("uses", ""):
        yield step
    else:
        yield from read(path.parents[2] / own / "action.yml")["runs"]["steps"]


def step_of(path: Path, name: str) -> Step:
    (found,) = [step for steps in jobs_of(path).values() for step in steps if name in step.values()]
    return found


def upload_of(path: Path, name: str) -> Step:
    """The step that uploads the artifact of this name."""
    uploads = [
        step
        for steps in jobs_of(path).values()
        for step in steps
        if step.get("uses", "").startswith("actions/upload-artifact@")
        and step["with"]["name"] == name
    ]
    (found,) = uploads
    return found


class Runner:
    """A checkout on a runner, with a stub in place of nox.

    Attributes:
        folder: The checkout.
        summary: The job's summary.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.summary = folder / "summary.md"
        self.tools = folder / "tools"
        self.folder.mkdir()
        self.tools.mkdir()
        nox = self.tools / "nox"
        nox.write_text(NOX, encoding="utf-8")
        nox.chmod(0o755)

    def run(
        self, path: Path, name: str, printed: str = "", code: int = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a step's script; nox prints the text and ends with the exit code."""
        step = step_of(path, name)
        shell = step.get("shell", read(path).get("defaults", {}).get("run", {}).get("shell"))
        script = self.folder.parent / "script.sh"
        script.write_text(step["run"], encoding="utf-8")
        (self.folder / "printed-by-nox.txt").write_text(printed, encoding="utf-8")
        return subprocess.run(
            [*SHELLS[shell], str(script)],
            cwd=self.folder,
            env={
                "PATH": f"{self.tools}{os.pathsep}{os.environ['PATH']}",
                "GITHUB_STEP_SUMMARY": str(self.summary),
                "EXIT_CODE": str(code),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def asked(self) -> list[str]:
        """The arguments that nox was last given."""
        return (self.folder / "asked.txt").read_text(encoding="utf-8").splitlines()

    def uploaded(self, step: Step) -> set[Path]:
        """The files that an upload takes."""
        patterns = step["with"]["path"].split()
        return {path for pattern in patterns for path in self.folder.glob(pattern)}


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture
def twins(small_toml: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """`twinrun twins`, its trainings invented: its exit code and all that it prints."""

    def invent(run: Path, numbers: Sequence[float]) -> None:
        training = RunFolder(run).training("a")
        training.path.mkdir(parents=True)
        sure = f"{numbers[0]},{1 - numbers[0]}"
        training.valid.write_text(f"id,label,x,y\n1,x,{sure}\n", encoding="utf-8")
        training.test.write_text(f"id,x,y\n2,{sure}\n", encoding="utf-8")
        save_file({"w": np.array(numbers, np.float32)}, training.weights)
        about = {
            "level": "step",
            "settings": {"member": {"name": "a"}},
            "environment": {},
            "code": "",
            "steps": 1,
        }
        Ledger(about).write(training.ledger)

    def run(folder: Path, *, second: float = 0.25, other_seed: float = 0.75) -> tuple[int, str]:
        numbers = {"first": 0.25, "second": second, "other-seed": other_seed}

        def train_all(trainings: Sequence[TwinProcess], *, side_by_side: int) -> bool:
            for training in trainings:
                invent(training.run, [numbers[training.run.name], 1.0])
            return False

        monkeypatch.setattr(twins_module, "train_all", train_all)
        asked = ["twins", "a", "--config", str(small_toml), "--perturb", "none"]
        result = CliRunner().invoke(app, [*asked, "--out", str(folder / RUNS)])
        return result.exit_code, result.output

    return run


def summarized(runner: Runner, path: Path, printed: str, code: int) -> list[str]:
    """The lines of the summary after nox has printed a text and ended with an exit code."""
    step = runner.run(path, "Train twice", printed, code)
    assert step.returncode == code
    # The log of the step shows it, too.
    assert printed in step.stdout
    assert runner.run(path, "Verdict").returncode == 0
    return runner.summary.read_text(encoding="utf-8").splitlines()


@each_with_twins
def test_the_summary_says_same_bits_of_twins_that_are_the_same(
    runner: Runner, twins: Callable[..., tuple[int, str]], path: Path
) -> None:
    code, printed = twins(runner.folder)
    assert code == 0, printed
    first, *rest = summarized(runner, path, printed, code)
    assert first == "## Trained twice: same bits"
    assert rest[:2] == ["", "```"]
    assert rest[-1] == "```"
    assert set(printed.splitlines()) <= set(rest)


@each_with_twins
def test_the_summary_says_different_of_twins_that_differ_and_the_step_fails(
    runner: Runner, twins: Callable[..., tuple[int, str]], path: Path
) -> None:
    code, printed = twins(runner.folder, second=0.375)
    assert code == 1
    assert "differ: 2 of 2 numbers" in printed
    first, *rest = summarized(runner, path, printed, code)
    assert first == "## Trained twice: different"
    assert set(printed.splitlines()) <= set(rest)
    assert "nox > Session ended." in rest


@each_with_twins
def test_the_summary_claims_no_verdict_where_there_is_none(
    runner: Runner, twins: Callable[..., tuple[int, str]], path: Path
) -> None:
    code, printed = twins(runner.folder, other_seed=0.25)
    assert (code, "cannot see a difference" in printed) == (1, True)
    for text in (printed, "nox > Session reproducibility failed.\n", ""):
        runner.summary.unlink(missing_ok=True)
        assert summarized(runner, path, text, 1)[0] == "## Trained twice: no verdict"


@each_with_twins
def test_the_verdict_and_the_upload_come_after_a_failure_too(path: Path) -> None:
    assert step_of(path, "Verdict")["if"] == "always() && steps.twins.outcome != 'skipped'"
    assert upload_of(path, "twins")["if"] == "failure() && steps.twins.outcome == 'failure'"
    assert step_of(path, "Train twice")["id"] == "twins"


@each_with_twins
def test_the_upload_takes_what_was_printed_the_verdict_and_the_ledgers_of_all_trainings(
    runner: Runner, path: Path
) -> None:
    runner.run(path, "Train twice", "the twins differ\n", 1)
    # All that twins write, by the engine's own names.
    folder = RunsFolder(runner.folder / RUNS).twins
    trainings = [RunFolder(run).training(name) for run in folder.runs for name in ("a", "b/fold-1")]
    files = [each.path / name for each in trainings for name in TRAINING_FILES]
    for file in (folder.verdict, *files):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    uploaded = runner.uploaded(upload_of(path, "twins"))
    (printed,) = [file for file in uploaded if file.read_bytes()]
    assert "the twins differ" in printed.read_text(encoding="utf-8")
    wanted = {file for each in trainings for file in (each.ledger, each.record)}
    assert uploaded == {printed, folder.verdict, *wanted}


@each_full_train
def test_a_full_training_is_preceded_by_twins_on_the_gpu(runner: Runner, path: Path) -> None:
    (steps,) = jobs_of(path).values()
    names = [step.get("name") for step in steps]
    assert names.index("Train twice") < names.index("Train all")
    assert "if" not in step_of(path, "Train all")
    runner.run(path, "Train twice")
    assert runner.asked == ["-s", "reproducibility", "--", "--device", "cuda"]


@each_full_train
@pytest.mark.parametrize(
    ("data", "options"),
    [("", []), ("/data/$(touch made) it's; here", ["--data", "/data/$(touch made) it's; here"])],
)
def test_the_data_of_a_full_training_is_one_argument_whatever_it_holds(
    runner: Runner, path: Path, data: str, options: list[str]
) -> None:
    runner.run(path, "Train twice")
    assert step_of(path, "Train all")["env"] == {"DATA": "${{ inputs.data }}"}
    assert runner.run(path, "Train all", RUN, DATA=data).returncode == 0
    assert runner.asked == ["-s", "full_train", "--", *options]
    assert not (runner.folder / "made").exists()


@each_full_train
@pytest.mark.parametrize(
    ("printed", "code", "result"),
    [
        (RUN, 0, "valid submission"),
        ("error: the disk is full\n", 1, "no submission"),
        # A run that fails after its submission has one all the same.
        (f"{RUN}error: the disk is full\n", 1, "valid submission"),
    ],
    ids=["done", "failed before", "failed after"],
)
def test_the_summary_of_a_full_training_has_its_final_lines(
    runner: Runner, path: Path, printed: str, code: int, result: str
) -> None:
    runner.run(path, "Train twice")
    assert runner.run(path, "Train all", printed, code).returncode == code
    assert step_of(path, "Result")["if"] == "always() && steps.train.outcome != 'skipped'"
    assert runner.run(path, "Result").returncode == 0
    first, *rest = runner.summary.read_text(encoding="utf-8").splitlines()
    assert first == f"## Full training: {result}"
    assert set(printed.splitlines()) <= set(rest)


@each_ci
def test_pull_requests_run_lint_tests_and_reproducibility_and_one_check_asks_for_all(
    path: Path,
) -> None:
    assert "pull_request" in read(path)["on"]
    jobs = jobs_of(path)
    assert set(jobs) == {"lint", "tests", "reproducibility", "pass"}
    for name in ("lint", "tests", "reproducibility"):
        scripts = " ".join(step.get("run", "") for step in jobs[name])
        assert re.findall(r"nox -s (\w+)", scripts) == [name]
    check = read(path)["jobs"]["pass"]
    assert check["if"] == "always()"
    assert set(check["needs"]) == set(jobs) - {"pass"}


@each_ci
@pytest.mark.parametrize("result", ["success", "failure", "cancelled", "skipped"])
def test_the_check_to_require_passes_only_where_all_jobs_succeeded(
    runner: Runner, path: Path, result: str
) -> None:
    for results in (f"{result} success success", f"success success {result}"):
        step = runner.run(path, "All jobs succeeded", RESULTS=results)
        assert (step.returncode == 0) == (result == "success")


@pytest.mark.parametrize("path", [path for path in FILES if "workflows" in path.parts], ids=name_of)
def test_what_the_locks_name_is_kept_under_the_digest_of_the_locks(path: Path) -> None:
    workflow = read(path)
    for name, steps in jobs_of(path).items():
        caches = [step for step in steps if step.get("uses", "").startswith("actions/cache@")]
        sessions = [step for step in steps if "nox -s" in step.get("run", "")]
        hosted = "self-hosted" not in workflow["jobs"][name]["runs-on"]
        assert len(caches) == (1 if sessions and hosted else 0), name
        for cache in caches:
            assert steps.index(cache) < steps.index(sessions[0])
            assert workflow["env"]["UV_CACHE_DIR"] == "${{ github.workspace }}/.uv-cache"
            assert cache["with"]["path"] == "${{ env.UV_CACHE_DIR }}"
            key = cache["with"]["key"]
            assert "${{ runner.os }}-python" in key
            # The same cache under earlier locks would keep their packages for ever.
            assert "restore-keys" not in cache["with"]
            (pattern,) = re.findall(r"\$\{\{ hashFiles\('([^']+)'\) \}\}$", key)
            named = {lock for lock in LOCKS if fnmatch(lock, pattern)}
            # A made project's lint needs no torch: a cache of its own, or others would find none.
            alone = path == CI[1] and name == "lint"
            assert named == ({"requirements-dev.lock"} if alone else LOCKS), name


@each_file
def test_every_action_is_pinned_by_a_commit_with_its_version_beside_it(path: Path) -> None:
    for used in re.findall(r"uses: (.*)", path.read_text(encoding="utf-8")):
        assert re.fullmatch(
            r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|\$/\.github/actions/\w+", used
        )


def test_every_action_is_used_in_one_version() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in FILES)
    pins = set(re.findall(r"uses: ([\w-]+/[\w-]+)@(.*)", text))
    assert len(pins) == len(dict(pins)) > 3


@each_file
def test_scripts_are_short_and_hold_no_expressions(path: Path) -> None:
    content = read(path)
    jobs = content["jobs"].values() if "jobs" in content else [content["runs"]]
    for script in [step["run"] for job in jobs for step in job["steps"] if "run" in step]:
        assert "${{" not in script
        assert len(script.splitlines()) <= 8


def test_a_made_project_has_the_repositorys_steps() -> None:
    assert FULL_TRAIN[0].read_bytes() == FULL_TRAIN[1].read_bytes()
    own, made = (
        {
            name: [step for step in steps if "uses" not in step]
            for name, steps in jobs_of(path).items()
        }
        for path in CI
    )
    for steps in own.values():
        for step in steps:
            step.pop("shell", None)
    assert own == made
