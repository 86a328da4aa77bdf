"""Reads a zip that a stranger made: checked before a byte of it is written, and counted while."""

from __future__ import annotations

import hashlib
import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from twinrun.console import megabytes, progress_bars
from twinrun.errors import InputError, NegativeVerdict, shorten
from twinrun.files import unwritable
from twinrun.package.contents import (
    BROKEN_ZIP,
    Contents,
    name_faults,
    read_contents,
    shared_places,
)
from twinrun.package.paths import CONTENTS
from twinrun.plain_files import open_plain

_BLOCK = 1 << 20
# A package is not compressed. Of one that somebody packed again, text becomes a fifth.
_MOST_TIMES = 20
_SMALL = 100 * _BLOCK
_MOST_FILES = 100_000
_MOST_CONTENTS = 50 * _BLOCK
_ENCRYPTED = 0x1 | 0x40
_FIX = "Fetch the package again. If it stays so, do not trust it."


@contextmanager
def open_package(package: Path) -> Iterator[zipfile.ZipFile]:
    """A zip whose every entry may be unpacked.

    Raises:
        InputError: It is no zip or a damaged one, or an entry has a name that leads elsewhere or
            stands twice, is a link, is encrypted, or is larger than such a zip can honestly hold;
            all that is wrong is listed.
    """
    with ExitStack() as stack:
        try:
            content = stack.enter_context(open_plain(package))
            archive = stack.enter_context(zipfile.ZipFile(content))
        except FileNotFoundError:
            raise InputError(f"no such run or package: {package}") from None
        except OSError as error:
            raise InputError(f"cannot read {package}: {error.strerror or error}") from None
        except (*BROKEN_ZIP, ValueError) as error:
            raise InputError(
                f"{package} is not a whole zip file: {error}",
                fix="Fetch the package again; it may have been cut short.",
            ) from None
        _refuse(archive, package)
        yield archive


def _refuse(archive: zipfile.ZipFile, package: Path) -> None:
    entries = archive.infolist()
    problems: list[str] = []
    if len(entries) > _MOST_FILES:
        problems.append(f"{len(entries):,} entries; allowed: {_MOST_FILES:,}")
    for entry in entries[:_MOST_FILES]:
        problems += [f"{entry.filename!r}: {fault}" for fault in _faults(entry)]
    problems += shared_places(entry.filename for entry in entries[:_MOST_FILES])
    total, packed = sum(entry.file_size for entry in entries), package.stat().st_size
    if total > _MOST_TIMES * packed + _SMALL:
        problems.append(f"it would become {megabytes(total)}, out of a file of {megabytes(packed)}")
    if problems:
        raise InputError(
            f"{package} is not unpacked:", details=shorten(problems, most=20), fix=_FIX
        )


def _faults(entry: zipfile.ZipInfo) -> Iterator[str]:
    # zipfile cuts a name at a null byte and turns this system's separators; the original name is
    # what stands in the file.
    yield from name_faults(entry.orig_filename)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        yield "a link" if kind == stat.S_IFLNK else "no plain file"
    if entry.flag_bits & _ENCRYPTED:
        yield "encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        yield "packed by a method that packages do not use"


def read_package_contents(archive: zipfile.ZipFile, package: Path) -> Contents:
    """What a package reports of itself.

    Raises:
        InputError: It has no such report, or none that this version can read.
    """
    try:
        entry = archive.getinfo(CONTENTS)
    except KeyError:
        raise InputError(
            f"{package} is not a package: it has no {CONTENTS}",
            fix="`twinrun package RUN --for HOST` makes one.",
        ) from None
    if entry.file_size > _MOST_CONTENTS:
        raise InputError(f"{package}: its {CONTENTS} is too large")
    try:
        return read_contents(archive.read(entry), package)
    except (*BROKEN_ZIP, OSError):
        raise InputError(f"{package}: its {CONTENTS} is damaged", fix=_FIX) from None


def unpack(archive: zipfile.ZipFile, contents: Contents, package: Path, folder: Path) -> None:
    """Unpack a package into a folder and check each file against the digest it is listed with.

    Args:
        archive: From `open_package`.
        contents: From `read_package_contents`.
        package: The package, for errors.
        folder: An empty one of ours.

    Raises:
        NegativeVerdict: Files are changed, missing or not listed; all of them are named.
        InputError: The disk is too small, or cannot be written.
    """
    entries = {
        entry.filename: entry
        for entry in archive.infolist()
        if not entry.is_dir() and entry.filename != CONTENTS
    }
    problems = [f"{name}: missing" for name in contents.files.keys() - entries.keys()]
    problems += [
        f"{name}: not listed in {CONTENTS}" for name in entries.keys() - contents.files.keys()
    ]
    total = sum(entry.file_size for entry in entries.values())
    free = shutil.disk_usage(folder).free
    if total > free:
        raise InputError(
            f"{package} takes {megabytes(total)}, and {folder} has {megabytes(free)} left",
            fix="Free some space, or set TMPDIR to a folder on a larger disk.",
        )
    with progress_bars() as bars:
        task = bars.add_task("unpacking", total=len(entries), note=megabytes(total))
        for name in sorted(entries.keys() & contents.files.keys()):
            listed = contents.files[name]
            try:
                digest = _extract(archive, entries[name], folder / name)
            except BROKEN_ZIP:
                digest = None
            except OSError as error:
                raise unwritable(
                    folder / name, error, fix="Set TMPDIR to a folder on a larger disk."
                ) from error
            if digest != listed.sha256:
                problems.append(f"{name}: changed since the package was made")
            bars.advance(task)
    if problems:
        raise NegativeVerdict(
            f"{package} is not as it was made:", details=shorten(sorted(problems), most=20)
        )


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> str:
    """Write an entry to `path`, never more bytes than it declares; their SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), entry.file_size
    try:
        opened_entry = archive.open(entry)
    except OSError as error:  # the place that is named for it is none
        raise zipfile.BadZipFile(str(error)) from None
    with opened_entry as source, path.open("xb") as target:
        while block := source.read(_BLOCK):
            left -= len(block)
            if left < 0:
                raise zipfile.BadZipFile("more bytes than declared")
            digest.update(block)
            target.write(block)
    if left:
        raise zipfile.BadZipFile("fewer bytes than declared")
    return digest.hexdigest()
