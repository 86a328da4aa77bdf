"""What stands among the images and is not read is counted and named; a class of it is told so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.data.index import build_index
from twinrun.data.passed_over import lines_on, passed_over
from twinrun.errors import InputError
from twinrun.scaffold.inspect import inspect

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40
DICOM = b"\0" * 128 + b"DICM" + b"\2\0\0\0" * 20
CLASSES = "competition.classes=['healthy','rust']"


def save(path: Path, kind: str = "PNG") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (len(path.name), 99, 0)).save(path, kind)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for place in ("train/rust/1.png", "train/rust/2.png", "train/healthy/3.png", "test/5.png"):
        save(folder / place)
    (folder / "sample_submission.csv").write_text("ID,healthy,rust\n5,0,0\n")
    return folder


@pytest.fixture
def settings(data: Path, small_toml: Path) -> Callable[..., Settings]:
    return lambda *changes: read_settings(small_toml, data=data, changes=[CLASSES, *changes])


def found(settings: Settings) -> dict[str, str]:
    others = passed_over(settings, build_index(settings)["path"])
    return {path: other.words for path, other in others.items()}


def test_images_of_any_suffix_are_read_and_nothing_is_passed_over(
    data: Path, settings: Callable[..., Settings]
) -> None:
    for name, kind in (
        ("4", "JPEG"),
        ("6.jpg_large", "JPEG"),
        ("7.ppm", "PPM"),
        ("8.jp2", "JPEG2000"),
    ):
        save(data / "train/rust" / name, kind)
    save(data / "test" / "20288C", "AVIF")
    index = build_index(settings())
    assert set(index["id"]) == {"1", "2", "3", "4", "5", "6", "7", "8", "20288C"}
    assert found(settings()) == {}
    assert lines_on({}) == []


def test_what_is_passed_over_is_named_with_what_it_is(
    data: Path, settings: Callable[..., Settings]
) -> None:
    before = build_index(settings())
    for place, content in (
        ("train/rust/a.heic", HEIC),
        ("train/rust/b.heic", HEIC),
        ("train/healthy/c.dcm", DICOM),
        ("train/notes.txt", b"notes"),
        ("test/labels.csv", b"ID,label\n1,a\n"),
        ("train/.hidden", b"hidden"),
        ("test/__MACOSX/d.bin", b"\0\1\2"),
    ):
        (data / place).parent.mkdir(exist_ok=True)
        (data / place).write_bytes(content)
    save(data / "train" / "stray.png")
    assert build_index(settings()).equals(before)
    assert found(settings()) == {
        "test/labels.csv": "text",
        "train/healthy/c.dcm": "DICOM",
        "train/notes.txt": "text",
        "train/rust/a.heic": "HEIC",
        "train/rust/b.heic": "HEIC",
        "train/stray.png": "image that is not asked for",
    }
    lines = lines_on(passed_over(settings(), before["path"]))
    told = ["".join(part if isinstance(part, str) else part[0] for part in line) for line in lines]
    assert told[0] == "passed    over 6 files beside the images:"
    assert "          2 HEIC: train/rust/a.heic, train/rust/b.heic" in told
    assert any("pillow-heif" in line for line in told)
    assert any("save it as PNG" in line for line in told)
    assert max(map(len, told)) < 130


def test_a_class_whose_files_are_all_passed_over_is_told_so(
    data: Path, settings: Callable[..., Settings]
) -> None:
    for number in range(12):
        (data / "train" / "smut").mkdir(exist_ok=True)
        (data / "train" / "smut" / f"{number}.heic").write_bytes(HEIC)
    asked = "competition.classes=['healthy','rust','smut']"
    # A list of classes that lacks the third loses nothing in silence either.
    for changes in ((asked,), ("competition.classes=auto",), ()):
        with pytest.raises(InputError) as refused:
            build_index(settings(*changes))
        told = str(refused.value)
        assert f"{data / 'train/smut'}: no image in it that can be read: 12 HEIC" in told
        assert "no such" not in told


@pytest.mark.parametrize("place", ["smut", "smut/shard"])
@pytest.mark.parametrize("sample", ["ID,healthy,rust,smut\n5,0,0,0\n", "ID,label\n5,rust\n"])
def test_init_refuses_a_class_whose_files_are_all_passed_over(
    sample: str, place: str, data: Path
) -> None:
    (data / "train" / place).mkdir(parents=True)
    (data / "train" / place / "1.heic").write_bytes(HEIC)
    (data / "sample_submission.csv").write_text(sample)
    with pytest.raises(InputError) as refused:
        inspect(data)
    assert f"{data / 'train' / place}: no image in it that can be read: 1 HEIC" in str(
        refused.value
    )


def test_a_table_is_the_way_out_of_a_class_whose_files_are_all_passed_over(data: Path) -> None:
    (data / "train" / "smut").mkdir()
    (data / "train" / "smut" / "1.heic").write_bytes(HEIC)
    (data / "sample_submission.csv").write_text("ID,label\n5,rust\n")
    with pytest.raises(InputError, match="--labels"):
        inspect(data)
    labels = data.parent / "labels.csv"
    labels.write_text("ID,label\n1,rust\n2,rust\n3,healthy\n")
    assert inspect(data, labels=str(labels)).counts == {"rust": 2, "healthy": 1}


@pytest.mark.parametrize("sample", ["ID,healthy,rust,smut\n5,0,0,0\n", "ID,label\n5,smut\n"])
def test_a_class_whose_files_are_all_passed_over_may_be_gone_without(
    sample: str, data: Path, settings: Callable[..., Settings]
) -> None:
    (data / "train" / "smut").mkdir()
    (data / "train" / "smut" / "1.heic").write_bytes(HEIC)
    (data / "sample_submission.csv").write_text(sample)
    with pytest.raises(InputError) as refused:
        inspect(data)
    told = str(refused.value)
    assert "pillow-heif" in told
    assert "--answer unseen='smut' of init, submission.unseen of the settings" in told
    assert "no table" not in told, "that is no second fault"
    found = inspect(data, unseen=["smut"])
    assert (found.classes, found.unseen) == (["healthy", "rust"], ["smut"])
    assert any("no training image is of smut" in note for note in found.notes)
    with pytest.raises(InputError, match=r"submission\.unseen"):
        build_index(settings())
    for changes in ((), ("competition.classes=auto",)):
        index = build_index(settings("submission.unseen=['smut']", *changes))
        assert sorted(set(index["label"])) == ["", "healthy", "rust"]


def test_init_names_what_it_passes_over_as_a_run_does(data: Path) -> None:
    for name, content in (("a.heic", HEIC), ("b.heic", HEIC), ("c.dcm", DICOM), ("d.txt", b"x")):
        (data / "train" / "rust" / name).write_bytes(content)
    notes = [note for note in inspect(data).notes if note.startswith("passed over in train/")]
    assert len(notes) == 3
    assert notes[0].startswith("passed over in train/: 2 HEIC: rust/a.heic, rust/b.heic; to read")
    assert "pillow-heif" in notes[0]
    assert notes[1].startswith("passed over in train/: 1 DICOM: rust/c.dcm; a medical image")
    assert notes[2] == "passed over in train/: 1 text: rust/d.txt"


def test_a_folder_without_a_picture_is_no_class(
    data: Path, settings: Callable[..., Settings]
) -> None:
    (data / "train" / "notes").mkdir()
    (data / "train" / "notes" / "a.json").write_text("{}")
    assert settings("competition.classes=auto").classes == ["healthy", "rust"]
