"""One part in a process of its own: `python -m benchmarks.cuda.work NAME PLAN ANSWER`.

What all parts share: the plan that they are given, and the answer that they write row by row.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from twinrun.errors import TwinrunError
from twinrun.process import restart_process

NEEDS_CUDA = "needs CUDA"


@dataclass(frozen=True)
class Plan:
    """What a part is to do, and how large.

    Attributes:
        device: "cuda", or "cpu" for a rehearsal.
        folder: For what parts make; they share it.
        seconds: That the part has; it is ended after them.
        threads: Of torch's operators.
        networks: That twins are made of; those of timm are kept apart.
        network: That is timed.
        size: Pixels a side; the fixture's images are seen at `fixture_size` too.
        fixture_size: Likewise.
        batch: Images of a step.
        photos: Training images that are drawn, held-out ones among them.
        members: That train side by side.
        steps: That are timed of one step's variants.
        rounds: Of contestants that are timed in turns.
    """

    device: str
    folder: str
    seconds: float
    threads: int
    networks: tuple[str, ...]
    network: str
    size: int
    fixture_size: int
    batch: int
    photos: int
    members: int
    steps: int
    rounds: int

    @property
    def rehearsed(self) -> bool:
        """Whether speeds mean nothing: the sizes are tiny, and there is no GPU."""
        return self.device == "cpu"

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


REAL = Plan(
    device="cuda",
    folder="",
    seconds=0,
    threads=4,
    networks=("densenet201", "resnet152", "densenet161", "timm/convnext_tiny"),
    network="densenet201",
    size=224,
    fixture_size=64,
    batch=32,
    photos=876,
    members=10,
    steps=40,
    rounds=1,
)
TINY = Plan(
    device="cpu",
    folder="",
    seconds=0,
    threads=1,
    networks=("resnet18", "timm/resnet10t"),
    network="resnet18",
    size=48,
    fixture_size=32,
    batch=8,
    photos=24,
    members=2,
    steps=2,
    rounds=1,
)


class Answer:
    """What a part has found; its file is written anew with each row.

    Args:
        path: Of the file.
        plan: Of the part.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path, self.plan = path, plan
        self.rows: list[dict[str, Any]] = []
        self.more: dict[str, Any] = {}

    def row(
        self, what: str, found: str, *, asked: str = "", kept: bool | str | None = None
    ) -> None:
        """Add a row.

        Args:
            what: Was looked at.
            found: In words.
            asked: What was asked for.
            kept: Whether it is so; a text where it could not be looked at, such as NEEDS_CUDA;
                None where nothing was asked.
        """
        verdict = {True: "yes", False: "no", None: ""}.get(kept, kept)  # type: ignore[arg-type]
        self.rows.append({"what": what, "found": found, "asked": asked, "kept": verdict})
        self._write()

    def timed(self, what: str, found: str, *, asked: str, kept: bool) -> None:
        """Add a row about speed, which a rehearsal on a CPU cannot judge."""
        self.row(what, found, asked=asked, kept="rehearsed" if self.plan.rehearsed else kept)

    def add(self, **more: Any) -> None:
        """Add facts beside the rows."""
        self.more |= more
        self._write()

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Let a failure be a row, and go on with what comes after it."""
        import traceback

        try:
            yield
        except Exception as error:
            traceback.print_exc()
            lines = str(error).strip().splitlines() or [""]
            self.row(what, f"failed: {type(error).__name__}: {lines[0][:200]}", kept=False)

    def _write(self) -> None:
        beside = self.path.with_suffix(".partial")
        beside.write_text(json.dumps({**self.more, "rows": self.rows}), encoding="utf-8")
        beside.replace(self.path)


def photos(plan: Plan) -> Path:
    """The drawn photos in true size, a competition of two classes; drawn once for all parts."""
    from benchmarks.drawing import HELD_OUT, draw_photos

    return draw_photos(Path(plan.folder), "1300 px", plan.photos - HELD_OUT)


def main() -> None:
    """Do a part's work: `measure` of the module of its name."""
    restart_process()
    name, plan_file, answer_file = sys.argv[1:]
    content = json.loads(Path(plan_file).read_text(encoding="utf-8"))
    plan = Plan(**{**content, "networks": tuple(content["networks"])})
    answer = Answer(Path(answer_file), plan)
    answer.add()
    from twinrun.console import ignore_known_warnings

    ignore_known_warnings()
    started = time.monotonic()
    part = importlib.import_module(f"benchmarks.cuda.part_{name}")
    try:
        # A row that is not kept is a finding, and no failure of the part.
        part.measure(plan, answer, started + plan.seconds)
    except TwinrunError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
