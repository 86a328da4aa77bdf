"""A package's run, made again by this verifier's own engine: none of the package's code is run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from twinrun.errors import InputError, NegativeVerdict
from twinrun.grades import GRADES, Grade
from twinrun.repro.source import ENGINE
from twinrun.verify.environments import without_python_variables
from twinrun.verify.packages import UnpackedPackage
from twinrun.verify.recipe import settle


def verify_by_own_engine(
    found: UnpackedPackage,
    python: Path,
    members: Sequence[str],
    *,
    data: Path,
    out: Path,
    retrain: bool,
    quiet: bool = False,
    tables: Mapping[str, Path] = MappingProxyType({}),
) -> Grade:
    """Make a package's run again and compare, in a process of its own.

    Args:
        found: The package.
        python: Of an environment of this verifier's lock, or of the present one.
        members: Only these. None: all.
        data: The data folder.
        out: What is made again is written below it.
        retrain: Train again, not only predict with the recorded weights.
        quiet: Let it print only verdicts and errors.
        tables: That do not lie in the data folder, by their settings.

    Returns:
        The grade, never the worst one.

    Raises:
        NegativeVerdict: It comes out different, or is not of this data; the process has reported
            which.
        InputError: It could not be done; the process has reported why.
    """
    with TemporaryDirectory(prefix="verify-") as temporary:
        # A copy: beside the engine may stand what is of another environment.
        place, work = Path(temporary, "engine"), Path(temporary, "work")
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ENGINE, place / ENGINE.name, ignore=ignored)
        settle(found.run, data=data, work=work, tables=tables)
        command = [str(python), "-P", "-m", ENGINE.name, "verify", str(found.run), *members]
        command += ["--data", str(data.absolute()), "--out", str(out.absolute())]
        command += [] if retrain else ["--predict-only"]
        command += ["--quiet"] if quiet else []
        code = _wait_for(command, work, place)
    if code == NegativeVerdict.exit_code:
        raise NegativeVerdict(f"{found.package} does not come out the same; see above")
    for grade in GRADES:
        if grade.exit_code == code:
            return grade
    raise InputError(
        f"{found.package}: exit code {code} before there was a verdict",
        fix="Fix what is reported above.",
    )


def _wait_for(command: Sequence[str], folder: Path, engine: Path) -> int:
    """The exit code of a process; it has time to write its checkpoint when this one is stopped."""
    sys.stdout.flush()
    environment = {**without_python_variables(), "PYTHONPATH": str(engine)}
    with subprocess.Popen(command, cwd=folder, env=environment) as process:
        try:
            return process.wait()
        except BaseException:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)  # Ctrl-C has reached it, too
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
            process.kill()
            raise
