"""Threads, flags, devices and versions: set before anything is drawn, and written down."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

# Read once, when CUDA starts; the size is the one that NVIDIA documents as reproducible.
_CUBLAS_WORKSPACE = ":4096:8"

_PACKAGES = ("fastai", "numpy", "pandas", "pillow", "safetensors", "torch", "torchvision")


def start_over_prepared() -> None:
    """Start this process again with the environment variables that are read only at a start.

    PYTHONHASHSEED becomes 0 unless it is a number already: whoever set it meant it. Twinrun's own
    code never depends on the order of a set; a user's may.

    GOMP_SPINCOUNT, unless it is set, becomes small. It changes no bit, but where another process
    wants a core, OpenMP's threads otherwise wait for each other so busily that a step of a small
    network can take ten times as long.
    """
    wanted = {"GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "2000"), "PYTHONHASHSEED": "0"}
    if os.environ.get("PYTHONHASHSEED", "random") != "random":
        wanted["PYTHONHASHSEED"] = os.environ["PYTHONHASHSEED"]
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.environ.update(wanted)
        arguments = [sys.executable, *sys.orig_argv[1:]]
        if os.name == "nt":
            # Windows' exec returns to the shell before the new process has ended.
            import subprocess

            sys.exit(subprocess.call(arguments))
        sys.stdout.flush()
        os.execv(sys.executable, arguments)  # noqa: S606  (there is no shell to want)


def set_up(*, threads: int, device: str = "auto", workers: int = 0) -> dict[str, Any]:
    """Make torch deterministic in this process and describe what it runs on.

    Args:
        threads: Threads of torch's operators. On a CPU, another count gives other bits.
        device: "auto" (CUDA where there is one), "cpu" or "cuda".
        workers: Loader processes, for the record.

    Returns:
        JSON values in two tables. `decides`: what decides bits. `beside`: what cannot.

    Raises:
        InputError: CUDA was asked for and there is none.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", _CUBLAS_WORKSPACE)
    from importlib.metadata import distribution

    import torch

    from competition.errors import InputError

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "run.device is 'cuda', but torch sees no CUDA device",
            mend="Set run.device to 'auto' or 'cpu', or mend the driver.",
        )
    use_cuda = device != "cpu" and torch.cuda.is_available()
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True)
    decides: dict[str, Any] = {
        "device": "cuda" if use_cuda else "cpu",
        "threads": torch.get_num_threads(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: distribution(name).version for name in _PACKAGES},
        "cublas_workspace": os.environ["CUBLAS_WORKSPACE_CONFIG"] if use_cuda else None,
    }
    if use_cuda:
        decides |= {
            "gpu": torch.cuda.get_device_name(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    beside = {
        "hash_seed": os.environ.get("PYTHONHASHSEED", "random"),
        "processor": platform.processor(),
        "cores": os.cpu_count(),
        "workers": workers,
        "platform": platform.platform(),
    }
    return {"decides": decides, "beside": beside}
