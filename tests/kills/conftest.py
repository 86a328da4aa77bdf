"""What the kill tests share: a small competition, an undisturbed run of it, the zygote."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kills.moments import Moment
from tests.kills.small import CHANGES, SELDOM, write_competition
from tests.kills.zygote import Ended, Zygote

Unbroken = Callable[[str], Path]


@dataclass
class Runs:
    """Runs of the small competition, each in a process of its own."""

    folder: Path
    config: Path
    zygote: Zygote

    def train(
        self,
        name: str,
        *changes: str,
        members: str = "a",
        moment: Moment | None = None,
        seconds: float | None = None,
        lack: str = "",
    ) -> Ended:
        """Train members, one letter each, of the run `name`; see `Zygote.run`."""
        return self.zygote.run(
            self.config,
            self.folder / name,
            members,
            *(*CHANGES, SELDOM, *changes),
            moment=moment,
            seconds=seconds,
            lack=lack,
        )


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    folder = tmp_path_factory.mktemp("kills")
    zygote = Zygote()
    yield Runs(folder, write_competition(folder), zygote)
    zygote.close()


@pytest.fixture(scope="session")
def unbroken(runs: Runs) -> Unbroken:
    """The folder of a run of these members that nobody disturbed."""

    def train(members: str) -> Path:
        folder = runs.folder / f"unbroken-{members}"
        if not folder.exists():
            ended = runs.train(folder.name, members=members)
            assert ended.code == 0, ended.output
        return folder

    return train
