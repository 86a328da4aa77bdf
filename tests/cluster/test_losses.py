"""What the driver makes of a training's end; Ray and the nodes are played."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from twinrun.cluster import driver as module
from twinrun.cluster.nodes import Needs
from twinrun.cluster.storage import Storage
from twinrun.cluster.tasks import Outcome
from twinrun.config.trainings import Training
from twinrun.errors import InputError


class Played:
    """A driver whose tasks end as they are told to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import ray

        self.storage, self.started = Storage(str(folder)), 0
        self.kept: list[str] = []
        self.answer: Any = None
        driver: Any = object.__new__(module._Driver)
        driver.needs, driver.storage = Needs(1, 0, None), self.storage
        driver.jobs, driver.failures, driver.progress, driver.done = {}, [], {}, 0
        driver.board = SimpleNamespace(forget=SimpleNamespace(remote=lambda key: None))
        driver.task = SimpleNamespace(remote=self._start)
        self.driver = driver
        run = SimpleNamespace(
            folder=folder / "full",
            member_folder=lambda name: folder / "full" / "members" / name,
            settings=SimpleNamespace(run=SimpleNamespace(tracking=[])),
        )
        work: Any = SimpleNamespace(
            run=run, keep=lambda training, _: self.kept.append(training.name)
        )
        self.job = module._Job(work, Training("a"), b"")
        monkeypatch.setattr(ray, "get", self._get)
        driver._start(self.job)

    def _start(self, *_: object) -> int:
        self.started += 1
        return self.started

    def _get(self, _: object) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def end(self, answer: Any) -> Any:
        self.answer = answer
        for reference in list(self.driver.jobs):
            self.driver._finish(self.driver.jobs.pop(reference), reference)
        return self.driver.failures

    def checkpoint(self, name: str) -> None:
        path = self.storage.local / "full" / "members" / "a" / "checkpoint" / name  # type: ignore[operator]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(tmp_path, monkeypatch)


def lost() -> Exception:
    from ray.exceptions import WorkerCrashedError

    return WorkerCrashedError()


def test_a_result_is_kept(played: Played) -> None:
    assert played.end(Outcome({"seconds": 1.0})) == []
    assert played.kept == ["a"]
    assert played.started == 1


def test_a_process_that_is_lost_three_times_at_one_place_has_failed(played: Played) -> None:
    assert played.end(lost()) == []
    assert played.end(lost()) == []
    (failure,) = played.end(lost())
    assert played.started == 3
    assert "lost 3 times without a new checkpoint" in failure.problem
    assert failure.log.read_text().count("lost 3 times") == 1
    assert not played.driver.jobs
    assert not played.kept


def test_a_process_that_is_lost_often_but_gets_on_goes_on(played: Played) -> None:
    for epoch in range(8):
        assert played.end(lost()) == []
        played.checkpoint(f"epoch-{epoch:04d}-step-000000-0.safetensors")
    assert played.end(Outcome({"seconds": 1.0})) == []
    assert played.kept == ["a"]


def test_what_fails_for_good_is_not_tried_again(played: Played) -> None:
    (failure,) = played.end(Outcome(None, "it diverged\nat once", "epoch 1\n"))
    assert played.started == 1
    assert failure.log.read_text() == "epoch 1\n\nit diverged\nat once\n"
    assert failure.lines()[0] == "full, a: it diverged"
    assert failure.lines()[-1].endswith("log.txt")


def test_the_end_of_ray_on_this_machine_is_told(played: Played) -> None:
    from ray.exceptions import LocalRayletDiedError

    with pytest.raises(InputError, match="Ray has ended"):
        played.end(LocalRayletDiedError())
