"""What is changed for the second twin: everything that must not change a bit.

A perturbation is an entry of `PERTURBATIONS`: its name, its words and what it does. To add one is
to write a class and add it to the table.
"""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from twinrun.console import say
from twinrun.errors import InputError
from twinrun.plain_files import plain
from twinrun.registry import Registry
from twinrun.run_folder.paths import RunFolder
from twinrun.twins.processes import TwinProcess

if TYPE_CHECKING:
    from twinrun.config.settings import Settings

# Of the first twin and of the control; a value, so that the engine does not set one.
HASH_SEED = {"PYTHONHASHSEED": "1"}


class SecondTwin:
    """The second twin's training before it starts, as perturbations change it.

    Args:
        settings: Those of the first twin.
        arguments: Members and options of `twinrun train`, as the first twin has them.
        run: Folder of the second twin's run.
        stack: What perturbations need is removed when it ends.
    """

    def __init__(
        self, settings: Settings, arguments: Sequence[str], run: Path, stack: ExitStack
    ) -> None:
        self.settings = settings
        self.run = run
        self._stack = stack
        self._arguments = list(arguments)
        self._variables = dict(HASH_SEED)
        self._working_folder: Path | None = None
        self._kill = False
        self._changed: set[str] = set()

    def set_variable(self, name: str, value: str) -> None:
        """Give its process an environment variable."""
        self._change(name)
        self._variables[name] = value

    def set_setting(self, name: str, value: object) -> None:
        """Train it under a different value of a setting, such as run.workers."""
        self._change(name)
        self._arguments += ["--set", f"{name}={value}"]

    def use_data(self, folder: Path) -> None:
        """Train it on the images of this folder."""
        self._change("the data folder")
        self._arguments += ["--data", str(folder)]

    def use_working_folder(self, folder: Path) -> None:
        """Start its process in this folder."""
        self._change("the working folder")
        self._working_folder = folder

    def kill_mid_epoch(self) -> None:
        """Kill its process by SIGKILL in the middle of an epoch, and start it again."""
        self._change("the kill")
        self._kill = True

    def _change(self, what: str) -> None:
        # The later of two changes would win, and the earlier be recorded all the same.
        if what in self._changed:
            raise InputError(
                f"two perturbations change {what} of the second twin",
                fix="Choose one of them with --perturb.",
            )
        self._changed.add(what)

    def temporary_folder(self, prefix: str, *, beside_run: bool = False) -> Path:
        """A new folder that is removed when the twins are done.

        Args:
            prefix: Beginning of its name.
            beside_run: On the disk of the runs; else where temporary files go.
        """
        place = self.run.parent if beside_run else None
        return Path(self._stack.enter_context(TemporaryDirectory(prefix=prefix, dir=place)))

    def process(self) -> TwinProcess:
        """The training as it is to be started."""
        kill = RunFolder(self.run).members if self._kill else None
        return TwinProcess(
            self.run, tuple(self._arguments), dict(self._variables), self._working_folder, kill
        )


class Perturbation(ABC):
    """One thing that is different for the second twin and must not change a bit.

    Attributes:
        name: As --perturb and twins.json name it.
        words: What was done, after "second run: ": "a different working folder and TMPDIR".
    """

    name: str
    words: str

    @abstractmethod
    def apply(self, twin: SecondTwin) -> None:
        """Change the second twin; one that changes nothing is refused before anything starts."""


PERTURBATIONS: Registry[Perturbation] = Registry("perturbation", Perturbation, setting="--perturb")


def choose_perturbations(names: Sequence[str] | None) -> list[Perturbation]:
    """The perturbations of these names in the table's order; by default all, for "none" none.

    Raises:
        InputError: There is none of such a name.
    """
    if not names:
        return list(PERTURBATIONS)
    for name in names:
        if name != "none":
            PERTURBATIONS.get(name)
    return [each for each in PERTURBATIONS if each.name in names]


def perturb(twin: SecondTwin, chosen: Sequence[Perturbation]) -> list[str]:
    """Carry out the perturbations.

    Returns:
        The names of those that ask for the kill: carried out only once the process was killed.

    Raises:
        InputError: One changes nothing, or what an earlier one has changed.
    """
    kills = []
    for each in chosen:
        before = twin.process()
        each.apply(twin)
        after = twin.process()
        if after == before:
            raise InputError(
                f"perturbation {each.name!r} changes nothing of the second twin",
                fix="Let its apply() change the twin, or choose others with --perturb.",
            )
        if after.kill != before.kill:
            kills.append(each.name)
    return kills


class _HashSeed(Perturbation):
    name = "hash-seed"
    words = "a different PYTHONHASHSEED"

    def apply(self, twin: SecondTwin) -> None:
        twin.set_variable("PYTHONHASHSEED", "2")


class _Workers(Perturbation):
    name = "workers"
    words = "a different number of loader workers"

    def apply(self, twin: SecondTwin) -> None:
        twin.set_setting("run.workers", 0 if twin.settings.run.workers else 2)


class _Folder(Perturbation):
    name = "folder"
    words = "a different working folder and TMPDIR"

    def apply(self, twin: SecondTwin) -> None:
        folder = twin.temporary_folder("twin-")
        (folder / "tmp").mkdir()
        twin.use_working_folder(folder)
        twin.set_variable("TMPDIR", str(folder / "tmp"))


class _Locale(Perturbation):
    name = "locale"
    words = "a different locale, time zone and user name"

    def apply(self, twin: SecondTwin) -> None:
        for variable in ("LC_ALL", "LANG"):
            twin.set_variable(variable, "C")
        twin.set_variable("TZ", "Pacific/Kiritimati")
        for variable in ("USER", "LOGNAME"):
            twin.set_variable(variable, "twin")


class _Data(Perturbation):
    name = "data"
    words = "a copy of the data, written in a different order, with different times and path"

    def apply(self, twin: SecondTwin) -> None:
        copy = twin.temporary_folder(".data-", beside_run=True) / "copy"
        say("copying the data for the second twin")
        folder, data = twin.settings.data_folder, twin.settings.data
        copy_data(folder, copy)
        twin.use_data(copy)
        # A table beside the data folder is not beside the copy.
        if data.labels_folder:
            twin.set_setting("data.labels", data.labels_path(folder).resolve())
        if data.sample_folder:
            twin.set_setting("data.sample_submission", data.sample_path(folder).resolve())


class _Cache(Perturbation):
    name = "cache"
    words = "a cold cache (it decoded every image itself)"

    def apply(self, twin: SecondTwin) -> None:
        twin.set_setting("run.cache", twin.temporary_folder(".cache-", beside_run=True))


class _Kill(Perturbation):
    name = "kill"
    words = "killed mid-epoch (SIGKILL), then resumed"

    def apply(self, twin: SecondTwin) -> None:
        twin.kill_mid_epoch()


for _entry in (_HashSeed(), _Workers(), _Folder(), _Locale(), _Data(), _Cache(), _Kill()):
    PERTURBATIONS.add(_entry)


def copy_data(folder: Path, copy: Path) -> None:
    """Copy a data folder: last file first, with times of a different year.

    Args:
        folder: The data folder.
        copy: A path at which there is nothing.

    Raises:
        InputError: There is not enough space.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    copy.mkdir(parents=True)
    if shutil.disk_usage(copy).free < size + (64 << 20):
        raise InputError(
            f"no space for a copy of the data ({size / 1e9:.1f} GB) in {copy.parent}",
            fix="Choose a different place with --out, or leave the copy out: choose the other "
            "perturbations with --perturb.",
        )
    for number, path in enumerate(reversed(files)):
        target = copy / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(plain(path), target)
        os.utime(target, (10**9 + number, 10**9 + number))
