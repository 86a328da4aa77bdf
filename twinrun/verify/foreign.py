"""A package's run, made again by the package's own code, without the answers; and judged here.

The code is a stranger's, and may bring its answers along: what it makes shows that they come out of
the package, and not that they come out of the data.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from twinrun.compare.grade import Evidence, judge
from twinrun.compare.graded import grade_predictions
from twinrun.compare.member_files import FileComparison, compare_files
from twinrun.config.project import SETTINGS
from twinrun.errors import InputError
from twinrun.files import sha256_file
from twinrun.run_folder.manifest import read_manifest
from twinrun.run_folder.paths import PREDICTION_FILES, RESULT_FILES, RunFolder, VerificationFolder
from twinrun.run_folder.trainings import trainings_in
from twinrun.verify.confine import View, Way, places_of
from twinrun.verify.packages import UnpackedPackage
from twinrun.verify.recipe import Recipe, write_recipe
from twinrun.verify.their_code import (
    copy_plain,
    failed,
    refuse_in_reach,
    run_their_code,
    with_own_engine,
)
from twinrun.verify.verify import Verification, select_members

_MODULE = "twinrun.verify.remake"
# Of what is made, a file may be so many times as large as the recorded one, and this more.
_TIMES, _MORE = 4, 1 << 20
_ELSEWHERE = "Move it (temporary files: TMPDIR), or name a data folder (--data) without it."


def make_recipe(found: UnpackedPackage, names: Sequence[str], *, retrain: bool) -> Recipe:
    """What is to be made again of a package's run.

    Raises:
        InputError: There are no such members, or a file is not the one that was recorded.
    """
    chosen = select_members(found.run, names)
    content = read_manifest(found.run)["content"]
    part = (content["blend"] or {}).get("weights", content["settings"]["members"])
    blended = content["submission"] and set(part) <= set(chosen)
    return Recipe(tuple(chosen), tuple(sorted(part)) if blended else None, retrain)


def make_again(
    found: UnpackedPackage,
    recipe: Recipe,
    python: Path,
    way: Way,
    *,
    data: Path,
    out: VerificationFolder,
    tell: Callable[[str], None],
    tables: Mapping[str, Path] = MappingProxyType({}),
) -> Verification:
    """Let a package's own code make its run again, confined; and compare what it made.

    Args:
        found: The package.
        recipe: From `make_recipe`.
        python: Of an environment of the package's lock, or of the present one.
        way: From `confine.require_way`.
        data: The data folder.
        out: What is made again is written below it. A training that was interrupted resumes.
        tell: Called with each line that the code prints.
        tables: That do not lie in the data folder, by their settings.

    Raises:
        InputError: The package lies where its code could read it; or the code has not made what
            was asked for.
    """
    data, place = data.resolve(), out.path.resolve()
    made = place / ("trained" if recipe.retrain else "predicted")
    if not recipe.retrain:
        _remove(made)
    made.mkdir(parents=True, exist_ok=True)
    again = place / "again"
    try:
        _let_make(
            found,
            recipe,
            python,
            way,
            data=data,
            made=made,
            place=place,
            tell=tell,
            tables=tables,
        )
        shutil.rmtree(again, ignore_errors=True)
        _take(made / "run", again, found.run, _names(found.run, recipe))
    except BaseException:
        if not recipe.retrain:  # what failed may have filled the disk
            _remove(made)
        raise
    _remove(made)
    return _judge(found.run, again, recipe)


def _let_make(
    found: UnpackedPackage,
    recipe: Recipe,
    python: Path,
    way: Way,
    *,
    data: Path,
    made: Path,
    place: Path,
    tell: Callable[[str], None],
    tables: Mapping[str, Path],
) -> None:
    with TemporaryDirectory(prefix="recipe-") as temporary:
        folder = Path(temporary).resolve() / "recipe"
        folder.mkdir()
        own = (found.code / SETTINGS).parent if found.needs_hooks else None
        write_recipe(found.run, recipe, folder, data=data, work=made, tables=tables, code=own)
        pretrained = _pretrained_weights() if recipe.retrain else None
        view = View(
            (*places_of(python), found.code, folder, data, *filter(None, [pretrained])),
            (made,),
            {
                **({"TORCH_HOME": str(pretrained.parents[1])} if pretrained else {}),
                **with_own_engine(found, python, folder),
            },
        )
        for answers in (found.package, found.run, place):
            refuse_in_reach(answers, view, fix=_ELSEWHERE)
        command = [str(python), "-m", _MODULE, str(folder), str(data), str(made / "run")]
        code, last = run_their_code(found, way, view, command, tell)
    if code:
        raise failed(
            found,
            f"its code ended with exit code {code} before it had made the run:",
            last,
            fix=f"An engine of an older version has no module {_MODULE}: verify with that version.",
        )


def _remove(made: Path) -> None:
    """Remove a folder in which a stranger could write; shutil fails at folders nested far."""
    subprocess.run(["rm", "-rf", "--", str(made)], check=False, capture_output=True)


def _pretrained_weights() -> Path | None:
    """The folder of pretrained weights on this machine, as torch finds it, if there is one."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = Path(os.environ.get("TORCH_HOME", f"{cache}/torch")).expanduser().resolve()
    weights = home / "hub" / "checkpoints"
    return weights if weights.is_dir() else None


def _asked_files(run: Path, recipe: Recipe) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Of each training, and of each member with folds: its title, its name, the files to make."""
    for name in recipe.members:
        trainings = trainings_in(RunFolder(run).training(name).path)
        for each in trainings:
            yield each.title, each.name, RESULT_FILES if recipe.retrain else PREDICTION_FILES
        if trainings[0].fold:
            yield name, name, PREDICTION_FILES


def _names(run: Path, recipe: Recipe) -> list[str]:
    """The files that are to be made, relative to a run's folder."""
    paths = [
        RunFolder(run).training(name).path / file
        for _, name, files in _asked_files(run, recipe)
        for file in files
    ]
    paths += [RunFolder(run).submission] if recipe.blended is not None else []
    return [path.relative_to(run).as_posix() for path in paths]


def _take(made: Path, again: Path, run: Path, names: Sequence[str]) -> None:
    """Copy plain files out of a folder in which a stranger could write: no link is followed.

    Raises:
        InputError: Some are missing, are no plain files, or are far larger than the recorded ones.
    """
    lacking = []
    for name in names:
        most = _TIMES * (run / name).stat().st_size + _MORE
        if not copy_plain(made, name, again / name, most):
            lacking.append(name)
    if lacking:
        raise InputError(
            "the package's own code has not made these as plain files:", details=lacking[:10]
        )


def _judge(run: Path, again: Path, recipe: Recipe) -> Verification:
    """Compare what was made with what was recorded, and grade it."""
    comparisons: list[FileComparison] = []
    for title, name, files in _asked_files(run, recipe):
        before, now = (RunFolder(each).training(name).path for each in (run, again))
        comparisons += compare_files(title, before, now, files)
    submission = None
    if recipe.blended is not None:
        submission = len({sha256_file(RunFolder(each).submission) for each in (run, again)}) == 1
    same = all(row.same for row in comparisons) and submission is not False
    if same:
        return Verification(
            comparisons, submission, None, None, judge(Evidence(same_bits=True, gaps=()))
        )
    grade = grade_predictions(
        run,
        again,
        recipe.members,
        same=False,
        submission=submission,
        blend=None,
        environment=(),
        retrained=recipe.retrain,
    )
    return Verification(comparisons, submission, None, None, grade)
