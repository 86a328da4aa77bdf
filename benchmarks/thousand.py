"""What grows with members and images: sizes and seconds, for the plan in docs/scaling.md.

`python -m benchmarks.thousand [NAME ...]`: networks (MB of weights and checkpoints), ledger (bytes
of a step), images (an index's work by rows), members (a run's work by members; blends), report.
Images and predictions are made up; nothing is trained but a ResNet-18 for the ledger.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import rmtree
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from twinrun.process import restart_process
from twinrun.repro.environment import set_up

if TYPE_CHECKING:
    from twinrun.config.settings import Settings
    from twinrun.prepare import Prepared

CLASSES = ("a", "b", "c")
_LEDGER_EPOCHS = (2, 6)
_SMALL = 64
_CHECKED = 500
_ROUNDS = 3


@dataclass(frozen=True)
class Given:
    """What is measured with.

    Attributes:
        folder: For what is made up; emptied before.
        images: Numbers of rows of an index.
        members: Numbers of members of a run.
        held_out: Images that each member has held out, and test images.
        fitted: Numbers of members whose weights are fitted.
    """

    folder: Path
    images: Sequence[int]
    members: Sequence[int]
    held_out: int
    fitted: Sequence[int]


@dataclass(frozen=True)
class Seen:
    """One line of the table."""

    what: str
    of: str
    value: float
    unit: str


def networks(given: Given) -> list[Seen]:
    """MB of weights.safetensors and of a checkpoint, of the networks of competition.toml.

    A checkpoint in the second phase holds weights and buffers, and two averages of each parameter.
    """
    from twinrun.config.reading import read_settings
    from twinrun.train.members import set_up_training

    found = []
    for name in sorted({member.network for member in read_settings().members.values()}):
        prepared = _small_run(given.folder / "networks", name, 2)
        parts = (prepared.settings, prepared.index, prepared.pixels, prepared.environment)
        model = set_up_training("m", *parts).learner.model
        weights = sum(each.nbytes for each in model.state_dict().values())
        averages = 2 * sum(each.nbytes for each in model.parameters())
        found.append(Seen("weights", name, weights / 1e6, "MB"))
        found.append(Seen("checkpoint", name, (weights + averages) / 1e6, "MB"))
    return found


def ledger(given: Given) -> list[Seen]:
    """Bytes of ledger.parquet by step: of two trainings the difference."""
    from twinrun.train.members import train_member

    sizes, steps = [], []
    for epochs in _LEDGER_EPOCHS:
        prepared = _small_run(given.folder / f"ledger-{epochs}", "resnet18", epochs)
        parts = (prepared.settings, prepared.index, prepared.pixels, prepared.environment)
        folder = prepared.folder / "members" / "m"
        train_member("m", *parts, folder)
        sizes.append((folder / "ledger.parquet").stat().st_size)
        steps.append(epochs * (len(prepared.train) * 3 // 4 // 2))
    step = (sizes[1] - sizes[0]) / (steps[1] - steps[0])
    return [Seen("ledger", "a step", step, "B")]


def images(given: Given) -> list[Seen]:
    """What an index of many rows takes: seconds, bytes."""
    from twinrun.audit.duplicates import copies, look_alikes
    from twinrun.data.folds import fold_ids
    from twinrun.data.index import data_digest

    found = []
    for count in given.images:
        rows, draws = f"{count:,} images", np.random.default_rng(0)
        index = _index(count)
        hashes = [row.tobytes() for row in draws.integers(0, 256, (count, 32), dtype=np.uint8)]
        path = given.folder / "index.parquet"
        index.to_parquet(path, index=False)
        exact, blank = copies(index, "pixels_336"), np.zeros(count, bool)
        train = index[index["part"] == "train"].reset_index(drop=True)
        found += [
            *([_checked(given.folder / "pixels")] if count == given.images[0] else []),
            Seen("index.parquet", rows, path.stat().st_size / count, "B a row"),
            Seen("index in memory", rows, index.memory_usage(deep=True).sum() / count, "B a row"),
            _timed("digest of the data", rows, partial(data_digest, index, "pixels_336")),
            _timed("five folds", rows, partial(fold_ids, train, folds=5, seed=0)),
            _timed("near copies", rows, partial(look_alikes, exact, hashes, blank)),
        ]
    return found


def members(given: Given) -> list[Seen]:
    """What a run of many members takes that are complete: locks, record, digests, blends."""
    from twinrun import submit
    from twinrun.files import sha256_file
    from twinrun.prepare import keep_record

    large = given.folder / "large"
    large.write_bytes(np.random.default_rng(0).bytes(100_000_000))
    found = [_timed("SHA-256 of 100 MB", "a file", partial(sha256_file, large))]
    large.unlink()
    # What is imported for the first time is no member's.
    few = _complete_run(given, 2)
    submit.choose_run_blend(few.folder, _with_method(few.settings, "optimised"))
    for count in sorted({*given.members, *given.fitted}):
        run, many = _complete_run(given, count), f"{count:,} members"
        if count in given.fitted:
            fit = _with_method(run.settings, "optimised")
            work = partial(submit.choose_run_blend, run.folder, fit)
            found.append(_timed("fitted weights", many, work))
        if count in given.members:
            folders = [run.member_folder(name) for name in run.settings.members]
            found += [
                _timed("locking the folders", many, partial(_held, folders)),
                _timed("arithmetic blend", many, partial(_blend, run)),
                _timed("manifest", many, partial(keep_record, run, time.perf_counter())),
            ]
            size = (run.folder / "manifest.json").stat().st_size
            found.append(Seen("manifest.json", many, size / 1e6, "MB"))
    return found


def report(given: Given) -> list[Seen]:
    """Seconds and size of the page of a run with so many members."""
    from twinrun.prepare import keep_record
    from twinrun.report.report import write_report

    found = []
    for count in given.members:
        run, many = _complete_run(given, count), f"{count:,} members"
        _blend(run)
        keep_record(run, time.perf_counter())
        found.append(_timed("report", many, partial(write_report, run.folder)))
        size = (run.folder / "report.html").stat().st_size
        found.append(Seen("report.html", many, size / 1e6, "MB"))
    return found


def _checked(folder: Path) -> Seen:
    """What a process does with each cached image before it trains: its digest, in MB/s.

    The images are of 336 x 448 pixels, as those of a photo of 4:3 for 224 px, and in memory.
    """
    from twinrun.data.cache_files import ARRAY, find_damaged_rows
    from twinrun.data.decoding import bytes_digest

    shape = (336, 448, 3)
    images = np.random.default_rng(0).integers(0, 256, (_CHECKED, *shape), dtype=np.uint8)
    folder.mkdir(exist_ok=True)
    images.tofile(folder / ARRAY)
    table = pd.DataFrame(
        {
            "offset": np.arange(_CHECKED) * np.prod(shape),
            "rows": shape[0],
            "columns": shape[1],
            "digest": [bytes_digest(image.data, shape[1], shape[0]) for image in images],
        }
    )
    seconds = _timed("", "", partial(find_damaged_rows, folder, table)).value
    rmtree(folder)
    return Seen("checking cached pixels", "in memory", images.nbytes / seconds / 1e6, "MB/s")


def _timed(what: str, of: str, work: Callable[[], object]) -> Seen:
    """The shortest of three rounds where one takes less than a second, else of one."""
    seconds = [_seconds(work)]
    while len(seconds) < _ROUNDS and seconds[0] < 1:
        seconds.append(_seconds(work))
    return Seen(what, of, min(seconds), "s")


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _held(folders: Sequence[Path]) -> None:
    from twinrun.locks import lock_trainings

    with lock_trainings(folders):
        pass


def _blend(run: Prepared) -> None:
    from twinrun import submit

    output = run.folder / "submission.csv"
    submit.blend_run(run.folder, run.settings, run.sample_path, output)


def _with_method(settings: Settings, method: str) -> Settings:
    blend = settings.blend.model_copy(update={"method": method})
    return settings.model_copy(update={"blend": blend})


def _small_run(folder: Path, network: str, epochs: int) -> Prepared:
    """A run of one member on small drawn images, prepared; nothing of it is there yet."""
    from benchmarks.contestants import SETTINGS
    from benchmarks.drawing import draw_small
    from twinrun import prepare
    from twinrun.config.reading import read_settings

    draw_small(folder, _SMALL)
    (folder / "sample_submission.csv").write_text("ID,a,b\nt,0,0\n", encoding="utf-8")
    text = SETTINGS.format(
        folder=str(folder),
        threads=2,
        network=network,
        size=32,
        batch=2,
        precision="fp32",
        share=0.25,
    )
    path = folder / "thousand.toml"
    path.write_text(text.replace("unfrozen = 2", f"unfrozen = {epochs}"), encoding="utf-8")
    settings = read_settings(path, changes=["data.duplicates=keep"])
    return prepare.prepare(settings, folder / "runs" / "full")


def _index(count: int) -> pd.DataFrame:
    """An index as it is trained on, of images that nobody took: ten in a hundred for the test."""
    draws = np.random.default_rng(1)
    digests = [hashlib.sha256(str(row).encode()).hexdigest() for row in range(count)]
    names = [f"{row:08d}" for row in range(count)]
    test = np.arange(count) % 10 == 0
    labels = np.array(CLASSES, dtype=object)[draws.integers(0, len(CLASSES), count)]
    return pd.DataFrame(
        {
            "part": np.where(test, "test", "train"),
            "id": names,
            "label": np.where(test, "", labels),
            "path": [f"images/{name}.jpg" for name in names],
            "bytes": draws.integers(100_000, 3_000_000, count),
            "sha256": digests,
            "pixels_336": [digest[::-2] for digest in digests],
            "group": names,
        }
    )


def _complete_run(given: Given, count: int) -> Prepared:
    """A run of so many complete members, whose predictions were drawn."""
    from twinrun import prepare
    from twinrun.config.reading import read_settings
    from twinrun.data.index import data_digest
    from twinrun.files import sha256_file, write_csv
    from twinrun.run_folder.records import write_record

    folder = given.folder / f"members-{count}"
    with suppress(FileNotFoundError):
        rmtree(folder)
    folder.mkdir(parents=True)
    names = [f"m{number:04d}" for number in range(count)]
    config = folder / "thousand.toml"
    config.write_text(
        "[competition]\nname = 'thousand'\nclasses = ['a', 'b', 'c']\n"
        f"[data]\nfolder = {str(folder)!r}\n[run]\nseed = 0\n"
        "[recipe]\nnetwork = 'resnet18'\nbatch_size = 32\nvalidation = { share = 0.1 }\n"
        "epochs = { frozen = 5, unfrozen = 5 }\n" + "".join(f"[members.{n}]\n" for n in names),
        encoding="utf-8",
    )
    settings = read_settings(config)
    index = _index(10 * given.held_out)
    run = prepare.Prepared(
        settings=settings,
        folder=folder / "runs" / "full",
        index=index,
        pixels={336: SimpleNamespace(column="pixels_336", scale=None)},  # type: ignore[dict-item]
        sample_path=folder / "sample_submission.csv",
        environment=set_up(threads=2, device="cpu"),
        data=data_digest(index),
        audit=None,  # type: ignore[arg-type]
    )
    run.folder.mkdir(parents=True)
    index.to_parquet(run.folder / "index.parquet", index=False)
    lock_trainings, test = run.train.iloc[: given.held_out], index[index["part"] == "test"]
    sample = pd.DataFrame(0.0, index=range(len(test)), columns=list(CLASSES))
    sample.insert(0, "ID", test["id"].to_numpy())
    write_csv(run.sample_path, sample)
    history = pd.DataFrame(
        {
            "epoch": range(1, 11),
            "phase": ["frozen"] * 5 + ["unfrozen"] * 5,
            "train_loss": np.linspace(1.0, 0.5, 10),
            "valid_loss": np.linspace(1.1, 0.7, 10),
            "accuracy": 0.75,
            "error_rate": 0.25,
            "learning_rate": 0.001,
            "seconds": 1.0,
        }
    )
    numbers = lock_trainings["label"].map(CLASSES.index).to_numpy()
    for number, name in enumerate(names):
        member, draws = run.member_folder(name), np.random.default_rng(number)
        write_csv(member / "history.csv", history)
        for file, rows in (("valid.csv", lock_trainings), ("test.csv", test)):
            values = draws.uniform(0.1, 1.0, (len(rows), len(CLASSES)))
            if file == "valid.csv":
                values[np.arange(len(rows)), numbers] += draws.uniform(0.2, 1.0)
            values /= values.sum(axis=1, keepdims=True)
            table = pd.DataFrame(values.astype(np.float32), columns=list(CLASSES))
            table.insert(0, "id", rows["id"].to_numpy())
            if file == "valid.csv":
                table.insert(1, "label", rows["label"].to_numpy())
            write_csv(member / file, table)
        record = {
            "identity": run.identity(name),
            "images": {"train": len(run.train), "valid": len(lock_trainings), "test": len(test)},
            "scores": {"valid_loss": 0.7, "accuracy": 0.75, "error_rate": 0.25},
            "files": {file: sha256_file(member / file) for file in ("valid.csv", "test.csv")},
            "guards": {"history.csv": sha256_file(member / "history.csv")},
            "seconds": 1.0,
        }
        write_record(member, record)
    return run


def main() -> None:
    """Measure, print the table, write the JSON file."""
    restart_process()
    from rich.table import Table

    from benchmarks.table import machine
    from twinrun.console import console, ignore_known_warnings
    from twinrun.files import write_json

    measures = {
        "networks": networks,
        "ledger": ledger,
        "images": images,
        "members": members,
        "report": report,
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks.thousand", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(measures)}")
    parser.add_argument("--folder", type=Path, default=Path("runs/thousand"))
    parser.add_argument("--output", type=Path, default=Path("runs/thousand.json"))
    parser.add_argument("--images", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--members", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--held-out", type=int, default=1000)
    parser.add_argument("--fitted", type=int, nargs="+", default=[10, 30, 100])
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in measures]
    if unknown:
        parser.error(f"no such figure: {', '.join(unknown)}; there are {', '.join(measures)}")
    ignore_known_warnings()
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    asked = Given(folder, given.images, given.members, given.held_out, given.fitted)
    found: list[Seen] = []
    console.quiet = True
    for name in given.names or measures:
        found += measures[name](asked)
        # After each, so that what was measured is kept when the rest is stopped.
        write_json(given.output, {"machine": machine(), "seen": [vars(each) for each in found]})
    console.quiet = False
    table = Table(title="Measured", title_justify="left")
    for column in ("what", "of", "value", "unit"):
        table.add_column(column)
    for each in found:
        table.add_row(each.what, each.of, f"{each.value:.4g}", each.unit)
    console.print(table)


if __name__ == "__main__":
    main()
