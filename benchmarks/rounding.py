"""How far rounding moves predictions, and what is no rounding: a grade's bound lies between.

`python -m benchmarks.rounding`: one resnet18 on the drawn photos, trained for a few and for more
epochs; each time again with two threads, with older instructions, in bf16, and with another seed;
with --opencv FOLDER, where a different OpenCV was installed with `pip install --target`, with that
one too. It prints the largest difference of a probability, top classes that changed, and the score.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from twinrun.console import say

SETTINGS = """
[competition]
name = "rounding"
classes = ["leaf_rust", "stem_rust", "healthy_wheat"]
[data]
folder = {folder!r}
[run]
seed = 0
threads = 1
device = "cpu"
[recipe]
network = "resnet18"
image_size = 32
batch_size = 16
pretrained = false
validation = {{ share = 0.25 }}
epochs = {{ frozen = 1, unfrozen = {epochs} }}
[members.a]
"""
OLD_INSTRUCTIONS = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}


def main() -> None:
    """Train the pairs and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rounding", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("tests/fixture"))
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--opencv", type=Path)
    given = parser.parse_args()
    others: dict[str, tuple[list[str], dict[str, str]]] = {
        "threads 2": (["--set", "run.threads=2"], {}),
        "older instructions": ([], OLD_INSTRUCTIONS),
        "bf16": (["--set", "members.a.precision=bf16"], {}),
        "other seed": (["--set", "run.seed=1"], {}),
    }
    if given.opencv:
        others["other OpenCV"] = ([], {"PYTHONPATH": str(given.opencv.absolute())})
    for epochs in given.epochs:
        with TemporaryDirectory() as temporary:
            folder = Path(temporary)
            data = str(given.data.absolute())
            text = SETTINGS.format(folder=data, epochs=epochs)
            (folder / "one.toml").write_text(text, encoding="utf-8")
            first = train(folder, "first", [], {})
            for number, (name, (changes, variables)) in enumerate(others.items()):
                other = train(folder, f"other-{number}", changes, variables)
                say(f"{epochs:>3} epochs, {name:<19} {compare(first, other)}")


def train(folder: Path, name: str, changes: list[str], variables: dict[str, str]) -> Path:
    """The folder of a run, trained in a process of its own."""
    command = [sys.executable, "-m", "twinrun", "run", "--config", "one.toml", "--run", name]
    subprocess.run(
        [*command, *changes, "--quiet"], cwd=folder, env={**os.environ, **variables}, check=True
    )
    return folder / "runs" / name


def compare(first: Path, second: Path) -> str:
    """The numbers of a pair, in a line."""
    from twinrun.compare.graded import grade_runs
    from twinrun.compare.runs import compare_runs

    verdict = grade_runs(compare_runs(first, second))
    gaps = verdict.evidence.gaps
    if not gaps:
        return verdict.grade.name
    # Another seed holds out other images: there are no two scores to compare.
    scores = next((f", loss {a:.4f} {b:.4f}" for a, b in (g.scores for g in gaps if g.scores)), "")
    tops = sum(gap.tops for gap in gaps if gap.file == "test.csv")
    images = sum(gap.images for gap in gaps if gap.file == "test.csv")
    largest = max(gap.largest for gap in gaps)
    return f"{largest:.2g}, {tops} of {images} top classes{scores}"


if __name__ == "__main__":
    main()
