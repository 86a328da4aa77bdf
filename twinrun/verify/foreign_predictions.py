"""New images, predicted by a package's own code, confined: of all files it sees the images."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from twinrun.config.any_csv import read_any_csv
from twinrun.errors import InputError
from twinrun.files import whole_file
from twinrun.plain_files import plain
from twinrun.predict.asked import refuse_output
from twinrun.predict.images import PATH
from twinrun.predict.record import record_path
from twinrun.verify.confine import View, Way, places_of
from twinrun.verify.packages import UnpackedPackage
from twinrun.verify.their_code import copy_plain, failed, run_their_code, with_own_engine

# What it leaves is not larger, in bytes: of ten million images and ten classes.
_MOST = 4 << 30


def predict_by_their_code(
    found: UnpackedPackage,
    python: Path,
    way: Way,
    *,
    images: Sequence[Path],
    sample: Path | None,
    output: Path,
    tell: Callable[[str], None],
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

    Returns:
        What it says that it predicted with, beside the output.

    Raises:
        InputError: There are no such images; the files cannot be written, or would replace what is
            read; or the code has not made them.
    """
    given = [*images, *([] if sample is None else [sample])]
    if missing := [place for place in given if not place.exists()]:
        raise InputError(f"no such file or folder: {missing[0]}")
    refuse_output(output, given, found.run)
    shown = [place for each in images for place in _shown(each)]
    shown += [] if sample is None else [sample.resolve()]
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
        code, last = run_their_code(found, way, view, command, tell)
        if code:
            raise failed(
                found,
                f"its code ended with exit code {code} before it had predicted:",
                last,
                fix="What it prints is its own, and so is what it asks for.",
            )
        files = (output, record_path(output))
        lacking = [
            each.name for each in files if not copy_plain(made, each.name, taken / each.name, _MOST)
        ]
        if lacking:
            raise failed(
                found,
                f"its code has not made {' and '.join(lacking)} as plain files:",
                last,
                fix="",
            )
        for each in files:
            with whole_file(each) as temporary_file:
                shutil.copyfile(plain(taken / each.name), temporary_file)
    return files[1]


def _shown(place: Path) -> Iterator[Path]:
    """What is to be seen of images: their folder; of a table itself, and the files' folders."""
    yield place.resolve()
    if place.is_file():
        table, _ = read_any_csv(place)
        for path in table.get(PATH, []):
            yield (place.parent / str(path).replace("\\", "/")).resolve().parent
