"""New images, predicted by a package's own code, confined: of all files it sees the images."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from twinrun.config.any_csv import read_any_csv
from twinrun.config.identity import write_out_settings
from twinrun.config.sections import Data
from twinrun.config.settings import Settings
from twinrun.errors import InputError
from twinrun.files import whole_file, write_csv
from twinrun.plain_files import plain
from twinrun.predict.asked import refuse_output
from twinrun.predict.images import ID, PATH, find_images
from twinrun.predict.record import record_path
from twinrun.run_folder.manifest import read_manifest
from twinrun.verify.confine import View, Way, places_of
from twinrun.verify.new_images import VerifiedPredictions, judge_predictions
from twinrun.verify.packages import UnpackedPackage
from twinrun.verify.their_code import (
    copy_plain,
    failed,
    refuse_in_reach,
    run_their_code,
    with_own_engine,
)

# What it leaves is not larger, in bytes: of ten million images and ten classes.
_MOST = 4 << 30
_ELSEWHERE = "Move it, with its record, into a folder of its own."


def predict_by_their_code(
    found: UnpackedPackage,
    python: Path,
    way: Way,
    *,
    images: Sequence[Path],
    sample: Path | None,
    output: Path,
    tell: Callable[[str], None],
    answers: Sequence[Path] = (),
) -> Path:
    """Let a package's own code predict images, and take the two files that it writes.

    Args:
        found: The package.
        python: Of an environment of the package's lock, or of the present one.
        way: From `confine.require_way`.
        images: As for `find_images`.
        sample: The host's sample submission; None: predictions are asked for.
        output: The file to write.
        tell: Called with each line that the code prints.
        answers: What it must not see.

    Returns:
        What it says that it predicted with, beside the output.

    Raises:
        InputError: There are no such images; the code would see an answer; the files cannot be
            written, or would replace what is read; or the code has not made them.
    """
    given = [*images, *([] if sample is None else [sample])]
    if missing := [place for place in given if not place.exists()]:
        raise InputError(f"no such file or folder: {missing[0]}")
    files = [file for each in images for file in _files(each)]
    refuse_output(output, [*given, *files], found.run)
    shown = [each.resolve() for each in given]
    shown += [file.parent for file in files]
    _refuse_home(shown)
    with TemporaryDirectory(prefix="predicting-") as temporary:
        folder = Path(temporary).resolve()
        engine, made, taken = (folder / name for name in ("own", "made", "taken"))
        engine.mkdir()
        made.mkdir()
        variables = with_own_engine(found, python, engine)
        read_only = (*places_of(python), found.code, found.run, engine, *dict.fromkeys(shown))
        command = [str(python), "-m", "twinrun", "predict", str(found.run)]
        command += [word for each in images for word in ("--images", str(each.resolve()))]
        command += [] if sample is None else ["--sample", str(sample.resolve())]
        command += ["--output", str(made / output.name)]
        view = View(read_only, (made,), variables)
        for each in answers:
            refuse_in_reach(each, view, fix=_ELSEWHERE)
        code, last = run_their_code(found, way, view, command, tell)
        if code:
            raise failed(
                found,
                f"its code ended with exit code {code} before it had predicted:",
                last,
                fix="What it prints is its own, and so is what it asks for.",
            )
        written = (output, record_path(output))
        lacking = [
            each.name
            for each in written
            if not copy_plain(made, each.name, taken / each.name, _MOST)
        ]
        if lacking:
            raise failed(
                found,
                f"its code has not made {' and '.join(lacking)} as plain files:",
                last,
                fix="",
            )
        for each in written:
            with whole_file(each) as temporary_file:
                shutil.copyfile(plain(taken / each.name), temporary_file)
    return written[1]


def verify_by_their_code(
    record: Path,
    then: Mapping[str, Any],
    found: UnpackedPackage,
    python: Path,
    way: Way,
    *,
    images: Sequence[Path],
    sample: Path | None,
    tell: Callable[[str], None],
) -> VerifiedPredictions:
    """Let a package's own code predict again, and grade what was recorded beside what it made.

    Args:
        record: Of predictions, beside the file that it is of.
        then: From `read_verifiable`.
        found: The package.
        python: As for `predict_by_their_code`.
        way: From `confine.require_way`.
        images: Those that were predicted; where there are more, these have no part in it.
        sample: That a submission was bound to.
        tell: Called with each line that the code prints.

    Raises:
        InputError: As `predict_by_their_code`.
    """
    manifest = read_manifest(found.run)
    answers = [record.parent / then["output"]["file"], record]
    with TemporaryDirectory(prefix="predictions-") as temporary:
        folder = Path(temporary).resolve()
        asked = images if sample is not None else _asked(images, then, manifest, folder)
        output = folder / "made" / then["output"]["file"]
        output.parent.mkdir()
        predict_by_their_code(
            found,
            python,
            way,
            images=asked,
            sample=sample,
            output=output,
            tell=tell,
            answers=answers,
        )
        return judge_predictions(record, then, output, manifest)


def _asked(
    images: Sequence[Path], then: Mapping[str, Any], manifest: Mapping[str, Any], folder: Path
) -> Sequence[Path]:
    """The images as they were given, or a table of those alone that were predicted then."""
    try:
        settings = write_out_settings(Settings, manifest["content"]["settings"])
        data = Data.model_validate(settings["data"] | {"folder": "."})
    except (ValueError, KeyError, TypeError, AttributeError):
        return images  # settings of another engine: its own answer for all of them is compared
    known = find_images([each.resolve() for each in images], data).asked(then["images"])
    if not known.ids or not known.left_out:
        return images
    table = folder / "images.csv"
    write_csv(table, pd.DataFrame({PATH: [str(path) for path in known.paths], ID: known.ids}))
    return [table]


def _files(place: Path) -> Iterator[Path]:
    """What lies in a folder of images, or what a table names.

    Raises:
        InputError: A file is not there, or leads elsewhere: what is shown is shown as it lies.
    """
    real = place.resolve()
    if real.is_dir():
        named = [path for path in real.rglob("*") if not path.is_dir() or path.is_symlink()]
    else:
        table, _ = read_any_csv(real)
        written = [str(path).replace("\\", "/") for path in table.get(PATH, [])]
        named = [Path(os.path.normpath(real.parent / path)) for path in written]
    for path in named:
        if path.resolve() != path:
            raise InputError(
                f"{path} leads to {path.resolve()}, and the package's code sees no links",
                fix="Copy the images themselves into one folder, and name that with --images.",
            )
        if not path.exists():
            raise InputError(f"no such file: {path}, which {place} names")
        yield path


def _refuse_home(shown: Iterable[Path]) -> None:
    """Let no folder be shown in which the user's home lies, or all files do."""
    home = Path.home().resolve()
    for place in shown:
        if home.is_relative_to(place):
            raise InputError(
                f"{place} holds your own files, and the package's code would see them",
                fix="Copy the images into a folder of their own, and name that with --images.",
            )
