"""Acceptance on the 13th place's own files: its blend comes out again, and is checked for real."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import ROOT, Command
from tests.exact import read_exact

CLASSES = ["leaf_rust", "stem_rust", "healthy_wheat"]
# The commands are run outside of the project.
SETTINGS = ("--config", ROOT / "competition" / "competition.toml")


@pytest.fixture
def zindi(shared_data: Path) -> Path:
    return shared_data / "zindi-13th-place"


@pytest.fixture
def sample(zindi: Path) -> Path:
    return zindi / "sample_submission.csv"


def weights(zindi: Path) -> dict[str, float]:
    """The author's weight of each member's file, the largest first as in the author's blend."""
    recipes = read_exact(zindi / "recipes.csv", dtype={"id": str})
    recipes = recipes.sort_values("blend_weight", ascending=False)
    assert len(recipes) == 10
    names = "fastai_subM" + recipes["id"] + ".csv"
    return dict(zip(names, recipes["blend_weight"].tolist(), strict=True))


def by_id(path: Path) -> pd.DataFrame:
    """A submission as the host reads it, without any code of ours: ids as text, sorted."""
    table = read_exact(path, dtype={"ID": str}, encoding="utf-8-sig")
    assert table["ID"].is_unique
    return table.set_index("ID").sort_index()[CLASSES]


def assert_authors_blend(path: Path, zindi: Path) -> None:
    ours, authors = by_id(path), by_id(zindi / "fastai_ajlX.csv")
    assert len(authors) == 610
    assert ours.index.tolist() == authors.index.tolist()
    assert np.abs(ours.to_numpy() - authors.to_numpy()).max() <= 1e-12


def authors_lines(zindi: Path) -> list[str]:
    """The author's blend: its header and its 610 rows."""
    return (zindi / "fastai_ajlX.csv").read_text(encoding="utf-8").splitlines()


def save(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_blend_of_the_authors_files_is_the_authors_blend_and_valid(
    invoke: Command, zindi: Path, sample: Path, tmp_path: Path
) -> None:
    files = [f"{zindi / 'submissions' / name}={weight}" for name, weight in weights(zindi).items()]
    done = invoke("blend", *SETTINGS, *files, "--output", "blend.csv")
    assert done.returncode == 0, done.stderr
    assert "blend.csv" in done.stdout
    assert_authors_blend(tmp_path / "blend.csv", zindi)
    done = invoke("validate", *SETTINGS, "blend.csv", "--sample", sample)
    assert done.returncode == 0, done.stderr
    assert "valid" in done.stdout
    assert "610 rows" in done.stdout


def test_blend_does_not_depend_on_how_the_files_were_saved_and_takes_the_samples_order(
    invoke: Command, zindi: Path, sample: Path, tmp_path: Path
) -> None:
    # Rows shuffled in every file, and one saved as Windows programs do.
    files = []
    for number, (name, weight) in enumerate(weights(zindi).items()):
        lines = (zindi / "submissions" / name).read_text(encoding="utf-8").splitlines()
        rows = lines[1:]
        random.Random(number).shuffle(rows)
        save(tmp_path / name, [lines[0], *rows])
        files.append(f"{name}={weight}")
    windows = tmp_path / files[0].split("=")[0]
    windows.write_bytes(b"\xef\xbb\xbf" + windows.read_bytes().replace(b"\n", b"\r\n"))
    done = invoke("blend", *SETTINGS, *files, "--sample", sample, "--output", "blend.csv")
    assert done.returncode == 0, done.stderr
    assert_authors_blend(tmp_path / "blend.csv", zindi)
    order = read_exact(sample, dtype={"ID": str})["ID"].tolist()
    assert read_exact(tmp_path / "blend.csv", dtype={"ID": str})["ID"].tolist() == order


def test_authors_blend_is_valid_in_any_order_of_rows_also_as_windows_programs_save_it(
    invoke: Command, zindi: Path, sample: Path, tmp_path: Path
) -> None:
    header, *rows = authors_lines(zindi)
    random.Random(0).shuffle(rows)
    text = "\r\n".join([header, *rows, ""])
    (tmp_path / "shuffled.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    done = invoke("validate", *SETTINGS, "shuffled.csv", "--sample", sample)
    assert done.returncode == 0, done.stderr


def test_authors_blend_with_one_id_changed_is_invalid(
    invoke: Command, zindi: Path, sample: Path, tmp_path: Path
) -> None:
    header, *rows = authors_lines(zindi)
    # The one id of digits only, with the zero in front that a spreadsheet would take away.
    (place,) = [number for number, row in enumerate(rows) if row.startswith("643083,")]
    rows[place] = f"0{rows[place]}"
    save(tmp_path / "changed.csv", [header, *rows])
    done = invoke("validate", *SETTINGS, "changed.csv", "--sample", sample)
    assert done.returncode == 1, done.stderr
    assert "643083: missing" in done.stderr
    assert "0643083: unknown" in done.stderr
    assert "Traceback" not in done.stderr


def test_authors_blend_with_one_row_missing_is_invalid(
    invoke: Command, zindi: Path, sample: Path, tmp_path: Path
) -> None:
    header, *rows = authors_lines(zindi)
    lost = rows.pop(300).split(",")[0]
    save(tmp_path / "short.csv", [header, *rows])
    done = invoke("validate", *SETTINGS, "short.csv", "--sample", sample)
    assert done.returncode == 1, done.stderr
    assert f"{lost}: missing" in done.stderr
    assert "Traceback" not in done.stderr


def test_authors_blend_with_one_row_doubled_is_invalid(
    invoke: Command, zindi: Path, sample: Path, tmp_path: Path
) -> None:
    header, *rows = authors_lines(zindi)
    doubled = rows[300].split(",")[0]
    save(tmp_path / "doubled.csv", [header, *rows, rows[300]])
    done = invoke("validate", *SETTINGS, "doubled.csv", "--sample", sample)
    assert done.returncode == 1, done.stderr
    assert f"{doubled}: this id stands more than once" in done.stderr
    assert "Traceback" not in done.stderr


def test_submission_that_is_not_there_is_wrong_use_and_not_an_invalid_submission(
    invoke: Command, sample: Path
) -> None:
    done = invoke("validate", *SETTINGS, "none.csv", "--sample", sample)
    assert done.returncode == 2
    assert "none.csv" in done.stderr
    assert "Traceback" not in done.stderr
