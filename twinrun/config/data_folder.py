"""A data folder read once: its listing, its tables, and what the user named there or elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from twinrun.config.csv_tables import CsvTable, csv_paths, read_table, sample_paths
from twinrun.config.listing import Folder, data_root, scan
from twinrun.errors import InputError, nearest


@dataclass
class DataFolder:
    """A data folder, its tables, and the user's choices where it leaves several.

    Attributes:
        given: The folder that the user named; `root` is the one in it that holds the data.
        unreadable: What is wrong with the CSV files that could not be read, by path.
        samples: The paths of the files that may be the sample submission.
    """

    given: Path
    sample: str | None = None
    labels: str | None = None
    root: Path = field(init=False)
    listing: Folder = field(init=False)
    tables: dict[str, CsvTable] = field(default_factory=dict)
    unreadable: dict[str, InputError] = field(default_factory=dict)
    samples: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.root = data_root(self.given)
        self.listing = scan(self.root)
        paths = csv_paths(self.listing)
        self.sample, self.labels = self._inside(self.sample), self._inside(self.labels)
        for path in dict.fromkeys([*paths, *filter(None, (self.sample, self.labels))]):
            try:
                self.tables[path] = read_table(self.root, path)
            except InputError as error:
                self.unreadable[path] = error
        self.samples = [self.sample] if self.sample else sample_paths(paths)

    def _inside(self, path: str | None) -> str | None:
        """A path that the user named: relative to the folder that holds the data, or a full one."""
        if path is None:
            return None
        root = self.root.absolute()
        for base in (self.root, self.given, Path()):
            there = (base / path).absolute()
            # Unlike a Path's methods these answer no where a name is too long for any file.
            if os.path.exists(there) and there.is_relative_to(root):  # noqa: PTH110
                return there.relative_to(root).as_posix()
            if os.path.isfile(there):  # noqa: PTH113
                return Path(os.path.abspath(there)).as_posix()  # noqa: PTH100  (links stay links)
        return path

    def folder(self, path: str, option: str) -> Folder:
        """The folder that the user named with an option.

        Raises:
            InputError: It is not below the data folder.
        """
        folders = {folder.path: folder for folder in self.listing.walk() if folder.path}
        if Path(path) == Path():
            return self.listing
        found = folders.get(self._inside(path) or "")
        if found is None:
            raise InputError(
                f"{option} {path}: no such folder in {self.root}. "
                f"{nearest(path, folders)}".rstrip(),
                fix="Name a folder below it, as a relative path.",
            )
        return found


def join_errors(folder: Path, problems: Sequence[InputError]) -> InputError:
    """One error that says all of them, each once."""
    problems = list({str(problem): problem for problem in problems}.values())
    if len(problems) == 1:
        return problems[0]
    lines: list[str] = []
    for problem in problems:
        lines.append(problem.what)
        lines += [f"  {line}" for line in (*problem.details, *problem.fixes)]
    return InputError(f"{folder}: {len(problems)} things to fix:", details=lines)
