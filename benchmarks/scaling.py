"""Two nodes of one core each against one core: how much sooner, and what Ray takes of it.

`python -m benchmarks.scaling`: equal members on drawn photos, trained by `twinrun run` one
after the other, and by `twinrun run --ray` on two nodes that run already, in turns. Wall times
are of the whole command: start, checks, trainings, blend, report.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.drawing import draw_photos
from twinrun.console import say

MEMBER = "[members.m{number}]\n"
SETTINGS = """
[competition]
name = "scaling"
classes = ["a", "b"]
[data]
folder = {folder!r}
duplicates = "keep"
[run]
seed = 0
threads = 1
device = "cpu"
[recipe]
network = "resnet18"
image_size = 96
batch_size = 32
pretrained = false
validation = {{ share = 0.1 }}
epochs = {{ frozen = 0, unfrozen = {epochs} }}
"""


@dataclass(frozen=True)
class Seen:
    """One command.

    Attributes:
        whole: Seconds from its start to its end.
        first: From its start to the first training's.
        window: From the first training's start to the last one's end.
        trained: The sum over the trainings of what each took.
    """

    whole: float
    first: float
    window: float
    trained: float


def main() -> None:
    """Measure in turns; print each round and the medians, write the JSON file."""
    from tests.cluster.driving import Nodes

    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/scaling"))
    parser.add_argument("--output", type=Path, default=Path("runs/scaling.json"))
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    folder: Path = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    photos = draw_photos(folder, "1300 px", given.images)
    settings = SETTINGS.format(folder=str(photos), epochs=given.epochs)
    members = [MEMBER.format(number=number) for number in range(given.members)]
    (folder / "scaling.toml").write_text(settings + "".join(members), encoding="utf-8")
    found: dict[str, list[Seen]] = {"one core": [], "two nodes": []}
    with Nodes() as nodes:
        nodes.add("one")
        nodes.add("two")
        # The cache is there for both.
        timed(folder, "warm", "--set", "recipe.epochs.unfrozen=1")
        for number in range(given.rounds):
            for name, options in (("one core", ()), ("two nodes", ("--ray", nodes.address))):
                found[name].append(timed(folder, name.replace(" ", "-"), *options))
                say(f"round {number + 1}: {name}: {told(found[name][-1])}")
            if bits(folder / "runs" / "one-core") != bits(folder / "runs" / "two-nodes"):
                raise SystemExit("the bits differ")
    figures = summary(found, given.members)
    for figure, value in figures.items():
        say(f"{figure}: {value:.2f}")
    given.output.write_text(json.dumps({"figures": figures, **vars_of(found)}, indent=2))


def timed(folder: Path, run: str, *options: str) -> Seen:
    """One command, its run made anew."""
    from tests.cluster.driving import driver

    shutil.rmtree(folder / "runs" / run, ignore_errors=True)
    started = time.perf_counter()
    first = last = 0.0
    with driver(folder, run, *options, config="scaling.toml") as process:
        process.timer.cancel()
        for line in process.output:
            now = time.perf_counter() - started
            if not first and ", process " in line:
                first = now
            if "valid loss" in line and "│" not in line:
                last = now
        if process.process.wait():
            raise SystemExit(f"{run} ended with {process.process.returncode}")
    whole = time.perf_counter() - started
    records = sorted((folder / "runs" / run / "members").glob("*/member.json"))
    trained = sum(json.loads(path.read_bytes())["seconds"] for path in records)
    # Without Ray nothing is said at a training's start, and nothing lies between two of them.
    first = first or last - trained
    return Seen(whole, first, last - first, trained)


def summary(found: dict[str, list[Seen]], members: int) -> dict[str, float]:
    """Medians over the rounds of what is asked for, and of what limits it."""
    pairs = list(zip(found["one core"], found["two nodes"], strict=True))
    median = statistics.median
    return {
        "speed-up of the whole command": median([one.whole / two.whole for one, two in pairs]),
        "speed-up of the trainings": median([one.window / two.window for one, two in pairs]),
        "seconds of a node for Ray, per member": median(
            [(2 * two.window - two.trained) / members for _, two in pairs]
        ),
        "a training beside another against alone": median(
            [two.trained / one.trained for one, two in pairs]
        ),
        "seconds to the first training, one core": median([one.first for one, _ in pairs]),
        "seconds to the first training, two nodes": median([two.first for _, two in pairs]),
    }


def told(seen: Seen) -> str:
    """In one line."""
    return (
        f"{seen.whole:.1f} s, first training after {seen.first:.1f} s, trainings within "
        f"{seen.window:.1f} s, their sum {seen.trained:.1f} s"
    )


def bits(run: Path) -> dict[str, Any]:
    """The digests of all results."""
    content: dict[str, Any] = json.loads((run / "manifest.json").read_bytes())["content"]
    return {"members": content["members"], "submission": content["submission"]}


def vars_of(found: dict[str, list[Seen]]) -> dict[str, list[dict[str, float]]]:
    """As JSON values."""
    return {name: [vars(seen) for seen in rounds] for name, rounds in found.items()}


if __name__ == "__main__":
    main()
