"""The machine, the system, and what NumPy and OpenCV choose their kernels by."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from twinrun.plain_files import read_bytes
from twinrun.repro.fact import SAME_CODE, Fact, Wanted, loaded
from twinrun.repro.ranks import NEUTRAL_RANKS, rank_facts

_SAME_MACHINE = "train both on the same kind of machine"

# Read once, when CUDA starts; the size is the one that NVIDIA documents as reproducible.
CUBLAS_WORKSPACE = ":4096:8"

# Which kernels compute, and how exactly. Not here: OMP_NUM_THREADS, MKL_NUM_THREADS, MKL_DYNAMIC
# and their like, which torch.set_num_threads overrules.
KERNEL_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_CPU_ISA_HINTS",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "GLIBC_TUNABLES",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "ONEDNN_CPU_ISA_HINTS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
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


def library_facts() -> Iterator[Fact]:
    """Of OpenCV, which maps the images, and of NumPy, which makes the maps."""
    yield Fact(
        name="opencv_optimized",
        words="whether OpenCV uses its kernels for this processor",
        decides=True,
        read=lambda _: loaded("cv2").useOptimized(),
        pin=lambda _: loaded("cv2").setUseOptimized(True),
        changed_by="cv2.setUseOptimized",
        mend=SAME_CODE,
        neutral=True,
    )
    yield Fact(
        # Intel's library chooses its kernels by the processor's maker.
        name="opencv_ipp",
        words="whether OpenCV computes with IPP",
        decides=True,
        read=lambda _: loaded("cv2").ipp.useIPP(),
        pin=lambda _: loaded("cv2").ipp.setUseIPP(False),
        changed_by="cv2.ipp.setUseIPP",
        mend=SAME_CODE,
        neutral=False,
    )
    yield Fact(
        name="opencv_features",
        words="the instructions that OpenCV's kernels use",
        decides=True,
        # A star: chosen when it runs; a question mark: this processor has it not.
        read=lambda _: loaded("cv2").getCPUFeaturesLine().split(),
        mend=_SAME_MACHINE,
    )
    yield Fact(
        # Each image is warped by one thread, whatever there are.
        name="opencv_threads",
        words="OpenCV's threads",
        decides=False,
        read=lambda _: loaded("cv2").getNumThreads(),
        pin=lambda _: loaded("cv2").setNumThreads(0),
    )
    yield Fact(
        # It multiplies and inverts the maps of the images: its kernels give other last bits.
        name="blas",
        words="the BLAS and its kernels that NumPy computes with",
        decides=True,
        read=lambda _: _describe_blas(),
        mend=f"{_SAME_MACHINE}, with requirements.lock and the same OPENBLAS_CORETYPE",
    )
    yield Fact(
        name="blas_threads",
        words="the threads of NumPy's BLAS",
        decides=False,
        read=lambda _: _blas().get("num_threads"),
    )


def machine_facts() -> Iterator[Fact]:
    """Of the processor, the system and the process."""
    yield Fact(
        name="cpu_features",
        words="what the processor can do that kernels are chosen by",
        decides=True,
        read=lambda _: _cpu_features(),
        mend="train both on the same kind of processor",
    )
    yield Fact(
        name="variables",
        words="environment variables that choose kernels",
        decides=True,
        read=_variables,
        changed_by="os.environ",
        mend="set these variables for both, or for none",
        neutral={},
    )
    yield Fact(
        name="machine",
        words="the kind of processor",
        decides=True,
        read=lambda _: platform.machine(),
        mend=_SAME_MACHINE,
    )
    yield Fact(
        name="system",
        words="the operating system",
        decides=True,
        read=lambda _: platform.system(),
        mend="train both under the same system",
    )
    yield Fact(
        # Its sin, exp and log: other versions of it have other last bits.
        name="libc",
        words="the system's library of mathematics",
        decides=True,
        read=lambda _: " ".join(platform.libc_ver()).strip() or None,
        mend="train both under the same system",
    )
    yield Fact(
        name="python",
        words="the version of Python",
        decides=True,
        read=lambda _: platform.python_version(),
        mend="train both with the same Python",
    )
    for name, neutral in NEUTRAL_RANKS.items():
        yield Fact(
            name=name,
            words="the processes that train a member together",
            decides=True,
            read=lambda wanted, name=name: rank_facts(cuda=wanted.cuda)[name],  # type: ignore[misc]
            mend="train both on as many ranks, connected in the same way",
            neutral=neutral,
        )


def cuda_facts() -> Iterator[Fact]:
    """Of the GPU; on a CPU there are none."""
    from_device: dict[str, tuple[str, Callable[[], Any]]] = {
        "cublas_workspace": (
            "the memory that cuBLAS computes in",
            lambda: os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        ),
        "gpu": ("the GPU", lambda: _gpu().name),
        "compute_capability": ("the kind of GPU", lambda: f"{_gpu().major}.{_gpu().minor}"),
        "multiprocessors": ("the GPU's multiprocessors", lambda: _gpu().multi_processor_count),
        "cuda": ("the version of CUDA", lambda: loaded("torch").version.cuda),
        "cudnn": ("the version of cuDNN", _cudnn_version),
    }
    for name, (words, read) in from_device.items():
        yield Fact(
            name=name,
            words=words,
            decides=True,
            read=lambda wanted, read=read: read() if wanted.cuda else None,  # type: ignore[misc]
            mend="train both on the same kind of GPU, with requirements.lock",
        )
    yield Fact(
        name="driver",
        words="NVIDIA's driver",
        decides=False,
        read=lambda wanted: _driver() if wanted.cuda else None,
    )


def _gpu() -> Any:
    return loaded("torch").cuda.get_device_properties()


def _cudnn_version() -> int | None:
    found: int | None = loaded("torch").backends.cudnn.version()
    return found


def _variables(wanted: Wanted) -> dict[str, str]:
    names = (*KERNEL_VARIABLES, *_CUDA_VARIABLES) if wanted.cuda else KERNEL_VARIABLES
    found = {name: os.environ.get(name, "") for name in names}
    # Those of glibc's memory and threads choose no kernel.
    tunables = found["GLIBC_TUNABLES"].split(":")
    found["GLIBC_TUNABLES"] = ":".join(each for each in tunables if each.startswith("glibc.cpu."))
    return {name: value for name, value in found.items() if value}


def _cpu_features() -> list[str]:
    """What the processor can do that kernels are chosen by, sorted."""
    torch = loaded("torch")
    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return sorted(name for name, value in capabilities.items() if value is True)
    # torch 2.8 says of a few: `_is_avx2_supported()` and its like.
    return sorted(
        name.removeprefix("_is_").removesuffix("_supported")
        for name, is_supported in vars(torch._C._cpu).items()
        if name.startswith("_is_") and is_supported()
    )


@functools.cache
def _blas_libraries() -> Any:
    import numpy as np
    from threadpoolctl import ThreadpoolController

    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    # OpenCV brings one of its own. NumPy's and SciPy's wheels have one each, elsewhere all share.
    near = Path(np.__file__).parent
    places = (near, near.with_name("numpy.libs"))
    own = [each for each in libraries if any(Path(each.filepath).is_relative_to(p) for p in places)]
    return own or [each for each in libraries if "opencv" not in each.filepath]


def _blas() -> dict[str, Any]:
    """What threadpoolctl says of it now; empty: nothing, as of Accelerate."""
    libraries = _blas_libraries()
    return dict(libraries[0].info()) if libraries else {}


def _describe_blas() -> str | None:
    told = _blas()
    parts = (told.get(name) for name in ("internal_api", "version", "architecture"))
    return " ".join(filter(None, parts)) or None


def processor() -> str:
    """The processor's name as its maker writes it; else what kind it is."""
    if platform.system() == "Darwin":
        name = _told(["sysctl", "-n", "machdep.cpu.brand_string"])
    else:
        name = _from_cpuinfo(Path("/proc/cpuinfo"))
    return name or platform.processor() or platform.machine()


def _from_cpuinfo(path: Path) -> str | None:
    try:
        lines = read_bytes(path).decode(errors="replace").splitlines()
    except OSError:
        return None
    values = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in values if key.strip() == "model name"), None)


def _driver() -> str | None:
    """The version of NVIDIA's driver, None where it cannot be told."""
    return _told(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])


def _told(command: list[str]) -> str | None:
    """The first line that a command prints; None where it cannot be asked."""
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.partition("\n")[0].strip() or None
