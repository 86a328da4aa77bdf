"""Checkpoints of a training: whole, checksummed, safe to load, the last two kept."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import xxhash
from safetensors import SafetensorError, safe_open
from torch import Tensor

from twinrun.console import say
from twinrun.errors import InputError, differences
from twinrun.files import whole_file
from twinrun.plain_files import open_plain, plain
from twinrun.run_folder.paths import checkpoint_name, checkpoint_place, checkpoints_in

_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A state of a training.

    Attributes:
        epoch: Epochs that are complete, their validation included.
        step: Training steps that are complete in the epoch after them.
        tensors: By name, of any dtype, on the CPU when they were loaded.
        facts: Everything else, JSON values.
    """

    epoch: int
    step: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of one member, in a folder of their own.

    A file is named after where it was made and after the XXH3-128 of its bytes, so that damage is
    noticed before anything of it is used. It is in the safetensors format: loading runs no code.

    Args:
        folder: Where they are kept; made when the first is written.
        identity: What decides the member's bits; a checkpoint of a different one is never used.
        saved: Called when a checkpoint has been written.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], saved: Callable[[], None] | None = None
    ) -> None:
        self.folder, self.identity, self._saved = folder, dict(identity), saved

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove all but the last two.

        Raises:
            InputError: The folder cannot be written, or the disk is full.
        """
        facts = {
            "identity": self.identity,
            "epoch": checkpoint.epoch,
            "step": checkpoint.step,
            "facts": checkpoint.facts,
        }
        place = (checkpoint.epoch, checkpoint.step)
        unnamed = self.folder / checkpoint_name(*place)
        tensors = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
        with whole_file(unnamed) as temporary:
            try:
                safetensors.torch.save_file(tensors, temporary, {"facts": json.dumps(facts)})
            except SafetensorError as error:
                # On a full disk it is no OSError; only its text tells.
                number = re.search(r"\(os error (\d+)\)", str(error))
                if number is None:
                    raise OSError(f"{error}") from error
                raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
            digest = _digest(temporary)
        path = self.folder / checkpoint_name(*place, digest)
        unnamed.replace(path)
        # What is further on than this one was damaged, and must not take its place.
        before = [each for each in checkpoints_in(self.folder) if checkpoint_place(each) < place]
        self._remove_all_but([path, *before[: _KEPT - 1]])
        if self._saved is not None:
            self._saved()

    def latest(self, *, before: tuple[int, int] | None = None) -> Checkpoint | None:
        """The last checkpoint that is whole; a damaged one is reported and the one before it taken.

        Args:
            before: (epoch, step): only checkpoints at this state or an earlier one.

        Raises:
            InputError: It was made from something else: settings, data or environment.
        """
        paths = checkpoints_in(self.folder)
        paths = [path for path in paths if before is None or checkpoint_place(path) <= before]
        for number, path in enumerate(paths, 1):
            checkpoint = self._read(path)
            if checkpoint is not None:
                return checkpoint
            instead = "taking the one before it" if number < len(paths) else "starting over"
            say((f"checkpoint {path.name} is damaged", "yellow"), f": {instead}")
        return None

    def clear(self) -> None:
        """Remove all checkpoints: the member is complete."""
        if self.folder.is_dir():
            self._remove_all_but([])
            self.folder.rmdir()

    def _remove_all_but(self, kept: Sequence[Path]) -> None:
        """Also what a kill left between writing and naming."""
        for path in self.folder.iterdir():
            if path not in kept:
                path.unlink(missing_ok=True)

    def _read(self, path: Path) -> Checkpoint | None:
        if _digest(path) != path.stem.rpartition("-")[2]:
            return None
        try:
            with safe_open(plain(path), framework="pt") as file:
                content = json.loads(file.metadata()["facts"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            checkpoint = Checkpoint(content["epoch"], content["step"], tensors, content["facts"])
            found = differences(content["identity"], self.identity)
        except (SafetensorError, KeyError, TypeError, ValueError):
            # Somebody else's file, whose name fits.
            return None
        if found:
            raise InputError(
                f"{path} is a checkpoint of a training from something else:",
                details=found,
                fix=f"Start a different run with --run NAME, or remove {self.folder}.",
            )
        return checkpoint


def _digest(path: Path) -> str:
    with open_plain(path) as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()
