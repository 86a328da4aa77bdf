"""Every layout of a data folder is read as what was drawn: which images, their ids and labels."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.found import settings_of
from tests.layouts import LAYOUTS, Laid, draw, lay_out, read_set
from twinrun.data.index import build_index, data_digest
from twinrun.errors import InputError
from twinrun.scaffold.inspect import Findings, inspect


def lay(name: str, tmp_path: Path) -> Laid:
    return lay_out(name, tmp_path / "data", *draw(tmp_path / "set"))


def read(laid: Laid) -> tuple[Findings, list[str]]:
    """What is found in a data folder, and what is said; the index is compared with the truth."""
    labels = str(laid.labels) if laid.labels else None
    found = inspect(laid.folder, labels=labels)
    said: list[str] = []
    index = build_index(settings_of(found), said)
    train = index[index["part"] == "train"]
    assert dict(zip(train["path"], train["label"], strict=True)) == laid.truth
    assert found.counts == train["label"].value_counts().to_dict()
    stems = [path.rpartition("/")[2].rpartition(".")[0] for path in train["path"]]
    assert train["id"].tolist() == [
        stem if stems.count(stem) == 1 else path
        for stem, path in zip(stems, train["path"], strict=True)
    ]
    test = index[index["part"] == "test"]
    assert dict(zip(test["id"], test["path"], strict=True)) == laid.test
    assert (found.train_images, found.test_images) == (len(train), len(test))
    assert not [note for note in found.notes if "refuses" in note]
    return found, said


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_what_was_drawn(name: str, tmp_path: Path) -> None:
    laid = lay(name, tmp_path)
    before = sorted(laid.folder.rglob("*"))
    found, said = read(laid)
    for words in laid.said:
        assert any(words in line for line in said), said
        assert any(words in line for line in found.notes), found.notes
    assert bool(said) is bool(laid.said)
    assert sorted(laid.folder.rglob("*")) == before


SHARDS, FOLDERS = "table over shards", "class folders and a table that agrees"


def refusal(laid: Laid, **chosen: str) -> str:
    with pytest.raises(InputError) as caught:
        inspect(laid.folder, **chosen)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_folders_that_a_table_contradicts_never_become_classes(tmp_path: Path) -> None:
    laid = lay(SHARDS, tmp_path)
    found, _ = read(laid)
    assert (found.layout, sorted(found.counts)) == ("table", ["healthy", "rust", "smut"])
    assert (
        "train.csv labels the images; the names of the folders are not looked at: part1, part2"
        in found.notes
    )
    # Nor where the settings say so.
    (laid.folder / "sample_submission.csv").write_text("ID,label\nT2,x\n", encoding="utf-8")
    settings = settings_of(
        found,
        "data.layout=folders",
        'competition.classes=["part1", "part2"]',
        "submission.columns=label",
    )
    with pytest.raises(InputError) as caught:
        build_index(settings)
    for words in (
        "18 images labelled differently by the folders in train/ and by train.csv, column 'label'",
        "by the folders in train/: part1 (9), part2 (9)",
        "by train.csv, column 'label': healthy (6), rust (6), smut (6)",
        "train/part1/004217.png: part1 or rust",
        "data.contradictions",
    ):
        assert words in str(caught.value)


def swap(laid: Laid) -> None:
    """Let the table say of one image that it is of a different class."""
    path = laid.folder / "labels.csv"
    text = path.read_text(encoding="utf-8")
    assert text.count("004217,rust") == 1
    path.write_text(text.replace("004217,rust", "004217,smut"), encoding="utf-8")


def test_a_disagreement_stops_init_and_run_with_both_readings(tmp_path: Path) -> None:
    laid = lay(FOLDERS, tmp_path)
    found, _ = read(laid)
    assert (found.layout, found.contradictions) == ("folders", "error")
    swap(laid)
    said = refusal(laid)
    for words in (
        "1 image labelled differently by labels.csv, column 'label' and by the folders in train/",
        "by labels.csv, column 'label': healthy (6), rust (5), smut (7)",
        "by the folders in train/: healthy (6), rust (6), smut (6)",
        "train/rust/004217.png: smut or rust",
        "--labels labels.csv",
        "--answer layout='folder per class'",
    ):
        assert words in said
    for layout in ("folders", "table"):
        settings = settings_of(found, f"data.layout={layout}", "data.labels=labels.csv")
        with pytest.raises(
            InputError, match=r"train/rust/004217\.png: (smut or rust|rust or smut)"
        ):
            build_index(settings)


def test_a_disagreement_is_not_passed_over_for_other_folders(tmp_path: Path) -> None:
    laid = lay(FOLDERS, tmp_path)
    image = laid.folder / "train" / "rust" / "004217.png"
    for number, label in enumerate(("rust", "healthy", "smut")):
        more = laid.folder / "training" / label / f"more{number}.png"
        more.parent.mkdir(parents=True)
        shutil.copyfile(image, more)
    assert "train/ or training/" in refusal(laid)
    swap(laid)
    said = refusal(laid)
    for words in (
        "by labels.csv, column 'label': healthy (6), rust (5), smut (7)",
        "by the folders in train/: healthy (6), rust (6), smut (6)",
        "If other folders hold the training images: --train",
    ):
        assert words in said
    assert inspect(laid.folder, train="training").train_images == 3


def _two_tables(laid: Laid) -> None:
    text = (laid.folder / "labels.csv").read_text(encoding="utf-8")
    (laid.folder / "labels_fixed.csv").write_text(
        text.replace("004217,rust", "004217,smut"), encoding="utf-8"
    )


def _two_columns(laid: Laid) -> None:
    swap(laid)
    path = laid.folder / "labels.csv"
    rows = path.read_text(encoding="utf-8").split()
    text = "".join(f"{row},{'x' if number % 2 else 'y'}\n" for number, row in enumerate(rows[1:]))
    path.write_text(f"ID,label,species\n{text}", encoding="utf-8")
    (laid.folder / "sample_submission.csv").write_text(
        "ID,prediction\n00T1,rust\nT2,rust\nT3,rust\n"
    )


def _two_labels(laid: Laid) -> None:
    with (laid.folder / "labels.csv").open("a", encoding="utf-8") as file:
        file.write("004217,smut\n")


@pytest.mark.parametrize(
    ("spoil", "label"),
    [(_two_tables, "smut"), (_two_columns, "smut"), (_two_labels, "rust and smut")],
)
def test_a_table_with_a_problem_of_its_own_still_contradicts(
    spoil: Callable[[Laid], None], label: str, tmp_path: Path
) -> None:
    laid = lay(FOLDERS, tmp_path)
    spoil(laid)
    assert f"train/rust/004217.png: {label} or rust" in refusal(laid)
    found = inspect(laid.folder, layout="folders")
    assert found.contradictions == "ignore"
    assert len(build_index(settings_of(found))) == 21
    with pytest.raises(InputError, match=rf"train/rust/004217\.png: rust or {label}"):
        build_index(settings_of(found, "data.contradictions=error"))


def test_a_column_that_agrees_makes_the_other_one_no_rival(tmp_path: Path) -> None:
    laid = lay(FOLDERS, tmp_path)
    _two_columns(laid)
    path = laid.folder / "labels.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("004217,smut", "004217,rust"))
    found, _ = read(laid)
    assert (found.layout, found.contradictions) == ("folders", "error")


def test_numbered_folders_are_no_classes_where_a_table_is_not_clear(tmp_path: Path) -> None:
    laid = lay(SHARDS, tmp_path)
    rows = "".join(f"{Path(path).stem},{n % 2},{n % 3}\n" for n, path in enumerate(laid.truth))
    (laid.folder / "train.csv").write_text(f"ID,grade,camera\n{rows}", encoding="utf-8")
    (laid.folder / "sample_submission.csv").write_text("ID,prediction\n00T1,0\nT2,0\nT3,0\n")
    said = refusal(laid)
    assert "Name the column with --label-column." in said
    assert "--answer layout='folder per class'" in said
    assert inspect(laid.folder, layout="folders").classes == ["part1", "part2"]


def test_a_table_of_a_part_of_the_images_is_told_as_that(tmp_path: Path) -> None:
    laid = lay(FOLDERS, tmp_path)
    path = laid.folder / "labels.csv"
    path.write_text("\n".join(path.read_text(encoding="utf-8").split()[:13]) + "\n")
    found, _ = read(laid)
    assert (
        "labels.csv gives the same labels for 12 images and none for 6 more; the class folders are "
        "taken" in found.notes
    )


@pytest.mark.parametrize("places", ["train/part1 train/part2", "train_1 train_2"])
def test_a_shard_that_the_table_forgot_is_refused(places: str, tmp_path: Path) -> None:
    name = "table over several training folders" if "train_1" in places else SHARDS
    laid = lay(name, tmp_path)
    found, _ = read(laid)
    first, second = places.split()
    rows = [(Path(p).stem, label) for p, label in laid.truth.items() if p.startswith(f"{first}/")]
    laid.write("train.csv", rows)
    with pytest.raises(InputError, match=rf"{second}/\w+\.png: an image without a label"):
        build_index(settings_of(found))
    notes = inspect(laid.folder).notes
    assert any(
        "9 images in train/ without a row in train.csv" in note
        or f"not used: {second}/ (9)" in note
        for note in notes
    )


def test_images_below_the_training_images_that_no_table_names_are_passed_over(
    tmp_path: Path,
) -> None:
    laid = lay("table over one folder", tmp_path)
    (laid.folder / "train" / "thumbnails").mkdir()
    thumbnail = (laid.folder / "test" / "T2.png").read_bytes()
    (laid.folder / "train" / "thumbnails" / "cover.png").write_bytes(thumbnail)
    found, _ = read(laid)
    assert "1 image in train/thumbnails/ is not used" in found.notes


@pytest.mark.parametrize(
    ("chosen", "label"), [({"labels": "labels.csv"}, "smut"), ({"layout": "folders"}, "rust")]
)
def test_the_users_word_decides_a_disagreement(
    chosen: dict[str, str], label: str, tmp_path: Path
) -> None:
    laid = lay(FOLDERS, tmp_path)
    swap(laid)
    found = inspect(laid.folder, **chosen)
    assert found.contradictions == "ignore"
    assert any(
        note.startswith("1 image labelled differently by") and note.endswith("decides, as you said")
        for note in found.notes
    )
    index = build_index(settings_of(found)).set_index("path")
    assert index.loc["train/rust/004217.png", "label"] == label


def test_a_table_and_the_folders_are_not_both_right(tmp_path: Path) -> None:
    laid = lay(FOLDERS, tmp_path)
    said = refusal(laid, labels="labels.csv", layout="folders")
    assert "--labels labels.csv" in said
    assert "layout='folder per class'" in said


def _views(laid: Laid, sample: str) -> None:
    """Photos of each class from the left and from the right, in a folder each."""
    for number, path in enumerate(sorted(laid.truth)):
        name = path.rpartition("/")[2]
        target = laid.folder / "train" / laid.truth[path] / ("left", "right")[number % 2] / name
        target.parent.mkdir(exist_ok=True)
        (laid.folder / path).rename(target)
    laid.truth = {
        path.relative_to(laid.folder).as_posix(): path.parent.parent.name
        for path in (laid.folder / "train").rglob("*.png")
    }
    rows = "".join(f"{name},{sample}\n" for name in laid.test)
    (laid.folder / "sample_submission.csv").write_text(f"ID,label\n{rows}", encoding="utf-8")


@pytest.mark.parametrize(
    ("sample", "classes"), [("rust", ["healthy", "rust", "smut"]), ("left", ["left", "right"])]
)
def test_the_samples_labels_say_which_of_two_levels_is_the_classes(
    sample: str, classes: list[str], tmp_path: Path
) -> None:
    laid = lay("class folders", tmp_path)
    _views(laid, sample)
    assert inspect(laid.folder).classes == classes
    if sample == "rust":
        read(laid)


def test_two_levels_of_folders_are_asked_about_where_nothing_tells(tmp_path: Path) -> None:
    laid = lay("class folders", tmp_path)
    _views(laid, "?")
    said = refusal(laid)
    assert "whose images stand in folders below them" in said
    assert "train/rust" in said


def test_a_table_of_something_else_beside_class_folders_decides_nothing(tmp_path: Path) -> None:
    laid = lay(FOLDERS, tmp_path)
    rows = [(Path(path).stem, f"camera{n % 2}") for n, path in enumerate(sorted(laid.truth))]
    (laid.folder / "labels.csv").unlink()
    text = "ID,camera\n" + "".join(f"{name},{camera}\n" for name, camera in rows)
    (laid.folder / "meta.csv").write_text(text, encoding="utf-8")
    found, _ = read(laid)
    assert found.layout == "folders"


def test_rows_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    laid = lay("identical rows twice", tmp_path)
    found, _ = read(laid)
    with (laid.folder / "train.csv").open("a", encoding="utf-8") as file:
        file.write("004217,smut\n")
    with pytest.raises(InputError, match=r"004217: stands in train\.csv more than once"):
        build_index(settings_of(found))
    assert any("with different labels: 004217" in note for note in inspect(laid.folder).notes)


def test_the_layout_is_no_part_of_the_identity(tmp_path: Path) -> None:
    digests = set()
    for number, name in enumerate((SHARDS, FOLDERS, "semicolons", "table elsewhere")):
        laid = lay(name, tmp_path / str(number))
        labels = str(laid.labels) if laid.labels else None
        digests.add(data_digest(build_index(settings_of(inspect(laid.folder, labels=labels)))))
    assert len(digests) == 1
    laid = lay("table elsewhere", tmp_path / "changed")
    assert laid.labels is not None
    laid.labels.write_text(laid.labels.read_text().replace("004217,rust", "004217,smut"))
    found = inspect(laid.folder, labels=str(laid.labels))
    assert data_digest(build_index(settings_of(found))) not in digests


def test_images_that_neither_table_nor_sample_names_are_left_out_and_said(tmp_path: Path) -> None:
    laid = lay("training and test images in one folder", tmp_path)
    stray = laid.folder / "images" / "stray.png"
    stray.write_bytes((laid.folder / "images" / "T2.png").read_bytes())
    found = inspect(laid.folder)
    said: list[str] = []
    index = build_index(settings_of(found), said)
    assert "stray" not in set(index["id"])
    assert said == [
        "1 image is left out, without a label and not in sample_submission.csv: images/stray.png"
    ]
    assert "1 image in images/ is not used" in found.notes
    with (laid.folder / "train.csv").open("a", encoding="utf-8") as file:
        file.write("T2,smut\n")
    with pytest.raises(InputError, match=r"that have a label, and that .*asks for:\n  images/T2"):
        build_index(settings_of(found))


def test_a_table_of_ids_only_is_no_rival(tmp_path: Path) -> None:
    laid = lay("training and test images in one folder", tmp_path)
    (laid.folder / "test.csv").write_text("ID\n00T1\nT2\nT3\n", encoding="utf-8")
    assert read(laid)[0].labels == "train.csv"


def test_one_table_of_all_images_leaves_the_test_images_labels_blank(tmp_path: Path) -> None:
    laid = lay("training and test images in one folder", tmp_path)
    table = laid.folder / "train.csv"
    blank = [f"{name}," for name in laid.test]
    table.write_text("\n".join([table.read_text().strip(), *blank]) + "\n")
    line = (
        f"{len(blank)} rows of train.csv left out, without a label and without a training image: "
        f"{', '.join(laid.test)}"
    )
    found, said = read(laid)
    assert line in said
    assert line in found.notes
    # An image of the training's own folder still needs a label.
    apart = lay("table over one folder", tmp_path / "apart")
    table = apart.folder / "train.csv"
    table.write_text(table.read_text().replace("004217,rust", "004217,"))
    with pytest.raises(InputError, match="004217: no label"):
        build_index(settings_of(inspect(apart.folder)))


@pytest.mark.slow  # 276 photos, laid out and read 28 times
def test_real_photos_in_every_layout(shared_data: Path, tmp_path: Path) -> None:
    train, test = read_set(shared_data / "rice")
    for number, name in enumerate(LAYOUTS):
        read(lay_out(name, tmp_path / str(number) / "data", train, test))


def test_the_public_fault(shared_data: Path) -> None:
    found = inspect(shared_data / "public-faults" / "table-over-shards" / "data")
    assert (found.layout, len(found.classes), found.train_images) == ("table", 4, 48)
