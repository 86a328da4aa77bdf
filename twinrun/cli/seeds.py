"""What `run --seeds` asks for: a run for each of some seeds, and how far these are apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.config.toml_file import LARGEST
from twinrun.console import say
from twinrun.errors import InputError, shortened

if TYPE_CHECKING:
    from twinrun.cli.options import RunOptions
    from twinrun.config.settings import Settings
    from twinrun.prepare import Prepared


def read_seeds(seeds: str | None) -> list[int]:
    """The numbers of --seeds; none where it is not given."""
    if seeds is None:
        return []
    try:
        numbers = [int(text) for text in seeds.split(",")]
        if len(set(numbers)) < len(numbers) or min(numbers) < 0 or max(numbers) > LARGEST:
            raise ValueError
    except ValueError:
        raise InputError(
            f"--seeds {shortened(seeds)}: not different whole numbers from 0 to 2^63 - 1",
            fix="Example: --seeds 1,2,3",
        ) from None
    return numbers


def with_seeds(prepared: Prepared, numbers: Sequence[int]) -> list[Prepared]:
    """The run, or one beside it for each of some seeds."""
    return [
        replace(prepared, settings=settings, folder=folder)
        for settings, folder in of_seeds(prepared.settings, prepared.folder, numbers)
    ]


def of_seeds(
    settings: Settings, folder: Path, numbers: Sequence[int]
) -> Iterator[tuple[Settings, Path]]:
    """Settings and folder of the run, or of one beside it for each of some seeds."""
    if not numbers:
        yield settings, folder
    for number in numbers:
        run = settings.run.model_copy(update={"seed": number})
        own = settings.model_copy(update={"run": run})
        yield own, folder.with_name(f"{folder.name}-seed{number}")


def record_spread_of(folder: Path, runs: Sequence[Prepared]) -> None:
    """Record how far the runs of seeds are apart, and print it; the run of the plain name is one.

    Args:
        folder: runs/<run>, which need not be there.
        runs: A run for each seed.
    """
    from twinrun.compare.spread import record_spread
    from twinrun.metrics import METRICS

    asked = runs[0].settings
    metric, columns = asked.competition.metric, asked.submission.columns
    folders = [folder, *(each.folder for each in runs)]
    found = record_spread(folders, metric, columns, asked.asked_classes)
    if found is None:
        say("spread     of seeds not recorded: it takes two complete runs of different seeds")
        return
    for name, spread in found.items():
        score = "not defined" if spread["score"] is None else f"{spread['score']:.4f}"
        say(
            f"spread     {name}: between seeds, {METRICS.get(metric).words} differs by up "
            f"to {score}, a test image's probability by {spread['largest']:.3f}"
        )


def options_of_each(
    runs: Sequence[Prepared], options: RunOptions, numbers: Sequence[int]
) -> list[tuple[Prepared, RunOptions]]:
    """Each run with the options that would make it alone."""
    return [
        (each, options.changed(f"run.seed={each.settings.run.seed}") if numbers else options)
        for each in runs
    ]
