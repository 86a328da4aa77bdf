"""Sets up this process before anything is drawn, and writes down what is in force in it then."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from twinrun.repro.fact import Wanted
from twinrun.repro.machine_facts import CUBLAS_WORKSPACE


def set_up(
    *, threads: int, device: str = "auto", workers: int = 0, packages: Sequence[str] = ()
) -> dict[str, Any]:
    """Make torch deterministic in this process and describe what it runs on.

    Args:
        threads: Threads of torch's operators, however many cores there are. On a CPU, another
            count gives other bits.
        device: "auto" (CUDA where there is one), "cpu" or "cuda".
        workers: Loader processes, for the record.
        packages: That decide bits beside those of every training: a competitor's code imports them.

    Returns:
        As `read_environment`: `decides` and `beside`.

    Raises:
        InputError: CUDA was asked for and there is none, or this torch has no kernels for the GPU;
            a package that decides bits is not installed.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    from twinrun.repro.in_force import pin, read_environment

    wanted = Wanted(threads, _uses_cuda(device), workers, tuple(packages))
    pin(wanted)
    return read_environment(wanted)


def _uses_cuda(device: str) -> bool:
    """Whether the process computes on a CUDA device, which is this rank's from now on."""
    import torch

    from twinrun.errors import InputError
    from twinrun.repro.gpus import refuse_gpu_without_kernels
    from twinrun.repro.ranks import current_rank

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "run.device is 'cuda', but torch sees no CUDA device",
            fix="Set run.device to 'auto' or 'cpu', or fix the driver.",
        )
    if device == "cpu" or not torch.cuda.is_available():
        return False
    if (ranks := current_rank()).count > 1:
        if ranks.local >= torch.cuda.device_count():
            raise InputError(
                f"rank {ranks.rank} is number {ranks.local + 1} on its machine, which has "
                f"{torch.cuda.device_count()} CUDA devices",
                fix="Start at most as many ranks on a machine as it has GPUs.",
            )
        torch.cuda.set_device(ranks.local)
    refuse_gpu_without_kernels()
    return True
