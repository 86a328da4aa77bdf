"""Want of memory, of the machine's or a GPU's: by which errors it shows itself."""

from __future__ import annotations

import errno
import re

# What the messages of libraries say that raise an error of no class of their own for it.
_WORDS = (
    "can't allocate memory",  # torch, on a CPU
    "out of memory",  # CUDA, where it is met outside of torch's allocator
    "ALLOC_FAILED",  # cuBLAS, cuDNN
    "Insufficient memory",  # OpenCV
)


def is_short_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was too little memory. No library is imported for it."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    names = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(error).__mro__}
    if isinstance(error, MemoryError) or ("torch", "OutOfMemoryError") in names:
        return True
    said = isinstance(error, RuntimeError) or ("cv2", "error") in names
    return said and any(words in str(error) for words in _WORDS)


def reason(error: BaseException) -> str:
    """The first sentence of what such an error says, in one line; empty where it says nothing."""
    text = " ".join(str(error).split())
    return re.split(r"(?<=\D)\. ", text)[0].removesuffix(".")  # NumPy writes "324. MiB"
