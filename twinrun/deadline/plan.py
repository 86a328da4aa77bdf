"""Which trainings fit into a time: a plan of seconds that are known, which measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twinrun.config.recipe import Member
from twinrun.config.settings import Settings
from twinrun.config.trainings import Training

# More than what was measured, for each training. Two steps say little of a whole training: what
# else the machine does, how warm it gets, how slow the disk is. One that is slower even so is
# stopped in time; one that is quicker leaves time to the next.
MARGIN = 0.10
# Of a cell of predictions as text, and of the ledger's rows of a step, in bytes.
_CELL, _LEDGER = 12, 600
# Of a disk, bytes a second: a slow one. A checkpoint is written, read for its digest, and synced.
_DISK = 100e6


@dataclass(frozen=True)
class Measured:
    """What was measured of a member.

    Attributes:
        setup: Seconds until the first step.
        frozen: Seconds of a step while the backbone is frozen; 0 where there is no such epoch.
        unfrozen: Likewise of a step of all layers.
        steps: Of an epoch.
        image: Seconds that the prediction of an image takes.
        valid: Images that are held out.
        test: Images that are predicted at the end.
        passes: Of test-time augmentation; 1 without.
        norms: Images by which batch norms are estimated anew; 0 where the last weights are used.
        weights: Bytes of the network's weights and buffers.
        memory: Bytes that the process had in use; 0 where that cannot be read.
        gpu_memory: Bytes of the GPU's memory at most in use; 0 without one.
    """

    setup: float
    frozen: float
    unfrozen: float
    steps: int
    image: float
    valid: int
    test: int
    passes: int
    weights: int
    memory: int = 0
    gpu_memory: int = 0
    norms: int = 0

    @property
    def checkpoint(self) -> float:
        """Seconds that a checkpoint takes: weights and the optimizer's two averages of them."""
        return 3 * self.weights / _DISK

    @property
    def predictions(self) -> float:
        """Seconds from the last epoch to a complete training."""
        images = (self.valid + self.test) * self.passes + self.norms
        return images * self.image + self.weights / _DISK

    def disk(self, steps: int, classes: int) -> int:
        """Bytes of the files that a complete training leaves, about.

        Args:
            steps: Of the training.
            classes: Number of them.
        """
        cells = (self.valid + self.test) * (classes + 2)
        return self.weights + cells * _CELL + steps * _LEDGER

    @property
    def checkpoints(self) -> int:
        """Bytes of a training's checkpoints: two that are kept, and one that is being written."""
        return 3 * 3 * self.weights


@dataclass(frozen=True)
class Cost:
    """What is left of a training, and the time that it takes.

    Attributes:
        steps: Of training.
        trained: Seconds of these steps.
        seconds: Of all of it, without a margin.
        measured: Of its member.
    """

    training: Training
    steps: int
    trained: float
    seconds: float
    measured: Measured

    @property
    def needed(self) -> float:
        """Seconds that must be left for it to be begun."""
        return self.seconds * (1 + MARGIN)


def cost_of(
    training: Training,
    member: Member,
    measured: Measured,
    done: tuple[int, int] = (0, 0),
    every: float = 300.0,
) -> Cost:
    """What is left of a training.

    Args:
        training: Which one.
        member: Its recipe.
        measured: Of the member.
        done: Epochs that are complete, and steps after them, from which it resumes.
        every: Seconds between two checkpoints within an epoch.
    """
    epochs, (complete, within) = member.epochs, done
    frozen = max(epochs.frozen - complete, 0)
    all_layers = epochs.frozen + epochs.unfrozen - max(complete, epochs.frozen)
    epochs_left = frozen * measured.frozen + all_layers * measured.unfrozen
    trained = epochs_left * measured.steps
    trained -= within * (measured.frozen if frozen else measured.unfrozen)
    ends = (frozen + all_layers) * (measured.valid * measured.image + measured.checkpoint)
    between = trained / every * measured.checkpoint
    return Cost(
        training,
        (frozen + all_layers) * measured.steps - within,
        trained,
        measured.setup + trained + ends + between + measured.predictions,
        measured,
    )


def in_order(settings: Settings) -> list[str]:
    """The members in the order of their fixed weight in the blend, equal ones as they stand."""
    return sorted(settings.members, key=lambda name: -settings.weight(name))


def plan(costs: Sequence[Cost], order: Sequence[str], seconds: float) -> list[Training]:
    """The trainings that fit, in the order in which they are to be trained.

    First whole members: a member takes part in the blend when all of its trainings are complete. In
    the time that is left then, single folds of the others, which a later run has not to train.

    Args:
        costs: Of all that is left.
        order: The members, from `in_order`.
        seconds: That are left for trainings.
    """
    chosen: list[Cost] = []
    by_member = {name: [each for each in costs if each.training.member == name] for name in order}

    def fits(more: Sequence[Cost]) -> bool:
        return sum(each.needed for each in [*chosen, *more]) <= seconds

    for own in by_member.values():
        if fits(own):
            chosen += own
    for each in (each for own in by_member.values() for each in own):
        if each not in chosen and fits([each]):
            chosen.append(each)
    return [each.training for each in chosen]
