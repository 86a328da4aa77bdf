"""Want of memory: told from other errors, whichever library raises it."""

from __future__ import annotations

import errno

import cv2
import numpy as np
import pytest
import torch

from twinrun.memory import is_short_of_memory, reason


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (cv2.error("OpenCV(4.12.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "out of memory"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (cv2.error("(-215:Assertion failed)"), False),
        (ValueError("can't allocate memory"), False),
    ],
    ids=repr,
)
def test_want_of_memory_is_told_from_other_errors(error: Exception, short: bool) -> None:
    assert is_short_of_memory(error) is short


def test_a_reason_is_the_first_sentence() -> None:
    error = MemoryError("Unable to allocate 324. MiB for an array\nwith shape (1,). More.")
    assert reason(error) == "Unable to allocate 324. MiB for an array with shape (1,)"
    assert reason(MemoryError()) == ""


def test_real_errors_are_recognised() -> None:
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 60, np.uint8)
    assert is_short_of_memory(caught.value)
    assert "Unable to allocate 1.00 EiB for an array" in reason(caught.value)
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_short_of_memory(refused.value)
    assert "\n" not in reason(refused.value)
