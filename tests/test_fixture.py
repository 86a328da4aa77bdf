"""Check the committed image fixture: drawn again bit for bit, and with every quirk in it."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

SCRIPT = Path(__file__).resolve().with_name("fixture.py")
FOLDER = SCRIPT.with_name("fixture")
FORMATS = {".gif": "GIF", ".jfif": "JPEG", ".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG"}


def load_script() -> ModuleType:
    """Import the script from its path, since the folder of the same name lies beside it."""
    spec = importlib.util.spec_from_file_location("draw_fixture_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fixture = load_script()
IMAGES = {
    path.stem: path
    for part in ("train/*/*", "test/*")
    for path in sorted(FOLDER.glob(part))
    if path.is_file()
}


def read_tree(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below the folder, by its relative name."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def read_rows(name: str) -> list[dict[str, str]]:
    """Return the rows of one of the fixture's CSV files, as text."""
    with (FOLDER / name).open(newline="", encoding="ascii") as lines:
        return list(csv.DictReader(lines))


def quirky(quirk: str) -> set[str]:
    """Return the ids that the script's table gives the quirk; there must be some."""
    ids = {item.id for item in fixture.QUIRKS if item.quirk == quirk}
    assert ids
    return ids


def label_of(name: str) -> str:
    """Return the class of a training image (its folder) or of a test image (the solution)."""
    if IMAGES[name].parent.parent.name == "train":
        return IMAGES[name].parent.name
    return next(row["label"] for row in read_rows("solution.csv") if row["ID"] == name)


@pytest.mark.parametrize("seed", [pytest.param("0", marks=pytest.mark.slow), "4711"])
def test_drawn_again_gives_the_committed_bytes(tmp_path: Path, seed: str) -> None:
    here = tmp_path / f"run-{seed}"
    here.mkdir()
    # One run names its folder relative to the working directory, the other in full.
    target = "drawn" if seed == "0" else str(here / "drawn")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), target],
        cwd=here,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"120 images, \d\.\d\d MB in all\n", done.stdout)
    drawn, committed = read_tree(here / "drawn"), read_tree(FOLDER)
    assert sorted(drawn) == sorted(committed)
    assert [name for name in sorted(drawn) if drawn[name] != committed[name]] == []


def test_drawing_leaves_other_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test").mkdir()
    other = tmp_path / "test" / "notes.txt"
    other.write_text("keep me")
    monkeypatch.setattr(fixture, "COUNTS", {"train": (0, 0, 0), "test": (0, 0, 0)})
    fixture.draw_fixture(tmp_path)
    assert other.read_text() == "keep me"


def test_counts_and_sizes() -> None:
    labels = Counter(path.parent.name for path in IMAGES.values())
    assert labels == {"leaf_rust": 36, "stem_rust": 36, "healthy_wheat": 24, "test": 24}
    assert sum(map(len, read_tree(FOLDER).values())) < 1_500_000
    for path in IMAGES.values():
        with Image.open(path) as image:
            assert 120 <= min(image.size) <= max(image.size) <= 200, path.name
            image.load()


def test_ids() -> None:
    files = [path.name for path in FOLDER.rglob("*.*") if path.suffix != ".csv"]
    assert len(files) == len(IMAGES) == 120
    assert len({Path(name).stem.casefold() for name in files}) == 120
    assert all(re.fullmatch("[A-Z0-9]{6}", name) for name in IMAGES)
    numeric = {name for name in IMAGES if re.fullmatch(r"\d+(E\d+)?", name)}
    assert numeric == quirky("digits") == {"004217", "643083"}
    assert IMAGES["004217"].parent.parent.name == "train"
    assert IMAGES["643083"].parent.name == "test"


def test_suffixes_and_formats() -> None:
    suffixes = Counter(path.suffix for path in IMAGES.values())
    assert set(suffixes) == {".jpg", ".JPG", ".jfif", ".jpeg", ".png", ".gif"}
    assert suffixes[".jpg"] > 60
    misnamed = set()
    for name, path in IMAGES.items():
        with Image.open(path) as image:
            if image.format != FORMATS[path.suffix.lower()]:
                misnamed.add((name, path.suffix, image.format))
    assert len(misnamed) == 1
    [(name, suffix, true_format)] = misnamed
    assert name in quirky("png")
    assert (suffix, true_format) == (".jpg", "PNG")


def test_modes() -> None:
    found: dict[tuple[str | None, str], set[str]] = {}
    for name, path in IMAGES.items():
        with Image.open(path) as image:
            found.setdefault((image.format, image.mode), set()).add(name)
    del found["JPEG", "RGB"]
    # Some readers see a GIF as RGB; its file holds a palette all the same.
    gifs = found.pop(("GIF", "P"), set()) | found.pop(("GIF", "RGB"), set())
    assert gifs == quirky("gif")
    assert found == {
        ("PNG", "RGB"): quirky("png"),
        ("PNG", "RGBA"): quirky("rgba"),
        ("PNG", "P"): quirky("palette"),
        ("JPEG", "CMYK"): quirky("cmyk"),
        ("JPEG", "L"): quirky("grey"),
    }
    assert {label_of(name) for name in quirky("grey")} == {"healthy_wheat"}


def test_alpha_hides_no_colour() -> None:
    [name] = quirky("rgba")
    with Image.open(IMAGES[name]) as image:
        alpha = image.getchannel("A").tobytes()
        assert min(alpha) < 128 < max(alpha) == 255
        assert image.convert("RGB").tobytes() == fixture.draw_photo(name, label_of(name)).tobytes()


def test_orientation() -> None:
    turned = {}
    for name, path in IMAGES.items():
        with Image.open(path) as image:
            if (value := image.getexif().get(0x0112)) is not None:
                turned[name] = value
    [name] = quirky("orientation")
    assert turned == {name: 6}
    upright = fixture.draw_photo(name, label_of(name))
    with Image.open(IMAGES[name]) as image:
        assert image.size == upright.size[::-1] != upright.size
        shown = ImageOps.exif_transpose(image)
    error = ImageStat.Stat(ImageChops.difference(shown, upright)).mean
    # What JPEG loses; the picture the wrong way round differs by several times as much.
    assert max(error) < 12
    wrong = ImageStat.Stat(ImageChops.difference(shown.rotate(180), upright)).mean
    assert min(wrong) > 2 * max(error)


def test_one_exact_duplicate() -> None:
    digests: dict[str, set[str]] = {}
    for name, path in IMAGES.items():
        digests.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), set()).add(name)
    [pair] = [names for names in digests.values() if len(names) > 1]
    assert pair == quirky("duplicate")
    assert len(pair) == 2
    [folder] = {IMAGES[name].parent for name in pair}
    assert folder.parent.name == "train"


def test_sample_and_solution() -> None:
    sample, solution = read_rows("sample_submission.csv"), read_rows("solution.csv")
    header = ["ID", "leaf_rust", "stem_rust", "healthy_wheat"]
    assert all(list(row) == header for row in sample)
    assert all(row[label] == "0" for row in sample for label in header[1:])
    ids = [row["ID"] for row in sample]
    assert sorted(ids) == sorted(path.stem for path in (FOLDER / "test").iterdir())
    assert ids != sorted(ids)
    assert [row["ID"] for row in solution] == ids
    labels = Counter(row["label"] for row in solution)
    assert labels == {"leaf_rust": 9, "stem_rust": 9, "healthy_wheat": 6}


@pytest.mark.parametrize("label", fixture.LABELS)
def test_the_id_decides_the_picture(label: str) -> None:
    # The same corner of both, since the sizes alone would already tell the pictures apart.
    corners = [
        fixture.draw_photo(name, label).crop((0, 0, 120, 120)).tobytes()
        for name in ("AB12CD", "AB12CE", "AB12CD")
    ]
    assert corners[0] == corners[2]
    assert corners[0] != corners[1]


def test_the_class_shows_in_the_colours() -> None:
    for name in sorted(set(IMAGES) - quirky("grey")):
        with Image.open(IMAGES[name]) as image:
            small = image.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
        data = small.tobytes()
        pixels = list(zip(data[::3], data[1::3], data[2::3], strict=True))
        # Counts out of 4096 pixels; the pale rims of stem rust are partly orange.
        orange = sum(r > 1.4 * g and g > 2 * b for r, g, b in pixels)
        red = sum(r > 2 * g and g < 2 * b for r, g, b in pixels)
        if orange + red < 20:
            shown = "healthy_wheat"
        else:
            shown = "leaf_rust" if orange > red else "stem_rust"
            assert max(orange, red) > 100, name
        assert shown == label_of(name), (name, orange, red)
