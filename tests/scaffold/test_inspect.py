"""What `twinrun init` sees in a data folder, and what it refuses."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tests.conftest import FIXTURE
from tests.found import settings_of
from twinrun.blend.submission import (
    bind_to_sample,
    read_sample,
    refuse_other_images,
    submission_problems,
)
from twinrun.config.one_hot import ONE_PER_CLASS
from twinrun.config.reading import read_settings
from twinrun.data.index import build_index
from twinrun.errors import InputError
from twinrun.scaffold.inspect import Findings, inspect

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files into a data folder: even images where a size is given, otherwise the text."""

    def writes(files: Mapping[str, tuple[int, int] | str]) -> Path:
        for name, content in files.items():
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.write_text(content, encoding="utf-8")
            elif content == PHOTO:
                Image.effect_noise(SIZE, 80).save(path)
            else:
                Image.new("RGB", content, (len(name), 1, 2)).save(path)
        return tmp_path / "data"

    return writes


SIZE = (70, 50)
PHOTO = (0, 0)  # of that size, and of no even areas
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
    """The findings, once the engine's index and its sample have accepted settings of them."""
    settings = settings_of(found)
    index = build_index(settings)
    counts = index.loc[index["part"] == "train", "label"].value_counts().to_dict()
    assert counts == found.counts
    assert (index["part"] == "test").sum() == found.test_images
    path, asked = found.folder / found.sample_submission, (settings.asked_classes, found.columns)
    test_ids = index.loc[index["part"] == "test", "id"].tolist()
    refuse_other_images(read_sample(path, *asked, known=test_ids), test_ids, path, *asked)
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
    assert "the smallest class, b, has 1 image" in found.notes


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
        ("id,kind,p\nt1,a,0\nt2,b,0\nt2,a,0\nt1,b,0\n", "long"),
        ("key,p\nt1_a,0\nt2_b,0\nt2_a,0\nt1_b,0\n", "joined"),
        ("key,p\na-t1.jpg,0\nb-t1.jpg,0\na-t2.jpg,0\nb-t2.jpg,0\n", "joined"),
    ],
)
def test_what_a_submission_holds(sample: str, columns: str, write: Write, tmp_path: Path) -> None:
    found = inspect(write(FOLDERS | TEST | {"sample_submission.csv": sample}))
    assert accepted(found, tmp_path).columns == columns


@pytest.mark.parametrize(
    "sample",
    ["key,p\nt1_a,0\nt1_b,0\nt2_a,0\n", "id,kind,p\nt1,a,0\nt1,b,0\nt2,a,0\n"],
)
def test_a_row_per_class_that_is_not_there_is_named(sample: str, write: Write) -> None:
    with pytest.raises(InputError, match="t2: no row for the class b"):
        inspect(write(FOLDERS | TEST | {"sample_submission.csv": sample}))


def test_classes_of_other_names_beside_the_ids_are_told(write: Write) -> None:
    rows = "".join(f"t{number}_{name},0\n" for number in (1, 2) for name in "xy")
    with pytest.raises(InputError, match=r"such as 't1_x'; .* one of the classes, .*: a, b"):
        inspect(write(FOLDERS | TEST | {"sample_submission.csv": f"key,p\n{rows}"}))


def test_of_a_row_per_class_an_image_that_is_not_there_is_noted(write: Write) -> None:
    rows = "".join(f"t{number}_{name},0\n" for number in (1, 2, 3) for name in "ab")
    found = inspect(write(FOLDERS | TEST | {"sample_submission.csv": f"key,p\n{rows}"}))
    assert any(
        "1 id of sample_submission.csv without an image in test/: t3" in n for n in found.notes
    )


def test_a_column_for_each_class_is_read(write: Write, tmp_path: Path) -> None:
    table = "id,UNK,a,none,b\n1,0.0,0.0,0.0,1.0\n2,0.0,1.0,0.0,0.0\n03,0.0,1.0,0.0,0.0\n"
    sample = {"sample_submission.csv": "id,a,b,UNK\nt1,0,0,0\nt2,0,0,0\n"}
    data = write({**TABLE, "train.csv": table} | TEST | sample)
    found = accepted(inspect(data), tmp_path)
    assert (found.classes, found.unseen) == (["a", "b"], ["UNK"])
    assert found.label_column == ONE_PER_CLASS
    assert found.counts == {"a": 2, "b": 1}
    notes = "\n".join(found.notes)
    for words in (
        "train.csv has a column of 0 and 1 for each class",
        "columns of 0 only in train.csv, no classes: none",
        "no training image is of UNK, which sample_submission.csv asks for",
    ):
        assert words in notes
    auto = read_settings(
        changes=[
            *("competition.name='x'", 'competition.classes="auto"', f"data.folder={str(data)!r}"),
            *("data.layout='table'", "data.labels='train.csv'", "data.id_column='id'"),
            f"data.label_column={ONE_PER_CLASS!r}",
        ]
    )
    assert auto.classes == ["a", "b"]


def test_a_table_of_other_things_is_no_rival_of_one_with_a_column_for_each_class(
    write: Write, tmp_path: Path
) -> None:
    tables = {
        "train_truth.csv": "id,a,b\n1,0,1\n2,1,0\n03,1,0\n",
        "train_about.csv": "id,age,sex\n1,50,f\n2,60,m\n03,50,f\n",
    }
    images = {name: size for name, size in TABLE.items() if name != "train.csv"}
    found = accepted(inspect(write(images | tables | TEST | SAMPLE)), tmp_path)
    assert (found.labels, found.classes) == ("train_truth.csv", ["b", "a"])


def test_an_empty_class_folder_that_the_sample_asks_for_is_always_0(
    write: Write, tmp_path: Path
) -> None:
    sample = {"sample_submission.csv": "id,b,none,a\nt1,0,0,0\nt2,0,0,0\n"}
    data = write(FOLDERS | TEST | sample)
    with pytest.raises(InputError, match="none: a column, but no such class"):
        inspect(data)
    (data / "train" / "none").mkdir()
    found = accepted(inspect(data), tmp_path)
    assert (found.classes, found.unseen) == (["b", "a"], ["none"])
    assert any("no training image is of none, which" in note for note in found.notes)


def test_a_class_that_only_the_sample_knows_is_the_users_to_go_without(
    write: Write, tmp_path: Path
) -> None:
    sample = {"sample_submission.csv": "id,b,none,a\nt1,0,0,0\nt2,0,0,0\n"}
    for files in (FOLDERS, TABLE):
        folder = write(files | TEST | sample)
        assert "Or, if no training image is of these: --answer unseen='none'" in refused(folder)
        found = accepted(inspect(folder, unseen=["none"]), tmp_path)
        assert (found.classes, found.unseen) == (["b", "a"], ["none"])
        shutil.rmtree(folder)


def test_ids_that_differ_only_in_case_are_different(write: Write, tmp_path: Path) -> None:
    files = {
        **{f"train/{name}.jpg": SIZE for name in ("a1B", "a1b", "A1B")},
        **{f"test/{name}.jpg": SIZE for name in ("x7", "X7")},
        "train.csv": "id,label\na1B,b\na1b,a\nA1B,a\n",
        "sample_submission.csv": "id,b,a\nx7,0,0\nX7,0,0\n",
    }
    folder = write(files)
    if len(list((folder / "train").iterdir())) < 3:
        pytest.skip("this file system knows no case")
    found = accepted(inspect(folder), tmp_path)
    index = build_index(settings_of(found))
    assert index["id"].tolist() == ["X7", "x7", "A1B", "a1B", "a1b"]
    assert index["label"].tolist() == ["", "", "a", "b", "a"]
    sample = read_sample(folder / found.sample_submission, found.classes)
    valid = pd.DataFrame({"id": ["X7", "x7"], "b": [0.25, 0.5], "a": [0.75, 0.5]})
    assert submission_problems(valid, sample, found.classes, rows_sum_to_one=True) == []
    assert bind_to_sample(valid, sample, found.classes)["b"].tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (FOLDERS | TEST, "no sample submission"),
        (FOLDERS | SAMPLE, "no folder of test images"),
        (TEST | SAMPLE, "no folder of training images"),
        (FOLDERS | TEST | {"sample_submission.csv": "id,b,c\nt1,0,0\n"}, "not the classes"),
        (FOLDERS | TEST | {"sample_submission.csv": "id,b,a\nq,0,0\n"}, "none of its 1 ids"),
        (
            {**TABLE, "train.csv": "id,b,a\n1,1,0\n2,1,1\n03,0,1\n"} | TEST | SAMPLE,
            "2: b and a",
        ),
        (
            {**TABLE, "train.csv": "id,score\n1,60\n2,75\n03,60\n"}
            | TEST
            | {"sample_submission.csv": "id,score\nt1,67.31\nt2,41\n"},
            "numbers such as 67.31, and the labels are numbers: a task of regression",
        ),
        (
            {f"train/images/{n}.png": PHOTO for n in (1, 2)}
            | {f"train/masks/{n}.png": SIZE for n in (1, 2)}
            | TEST
            | SAMPLE,
            "train/masks holds a mask of each image in train/images/: a task of segmentation",
        ),
        (
            {f"train/im/{n}.png": PHOTO for n in (1, 2)}
            | {f"train/im_mask/{n}_mask.png": SIZE for n in (1, 2)}
            | TEST
            | SAMPLE,
            "a task of segmentation",
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


def refused(folder: Path, **chosen: str) -> str:
    """What `inspect` says against a folder."""
    with pytest.raises(InputError) as error:
        inspect(folder, **chosen)
    return str(error.value)


ONE_COLUMN = "id,label\nt1,a\nt2,a\n"


def test_two_test_folders_are_told_apart_by_the_sample_or_by_the_user(
    write: Write, tmp_path: Path
) -> None:
    folder = write(FOLDERS | TEST | SAMPLE | {"test_old/o.jpg": SIZE})
    found = accepted(inspect(folder), tmp_path)
    assert found.test == "test"
    assert any("not used: test_old/ (1)" in note for note in found.notes)
    write({"test_old/t1.jpg": SIZE, "test_old/t2.jpg": SIZE})
    said = refused(folder)
    assert "test/ or test_old/" in said
    assert "--test" in said
    assert accepted(inspect(folder, test="test"), tmp_path).test == "test"


def test_two_training_folders_or_tables_or_samples_are_the_users_to_choose(
    write: Write, tmp_path: Path
) -> None:
    folder = write(FOLDERS | TEST | SAMPLE | {"training/a/1.jpg": SIZE, "training/b/2.jpg": SIZE})
    assert "--train" in refused(folder)
    assert accepted(inspect(folder, train="training/"), tmp_path).train_images == 2
    write({"old/sample_submission.csv": "id,b,a\nt1,0,1\n"})
    said = refused(folder)
    assert "old/sample_submission.csv or sample_submission.csv" in said
    assert "--sample" in said
    assert "--train" in said
    chosen = inspect(folder, train="train", sample="sample_submission.csv")
    assert chosen.sample_submission == "sample_submission.csv"


def test_two_tables_that_differ_are_the_users_to_choose(write: Write, tmp_path: Path) -> None:
    files = TABLE | TEST | SAMPLE
    folder = write(files | {"labels.csv": "id,label\n1,a\n2,b\n03,b\n"})
    assert "labels.csv or train.csv" in refused(folder)
    assert accepted(inspect(folder, labels="labels.csv"), tmp_path).counts == {"b": 2, "a": 1}
    write({"labels.csv": files["train.csv"]})
    assert accepted(inspect(folder), tmp_path).counts == {"b": 1, "a": 2}


def test_an_option_that_names_nothing(write: Write) -> None:
    folder = write(FOLDERS | TEST | SAMPLE)
    assert "did you mean 'train'?" in refused(folder, train="trian")
    assert "did you mean 'test'?" in refused(folder, test="tset")
    assert "no such file" in refused(folder, sample="nothing.csv")
    assert "no such file" in refused(write(TABLE), labels="nothing.csv")


def test_a_second_download_of_the_sample_is_no_second_sample(write: Write, tmp_path: Path) -> None:
    copy = {"sample_submission (1).csv": SAMPLE["sample_submission.csv"]}
    assert accepted(inspect(write(FOLDERS | TEST | SAMPLE | copy)), tmp_path).classes == ["b", "a"]


def test_archives_in_archives(write: Write, tmp_path: Path) -> None:
    deeper = {f"{name.split('/')[0]}/{name}": size for name, size in (FOLDERS | TEST).items()}
    found = accepted(inspect(write({**deeper, **SAMPLE, ".hidden/x.jpg": SIZE})), tmp_path)
    assert (found.train, found.test) == ("train/train", "test/test")


def test_class_folders_in_the_test_folder(write: Write, tmp_path: Path) -> None:
    found = accepted(inspect(write(FOLDERS | TEST | SAMPLE | {"test/a/9.jpg": SIZE})), tmp_path)
    assert "1 image in test/a/ is not used" in found.notes
    only = write({"other/x": ""}).parent / "only"
    shutil.copytree(tmp_path / "data", only)
    shutil.rmtree(only / "test" / "a")
    for name in TEST:
        (only / "test" / "b").mkdir(exist_ok=True)
        (only / name).rename(only / "test" / "b" / Path(name).name)
    assert accepted(inspect(only), tmp_path).test_images == 2


@pytest.mark.parametrize("option", ["train", "test", "labels", "sample"])
def test_an_option_with_a_name_that_no_file_can_have(write: Write, option: str) -> None:
    with pytest.raises(InputError):
        inspect(write(TABLE | TEST | SAMPLE), **{option: "a" * 300})


def test_ids_that_name_no_file(write: Write) -> None:
    base = FOLDERS | TEST
    folder = write(base | {"sample_submission.csv": "id,b,a\nelsewhere/t1.jpg,0,0\n"})
    assert "other folders before the file name" in refused(folder)
    write({"sample_submission.csv": "id,b,a\nT1.JPG,0,0\n"})
    assert "upper and lower case" in refused(folder)


def test_table_and_sample_that_name_images_differently(write: Write, tmp_path: Path) -> None:
    names = {"train.csv": "id,label\n1.jpg,b\n2.jpg,a\n03.jpg,a\n"}
    assert accepted(inspect(write(TABLE | names | TEST | SAMPLE)), tmp_path).ids == "stem"


def test_training_images_of_one_name_are_told_apart(write: Write, tmp_path: Path) -> None:
    found = accepted(inspect(write(FOLDERS | {"train/b/2.jpg": SIZE} | TEST | SAMPLE)), tmp_path)
    assert any("paths: train/a/2.jpg, train/b/2.jpg" in note for note in found.notes)


def test_two_test_images_with_one_id(write: Write) -> None:
    files = {"test/x/1.jpg": SIZE, "test/y/1.jpg": SIZE}
    said = refused(write(FOLDERS | files | {"sample_submission.csv": "id,b,a\n1,0,0\n"}))
    assert "1: test/x/1.jpg, test/y/1.jpg" in said


def test_ids_that_are_paths(write: Write, tmp_path: Path) -> None:
    sample = {"sample_submission.csv": "id,b,a\ntest/t1.jpg,0,0\ntest/t2.jpg,0,0\n"}
    assert accepted(inspect(write(FOLDERS | TEST | sample)), tmp_path).ids == "path"


def test_classes_that_cannot_be(write: Write) -> None:
    sample = {"sample_submission.csv": ONE_COLUMN}
    folder = write(FOLDERS | {"train/A/7.jpg": SIZE} | TEST | sample)
    assert "differ only in upper and lower case" in refused(folder)
    shutil.rmtree(folder / "train")
    write({**TABLE, "train.csv": "id,label\n1,a/b\n2,a\n03,a\n"})
    assert "'a/b', allowed: 1 to 100 characters" in refused(folder)
    write({"train.csv": "id,label\n1,a\n2,a\n03,a\n"})
    assert "only one class" in refused(folder)


def test_values_that_are_no_classes(write: Write) -> None:
    images = {f"train/{number}.jpg": SIZE for number in range(25)}
    rows = "".join(f"{number},{number / 7:.3f}\n" for number in range(25))
    said = refused(write(images | {"train.csv": "id,yield\n" + rows} | TEST | SAMPLE))
    assert "25 different numbers" in said


def test_images_of_a_class_deeper_down(write: Write, tmp_path: Path) -> None:
    deep = {"train/b/1.jpg": SIZE, "train/a/images/2.jpg": SIZE}
    assert accepted(inspect(write(deep | TEST | SAMPLE)), tmp_path).counts == {"b": 1, "a": 1}


@pytest.mark.parametrize("name", ["train/a/1/2/3/4/5/6.jpg", "test/1/2/3/4/5/6/t3.jpg"])
def test_images_too_deep_to_be_looked_for_are_no_silent_loss(
    name: str, write: Write, tmp_path: Path
) -> None:
    folder = write(FOLDERS | TEST | SAMPLE)
    found = inspect(folder)
    deep = "/".join(name.split("/")[:6])
    (folder / deep).mkdir(parents=True)
    accepted(inspect(folder), tmp_path)  # an empty folder takes nothing away
    write({name: SIZE})
    with pytest.raises(InputError, match=f"not looked into:\n  {deep}"):
        inspect(folder)
    with pytest.raises(InputError, match=f"not looked into:\n  {deep}"):
        accepted(found, tmp_path)


def test_folders_that_may_be_classes_or_hold_them(write: Write, tmp_path: Path) -> None:
    deep = {"train/b/x/1.jpg": SIZE, "train/a/x/2.jpg": SIZE, "train/a/y/3.jpg": SIZE}
    label = {"sample_submission.csv": "id,label\nt1,?\nt2,?\n"}
    assert "--train" in refused(write(deep | TEST | label))
    label = {"sample_submission.csv": "id,label\nt1,a\nt2,b\n"}
    assert accepted(inspect(write(label)), tmp_path).counts == {"b": 1, "a": 2}
    named = write({"sample_submission.csv": "id,x,y\nt1,0,0\nt2,0,0\n"})
    assert accepted(inspect(named), tmp_path).train == ["train/a", "train/b"]


@pytest.mark.parametrize(
    ("name", "separator", "word"),
    [
        ("sample_submission.csv", ";", "semicolons"),
        ("sample_submission.tsv", "\t", "tabs"),
        ("sample_submission.csv", "|", "bars"),
    ],
)
def test_a_sample_that_is_not_separated_by_commas_is_read_and_said(
    name: str, separator: str, word: str, write: Write, tmp_path: Path
) -> None:
    sample = {name: SAMPLE["sample_submission.csv"].replace(",", separator)}
    found = accepted(inspect(write(TABLE | TEST | sample)), tmp_path)
    assert (found.sample_submission, found.columns, found.classes) == (name, "classes", ["b", "a"])
    said = f"{name} is read as separated by {word}, and submissions are written so"
    assert said in found.notes


@pytest.mark.parametrize("sample", ["id, b, a\nt1, 0, 0\nt2, 0, 0\n", "id, label\nt1, b\nt2, a\n"])
def test_a_blank_after_the_samples_commas(sample: str, write: Write, tmp_path: Path) -> None:
    accepted(inspect(write(FOLDERS | TEST | {"sample_submission.csv": sample})), tmp_path)


def test_names_that_are_not_utf8(write: Write) -> None:
    folder = write(FOLDERS | TEST | SAMPLE)
    try:
        shutil.copyfile(folder / "test/t1.jpg", folder / "train/a/\udcff.jpg")
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    assert "\\xff.jpg" in refused(folder)


def test_what_a_run_will_refuse_is_noted(write: Write) -> None:
    table = {"train.csv": "id,label\n1,b\n2,a\n7,a\n8,\n2,b\n4,\n", "train/4.jpg": SIZE}
    sample = {"sample_submission.csv": "id,b,a\nt1,0,0\nt9,0,0\n"}
    notes = inspect(write(TABLE | table | TEST | sample)).notes
    for what in (
        "1 image in train/ without a row in train.csv: train/03.jpg;",
        "1 id of train.csv without an image in train/: 7;",
        "1 id of train.csv without a label: 4;",
        "1 id of train.csv with different labels: 2;",
        "1 row of train.csv left out, without a label and without a training image: 8",
        "1 id of sample_submission.csv without an image in test/: t9;",
        "1 image in test/ that sample_submission.csv does not name: t2;",
    ):
        assert any(note.startswith(what) for note in notes), notes


def test_what_is_left_out_is_noted(write: Write, tmp_path: Path) -> None:
    others = {
        "train/read.me": "",
        "train/a/Thumbs.db": "",
        "train/.DS_Store": "",
        "train/empty/x.txt": "",
        "train/loose.jpg": SIZE,
        "valid/a/v.jpg": SIZE,
    }
    notes = accepted(inspect(write(FOLDERS | TEST | SAMPLE | others)), tmp_path).notes
    assert "passed over in train/: 2 empty: read.me, a/Thumbs.db" in notes
    assert "1 image in train/ is not used" in notes
    assert "folders in train/ without an image, no classes: empty" in notes
    assert "folders of images that are not used: valid/ (1)" in notes


def test_a_damaged_image_is_noted_and_only_damaged_ones_are_refused(write: Write) -> None:
    folder = write(FOLDERS | TEST | SAMPLE | {"train/a/bad.jpg": "no image"})
    assert any("1 cannot be read: train/a/bad.jpg" in note for note in inspect(folder).notes)
    for path in (folder / "train").glob("*/*.jpg"):
        path.write_text("no image")
    assert "none of the 4 training images" in refused(folder)


@pytest.mark.parametrize(
    ("column", "values", "columns", "last", "open_"),
    [
        ("label", "a b", "label", "b", 0),
        ("a", "0.5 0.5", "probability", "a", 0),
        ("a", "0 0", "probability", "a", 0),
        ("target", "0 0", "probability", "b", 1),
        ("target", "x y", "label", "b", 1),
    ],
)
def test_one_column_between_two_classes(
    column: str, values: str, columns: str, last: str, open_: int, write: Write, tmp_path: Path
) -> None:
    first, second = values.split()
    sample = {"sample_submission.csv": f"id,{column}\nt1,{first}\nt2,{second}\n"}
    found = accepted(inspect(write(FOLDERS | TEST | sample)), tmp_path)
    assert (found.columns, found.classes[-1], len(found.questions)) == (columns, last, open_)


def test_classes_0_and_1_may_be_probabilities(write: Write, tmp_path: Path) -> None:
    table = {"train.csv": "id,label\n1,0\n2,1\n03,1\n"}
    sample = {"sample_submission.csv": "id,label\nt1,0\nt2,0\n"}
    found = accepted(inspect(write(TABLE | table | TEST | sample)), tmp_path)
    assert (found.columns, found.classes) == ("label", ["0", "1"])
    assert "may be either" in found.questions[0]


def test_sizes_are_taken_of_evenly_spaced_images(write: Write) -> None:
    files = {f"train/{'ab'[n % 2]}/{n:04}.png": (300 + n % 2, 200) for n in range(402)}
    found = inspect(write(files | TEST | SAMPLE))
    assert found.train_images == 402
    assert (found.smallest, found.largest, found.height) == (200, 301, 200)
    assert found.image_size == 192


@pytest.mark.parametrize(
    ("column", "step", "noted"),
    [
        ("target", 1, True),
        ("label", 3, True),
        ("label", 1, False),
        ("species", 3, False),
    ],
)
def test_many_numbers_that_may_be_classes_are_noted(
    column: str, step: int, noted: bool, write: Write, tmp_path: Path
) -> None:
    images = {f"train/{n}.png": SIZE for n in range(60)}
    rows = "".join(f"{n},{n % 30 * step}\n" for n in range(60))
    sample = {"sample_submission.csv": f"id,{column}\nt1,0\nt2,0\n"}
    data = write(images | TEST | sample | {"train.csv": f"id,{column}\n{rows}"})
    found = accepted(inspect(data), tmp_path)
    told = [note for note in found.notes if "each taken as a class" in note]
    assert bool(told) == noted
    if noted:
        assert "30 different numbers" in told[0]
        assert "--labels, data.labels" in told[0]
    named = inspect(data, label_column=column)
    assert not [note for note in named.notes if "each taken as a class" in note]


@pytest.mark.parametrize(
    ("column", "row", "told"),
    [
        ("individual", "{0}", ""),
        ("count", "{0}", "a task of regression"),
        ("individual", "{0}00", "a task of regression"),
        ("whaleId", "{0}00", "30 different values in 40 rows"),
        ("individual", "w{0}", "30 different values in 40 rows"),
    ],
)
def test_classes_of_an_image_or_two_are_taken_and_else_the_way_out_is(
    column: str, row: str, told: str, write: Write, tmp_path: Path
) -> None:
    images = {f"train/{n}.png": SIZE for n in range(40)}
    rows = "".join(f"{n},{row.format(n % 30)}\n" for n in range(40))
    sample = {"sample_submission.csv": f"id,{column}\nt1,{row.format(1)}\nt2,{row.format(2)}\n"}
    data = write(images | TEST | sample | {"train.csv": f"id,{column}\n{rows}"})
    if told:
        said = refused(data)
        assert told in said
        assert "--label-column" in said
    else:
        assert len(accepted(inspect(data), tmp_path).classes) == 30
    named = accepted(inspect(data, label_column=column), tmp_path)
    assert (len(named.classes), named.label_column) == (30, column)


def test_labels_that_the_user_calls_classes_are_so_beside_a_sample_of_decimals(
    write: Write, tmp_path: Path
) -> None:
    table = {"train.csv": "id,score\n1,60\n2,75\n03,60\n"}
    sample = {"sample_submission.csv": "id,score\nt1,67.31\nt2,41\n"}
    data = write(TABLE | table | TEST | sample)
    assert "--label-column" in refused(data)
    assert accepted(inspect(data, label_column="score"), tmp_path).classes == ["60", "75"]
