"""What `competition init` sees in a data folder, and what it refuses."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image

from competition.data.index import build_index
from competition.errors import InputError
from competition.settings_file import read_settings
from competition.starting.inspecting import Findings, inspect
from tests.conftest import FIXTURE

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files into a data folder: images where a size is given, otherwise the text."""

    def writes(files: Mapping[str, tuple[int, int] | str]) -> Path:
        for name, content in files.items():
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.write_text(content, encoding="utf-8")
            else:
                Image.new("RGB", content, (len(name), 1, 2)).save(path)
        return tmp_path / "data"

    return writes


SIZE = (70, 50)
TEST = {"test/t1.jpg": SIZE, "test/t2.jpg": SIZE}
FOLDERS = {"train/b/1.jpg": SIZE, "train/a/2.jpg": SIZE, "train/a/03.jpg": SIZE}
TABLE = {
    "train/1.jpg": SIZE,
    "train/2.jpg": SIZE,
    "train/03.jpg": SIZE,
    "train.csv": "id,label\n1,b\n2,a\n03,a\n",
}
SAMPLE = {"sample_submission.csv": "id,b,a\nt1,0,0\nt2,0,0\n"}


def accepted(found: Findings, tmp_path: Path) -> Findings:
    """The findings, once the engine's own index has accepted settings made from them."""
    changes = {
        "competition.name": "x",
        "competition.classes": found.classes,
        "data.folder": str(found.folder),
        "data.layout": found.layout,
        "data.train": found.train,
        "data.test": found.test,
        "data.sample_submission": found.sample_submission,
        "data.labels": found.labels or "labels.csv",
        "data.id_column": found.id_column,
        "data.label_column": found.label_column,
        "data.ids": found.ids,
        "submission.columns": found.columns,
    }
    settings = read_settings(changes=[f"{key}={value!r}" for key, value in changes.items()])
    index = build_index(settings)
    counts = index.loc[index["part"] == "train", "label"].value_counts().to_dict()
    assert counts == found.counts
    assert (index["part"] == "test").sum() == found.test_images
    return found


@pytest.mark.parametrize(
    ("files", "layout", "labels"), [(FOLDERS, "folders", None), (TABLE, "table", "train.csv")]
)
def test_both_layouts(
    files: dict[str, tuple[int, int] | str],
    layout: str,
    labels: str | None,
    write: Write,
    tmp_path: Path,
) -> None:
    found = accepted(inspect(write(files | TEST | SAMPLE)), tmp_path)
    assert (found.layout, found.labels) == (layout, labels)
    assert (found.train, found.test) == ("train", "test")
    assert found.classes == ["b", "a"]  # as the sample has them
    assert found.counts == {"b": 1, "a": 2}
    assert (found.train_images, found.test_images) == (3, 2)
    assert found.id_column == "id"
    assert (found.width, found.height, found.smallest, found.largest) == (70, 50, 50, 70)
    assert found.image_size == 32
    assert found.columns == "classes"
    assert "the smallest class, b, has 1 images" in found.notes


def test_other_names_and_a_folder_that_the_archive_added(write: Write, tmp_path: Path) -> None:
    names = {
        "Rice/images/train_images/x.JPG": SIZE,
        "Rice/images/train_images/y.JPG": SIZE,
        "Rice/images/Test Images/t1.png": SIZE,
        "Rice/Train_Labels.csv": "Image_ID,width,Target\nx.JPG,1,0\ny.JPG,1,10\n",
        "Rice/SampleSubmission (1).csv": "Image_ID,Target\nt1.png,0\n",
        "__MACOSX/x": "",
    }
    found = accepted(inspect(write(names)), tmp_path)
    assert found.folder.name == "Rice"
    assert (found.train, found.test) == ("images/train_images", "images/Test Images")
    assert (found.id_column, found.label_column, found.ids) == ("Image_ID", "Target", "name")
    assert found.classes == ["0", "10"]


@pytest.mark.parametrize(
    ("sample", "columns"),
    [
        ("id,label\nt1,a\nt2,b\n", "label"),
        ("id,label\nt1,0.5\nt2,0.5\n", "probability"),
        ("id,a,b\nt1,0,0\nt2,0,0\n", "classes"),
    ],
)
def test_what_a_submission_holds(sample: str, columns: str, write: Write, tmp_path: Path) -> None:
    found = inspect(write(FOLDERS | TEST | {"sample_submission.csv": sample}))
    assert accepted(found, tmp_path).columns == columns


def test_the_folders_win_over_a_table_that_says_otherwise(write: Write, tmp_path: Path) -> None:
    table = {"labels.csv": "id,label\n1,a\n2,a\n03,a\n"}
    found = accepted(inspect(write(FOLDERS | TEST | SAMPLE | table)), tmp_path)
    assert found.layout == "folders"
    assert "labels.csv labels 1 images otherwise; the class folders are taken" in found.notes


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (FOLDERS | TEST, "no sample submission"),
        (FOLDERS | SAMPLE, "no folder of test images"),
        (TEST | SAMPLE, "no folder of training images"),
        (FOLDERS | TEST | {"sample_submission.csv": "id,b,c\nt1,0,0\n"}, "not the classes"),
        (FOLDERS | TEST | {"sample_submission.csv": "id,b,a\nq,0,0\n"}, "none of its 1 ids"),
        (
            {**TABLE, "train.csv": "id,b,a\n1,1,0\n2,0,1\n03,0,1\n"} | TEST | SAMPLE,
            r"idxmax\(axis=1\)",
        ),
        (
            {**TABLE, "train.csv": "id,label,class\n1,b,x\n2,a,y\n03,a,y\n"}
            | TEST
            | {"sample_submission.csv": "id,answer\nt1,\nt2,\n"},
            "--label-column",
        ),
    ],
)
def test_what_the_engine_cannot_train_on_is_refused_with_the_mend(
    files: dict[str, tuple[int, int] | str], says: str, write: Write
) -> None:
    with pytest.raises(InputError) as refused:
        inspect(write(files))
    assert re.search(says, str(refused.value)), str(refused.value)


def test_everything_that_is_wrong_is_said_at_once(write: Write) -> None:
    with pytest.raises(InputError) as refused:
        inspect(write({"notes.txt": "x"}))
    for what in ("no sample submission", "no folder of test images", "no folder of training"):
        assert what in str(refused.value)


def test_the_option_that_an_error_names_settles_it(write: Write, tmp_path: Path) -> None:
    files = {**TABLE, "train.csv": "id,label,class\n1,b,x\n2,a,y\n03,a,y\n"}
    sample = {"sample_submission.csv": "id,answer\nt1,\nt2,\n"}
    found = inspect(write(files | TEST | sample), label_column="class")
    assert accepted(found, tmp_path).classes == ["x", "y"]


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data folder"):
        inspect(tmp_path / "nowhere")


def test_the_fixture(tmp_path: Path) -> None:
    found = accepted(inspect(FIXTURE), tmp_path)
    assert found.classes == ["leaf_rust", "stem_rust", "healthy_wheat"]
    assert found.counts == {"leaf_rust": 36, "stem_rust": 36, "healthy_wheat": 24}


def test_real_photos_in_both_layouts(shared_data: Path, tmp_path: Path) -> None:
    rice = shared_data / "rice"
    found = accepted(inspect(rice), tmp_path)
    assert (found.layout, found.ids, found.image_size) == ("folders", "stem", 224)
    assert (found.train_images, found.test_images) == (207, 69)
    table = tmp_path / "table"
    (table / "train").mkdir(parents=True)
    for image in (rice / "train").glob("*/*"):
        shutil.copyfile(image, table / "train" / image.name)
    shutil.copytree(rice / "test", table / "test")
    for name in ("labels.csv", "sample_submission.csv"):
        shutil.copyfile(rice / name, table / name)
    as_table = accepted(inspect(table), tmp_path)
    assert as_table.layout == "table"
    assert as_table.counts == found.counts
