"""What torch computes float32 in, by backend and operation, as it says itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twinrun.repro.fact import SAME_CODE, Fact, Wanted, loaded

# By backend and operation: float32 itself, and TF32 for convolutions and recurrent layers on a GPU
# that has it: torch's own defaults. What stands for several operations comes before them.
_PRECISIONS = {
    ("generic", "all"): "none",
    ("cuda", "all"): "none",
    ("mkldnn", "all"): "none",
    ("cuda", "conv"): "tf32",
    ("cuda", "rnn"): "tf32",
    ("cuda", "matmul"): "ieee",
    ("mkldnn", "conv"): "ieee",
    ("mkldnn", "rnn"): "ieee",
    ("mkldnn", "matmul"): "ieee",
}


def precision_facts() -> Iterator[Fact]:
    """In the order in which they are set."""
    for (backend, operation), value in _PRECISIONS.items():
        at = (backend, operation)
        yield Fact(
            name=f"float32_{backend}_{operation}",
            words=f"what torch computes float32 in ({backend}, {operation})",
            decides=True,
            read=lambda wanted, at=at: _read_precision(wanted, at),  # type: ignore[misc]
            pin=lambda _, at=at, value=value: _set_precision(at, value),  # type: ignore[misc]
            changed_by=_precision_setting(backend, operation),
            mend=SAME_CODE,
            neutral=value,
        )
        if at == ("mkldnn", "all"):
            # Only this call sets torch's older flag for the same thing as well, and torch raises an
            # error where the two differ.
            yield Fact(
                name="float32_matmul",
                words="what torch computes float32 matrix products in",
                decides=True,
                read=lambda _: _old_matmul_precision(),
                pin=lambda _: loaded("torch.set_float32_matmul_precision")("highest"),
                changed_by="torch.set_float32_matmul_precision",
                mend=SAME_CODE,
                neutral="highest",
            )
            yield Fact(
                name="cudnn_tf32",
                words="whether cuDNN computes in TF32",
                decides=True,
                read=lambda wanted: _old_cudnn().get("allow_tf32") if wanted.cuda else None,
                pin=lambda _: _set_old_cudnn(),
                changed_by="torch.backends.cudnn.allow_tf32",
                mend=SAME_CODE,
                neutral=True,
            )


def _old_matmul_precision() -> str | None:
    """The one setting that torch 2.8 has for all; later ones tell it by backend."""
    if hasattr(loaded("torch._C"), "_get_fp32_precision_getter"):
        return None
    told: str = loaded("torch.get_float32_matmul_precision")()
    return told


_CUDNN = "torch.backends.cudnn"


def _old_cudnn() -> dict[str, Any]:
    """The one flag that torch 2.8 has for cuDNN; later ones have one for each operation."""
    if hasattr(loaded(_CUDNN), "conv"):
        return {}
    return {"allow_tf32": loaded(_CUDNN).allow_tf32}


def _set_old_cudnn() -> None:
    for name in _old_cudnn():
        setattr(loaded(_CUDNN), name, True)


def _precision_setting(backend: str, operation: str) -> str:
    name = {"generic": "", "cuda": "cudnn.", "mkldnn": "mkldnn."}[backend]
    if (backend, operation) == ("cuda", "matmul"):
        name = "cuda."
    return f"torch.backends.{name}{'' if operation == 'all' else operation + '.'}fp32_precision"


def _read_precision(wanted: Wanted, at: tuple[str, str]) -> Any:
    read = getattr(loaded("torch._C"), "_get_fp32_precision_getter", None)
    if read is None or (at[0] == "cuda" and not wanted.cuda):
        return None
    return read(*at)


def _set_precision(at: tuple[str, str], value: str) -> None:
    write = getattr(loaded("torch._C"), "_set_fp32_precision_setter", None)
    if write:
        write(*at, value)
