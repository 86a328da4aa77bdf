"""The command that blends a run's members, or files: blend."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinrun.blend_methods.methods import AUTO, BLEND_METHODS, mean_of, names_without_fit
from twinrun.cli.options import (
    RunOptions,
    as_command,
)
from twinrun.console import say
from twinrun.errors import InputError

if TYPE_CHECKING:
    from twinrun.blend.select import ChosenBlend
    from twinrun.config.sections import Blend
    from twinrun.config.settings import Settings

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ntwinrun blend --run full\n\n"
    "twinrun blend --run full --method auto\n\n"
    "twinrun blend a.csv=2.0 b.csv=1.0 --output blend.csv"
)
@as_command
def blend(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE=WEIGHT]...",
            help="Prediction files. Default: the members of a run.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="File to write. Default: the run's submission.csv."),
    ] = None,
    sample: Annotated[
        Path | None,
        typer.Option("--sample", help="Sample submission whose row and column order is taken."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help=f"{', '.join(BLEND_METHODS.names)} or {AUTO}, in place of the settings'. "
            f"Files take only {names_without_fit()}.",
        ),
    ] = None,
    *,
    options: RunOptions,
) -> None:
    """Blend a run's members as the settings say, or prediction files with the weights given."""
    from twinrun import submit
    from twinrun.blend.choice import with_seed_of
    from twinrun.locks import lock_record
    from twinrun.run_folder.manifest import read_manifest_if_there
    from twinrun.run_folder.paths import RunFolder

    options = options.changed(f"blend.method={method}") if method else options
    settings = options.read()
    if files:
        if output is None:
            raise InputError("blending files needs --output FILE")
        pairs = [_file_and_weight(text) for text in files]
        submit.blend_files(pairs, settings, sample, output)
        text = f"{len(pairs)} files, {mean_of(settings.blend.method).name} mean"
    else:
        folder = options.folder
        output = output or RunFolder(folder).submission
        sample = sample or settings.sample_path()
        own = output == RunFolder(folder).submission
        written = options.written_blend(settings)
        with lock_record(folder) if own else nullcontext():
            # Before anything is written: it may be damaged.
            manifest = read_manifest_if_there(folder)
            settings = with_seed_of(settings, manifest)
            chosen = submit.blend_run(folder, settings, sample, output, written=written)
            if own:
                submit.record_blend(folder, settings, manifest)
        print_blend(chosen)
        if own and written != settings.blend:
            _say_how_to_keep(settings, written, options)
        many = "1 member" if len(chosen.weights) == 1 else f"{len(chosen.weights)} members"
        text = f"{many}, {chosen.words}"
    say(f"blended {text}: ", (str(output), "bold"))


def _say_how_to_keep(settings: Settings, written: Blend, options: RunOptions) -> None:
    """Print the lines of the settings file that ask for the blend that a command chose."""
    from twinrun.blend.choice import setting_lines
    from twinrun.config.identity import identity_settings

    table = f"[profiles.{options.profile}.blend]" if options.profile else "[blend]"
    say(
        "`twinrun run` keeps this blend while the members and [blend] are the same. To keep it "
        f"for good, set in {settings.config}, {table}:"
    )
    for line in setting_lines(identity_settings(settings.blend), identity_settings(written)):
        say((line, "bold"))


def print_blend(chosen: ChosenBlend) -> None:
    """Print what a run's blend was scored by: tables where something was fitted, and one line."""
    from twinrun.cli import tables

    if len(chosen.candidates) > 1:
        tables.blends(chosen).print()
    if chosen.taken is not None and len(chosen.weights) > 1:
        tables.member_contributions(chosen).print()
    for line in tables.why(chosen):
        say(*line)
    if chosen.score is not None:
        say(*tables.blend_score(chosen.score, chosen.images))


def _file_and_weight(text: str) -> tuple[Path, float]:
    path, _, weight = text.rpartition("=")
    try:
        if not path:
            raise ValueError
        return Path(path), float(weight)
    except ValueError:
        raise InputError(
            f"{text}: not of the form FILE=WEIGHT", fix="Example: a.csv=2.0 b.csv=1.0"
        ) from None
