"""The whole command for a GPU, on a CPU: beside a different PyTorch, without a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cuda.parts import PARTS
from tests.conftest import ROOT

# As a machine with a GPU was seen to have them; versions of the others are what there is.
SYSTEM = (
    *("torch==2.11.0", "torchvision==0.26.0", "timm", "pandas", "opencv-python-headless"),
    *("numpy", "pillow", "scipy", "matplotlib", "pyarrow", "scikit-learn"),
)
MINUTES = 40


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with PyTorch and no fastai; skipped where none is."""
    uv = [sys.executable, "-m", "uv"]
    folder = tmp_path_factory.mktemp("system") / "environment"
    for command in (
        [*uv, "venv", "--quiet", "--seed", "--python", "3.12", str(folder)],
        [*uv, "pip", "install", "--quiet", "--python", str(folder / "bin/python"), *SYSTEM],
    ):
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode:
            pytest.skip(f"no Python 3.12 with PyTorch 2.11: {answer.stderr.strip()[-300:]}")
    return folder / "bin" / "python"


@pytest.mark.slow  # fetches a PyTorch, and does every part
@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode != 0,
    reason="needs unshare, and leave to use it",
)
def test_the_whole_command_is_rehearsed_without_a_network(system: Path, tmp_path: Path) -> None:
    wheels, file = tmp_path / "wheels", tmp_path / "gpu.json"
    gathered = subprocess.run(
        [sys.executable, "-m", "benchmarks.cuda", "--gather", str(wheels)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert gathered.returncode == 0, gathered.stderr
    assert sum(path.stat().st_size for path in wheels.iterdir()) < 60e6
    command = ["unshare", "-rn", str(system), "-m", "benchmarks.cuda", "--rehearse"]
    command += ["--wheels", str(wheels), "--minutes", str(MINUTES), "--output", str(file)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    text = file.read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["rehearsed"]
    assert content["versions"]["torch"].startswith("2.11.0")
    assert [part["part"] for part in content["parts"]] == [part.name for part in PARTS]
    assert {part["state"] for part in content["parts"]} == {"done"}
    rows = {part["part"]: part["rows"] for part in content["parts"]}
    assert all(row["kept"] != "no" for part in rows.values() for row in part)
    # What a CPU cannot show is never said to be kept.
    kept = {row["what"]: row["kept"] for part in rows.values() for row in part}
    for what in ("two runs", "an atomic operation in a layer", "the check sees a difference"):
        assert kept[what] == "needs CUDA"
    assert all("rehearsed" in row["kept"] for row in rows["table"])
    twins = [row for row in rows["twins"] if row["asked"] == "same bits"]
    assert len(twins) == 8
    assert not re.search(str(tmp_path) + "|" + str(ROOT) + "|" + str(Path.home()), text)
