"""A script within new namespaces: shows a command a few folders and nothing else, and becomes it.

`confine` starts it by `unshare`, isolated (`python -I -S`), with one argument: a JSON table of
`root`, an empty folder; `read_only` and `writable`, the paths that are shown; `devices`; `home`;
`folder`, where the command starts; `command`. It imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_BIND = 0x1000 | 0x4000  # MS_BIND | MS_REC
_DETACH = 2  # MNT_DETACH
_MOUNT_SETATTR = 442  # of every processor
_HERE, _ALL_BELOW, _READ_ONLY = -100, 0x8000, 0x1
_DROP_BOUND, _NO_NEW_PRIVILEGES = 24, 38

_libc = ctypes.CDLL(None, use_errno=True)


def main(task: dict[str, Any]) -> None:
    """Show what is to be shown, give up every privilege, and become the command."""
    root = Path(task["root"])
    _mount("tmpfs", root, kind="tmpfs")
    for name, kind in (("proc", "proc"), ("dev", "tmpfs"), ("tmp", "tmpfs")):
        (root / name).mkdir()
        _mount(kind, root / name, kind=kind)
    (root / "dev" / "shm").mkdir()
    (root / task["home"].lstrip("/")).mkdir(parents=True)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (root / "dev" / name).symlink_to(f"/proc/self/fd/{number}")
    (root / "dev" / "fd").symlink_to("/proc/self/fd")
    for device in task["devices"]:
        _show(root, device)
    writable = set(task["writable"])
    # A folder before what lies in it.
    for path in sorted({*task["read_only"], *writable}, key=lambda path: path.count("/")):
        _show(root, path)
        if path not in writable and not Path(path).is_symlink():
            _make_read_only(root / path.lstrip("/"), below=True)
    # For a user who is root, also what /proc/sys may be told.
    _make_read_only(root / "proc", below=True)
    _make_read_only(root, below=False)
    _leave_for(root)
    for capability in range(64):
        _libc.prctl(_DROP_BOUND, capability, 0, 0, 0)
    if _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        _fail("prctl")
    os.chdir(task["folder"])
    os.execv(task["command"][0], task["command"])  # noqa: S606  (there is no shell to want)


def _show(root: Path, path: str) -> None:
    source, target = Path(path), root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        if not os.path.lexists(target):
            target.symlink_to(source.readlink())
        return
    if source.is_dir():
        target.mkdir(exist_ok=True)
    elif not target.exists():
        target.touch()
    _mount(path, target, flags=_BIND)


def _mount(source: str, target: Path, *, kind: str | None = None, flags: int = 0) -> None:
    encoded = (os.fsencode(source), os.fsencode(target), kind and kind.encode())
    if _libc.mount(*encoded, flags, None):
        _fail(f"mount {source}")


class _Attributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user"))


def _make_read_only(target: Path, *, below: bool) -> None:
    attributes = _Attributes(set=_READ_ONLY)
    flags = _ALL_BELOW if below else 0
    arguments = (_HERE, os.fsencode(target), flags, ctypes.byref(attributes))
    if _libc.syscall(_MOUNT_SETATTR, *arguments, ctypes.sizeof(attributes)):
        _fail(f"mount_setattr {target}")


def _leave_for(root: Path) -> None:
    """Make `root` the root, and let go of the old one."""
    os.chdir(root)
    subprocess.run(["pivot_root", ".", "."], check=True, capture_output=True)
    if _libc.umount2(b".", _DETACH):
        _fail("umount")
    os.chdir("/")


def _fail(what: str) -> None:
    error = ctypes.get_errno()
    raise OSError(error, f"{what}: {os.strerror(error)}")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
