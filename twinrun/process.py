"""How a process of Twinrun is started: the environment variables that are read only then."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

# With any of these OpenMP may give a loop fewer threads than torch asked for: fewer cores, a busy
# machine or the limit itself would decide bits, and oneDNN's convolutions wait for the missing
# thread for ever. They are read when libgomp is loaded, before anything here could overrule them.
_FEWER_THREADS = ("OMP_DYNAMIC", "OMP_MAX_ACTIVE_LEVELS", "OMP_THREAD_LIMIT")

# From Linux's sys/prctl.h.
_PR_SET_PDEATHSIG = 1

# Read at a start, by OpenMP and by glibc; no bit depends on them.
_QUICKER = {
    "GOMP_SPINCOUNT": "2000",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
}


def restart_process() -> None:
    """Start this process again with the environment variables that are read only at a start.

    PYTHONHASHSEED becomes 0 unless it is a number already: whoever set it meant it. Twinrun's own
    code never depends on the order of a set; a user's may.

    GOMP_SPINCOUNT, unless it is set, becomes small. It changes no bit, but where another process
    wants a core, OpenMP's threads otherwise wait for each other so busily that a step of a small
    network can take ten times as long.

    MALLOC_MMAP_MAX_ and MALLOC_TRIM_THRESHOLD_, unless they are set, let glibc keep the memory of
    freed tensors. It changes no bit, but otherwise each large tensor is fetched from the system and
    filled with zeros page by page, which takes a third of a training step.

    Variables that let OpenMP start fewer threads than it is asked for are removed.

    What torchvision and fastai import with themselves and no training uses is left for later, see
    `twinrun.deferred`.
    """
    wanted = {**dict.fromkeys(_FEWER_THREADS), **process_variables()}
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        for name, value in wanted.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        arguments = [sys.executable, *sys.orig_argv[1:]]
        sys.stdout.flush()
        os.execv(sys.executable, arguments)  # noqa: S606  (there is no shell to want)
    _lighten_imports()


def is_importing(frame: FrameType | None) -> bool:
    """Whether a signal has come within an import: then it is to be raised again a little later.

    torch and fastai import for seconds, and some of what they import dies of an exception there
    with a message of its own or none.

    Args:
        frame: As a signal's handler is given it.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def process_variables() -> dict[str, str]:
    """The environment variables that a process of Twinrun is started with."""
    wanted = {name: os.environ.get(name, quicker) for name, quicker in _QUICKER.items()}
    hash_seed = os.environ.get("PYTHONHASHSEED", "random")
    return wanted | {"PYTHONHASHSEED": "0" if hash_seed == "random" else hash_seed}


def prepare_worker() -> None:
    """Prepare a process that was started with `process_variables`, before it imports torch."""
    for name in _FEWER_THREADS:
        os.environ.pop(name, None)
    _lighten_imports()


def end_with_parent(parent: int) -> None:
    """See to it that this process, a child, ends with its parent, also where that ended already.

    torch's loader processes look every few seconds whether they have another parent than when they
    began to work. One that began only after its parent was killed never sees a change, and waits
    for ever. Linux ends it here together with the thread that started it.

    Args:
        parent: Its process id, asked for there.
    """
    # Not above: each command begins with this module, and none but a loader's process needs them.
    import ctypes
    import multiprocessing

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    # With a fork server the parent is the server, which ends by itself.
    if multiprocessing.get_start_method() != "forkserver" and os.getppid() != parent:
        os._exit(1)


def _lighten_imports() -> None:
    # Not above: the process that is started over needs none of it.
    from twinrun.deferred import defer_imports

    defer_imports()


def engine_environment() -> dict[str, str]:
    """Variables for a process that must run this engine, also where it is not installed."""
    package = str(Path(__file__).parents[1])
    paths = [package, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep Python's collector of cycles from running while the block makes much and drops little.

    Modules, or a hundred thousand rows, set it off many times, and each time it looks at every
    object of torch and fastai too: a sixth of their import, a third of an index.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
