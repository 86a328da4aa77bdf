"""Which images are predicted, and by which ids: those that the run itself would have given them."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinrun.config.label_layout import test_images as run_test_images
from twinrun.config.sections import Data
from twinrun.errors import InputError
from twinrun.predict.images import find_images

# A test folder that holds a folder of its own name, and folders of one name in different places.
FILES = ("test/a.png", "test/test/a.png", "old/test/b.png", "old/test/more/c.png", "train/x/d.png")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"not opened")
    return folder


def of(**changes: object) -> Data:
    return Data.model_validate({"folder": "data", "ids": "path", **changes})


def ids(settings: Data, *places: Path) -> dict[str, Path]:
    found = find_images(places, settings)
    return dict(zip(found.ids, found.paths, strict=True))


@pytest.mark.parametrize(
    ("test", "places"),
    [
        ("old/test/more", ["old/test/more"]),
        ("test/test", ["test/test"]),
        (["test/test", "old/test/more"], ["test/test", "old/test/more"]),
    ],
)
def test_ids_that_are_paths_are_those_of_the_run(
    data: Path, test: str | list[str], places: list[str]
) -> None:
    settings = of(test=test)
    run = {name: data / name for name in run_test_images(settings, data)}
    assert ids(settings, *(data / place for place in places)) == run


def test_a_folder_is_known_by_its_place_in_the_data(data: Path, tmp_path: Path) -> None:
    every = {name: data / name for name in FILES}
    below = {name: path for name, path in every.items() if name.startswith("test/")}
    assert ids(of(test="test"), data / "test") == below
    assert ids(of(test="test"), data) == every, "the data folder itself"
    assert ids(of(test="."), data) == every
    old = {name: path for name, path in every.items() if name.startswith("old/")}
    assert ids(of(test="old/test"), data / "old") == old
    two = of(test=["test", "old/test"])
    assert ids(two, data / "test", data / "old" / "test") == below | old
    # A new folder stands for the test folder of its name, or else for the first.
    for name, before in (("test", "old/test"), ("fresh", "first")):
        new = tmp_path / "new" / name / "x.png"
        new.parent.mkdir(parents=True)
        new.write_bytes(b"")
        assert ids(of(test=["first", "old/test"]), new.parent) == {f"{before}/x.png": new}


def test_a_tables_paths_are_ids_as_they_are_written(data: Path, tmp_path: Path) -> None:
    table = data / "photos.csv"
    table.write_text("path\n./test/a.png\nold//test/b.png\n")
    assert list(ids(of(), table)) == ["old/test/b.png", "test/a.png"]
    assert list(ids(of(ids="name"), table)) == ["a.png", "b.png"]
    for path in (data / "test" / "a.png", Path("../data/test/a.png")):
        table.write_text(f"path\n{path}\n")
        with pytest.raises(InputError, match=r"row 2 names .*, which is no path in a data folder"):
            ids(of(), table)
        assert list(ids(of(ids="stem"), table)) == ["a"]
        table.write_text(f"path,id\n{path},one\n")
        assert list(ids(of(), table)) == ["one"]


@pytest.mark.parametrize("unreadable", ["error", "partial", "prior"])
def test_a_path_to_nothing_is_a_mistake_of_the_table(
    data: Path, tmp_path: Path, unreadable: str
) -> None:
    table = data / "photos.csv"
    rows = ["test/a.png", "test/b.png", "test"]
    table.write_text("\n".join(["path", *rows]))
    with pytest.raises(InputError, match="names files that are not there, 2 of 3:") as caught:
        ids(of(unreadable=unreadable), table)
    assert caught.value.details == ("row 3: test/b.png", "row 4: test")
    with pytest.raises(InputError, match=r"a\.png is an image itself"):
        ids(of(), data / "test" / "a.png")
    table.write_text("path\n")
    with pytest.raises(InputError, match=r"no image in .*photos\.csv"):
        ids(of(unreadable=unreadable), table)
