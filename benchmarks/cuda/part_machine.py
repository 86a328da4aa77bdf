"""The machine: processor, GPU, driver, versions, and what the GPU can do."""

from __future__ import annotations

import platform

import torch

from benchmarks.cuda.requirements import version_here
from benchmarks.cuda.work import Answer, Plan
from benchmarks.table import machine
from twinrun.repro.environment import set_up
from twinrun.repro.gpus import computes_in_bf16, has_kernels

_PACKAGES = (
    "torch",
    "torchvision",
    "triton",
    "timm",
    "fastai",
    "numpy",
    "pandas",
    "pillow",
    "opencv-python-headless",
    "scikit-learn",
    "twinrun",
)


def measure(plan: Plan, answer: Answer, until: float) -> None:  # noqa: ARG001
    """Say what the machine is; the engine's own refusals come first."""
    versions = {name: version for name in _PACKAGES if (version := version_here(name))}
    versions |= {"python": platform.python_version()}
    facts = machine()
    facts["system"] = f"{platform.system()} {platform.release().partition('-')[0]}"
    answer.add(machine=facts, versions=versions)
    environment = set_up(threads=plan.threads, device=plan.device)
    if plan.rehearsed:
        answer.row("a GPU", "none is looked for in a rehearsal", kept="needs CUDA")
        return
    gpu = torch.cuda.get_device_properties()
    versions |= {
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
    }
    facts["gpu"] = gpu.name
    facts["gpu_memory"] = round(gpu.total_memory / 1e9, 1)
    facts["compute_capability"] = f"{gpu.major}.{gpu.minor}"
    facts["driver"] = environment["beside"].get("driver", "unknown")
    answer.add(machine=facts, versions=versions)
    built_for = torch.cuda.get_arch_list()
    kernels = has_kernels((gpu.major, gpu.minor), built_for)
    answer.row("kernels of torch for it", ", ".join(built_for), asked="some", kept=kernels)
    found = "native" if computes_in_bf16() else "only emulated: refused, fp32 is measured"
    answer.row("bfloat16", found)
