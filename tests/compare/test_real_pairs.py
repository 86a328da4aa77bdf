"""Real pairs of runs: each gets its grade, and none a better one.

One small member, trained in processes of its own: once as it is, and once for each thing that is
different then. Each is a training, so they are slow: `nox -s matrices` runs them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.conftest import FIXTURE, SMALL
from twinrun.compare.grade import GradedVerdict
from twinrun.compare.graded import grade_runs
from twinrun.compare.runs import compare_runs
from twinrun.files import sha256_file
from twinrun.grades import GRADES
from twinrun.run_folder.paths import RunFolder

pytestmark = pytest.mark.slow

ONE = SMALL.replace("[members.b]\nmixup = 0.0\n", "").replace(", b = 1.0", "")
NAMES = [grade.name for grade in GRADES]
HAS_AVX512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
# What this processor does without, where it has no AVX-512.
LESS = ("avx2", "AVX2") if HAS_AVX512 else ("default", "SSE41")
OTHER_OPENCV = "4.12.0.88"

# A process of a training that begins with its optimizer changed: the settings know nothing of it.
OTHER_DECAY = """
import os
if "TWINRUN_TEST_DECAY" in os.environ:
    from twinrun.optimizers import fused_adam
    plain = fused_adam.FusedAdam
    decay = {"wd": float(os.environ["TWINRUN_TEST_DECAY"])}
    fused_adam.FusedAdam = lambda *given, **named: plain(*given, **(named | decay))
"""


@dataclass(frozen=True)
class Bench:
    """A folder of runs of one member, the first of them called base."""

    folder: Path

    def command(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "twinrun", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "COLUMNS": "120", **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def train(self, name: str, *arguments: object, **environment: str) -> Path:
        """The folder of a run of this name, with the changes that are given."""
        done = self.command(
            "run", "--config", "one.toml", "--run", name, *arguments, "--quiet", **environment
        )
        assert done.returncode == 0, done.stderr
        return self.folder / "runs" / name

    @property
    def base(self) -> Path:
        return self.folder / "runs" / "base"

    def grade(self, other: Path) -> GradedVerdict:
        """The other one beside the base; the command ends as it says."""
        verdict = grade_runs(compare_runs(self.base, other))
        done = self.command("diff", self.base, other, "--quiet")
        assert done.returncode == verdict.grade.exit_code, done.stderr
        assert verdict.grade.name in done.stdout
        return verdict


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """With the base run and the spread of three seeds, of which it is one."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "one.toml").write_text(ONE.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    made = Bench(folder)
    made.train("base")
    made.train("base", "--seeds", "1,2")
    return made


def test_the_same_training_is_the_same_bits(bench: Bench) -> None:
    assert bench.grade(bench.train("same")).grade.name == "same bits"


def test_another_number_of_threads_rounds(bench: Bench) -> None:
    verdict = bench.grade(bench.train("threads", "--set", "run.threads=2"))
    assert verdict.grade.name == "same to rounding"
    assert verdict.evidence.environment == (("threads", 1, 2),)


@pytest.mark.parametrize("wide", [pytest.param(True, id="avx512"), pytest.param(False, id="less")])
def test_another_instruction_set_rounds(bench: Bench, *, wide: bool) -> None:
    if wide and not HAS_AVX512:
        pytest.skip("the processor has no AVX-512")
    torch_set, onednn_set = LESS if wide else ("default", "SSE41")
    other = bench.train(
        f"instructions-{wide}", ATEN_CPU_CAPABILITY=torch_set, ONEDNN_MAX_CPU_ISA=onednn_set
    )
    verdict = bench.grade(other)
    assert verdict.grade.name == "same to rounding"
    assert "instruction_set" in {what for what, *_ in verdict.evidence.environment}


def test_bf16_as_a_setting_is_different(bench: Bench) -> None:
    verdict = bench.grade(bench.train("bf16", "--set", "members.a.precision=bf16"))
    assert verdict.grade.name == "different"
    (cause,) = verdict.evidence.causes
    assert cause.kind == "settings"
    assert cause.lines == ("members.a.precision: fp32 then, bf16 now",)


def test_bf16_beneath_the_settings_is_no_rounding(bench: Bench) -> None:
    other = bench.train("fpmath", ONEDNN_DEFAULT_FPMATH_MODE="BF16")
    member = [RunFolder(run).training("a") for run in (bench.base, other)]
    if sha256_file(member[0].weights) == sha256_file(member[1].weights):
        pytest.skip("oneDNN has no faster bf16 on this processor")
    verdict = bench.grade(other)
    assert NAMES.index(verdict.grade.name) >= NAMES.index("within the spread of seeds")
    assert "variables.ONEDNN_DEFAULT_FPMATH_MODE" in {
        what for what, *_ in verdict.evidence.environment
    }


@pytest.fixture(scope="module")
def other_opencv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with OpenCV 4; the test is skipped where it cannot be had."""
    folder = tmp_path_factory.mktemp("opencv")
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("needs uv")
    package = f"opencv-python-headless=={OTHER_OPENCV}"
    done = subprocess.run(
        [
            uv,
            "pip",
            "install",
            "--no-deps",
            "--python",
            sys.executable,
            "--target",
            folder,
            package,
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        pytest.skip(f"{package} cannot be had: {done.stderr.strip()[-200:]}")
    return folder


def test_another_opencv_is_within_the_spread_of_seeds(bench: Bench, other_opencv: Path) -> None:
    # It looks between pixels in coarser steps, so that other bytes come to the network.
    verdict = bench.grade(bench.train("opencv", PYTHONPATH=str(other_opencv)))
    assert verdict.grade.name == "within the spread of seeds"
    found = {what: then for what, then, _ in verdict.evidence.environment}
    assert "packages.opencv-python-headless" in found
    assert verdict.evidence.causes == ()


def test_another_seed_is_different(bench: Bench) -> None:
    verdict = bench.grade(bench.base.with_name("base-seed1"))
    assert verdict.grade.name == "different"
    assert [cause.kind for cause in verdict.evidence.causes] == ["seed"]


def test_another_weight_decay_that_no_setting_shows_is_different(bench: Bench) -> None:
    (bench.folder / "plugin").mkdir()
    (bench.folder / "plugin" / "sitecustomize.py").write_text(OTHER_DECAY)
    other = bench.train("decay", PYTHONPATH=str(bench.folder / "plugin"), TWINRUN_TEST_DECAY="0.02")
    verdict = bench.grade(other)
    assert verdict.grade.name == "different"
    assert [cause.kind for cause in verdict.evidence.causes] == ["recipe"]


def test_a_wrong_label_is_different(bench: Bench) -> None:
    data = Path(shutil.copytree(FIXTURE, bench.folder / "mislabelled"))
    wrong = min((data / "train" / "leaf_rust").iterdir())
    wrong.rename(data / "train" / "stem_rust" / wrong.name)
    verdict = bench.grade(bench.train("label", "--data", data))
    assert verdict.grade.name == "different"
    kinds = [cause.kind for cause in verdict.evidence.causes]
    assert kinds == ["labels"]
    assert verdict.evidence.causes[0].lines == (f"train/{wrong.stem}: was leaf_rust, is stem_rust",)


def test_verify_carries_the_grade_to_its_exit_code_and_record(bench: Bench) -> None:
    variables = {"ATEN_CPU_CAPABILITY": LESS[0], "ONEDNN_MAX_CPU_ISA": LESS[1]}
    for arguments, code in (((), 3), (("--accept", "spread"), 0)):
        done = bench.command("verify", bench.base, *arguments, **variables)
        assert done.returncode == code, done.stdout + done.stderr
        assert "same to rounding" in done.stdout.splitlines()[-1]
        assert done.stderr == ""
    done = bench.command("verify", bench.base, "--predict-only", **variables)
    assert done.returncode in (0, 3), done.stderr
    done = bench.command("verify", bench.base, "--predict-only")
    assert done.returncode == 0, done.stderr
