"""`twinrun diff --replay` from end to end, in processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastai.callback.core import Callback

from tests.conftest import Command
from tests.mutations.harness import Bench, linked, moment, place, with_callback
from twinrun.repro.stages import STAGES

# Python imports this file when it starts. In each process that trains the run `second`, or makes
# a step of it again, a number is drawn before the first dropout of epoch 2, step 2.
EXTRA_DRAW = """
import sys
from pathlib import Path

def run_of(words):
    if "twinrun.compare.replay_step" in words:
        return Path(words[words.index("twinrun.compare.replay_step") + 1]).name
    return words[words.index("--run") + 1] if "train" in words else ""

if run_of(sys.orig_argv) == "second":
    from twinrun.repro.keys import Key

    seed_generators = Key.seed_generators

    def and_draw(key):
        seed_generators(key)
        if key.parts[2:] == ("forward", "train", 1, 1):
            import torch

            torch.rand(1)

    Key.seed_generators = and_draw
"""


@pytest.mark.slow  # five processes that each import for ten seconds
def test_replay_names_the_module_the_number_of_values_and_the_gap(
    twinrun: Command, bench: Bench, tmp_path: Path
) -> None:
    # Recorded at the default level: the ledgers know the step only.
    first, second = tmp_path / "runs" / "first", tmp_path / "runs" / "second"
    linked(bench.once([]), first)
    (tmp_path / "sitecustomize.py").write_text(EXTRA_DRAW)
    answer = twinrun(
        *("train", "a", "--config", bench.config, "--run", "second"), PYTHONPATH=str(tmp_path)
    )
    assert answer.returncode == 0, answer.stderr

    answer = twinrun("diff", first, second, "--replay", PYTHONPATH=str(tmp_path))
    assert answer.returncode == 1
    assert "the runs differ: a first in forward, epoch 2, step 2 of 4" in answer.stderr
    known, again = answer.stdout.split("making a again up to epoch 2, step 2")
    assert "first difference: forward, epoch 2, step 2 of 4" in known
    assert "Dropout" not in known
    again = again.split("made again, differs first in ")[1]
    lines = [line.strip() for line in again.splitlines()]
    assert lines[0] == "forward, epoch 2, step 2 of 4"
    assert lines[1].split(maxsplit=1) == ["stage", STAGES.get("forward").words]
    assert lines[3] == "1.3 (Dropout)"
    (values,) = [line for line in lines if line.startswith("values")]
    assert "1.3 (Dropout): " in values
    differing = int(values.split("(Dropout): ")[1].split(" of 1,536 values")[0].replace(",", ""))
    assert 0 < differing < 1536
    assert float(values.rpartition(" ")[2]) > 0
    assert "its input was equal and it dropped different values" in again


@pytest.mark.slow  # four processes that each import for ten seconds
def test_replay_says_what_does_not_come_again_and_which_run_left_the_path(
    twinrun: Command, bench: Bench
) -> None:
    class Once(Callback):
        """Changes a gradient when the run is trained, and never again: no replay knows of it."""

        def after_backward(self) -> None:
            if moment(self.learn) == (1, 2):
                self.learn.model.get_parameter("1.8.weight").grad[0, 0] += 1

    found = bench.twins(lambda patch: with_callback(patch, Once))
    assert place(found.first()) == ("gradient", 1, 2)
    answer = twinrun("diff", *found.runs, "--replay")
    assert answer.returncode == 1
    printed = " ".join(answer.stdout.split())
    assert "a made again, the step gives the same bits for both" in printed
    assert "those that A recorded; B differed there" in printed
    assert "It does not come again: something that a replay does not have" in printed
