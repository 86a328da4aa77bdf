"""Makes a run again from a recipe: what a verifier asks of a package's own code.

    python -m twinrun.verify.remake RECIPE DATA OUT

RECIPE is a folder as `recipe` describes it; OUT becomes the folder of a run: its members' valid.csv
and test.csv, weights.safetensors where it was to train, and submission.csv where all members of the
blend were asked for. What is made is compared by the verifier, with what it has kept to itself.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.errors import InputError, TwinrunError
from twinrun.process import prepare_worker
from twinrun.streams import let_no_print_fail

if TYPE_CHECKING:
    from twinrun.prepare import Prepared


def main(recipe: str, data: str, out: str) -> int:
    """Make it again; the exit code. What is wrong is printed."""
    from twinrun.console import complain, ignore_known_warnings

    ignore_known_warnings()
    try:
        remake(Path(recipe), Path(data), Path(out))
    except TwinrunError as error:
        complain(*str(error).split("\n"))
        return error.exit_code
    except KeyboardInterrupt:
        complain("stopped")
        return InputError.exit_code
    return 0


def remake(folder: Path, data: Path, out: Path) -> None:
    """Make a run again.

    Args:
        folder: Of the recipe.
        data: The data folder.
        out: Folder of the run that is made. What was trained there is kept.

    Raises:
        NegativeVerdict: The data or the settings are not those that the run was made from.
        InputError: The data cannot be used, or the weights are foreign or do not fit.
    """
    from twinrun import prepare
    from twinrun.hooks.in_use import name_code
    from twinrun.run_folder.manifest import read_run_settings
    from twinrun.verify.making import blend_again, predict_again, train_again
    from twinrun.verify.recipe import code_settings, read_recipe
    from twinrun.verify.same_inputs import refuse_other_data, refuse_other_settings

    started = time.perf_counter()
    asked, run = read_recipe(folder)
    name_code(code_settings(folder))  # who asks for this has agreed to it
    settings = read_run_settings(run, data)
    settings.code.refuse_edited()
    refuse_other_data(run, settings)
    if asked.retrain:
        made = train_again(run, settings, asked.members, out, started)
    else:
        refuse_other_settings(run, settings, asked.members)
        made = predict_again(run, settings, asked.members, out)
        _record(made, asked.members, out)
    if asked.blended is not None:
        blend_again(out, settings, asked.blended, made.sample_path, out)
    if asked.retrain:
        prepare.keep_record(made, started)


def _record(made: Prepared, names: tuple[str, ...], out: Path) -> None:
    """Write down what was predicted, so that it can be blended as a run's members are."""
    from twinrun.files import read_csv, sha256_file
    from twinrun.metrics import member_scores
    from twinrun.run_folder.paths import PREDICTION_FILES, RunFolder
    from twinrun.run_folder.records import write_record
    from twinrun.run_folder.tables import write_index

    write_index(out, made.index)
    for name in names:
        folder = RunFolder(out).training(name)
        valid, test = (
            read_csv(folder.path / file, text=("id", "label")) for file in PREDICTION_FILES
        )
        write_record(
            folder.path,
            {
                "identity": made.identity(name),
                "images": {"train": len(made.train), "valid": len(valid), "test": len(test)},
                "scores": member_scores(valid, made.settings.competition.metric),
                "files": {file: sha256_file(folder.path / file) for file in PREDICTION_FILES},
                "guards": {},
                "seconds": 0.0,
            },
        )


if __name__ == "__main__":
    let_no_print_fail()
    prepare_worker()
    sys.exit(main(*sys.argv[1:]))
