"""`twinrun run --dry-run`: what a run would take, with nothing written anywhere."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import FIXTURE, SMALL, Command
from tests.deadline.test_run_hours import rows
from tests.test_partial import QUICK
from twinrun.config.reading import read_settings
from twinrun.data.a_few import FEW, pixels_without_writing
from twinrun.data.cache import cache_pixels
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.index import build_index

CHANGES = [part for change in QUICK for part in ("--set", change)]


def tree(folder: Path) -> dict[str, tuple[int, int] | None]:
    """All that lies in a folder: every folder, and size and time of each file."""
    return {
        path.relative_to(folder).as_posix(): None
        if path.is_dir()
        else (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with data, settings and a home of its own."""
    shutil.copytree(FIXTURE, tmp_path / "data")
    (tmp_path / "small.toml").write_text(
        SMALL.format(folder=(tmp_path / "data").as_posix()), encoding="utf-8"
    )
    (tmp_path / "home").mkdir()
    return tmp_path


def test_it_says_what_a_run_would_take_and_writes_nothing(invoke: Command, project: Path) -> None:
    before = tree(project)
    words = ("run", "--config", project / "small.toml", *CHANGES, "--dry-run")
    answer = invoke(*words, HOME=str(project / "home"), cwd=project)
    assert answer.returncode == 0, answer.stderr
    assert re.search(r"decoding  119 images, about \d+ s and ", answer.stdout)
    found = answer.stdout.partition("What it takes")[2].splitlines()
    cells = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in found if "│ a " in line
    ]
    assert [cells[0][place] for place in (0, 1, 2)] == ["a", "2", "4"]
    assert float(cells[0][3]) > 0
    # Disk and memory; a GPU's is not needed here, and said so.
    assert all(cell.endswith(" MB") or cell.endswith(" GB") for cell in cells[0][-2:])
    assert "GPU memory" not in found[1]
    assert "the CPU, so that no GPU memory is needed" in answer.stdout
    assert "MB are free" in answer.stdout or "GB are free" in answer.stdout
    assert answer.stdout.endswith("nothing was written\n")
    assert tree(project) == before

    refused = invoke(*words, "--seeds", "1,2", cwd=project)
    assert (
        "--dry-run is for one run in one process on one machine, not for --seeds" in refused.stderr
    )


@pytest.mark.slow  # two processes of their own, which import all that a run does
def test_a_process_writes_nothing_into_its_home_either(twinrun: Command, project: Path) -> None:
    before = tree(project)
    home = project / "home"
    words = ("run", "--config", project / "small.toml", *CHANGES, "--dry-run")
    for hours, code, fits in (("1", 0, "yes"), ("0.001", 2, "no")):
        answer = twinrun(
            *(*words, "--hours", hours),
            HOME=str(home),
            XDG_CACHE_HOME=str(home / "cache"),
            XDG_CONFIG_HOME=str(home / "config"),
            TORCH_HOME=str(home / "torch"),
            TMPDIR=str(home),
            cwd=project,
        )
        assert answer.returncode == code, answer.stderr
        assert [row[-1] for row in rows(answer.stdout)][:2] == [fits, fits]
        assert tree(project) == before
    assert "The smallest that would help: --hours 0.0" in answer.stderr


def test_a_few_images_stand_for_all_until_a_cache_has_them(tmp_path: Path) -> None:
    toml = tmp_path / "small.toml"
    toml.write_text(SMALL.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    index, cache = build_index(read_settings(toml)), tmp_path / "cache"
    pixels, decoding = pixels_without_writing(index, FIXTURE, 32, cache, DecodeSettings())
    assert not cache.exists()
    assert decoding.images == 119  # one file is there twice
    assert decoding.seconds > 0
    assert decoding.nbytes >= 119 * 32 * 32 * 3
    held = pixels.rows(index["sha256"].tolist())
    assert len(held) == 120
    assert len({held.image(row).tobytes() for row in range(120)}) == FEW
    crops = held.crops(held.windows(range(120), 0.5))
    assert tuple(crops.shape) == (120, 3, 32, 32)

    whole = cache_pixels(index, FIXTURE, [32], cache)[32]
    pixels, decoding = pixels_without_writing(index, FIXTURE, 32, cache, DecodeSettings())
    assert decoding == (0, 0.0, 0)
    assert pixels.table.equals(whole.table)
