"""One bit of a file is another one: the next command that reads the file says so.

Of each kind of file of a run, of the cache, and of a package. A checkpoint's are in
tests/train/test_checkpoints.py, each byte of it; that the training comes to the same bits without
it, in tests/train/test_resume.py.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.report.made_run import draw
from tests.run_folder.whole_run import (
    COMMANDS,
    MEMBER,
    PREDICTIONS,
    RUN,
    TWINS,
    VERIFY,
    contents,
    invoke,
)
from twinrun.audit.fingerprints import fingerprint_images
from twinrun.cli.app import app
from twinrun.data.cache import cache_pixels
from twinrun.errors import TwinrunError
from twinrun.run_folder.documents import is_sealed_page
from twinrun.verify.unpack import open_package, read_package_contents, unpack

READERS = [
    (RUN.manifest, "report"),
    (RUN.manifest, "blend"),
    (RUN.place, "report"),
    (RUN.index, "report"),
    (RUN.audit, "report"),
    (RUN.blend, "report"),
    (RUN.submission, "diff"),
    (MEMBER.record, "blend"),
    (MEMBER.record, "diff"),
    (MEMBER.history, "report"),
    (MEMBER.valid, "report"),
    (MEMBER.valid, "diff"),
    (MEMBER.test, "blend"),
    (MEMBER.test, "diff"),
    (MEMBER.weights, "verify"),
    (MEMBER.weights, "diff"),
    (MEMBER.ledger, "diff"),
    (TWINS, "report"),
    (VERIFY, "report"),
    (PREDICTIONS, "report"),
]
SOME, MANY = 1, 20


def flips(path: Path, count: int) -> Iterator[int]:
    """Flip one bit of a file, `count` times another one; each time it is put right again."""
    whole = path.read_bytes()
    places = random.Random(path.name)
    for _ in range(count):
        place, bit = places.randrange(len(whole)), places.randrange(8)
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit
        path.write_bytes(flipped)
        yield place
    path.write_bytes(whole)


def check_run_file(path: Path, command: str, count: int) -> None:
    for place in flips(path, count):
        before = contents(Path())
        result = invoke(command)
        assert result.exit_code in (1, 2), (place, result.output)
        assert isinstance(result.exception, SystemExit), place
        assert path.name in " ".join(result.output.split()), place
        assert contents(Path()) == before, place


def named(value: object) -> str:
    return value.name if isinstance(value, Path) else str(value)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(("path", "command"), READERS, ids=named)
def test_a_flipped_bit_of_a_runs_file_is_noticed(path: Path, command: str) -> None:
    # That the whole file is read without a word, tests/run_folder/test_damage.py shows.
    check_run_file(path, command, SOME)


@pytest.mark.slow
@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(("path", "command"), READERS, ids=named)
def test_flipped_bits_all_over_a_runs_file_are_noticed(path: Path, command: str) -> None:
    check_run_file(path, command, MANY)
    assert invoke(command).exit_code == 0 or command == "verify"


@pytest.fixture
def images(tmp_path: Path) -> pd.DataFrame:
    """Five pictures in a data folder, as an index."""
    names = [f"{number:06d}" for number in range(5)]
    digests = [draw(tmp_path / "data" / f"{name}.png", name) for name in names]
    paths = [f"{name}.png" for name in names]
    return pd.DataFrame({"part": "train", "sha256": digests, "path": paths})


@pytest.mark.parametrize("count", [SOME, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["pixels.u8", "rows.parquet", "fingerprints-*.parquet"])
def test_flipped_bits_of_the_cache_are_noticed_and_mended(
    images: pd.DataFrame, tmp_path: Path, kind: str, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"

    def read() -> tuple[list[np.ndarray], pd.DataFrame]:
        pixels = cache_pixels(images, data, [16], cache)[16]
        rows = pixels.rows(images["sha256"].tolist())
        found = fingerprint_images(images, pixels)
        return [np.array(rows.image(place)) for place in range(len(rows))], found

    pictures, fingerprints = read()
    (path,) = cache.glob(f"*/{kind}")
    capsys.readouterr()
    shutil.copytree(cache, tmp_path / "whole")
    for place in flips(path, count):
        again, found = read()
        assert "damaged" in capsys.readouterr().out, place
        assert all(map(np.array_equal, pictures, again)), place
        pd.testing.assert_frame_equal(found, fingerprints)
        shutil.rmtree(cache)
        shutil.copytree(tmp_path / "whole", cache)
    read()
    assert "damaged" not in capsys.readouterr().out


@pytest.mark.usefixtures("project")
def test_flipped_bits_of_a_report_are_noticed_when_it_is_packed() -> None:
    assert invoke("report").exit_code == 0
    assert is_sealed_page(RUN.report)
    assert all(not is_sealed_page(RUN.report) for _ in flips(RUN.report, MANY))
    for _ in flips(RUN.report, SOME):
        result = CliRunner().invoke(app, COMMANDS["package"][:-1])
        assert result.exit_code == 1
        assert "report.html: not the page that was written" in " ".join(result.output.split())


def check_package(project: Path, count: int) -> None:
    result = CliRunner().invoke(app, [*COMMANDS["package"], "--output", "package.zip"])
    assert result.exit_code == 0, result.output
    package = project / "package.zip"

    def unpacked() -> dict[Path, bytes]:
        folder = project / "unpacked"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        with open_package(package) as archive:
            unpack(archive, read_package_contents(archive, package), package, folder)
        return {path.relative_to(folder): data for path, data in contents(folder).items()}

    whole, noticed = unpacked(), list[str]()
    for place in flips(package, count):
        try:
            found = unpacked()
        except TwinrunError as error:
            noticed.append(error.what)
        else:
            assert found == whole, place
    assert noticed
    assert all(str(package) in what for what in noticed)


def test_a_flipped_bit_of_a_package_is_noticed_where_it_changes_a_file(project: Path) -> None:
    check_package(project, MANY)


@pytest.mark.slow
def test_flipped_bits_all_over_a_package_are_noticed(project: Path) -> None:
    check_package(project, 50 * MANY)
