"""Makes one step of a recorded run again, in as fine a detail as there is.

A process of its own (`python -m twinrun.compare.replay_step`), because a step's bits depend on what
a process starts with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from twinrun.config.project import SETTINGS
from twinrun.console import console, progress_bars, relay
from twinrun.data.recorded import recorded_images
from twinrun.errors import InputError, TwinrunError
from twinrun.hooks.in_use import name_code
from twinrun.repro.environment import set_up
from twinrun.repro.ledger import Ledger
from twinrun.repro.stages import STAGES
from twinrun.run_folder.manifest import read_run_settings
from twinrun.run_folder.paths import RunFolder, TrainingFolder
from twinrun.streams import let_no_print_fail
from twinrun.train.callbacks import OwnFit, ShowProgress
from twinrun.train.checkpoints import Checkpoint, Checkpoints
from twinrun.train.fit import Phase, fit_phases
from twinrun.train.members import TrainingSetup, set_up_training
from twinrun.train.recorder import Recorder

VALUES = "values.safetensors"


def replay(
    run: Path,
    name: str,
    moment: tuple[int, int],
    stage: str,
    output: Path,
    *,
    data: Path | None,
    beside: Sequence[Path] = (),
    wanted: Sequence[str] = (),
) -> None:
    """Go through a training again up to a moment, from the nearest checkpoint; write what it shows.

    Args:
        run: runs/<run>, complete or not.
        name: The training's, a member's or that of a fold.
        moment: (epoch, step), from 1; (0, 0) for what comes before the first step.
        stage: The last stage that is needed there.
        output: Folder for ledger.parquet, with a row for each image, module and parameter at the
            moment, and values.safetensors.
        data: The data folder; None for the one that is recorded.
        beside: Folders of other runs whose checkpoints may be used, where settings, data and
            environment are the same: up to the moment their states are the same.
        wanted: Names in the stage whose values are written, as `<number> <dtype>/<name>`: an image
            has two tensors, its pixels and its label. NumPy has no bfloat16, so that those are
            written as float32, which holds the same values.

    Raises:
        NegativeVerdict: hooks.py is not what the run was made with, or not of this project.
        InputError: The run's record or data cannot be read.
    """
    settings = read_run_settings(run, data)
    settings.code.refuse_edited()
    environment = set_up(
        threads=settings.run.threads,
        device=settings.run.device,
        packages=settings.code.packages,
    )
    training = settings.training(name)
    sizes = [settings.members[training.member].cached_size]
    index, pixels = recorded_images(run, settings, sizes)
    setup = set_up_training(name, settings, index, pixels, environment)
    about = {**setup.ledger.about, "level": "tensor"}
    recorder = Recorder(Ledger(about), "tensor", moment, (stage, wanted))
    if moment == (0, 0):
        recorder.ledger = setup.ledger
        weights = setup.learner.model.state_dict()
        kept = {name: [weights[name]] for name in wanted if name in weights}
    else:
        checkpoint = _find_nearest([run, *beside], name, setup, moment)
        with progress_bars() as bars:
            done = (checkpoint.epoch, checkpoint.step) if checkpoint else (0, 0)
            per_epoch = len(setup.loaders.train) + len(setup.loaders.valid)
            total = (moment[0] - 1 - done[0]) * per_epoch + moment[1] - done[1]
            task = bars.add_task(f"{training.title} again", total=total, note="")

            def own(phase: Phase, start: int) -> list[OwnFit]:
                at = (phase.first_epoch, start)
                return [_StopAt(moment, stage, *at), ShowProgress(bars, task, *at)]

            with suppress(_Reached):
                fit_phases(setup.learner, setup.member, recorder, checkpoint, own)
        kept = recorder.kept
    setup.refuse_changed()
    recorder.ledger.write(TrainingFolder(output).ledger)
    values = {
        f"{number} {str(tensor.dtype).removeprefix('torch.')}/{name}": _for_numpy(tensor)
        for name, tensors in kept.items()
        for number, tensor in enumerate(tensors)
    }
    if values:
        safetensors.torch.save_file(values, output / VALUES)


def _for_numpy(tensor: Tensor) -> Tensor:
    plain = tensor.as_subclass(Tensor).contiguous().cpu()
    return plain.float() if plain.dtype == torch.bfloat16 else plain


def _find_nearest(
    runs: Sequence[Path], name: str, setup: TrainingSetup, moment: tuple[int, int]
) -> Checkpoint | None:
    """The latest checkpoint that was made before the moment's step."""
    found: list[Checkpoint] = []
    for run in runs:
        folder = RunFolder(run).training(name).checkpoint
        try:
            checkpoint = Checkpoints(folder, setup.identity).latest(
                before=(moment[0] - 1, moment[1] - 1)
            )
        except InputError:
            continue  # made under different settings: of no use here
        found += [checkpoint] if checkpoint else []
    return max(found, key=lambda each: (each.epoch, each.step), default=None)


class _Reached(Exception):
    """The step that was asked for is made."""


class _StopAt(OwnFit):
    order = 2500  # the recorder has written by then

    def __init__(self, moment: tuple[int, int], stage: str, first_epoch: int, start: int) -> None:
        super().__init__(first_epoch, start)
        self.moment = moment
        self.after_validation = "epoch" in STAGES.get(stage).noted

    def after_batch(self) -> None:
        reached = (self.at + 1, self.iter + 1) == self.moment
        if self.training and reached and not self.after_validation:
            raise _Reached("step")

    def after_validate(self) -> None:
        if self.at + 1 == self.moment[0]:
            raise _Reached("epoch")


def main() -> None:
    """What the parent process starts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("member")
    parser.add_argument("epoch", type=int)
    parser.add_argument("step", type=int)
    parser.add_argument("stage")
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--beside", type=Path, action="append", default=[])
    parser.add_argument("--wanted", action="append", default=[])
    parser.add_argument("--named", type=Path, action="append", default=[])
    parser.add_argument("--quiet", action="store_true")
    given = parser.parse_args()
    console.quiet = given.quiet
    for folder in given.named:
        name_code(folder / SETTINGS.name)
    replay(
        given.run,
        given.member,
        (given.epoch, given.step),
        given.stage,
        given.output,
        data=given.data,
        beside=given.beside,
        wanted=given.wanted,
    )


if __name__ == "__main__":
    let_no_print_fail()
    try:
        main()
    except TwinrunError as error:
        relay(error.lines)
        sys.exit(error.exit_code)
