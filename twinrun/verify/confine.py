"""Runs code that nobody has read: it sees a few folders, a few variables, and no network.

Two ways are known, and the first that works here is taken: bubblewrap; user namespaces by
`unshare`, in which `mounts` shows what is to be seen. Where neither works, foreign code is not run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from twinrun.errors import InputError
from twinrun.process import process_variables

_MOUNTS = Path(__file__).with_name("mounts.py")

# Of the confined process alone.
HOME = "/tmp/home"  # noqa: S108

# What a Python needs of a system; of each only what is there.
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/sys"),
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
    *("/etc/fonts", "/etc/localtime"),
)
_DEVICES = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom"))
_GPUS = ("nvidia*", "kfd", "dri")
_GRACE = 20.0


@dataclass(frozen=True)
class View:
    """What confined code sees of the machine, besides its programs and libraries.

    Attributes:
        read_only: Files and folders that it can read.
        writable: Folders that it can write to.
        variables: What it is told besides what every confined process is.
    """

    read_only: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    def shows(self, path: Path) -> bool:
        """Whether a file lies in what is seen."""
        real = path.resolve()
        seen = [*self.read_only, *self.writable, *map(Path, _SYSTEM)]
        return any(real.is_relative_to(each.resolve()) for each in seen)


@dataclass(frozen=True)
class Way:
    """A way to confine a command.

    Attributes:
        words: By what, for a reader.
        program: That it needs.
        wrap: From the view, an empty folder, the folder to start in, and a command: the arguments
            with which the program runs that command.
    """

    words: str
    program: str
    wrap: Callable[[View, Path, Path, Sequence[str]], list[str]]


def _wrap_in_bubblewrap(view: View, _: Path, folder: Path, command: Sequence[str]) -> list[str]:
    # For a user who is root it would keep every privilege.
    wrapped = ["--unshare-all", "--unshare-user", "--cap-drop", "ALL", "--die-with-parent"]
    wrapped += [
        "--tmpfs",
        str(Path(HOME).parent),
        "--dir",
        HOME,
        "--proc",
        "/proc",
        "--dev",
        "/dev",
    ]
    for device in _gpus():
        wrapped += ["--dev-bind", device, device]
    for path in _system():
        link = path.is_symlink()
        wrapped += ["--symlink", str(path.readlink())] if link else ["--ro-bind", str(path)]
        wrapped.append(str(path))
    for option, paths in (("--ro-bind", view.read_only), ("--bind", view.writable)):
        for path in paths:
            wrapped += [option, str(path), str(path)]
    # For a user who is root, also what /proc/sys may be told.
    wrapped += ["--remount-ro", "/proc", "--remount-ro", "/"]
    return [*wrapped, "--chdir", str(folder), "--", *command]


def _wrap_in_namespaces(view: View, root: Path, folder: Path, command: Sequence[str]) -> list[str]:
    task = {
        "root": str(root),
        "read_only": [str(path) for path in (*_system(), *view.read_only)],
        "writable": [str(path) for path in view.writable],
        "devices": [*_DEVICES, *_gpus()],
        "home": HOME,
        "folder": str(folder),
        "command": list(command),
    }
    new = ("--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts")
    script = (sys.executable, "-I", "-S", str(_MOUNTS), json.dumps(task))
    return [*new, "--fork", "--kill-child", "--", *script]


WAYS = (
    Way("bubblewrap", "bwrap", _wrap_in_bubblewrap),
    Way("user namespaces", "unshare", _wrap_in_namespaces),
)


def _system() -> list[Path]:
    return [path for path in map(Path, _SYSTEM) if path.exists()]


def _gpus() -> list[str]:
    return sorted(str(path) for pattern in _GPUS for path in Path("/dev").glob(pattern))


@cache
def find_way() -> Way | None:
    """The first way that works on this machine; None where none does."""
    return next((way for way in WAYS if works(way)), None)


def works(way: Way) -> bool:
    """Whether a way works on this machine: a command that does nothing is run in it."""
    nothing = shutil.which("true") or "/bin/true"
    try:
        with start(way, View(), Path("/"), [nothing]) as process:
            return process.wait(timeout=20) == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def require_way() -> Way:
    """As `find_way`.

    Raises:
        InputError: No way works here.
    """
    way = find_way()
    if way is None:
        raise InputError(
            "the package's own code is not run: nothing here would keep from it what it is to "
            "make again, and your files",
            fix="It needs bubblewrap (`bwrap`), or Linux with user namespaces (`unshare`); in a "
            "container these have to be allowed.",
        )
    return way


@contextmanager
def start(
    way: Way, view: View, folder: Path, command: Sequence[str]
) -> Iterator[subprocess.Popen[str]]:
    """A confined command under way, in a session of its own; all of it is ended with the block.

    Its standard input is empty; what it prints, to either output, is in `stdout`.

    Args:
        way: From `require_way`.
        view: What it sees.
        folder: Where it starts; it must be seen.
        command: The program by its whole path, and its arguments.

    Raises:
        OSError: It cannot be started.
    """
    with TemporaryDirectory(prefix="confined-") as root:
        program = shutil.which(way.program)
        if program is None:
            raise FileNotFoundError(way.program)
        process = subprocess.Popen(
            [program, *way.wrap(view, Path(root), folder, command)],
            cwd="/",
            env={**_variables(), **view.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _end(process)


def _variables() -> dict[str, str]:
    """All variables of a confined process: nothing of the user's but which GPU is his."""
    passed_on = {name: os.environ[name] for name in ("CUDA_VISIBLE_DEVICES",) if name in os.environ}
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": HOME,
        "USER": "nobody",
        "LANG": "C.UTF-8",
        "TMPDIR": str(Path(HOME).parent),
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **process_variables(),
        **passed_on,
    }


def _end(process: subprocess.Popen[str]) -> None:
    # As by Ctrl-C: a training has time to write its checkpoint.
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is not None:
            break
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_GRACE)
    if process.stdout is not None:
        process.stdout.close()


def places_of(python: Path) -> tuple[Path, ...]:
    """What has to be seen of a Python, besides the system: its environment, and what that is of.

    Args:
        python: bin/python of an environment that this process's Python made, or is in.

    Raises:
        InputError: With it the user's home would be seen.
    """
    base, own = Path(sys.base_prefix), python.absolute().parents[1]
    # A link to Python in ~/bin makes no environment of the home.
    found = [own] if (own / "pyvenv.cfg").is_file() else [python.absolute(), Path(sys.prefix)]
    found += [base, base.resolve(), python.resolve().parents[1]]
    found = [each for each in dict.fromkeys(found) if not each.is_relative_to("/usr")]
    home = Path.home().resolve()
    for each in found:
        if home.is_relative_to(each.resolve()):
            raise InputError(
                f"{python} is a Python of {each}, and code that sees it sees your home",
                fix="Use an environment in a folder of its own.",
            )
    return tuple(found)
