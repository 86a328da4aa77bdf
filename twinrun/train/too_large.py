"""A training that does not fit into the memory: which settings to lower, and what that does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from twinrun.config.recipe import Member
from twinrun.config.trainings import Training
from twinrun.errors import InputError
from twinrun.memory import is_short_of_memory, reason


@contextmanager
def name_what_to_lower(
    training: Training, member: Member, workers: int, network: nn.Module
) -> Iterator[None]:
    """Say where the memory does not hold a training what to do about it, bits considered.

    Args:
        training: Which one it is.
        member: Its recipe.
        workers: Loader processes.
        network: It is asked whether it was training when the memory was short, or predicting.

    Raises:
        InputError: There was too little memory.
    """
    try:
        yield
    except Exception as error:
        if not is_short_of_memory(error):
            raise
        raise _explained(error, training, member, workers, network) from error


def _explained(
    error: BaseException, training: Training, member: Member, workers: int, network: nn.Module
) -> InputError:
    key = f"members.{training.member}"
    device = next((each.device.type for each in network.parameters()), "cpu")
    doing, size = "a step", "batch_size"
    if not network.training:
        doing, size = "a prediction", "prediction_batch_size"
    other = "a different recipe: other bits, trained from the beginning"
    details = [
        f"{key}.{size} = {getattr(member, size)}: {other}",
        f"{key}.image_size = {member.image_size}: {other}",
    ]
    if device == "cpu" and workers:
        details.insert(0, f"run.workers = {workers}: the same bits, slower")
    said = reason(error)
    return InputError(
        f"{training.title}: the memory of the {_called(device)} does not hold {doing}"
        f"{f' ({said})' if said else ''}; what to lower:",
        details=details,
        fix=f"First end what else uses the {_called(device)}, and rerun the command: it resumes to "
        "the same bits. A different recipe needs a new run (--run NAME).",
    )


def _called(device: str) -> str:
    return "machine" if device == "cpu" else "GPU"
