"""Threads, flags, devices and versions: set before anything is drawn, and written down."""

from __future__ import annotations

import os
import platform
import subprocess
from typing import Any

from twinrun.neutral import without_neutral
from twinrun.repro.ranks import NEUTRAL_RANKS

# Read once, when CUDA starts; the size is the one that NVIDIA documents as reproducible.
_CUBLAS_WORKSPACE = ":4096:8"

# Of every training. Beside them those that decide the networks' bits: the families name them.
_PACKAGES = (
    "fastai",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pillow",
    "safetensors",
    "torch",
)

# Which kernels compute, and how exactly. Not here: OMP_NUM_THREADS, MKL_NUM_THREADS, MKL_DYNAMIC
# and their like, which torch.set_num_threads overrules.
_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_CPU_ISA_HINTS",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_CPU_ISA_HINTS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENCV_CPU_DISABLE",
)
_CUDA_VARIABLES = (
    "CUBLASLT_WORKSPACE_SIZE",
    "CUBLAS_EMULATE_SINGLE_PRECISION",
    "CUDNN_ERRATA_JSON_FILE",
    "DISABLE_ADDMM_CUDA_LT",
    "NVIDIA_TF32_OVERRIDE",
    "PYTORCH_TUNABLEOP_ENABLED",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_BLAS_PREFER_CUBLASLT",
    "TORCH_CUDNN_USE_HEURISTIC_MODE_B",
    "TORCH_CUDNN_V8_API_DISABLED",
)

# At these values a fact does nothing and is left out of what decides bits.
NEUTRAL_FACTS: dict[str, Any] = {"variables": {}, "cublas_workspace": None, **NEUTRAL_RANKS}


def set_up(*, threads: int, device: str = "auto", workers: int = 0) -> dict[str, Any]:
    """Make torch deterministic in this process and describe what it runs on.

    Args:
        threads: Threads of torch's operators, however many cores there are. On a CPU, another
            count gives other bits.
        device: "auto" (CUDA where there is one), "cpu" or "cuda".
        workers: Loader processes, for the record.

    Returns:
        JSON values in two tables. `decides`: what decides bits, without what is at its neutral
        value. `beside`: what cannot.

    Raises:
        InputError: CUDA was asked for and there is none, or this torch has no kernels for the GPU.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", _CUBLAS_WORKSPACE)
    import torch

    from twinrun.errors import InputError
    from twinrun.repro.gpus import refuse_gpu_without_kernels
    from twinrun.repro.ranks import current_rank, rank_facts
    from twinrun.repro.source import code_digest

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "run.device is 'cuda', but torch sees no CUDA device",
            fix="Set run.device to 'auto' or 'cpu', or fix the driver.",
        )
    use_cuda = device != "cpu" and torch.cuda.is_available()
    if use_cuda and (ranks := current_rank()).count > 1:
        if ranks.local >= torch.cuda.device_count():
            raise InputError(
                f"rank {ranks.rank} is number {ranks.local + 1} on its machine, which has "
                f"{torch.cuda.device_count()} CUDA devices",
                fix="Start at most as many ranks on a machine as it has GPUs.",
            )
        torch.cuda.set_device(ranks.local)
    if use_cuda:
        refuse_gpu_without_kernels()
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # What use_deterministic_algorithms(True) does too, but that first imports torch's compiler, to
    # tell it the same: seconds, and nothing here is compiled.
    torch.set_deterministic_debug_mode("error")
    # Else each new tensor is filled before it is written: a twentieth of a step, and a read of
    # memory that nothing was written to would be hidden from the twins.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    _pin_precision()
    names = (*_VARIABLES, *_CUDA_VARIABLES) if use_cuda else _VARIABLES
    decides: dict[str, Any] = {
        "device": "cuda" if use_cuda else "cpu",
        "threads": torch.get_num_threads(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "cpu_features": _cpu_features(),
        "variables": {name: os.environ[name] for name in names if os.environ.get(name)},
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": _versions(),
        "cublas_workspace": os.environ["CUBLAS_WORKSPACE_CONFIG"] if use_cuda else None,
    }
    if use_cuda:
        gpu = torch.cuda.get_device_properties()
        decides |= {
            "gpu": gpu.name,
            "compute_capability": f"{gpu.major}.{gpu.minor}",
            "multiprocessors": gpu.multi_processor_count,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    decides |= rank_facts(cuda=use_cuda)
    beside = {
        "code": code_digest(),
        "hash_seed": os.environ.get("PYTHONHASHSEED", "random"),
        "processor": platform.processor(),
        "cores": os.cpu_count(),
        "workers": workers,
        "platform": platform.platform(),
    }
    if use_cuda and (driver := _driver()):
        beside["driver"] = driver
    return {"decides": without_neutral(decides, NEUTRAL_FACTS), "beside": beside}


def _versions() -> dict[str, str]:
    """The version of each package that decides bits, by name, sorted.

    Raises:
        InputError: A family of networks names one that is not installed.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    from twinrun.errors import InputError
    from twinrun.networks.table import deciding_packages

    families = deciding_packages()
    versions = {}
    for name in sorted({*_PACKAGES, *families}):
        try:
            versions[name] = distribution(name).version
        except PackageNotFoundError:
            raise InputError(
                f"{name} is not installed, which decides the bits of {families.get(name, 'all')}",
                fix=f"Install {name} as requirements.lock names it.",
            ) from None
    return versions


def _pin_precision() -> None:
    """Fix what torch computes float32 with: its own defaults, whatever was set before.

    That is float32 itself, and TF32 for convolutions and recurrent layers on a GPU that has it.
    """
    import torch

    # Not matmul.fp32_precision: only this call sets torch's older flag for the same thing as well,
    # and torch raises an error where the two differ.
    torch.set_float32_matmul_precision("highest")
    if not hasattr(torch.backends.cudnn, "conv"):  # torch 2.8 has one flag, and none for a CPU
        torch.backends.cudnn.allow_tf32 = True
        return
    for backend, precision in ((torch.backends.cudnn, "tf32"), (torch.backends.mkldnn, "ieee")):
        for operation in (backend.conv, backend.rnn):
            operation.fp32_precision = precision


def _cpu_features() -> list[str]:
    """What the processor can do that kernels are chosen by, sorted."""
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return sorted(name for name, value in capabilities.items() if value is True)
    # torch 2.8 says of a few: `_is_avx2_supported()` and its like.
    return sorted(
        name.removeprefix("_is_").removesuffix("_supported")
        for name, is_supported in vars(torch._C._cpu).items()
        if name.startswith("_is_") and is_supported()
    )


def _driver() -> str | None:
    """The version of NVIDIA's driver, None where it cannot be told."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.partition("\n")[0].strip() or None
