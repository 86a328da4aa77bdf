"""What torch computes with, as it says itself: threads, kernels, precision, determinism.

Any code in the process can set these for all of it. torch is imported when one is read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from twinrun.repro.fact import SAME_CODE, Fact, Wanted, loaded
from twinrun.repro.precision_facts import precision_facts


def torch_facts() -> Iterator[Fact]:
    """In the order in which they are set."""
    yield Fact(
        name="threads",
        words="threads of torch's operators",
        decides=True,
        read=lambda _: loaded("torch.get_num_threads")(),
        pin=lambda wanted: loaded("torch.set_num_threads")(wanted.threads),
        changed_by="torch.set_num_threads",
        mend="train both with the same run.threads",
    )
    yield Fact(
        name="instruction_set",
        words="the instructions that torch's own kernels use",
        decides=True,
        read=lambda _: loaded("torch.backends.cpu.get_cpu_capability")(),
        mend="train both on the same kind of processor",
    )
    yield _flag("mkldnn", "whether torch computes with oneDNN", "torch.backends.mkldnn.enabled")
    yield _flag(
        "mkldnn_deterministic",
        "whether oneDNN is asked for deterministic kernels",
        "torch.backends.mkldnn.deterministic",
        value=False,
    )
    yield _switch(
        "nnpack",
        "whether torch computes with NNPACK",
        ("torch._C._get_nnpack_enabled", "torch._C._set_nnpack_enabled"),
        by="torch.backends.nnpack.set_flags",
    )
    yield from precision_facts()
    yield _switch(
        "deterministic",
        "what torch does where it has no deterministic kernel",
        ("torch.get_deterministic_debug_mode", "torch.set_deterministic_debug_mode"),
        # As use_deterministic_algorithms(True), but that first imports torch's compiler, to tell it
        # the same: seconds, and nothing here is compiled. 2 is "error".
        value=2,
        by="torch.use_deterministic_algorithms",
    )
    yield _flag(
        "filled_memory",
        "whether torch fills new tensors",
        # Else each new tensor is filled before it is written: a twentieth of a step, and a read of
        # memory that nothing was written to would be hidden from the twins.
        "torch.utils.deterministic.fill_uninitialized_memory",
        value=False,
    )
    yield Fact(
        name="flush_denormal",
        words="whether numbers below 1e-38 count as zero",
        decides=True,
        read=_flushes_denormal,
        pin=lambda _: loaded("torch.set_flush_denormal")(False),
        changed_by="torch.set_flush_denormal, or a library that was compiled with -ffast-math",
        mend=SAME_CODE,
        neutral=False,
    )
    yield Fact(
        name="default_dtype",
        words="the type of new tensors",
        decides=True,
        read=lambda _: str(loaded("torch.get_default_dtype")()).removeprefix("torch."),
        pin=lambda _: loaded("torch.set_default_dtype")(loaded("torch.float32")),
        changed_by="torch.set_default_dtype",
        mend=SAME_CODE,
        neutral="float32",
    )
    yield Fact(
        name="autocast",
        words="whether torch computes in a narrower type of its own choice",
        decides=True,
        read=lambda wanted: loaded("torch.is_autocast_enabled")(_device(wanted)),
        pin=lambda wanted: loaded("torch.set_autocast_enabled")(_device(wanted), False),
        changed_by="torch.autocast, or torch.set_autocast_enabled",
        mend=SAME_CODE,
        neutral=False,
    )
    yield Fact(
        name="attention",
        words="the kernels that attention may use",
        decides=True,
        read=lambda _: [kernel for kernel in _ATTENTION if _attends_by(kernel)],
        pin=lambda _: [
            loaded(f"torch.backends.cuda.enable_{each}_sdp")(True) for each in _ATTENTION
        ],
        changed_by="torch.nn.attention.sdpa_kernel, or torch.backends.cuda.enable_flash_sdp",
        mend=SAME_CODE,
        neutral=list(_ATTENTION),
    )
    yield _switch(
        "fast_attention",
        "whether MultiheadAttention takes its fast path",
        ("torch.backends.mha.get_fastpath_enabled", "torch.backends.mha.set_fastpath_enabled"),
    )
    # Its order of products would come and go with a package that torch does not need.
    yield _flag(
        "opt_einsum",
        "whether opt_einsum orders the products of torch.einsum",
        "torch.backends.opt_einsum.enabled",
        value=False,
    )
    yield _flag("cudnn_enabled", "whether torch uses cuDNN", "torch.backends.cudnn.enabled", cuda=1)
    yield _flag(
        "cudnn_benchmark",
        "whether cuDNN takes the algorithm that wins a race",
        "torch.backends.cudnn.benchmark",
        value=False,
        cuda=1,
    )
    yield _flag(
        "cudnn_deterministic",
        "whether cuDNN takes deterministic algorithms only",
        "torch.backends.cudnn.deterministic",
        cuda=1,
    )
    for kind, value in (
        ("fp16_reduced_precision_reduction", True),
        ("bf16_reduced_precision_reduction", True),
        ("fp16_accumulation", False),
    ):
        yield _flag(
            f"cublas_{kind}",
            f"whether cuBLAS may use {kind.replace('_', ' ')}",
            f"torch.backends.cuda.matmul.allow_{kind}",
            value=value,
            cuda=1,
        )


_ATTENTION = ("cudnn", "flash", "math", "mem_efficient")


def _flag(name: str, words: str, path: str, *, value: bool = True, cuda: int = 0) -> Fact:
    """A flag that is an attribute."""
    owner, _, attribute = path.rpartition(".")

    def read(wanted: Wanted) -> Any:
        return getattr(loaded(owner), attribute, None) if wanted.cuda or not cuda else None

    def pin(_: Wanted) -> None:
        if hasattr(loaded(owner), attribute):
            setattr(loaded(owner), attribute, value)

    return Fact(
        name=name,
        words=words,
        decides=True,
        read=read,
        pin=pin,
        changed_by=path,
        mend=SAME_CODE,
        neutral=value,
    )


def _switch(
    name: str, words: str, ways: tuple[str, str], *, value: object = True, by: str | None = None
) -> Fact:
    """What one function tells and another one sets."""
    return Fact(
        name=name,
        words=words,
        decides=True,
        read=lambda _: loaded(ways[0])(),
        pin=lambda _: loaded(ways[1])(value),
        changed_by=by or ways[1],
        mend=SAME_CODE,
        neutral=value,
    )


def _device(wanted: Wanted) -> str:
    return "cuda" if wanted.cuda else "cpu"


def _attends_by(kernel: str) -> bool:
    told: Callable[[], bool] = loaded(f"torch.backends.cuda.{kernel}_sdp_enabled")
    return told()


def _flushes_denormal(wanted: Wanted) -> bool:
    """Whether a product that small, or an operand, is taken as zero: in any of torch's threads.

    torch sets it and does not tell; each thread has it for itself.
    """
    # One operator, since each waits for all threads.
    products = _near_the_smallest(wanted.threads) * 1e-10
    return not bool((products[::_APART] > 0).all())


_APART = 4096


@functools.cache
def _near_the_smallest(threads: int) -> Any:
    """So many values that each thread gets a part, of which torch's operators take 32,768 each.

    Few of them are small, with which some processors are slow.
    """
    import torch

    values = torch.ones(32_768 * threads, dtype=torch.float32)
    values[::_APART] = 1e-30
    return values
