"""A training's files, from the node that trains it into the storage: whole, the record last."""

from __future__ import annotations

import time
from pathlib import Path

from twinrun.cluster.storage import Storage, publish_files
from twinrun.run_folder.paths import PROGRESS_FILES, TRAINING_FILES, TrainingFolder, checkpoints_in


class Publisher:
    """Publishes what one training writes into its folder on a node.

    Args:
        storage: Where to.
        name: The training's place there.
        folder: Where it writes.

    Attributes:
        checkpoints: Where the checkpoints are in the storage.
        seconds: Between two checkpoints that are sent to another machine's storage. What is lost
            with a node is made again, and a training must not wait for each epoch's upload. Into a
            folder each of them goes.
    """

    def __init__(self, storage: Storage, name: str, folder: Path) -> None:
        self.storage, self.name, self.folder = storage, name, folder
        self.checkpoints = TrainingFolder(Path(name)).checkpoint.as_posix()
        self.seconds = 0.0
        self._sent = time.monotonic()

    def fetch_checkpoints(self) -> None:
        """Have those that an earlier attempt has left."""
        for name in self.storage.names(self.checkpoints):
            try:
                self.storage.fetch(name, TrainingFolder(self.folder).checkpoint / Path(name).name)
            except FileNotFoundError:
                # Another attempt is still alive, and has just replaced it: with the same bits.
                continue

    def saved(self) -> None:
        """A checkpoint was written."""
        if self.storage.local is not None or time.monotonic() - self._sent >= self.seconds:
            self.save()

    def save(self) -> None:
        """Publish the checkpoints that are there, and remove those that are not any more."""
        folder = TrainingFolder(self.folder).checkpoint
        here = {path.name for path in checkpoints_in(folder)}
        there = {Path(name).name for name in self.storage.names(self.checkpoints)}
        for name in sorted(here - there):
            self.storage.publish(folder / name, f"{self.checkpoints}/{name}", final=True)
        for name in sorted(there - here):
            self.storage.remove(f"{self.checkpoints}/{name}")
        for name in PROGRESS_FILES:
            if (self.folder / name).is_file():
                self.storage.publish(self.folder / name, f"{self.name}/{name}", final=True)
        self._sent = time.monotonic()

    def complete(self) -> None:
        """Publish the results; then no checkpoint is needed any more."""
        publish_files(self.storage, self.folder, TRAINING_FILES, self.name, final=True)
        for name in self.storage.names(self.checkpoints):
            self.storage.remove(name)
