"""What a GPU cannot do: kernels that torch was not built with, bfloat16 that is only emulated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from twinrun.errors import InputError


def refuse_gpu_without_kernels() -> None:
    """Refuse the CUDA device in use where this torch has no kernels for it.

    Raises:
        InputError: Its compute capability is below, or beside, all that torch was built for.
    """
    import torch

    gpu = torch.cuda.get_device_properties()
    built_for = torch.cuda.get_arch_list()
    if not has_kernels((gpu.major, gpu.minor), built_for):
        raise InputError(
            f"{gpu.name} has compute capability {gpu.major}.{gpu.minor}, and torch "
            f"{torch.__version__} has no kernels for it",
            details=[f"it was built for {', '.join(built_for)}"],
            fix="Set run.device to 'cpu', or take a GPU that this torch was built for.",
        )


def has_kernels(capability: tuple[int, int], built_for: Iterable[str]) -> bool:
    """Whether a GPU can run what torch was built for.

    Machine code runs on GPUs of the same major capability and at least the same minor one;
    intermediate code ("compute_90") is compiled by the driver for every later GPU.

    Args:
        capability: Of the GPU, (major, minor).
        built_for: As `torch.cuda.get_arch_list()` says, such as "sm_75", "sm_90a", "compute_90".
    """
    for name in built_for:
        kind, major, minor = _ARCHITECTURE.match(name).groups()  # type: ignore[union-attr]
        built = (int(major), int(minor))
        if kind == "compute" and built <= capability:
            return True
        if kind == "sm" and built[0] == capability[0] and built <= capability:
            return True
    return False


# The last digit is the minor capability; letters after it name one chip's own instructions.
_ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)[a-z]*$")


def refuse_precisions(precisions: Mapping[str, str]) -> None:
    """Refuse bf16 on a CUDA device that has no arithmetic for it.

    Args:
        precisions: The setting of each member, by its name.

    Raises:
        InputError: One of them is "bf16". torch would emulate it, more slowly than float32.
    """
    import torch

    asked = [name for name, precision in precisions.items() if precision == "bf16"]
    if asked and not computes_in_bf16():
        raise InputError(
            f"{torch.cuda.get_device_name()} does not compute in bfloat16, which "
            f"{', '.join(asked)} {'asks' if len(asked) == 1 else 'ask'} for",
            fix="Set recipe.precision to 'fp16' or 'fp32'.",
        )


def computes_in_bf16() -> bool:
    """Whether the CUDA device in use has arithmetic for bfloat16 of its own."""
    import torch

    # By default the emulation counts, which every GPU has.
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))
