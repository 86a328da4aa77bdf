"""The index holds what the data folder holds: every image, in the layout the settings name."""

from __future__ import annotations

import gc
import hashlib
import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.data import index as index_module
from twinrun.data.cache import cache_pixels, with_pixels
from twinrun.data.index import build_index, data_digest
from twinrun.errors import InputError

FIXTURE = Path(__file__).parents[1] / "fixture"
CLASSES = ("leaf_rust", "stem_rust", "healthy_wheat")

SettingsFor = Callable[..., Settings]


@pytest.fixture
def settings_for(small_toml: Path) -> SettingsFor:
    """The small competition's settings on a data folder, with `key=value` changes."""

    def settings(data: Path, *changes: str) -> Settings:
        return read_settings(small_toml, data=data, changes=changes)

    return settings


def some_images(each: int) -> list[Path]:
    """The first `each` images of every class and of the test part, relative to the fixture."""
    parts = [*(FIXTURE / "train" / name for name in CLASSES), FIXTURE / "test"]
    paths = [path for part in parts for path in sorted(part.iterdir())[:each]]
    return [path.relative_to(FIXTURE) for path in paths]


def copy(images: Iterable[Path], to: Path) -> Path:
    """Copy these images of the fixture, in their order, with the same folders."""
    for image in images:
        (to / image).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(FIXTURE / image, to / image)
    return to


def as_table(folders: Path, to: Path) -> Path:
    """The same data in the other layout: all training images in one folder, beside labels.csv."""
    rows = ["ID,label"]
    (to / "train").mkdir(parents=True)
    for image in sorted((folders / "train").glob("*/*")):
        shutil.copyfile(image, to / "train" / image.name)
        rows.append(f"{image.stem},{image.parent.name}")
    shutil.copytree(folders / "test", to / "test")
    (to / "labels.csv").write_bytes(("\n".join(rows) + "\n").encode())
    return to


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Three images of each class and three test images, a folder per class."""
    return copy(some_images(3), tmp_path / "folders")


@pytest.fixture
def table(folders: Path, tmp_path: Path) -> Path:
    """The images of `folders` in the table layout."""
    return as_table(folders, tmp_path / "table")


@pytest.fixture
def fixture_index(settings_for: SettingsFor) -> pd.DataFrame:
    return build_index(settings_for(FIXTURE))


def decoded(index: pd.DataFrame, data: Path, cache: Path) -> pd.DataFrame:
    """The index with what decoding shows, in a cache of its own."""
    assert not cache.exists()
    return with_pixels(index, cache_pixels(index, data, [32], cache))


@pytest.fixture
def decoded_fixture(fixture_index: pd.DataFrame, tmp_path: Path) -> pd.DataFrame:
    return decoded(fixture_index, FIXTURE, tmp_path / "cache")


def by_id(index: pd.DataFrame) -> pd.DataFrame:
    return index.set_index("id")


def test_every_image_of_the_fixture_has_a_row_sorted_by_part_and_id(
    fixture_index: pd.DataFrame,
) -> None:
    expected = [
        *(("train", path.stem, path.parent.name) for path in (FIXTURE / "train").glob("*/*")),
        *(("test", path.stem, "") for path in (FIXTURE / "test").iterdir()),
    ]
    rows = list(fixture_index[["part", "id", "label"]].itertuples(index=False, name=None))
    assert rows == sorted(expected)
    assert fixture_index["part"].value_counts().to_dict() == {"train": 96, "test": 24}
    assert fixture_index["label"].value_counts().to_dict() == {
        "leaf_rust": 36,
        "stem_rust": 36,
        "healthy_wheat": 24,
        "": 24,
    }


def test_ids_are_text_with_their_zeros(fixture_index: pd.DataFrame) -> None:
    assert {type(image_id) for image_id in fixture_index["id"]} == {str}
    assert "004217" in set(fixture_index["id"])
    assert "643083" in set(fixture_index["id"])


def test_every_row_describes_its_file(fixture_index: pd.DataFrame) -> None:
    for row in fixture_index.to_dict("records"):
        content = (FIXTURE / str(row["path"])).read_bytes()
        assert row["sha256"] == hashlib.sha256(content).hexdigest(), row["path"]
        assert row["bytes"] == len(content)
        assert Path(str(row["path"])).stem == row["id"]


def test_paths_are_relative_and_have_slashes(fixture_index: pd.DataFrame) -> None:
    assert fixture_index["path"].str.match(r"(train/[a-z_]+|test)/[A-Z0-9]{6}\.\w+$").all()


def test_the_format_is_the_contents_and_not_the_extensions(decoded_fixture: pd.DataFrame) -> None:
    rows = by_id(decoded_fixture)
    assert rows.loc["X10A7L", "path"] == "train/stem_rust/X10A7L.jpg"
    assert rows.loc["X10A7L", "format"] == "PNG"
    assert rows.loc["S2U8GN", "format"] == "GIF"
    assert decoded_fixture["format"].value_counts().to_dict() == {"JPEG": 114, "PNG": 4, "GIF": 2}


def test_the_mode_is_the_files_and_the_size_is_the_upright_pictures(
    decoded_fixture: pd.DataFrame,
) -> None:
    rows = by_id(decoded_fixture)
    modes = {"5RL2B0": "RGBA", "W7RCF8": "P", "M2ZQ7F": "CMYK", "D8XL5G": "L", "004217": "RGB"}
    assert {name: rows.loc[name, "mode"] for name in modes} == modes
    with Image.open(FIXTURE / str(rows.loc["R7D2XQ", "path"])) as turned:
        height, width = turned.size
    assert (rows.loc["R7D2XQ", "width"], rows.loc["R7D2XQ", "height"]) == (width, height)


def test_the_duplicate_shows_in_both_digests_and_nothing_else_does(
    decoded_fixture: pd.DataFrame,
) -> None:
    for digest in ("sha256", "pixels_32"):
        doubled = decoded_fixture[decoded_fixture[digest].duplicated(keep=False)]
        assert doubled["id"].tolist() == ["J5N0GS", "U1C9EA"], digest


def test_folder_and_table_layout_give_the_same_digest(
    settings_for: SettingsFor, tmp_path: Path, decoded_fixture: pd.DataFrame
) -> None:
    data = as_table(FIXTURE, tmp_path / "table")
    plain = build_index(settings_for(data, "data.layout=table"))
    index = decoded(plain, data, tmp_path / "another cache")
    pd.testing.assert_frame_equal(index.drop(columns="path"), decoded_fixture.drop(columns="path"))
    assert data_digest(index) == data_digest(decoded_fixture)


def test_place_time_and_order_of_copying_are_no_part_of_the_digest(
    settings_for: SettingsFor, tmp_path: Path
) -> None:
    images = some_images(5)
    one = copy(images, tmp_path / "one")
    other = copy(reversed(images), tmp_path / "further" / "down" / "other")
    for number, image in enumerate(images):
        os.utime(other / image, (10**9 + number, 10**9 - number))
    first, second = (
        decoded(build_index(settings_for(data)), data, tmp_path / "cache" / data.name)
        for data in (one, other)
    )
    pd.testing.assert_frame_equal(first, second)
    assert data_digest(first) == data_digest(second)


def test_the_order_in_which_the_disk_lists_a_folder_means_nothing(
    settings_for: SettingsFor, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = data_digest(build_index(settings_for(folders)))
    scan = os.scandir
    seen: set[Path] = set()

    def backwards(folder: Path) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        seen.add(Path(folder))
        with scan(folder) as entries:
            return nullcontext(iter(sorted(entries, key=lambda each: each.name, reverse=True)))

    monkeypatch.setattr(os, "scandir", backwards)
    assert data_digest(build_index(settings_for(folders))) == straight
    assert seen >= {folders / "test", *(folders / "train" / name for name in CLASSES)}


def with_byte_order_mark(content: bytes) -> bytes:
    return b"\xef\xbb\xbf" + content


def with_windows_line_ends(content: bytes) -> bytes:
    return content.replace(b"\n", b"\r\n")


def without_last_line_end(content: bytes) -> bytes:
    return content.rstrip(b"\n")


def in_another_order(content: bytes) -> bytes:
    header, *rows = content.splitlines(keepends=True)
    return b"".join([header, *reversed(rows)])


def with_quotes_and_another_column(content: bytes) -> bytes:
    header, *rows = content.decode().splitlines()
    quoted = [",".join(f'"{cell}"' for cell in row.split(",")) for row in rows]
    return "\n".join([f"row,{header}", *(f"{n},{row}" for n, row in enumerate(quoted))]).encode()


@pytest.mark.parametrize(
    "written",
    [
        with_byte_order_mark,
        with_windows_line_ends,
        lambda content: with_byte_order_mark(with_windows_line_ends(content)),
        without_last_line_end,
        in_another_order,
        with_quotes_and_another_column,
    ],
    ids=["byte-order mark", "CRLF", "both", "no last line end", "other order", "other column"],
)
def test_however_labels_csv_is_written_the_digest_is_the_same(
    settings_for: SettingsFor, table: Path, written: Callable[[bytes], bytes]
) -> None:
    settings = settings_for(table, "data.layout=table")
    before = data_digest(build_index(settings))
    labels = table / "labels.csv"
    content = written(labels.read_bytes())
    assert content != labels.read_bytes()
    labels.write_bytes(content)
    assert data_digest(build_index(settings)) == before


def test_the_columns_of_the_labels_table_are_the_settings(
    settings_for: SettingsFor, table: Path
) -> None:
    before = data_digest(build_index(settings_for(table, "data.layout=table")))
    content = (table / "labels.csv").read_text(encoding="utf-8").replace("ID,label", "image,class")
    (table / "classes.csv").write_text(content, encoding="utf-8")
    changed = ("data.labels=classes.csv", "data.id_column=image", "data.label_column=class")
    assert data_digest(build_index(settings_for(table, "data.layout=table", *changed))) == before


def flip_a_byte_that_is_no_pixel(data: Path) -> None:
    path = data / "train" / "leaf_rust" / "004217.jpg"
    content = bytearray(path.read_bytes())
    assert content[6:10] == b"JFIF"
    content[14] ^= 1  # the horizontal density
    path.write_bytes(content)


def change_a_pixel(data: Path) -> None:
    path = data / "train" / "healthy_wheat" / "H5L0B7.png"
    with Image.open(path) as image:
        red, green, blue = image.getpixel((0, 0))  # type: ignore[misc]
        image.putpixel((0, 0), (red, green ^ 1, blue))
        image.save(path)


def change_a_label(data: Path) -> None:
    path = data / "train" / "leaf_rust" / "004217.jpg"
    path.rename(data / "train" / "stem_rust" / path.name)


def add_an_image(data: Path) -> None:
    shutil.copyfile(data / "test" / "643083.jpg", data / "train" / "leaf_rust" / "NEW001.jpg")


def remove_a_test_image(data: Path) -> None:
    (data / "test" / "643083.jpg").unlink()


def rename_an_image(data: Path) -> None:
    path = data / "test" / "643083.jpg"
    path.rename(path.with_stem("643084"))


@pytest.mark.parametrize(
    "change",
    [
        flip_a_byte_that_is_no_pixel,
        change_a_pixel,
        change_a_label,
        add_an_image,
        remove_a_test_image,
        rename_an_image,
    ],
)
def test_every_change_of_the_content_changes_the_digest(
    settings_for: SettingsFor, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    needed = {"004217", "643083", "H5L0B7"}
    images = {path for path in map(relative, FIXTURE.rglob("*.*")) if path.stem in needed}
    data = copy([*some_images(2), *images], tmp_path / "data")
    before = build_index(settings_for(data))
    change(data)
    after = build_index(settings_for(data))
    assert data_digest(after) != data_digest(before)


def relative(path: Path) -> Path:
    return path.relative_to(FIXTURE)


def test_a_byte_that_is_no_pixel_changes_the_file_digest_alone(
    settings_for: SettingsFor, tmp_path: Path
) -> None:
    data = copy([*some_images(2), Path("train/leaf_rust/004217.jpg")], tmp_path / "data")
    before = by_id(decoded(build_index(settings_for(data)), data, tmp_path / "before"))
    flip_a_byte_that_is_no_pixel(data)
    after = by_id(decoded(build_index(settings_for(data)), data, tmp_path / "after"))
    changed = (before != after).any()
    assert changed[changed].index.tolist() == ["sha256"]


def test_a_named_column_counts_in_the_digest_too(decoded_fixture: pd.DataFrame) -> None:
    seen = decoded_fixture["pixels_32"].tolist()
    other = decoded_fixture.assign(pixels_32=[*seen[:-1], seen[0]])
    assert data_digest(other) == data_digest(decoded_fixture)
    digests = {data_digest(index, "pixels_32") for index in (decoded_fixture, other)}
    assert len(digests | {data_digest(decoded_fixture)}) == 3


def test_a_changed_label_in_the_table_changes_the_digest(
    settings_for: SettingsFor, table: Path
) -> None:
    settings = settings_for(table, "data.layout=table")
    before = data_digest(build_index(settings))
    labels = table / "labels.csv"
    content = labels.read_text(encoding="utf-8")
    assert "004217,leaf_rust" in content
    labels.write_text(content.replace("004217,leaf_rust", "004217,stem_rust"), encoding="utf-8")
    assert data_digest(build_index(settings)) != before


def test_ids_can_be_whole_file_names(settings_for: SettingsFor, folders: Path) -> None:
    index = build_index(settings_for(folders, "data.ids=name"))
    assert index["id"].tolist() == index["path"].str.rpartition("/")[2].tolist()
    assert "004217.jpg" in set(index["id"])


def test_whole_file_names_are_ids_in_the_table_too(settings_for: SettingsFor, table: Path) -> None:
    rows = ["ID,label"]
    stems = dict(line.split(",") for line in (table / "labels.csv").read_text().splitlines()[1:])
    rows += [f"{path.name},{stems[path.stem]}" for path in (table / "train").iterdir()]
    (table / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    index = build_index(settings_for(table, "data.layout=table", "data.ids=name"))
    assert dict(zip(index["id"], index["label"], strict=True))["004217.jpg"] == "leaf_rust"


def test_two_extensions_of_one_stem_are_two_images_by_name(
    settings_for: SettingsFor, folders: Path
) -> None:
    image = folders / "train" / "leaf_rust" / "004217.jpg"
    shutil.copyfile(image, image.with_suffix(".jpeg"))
    index = build_index(settings_for(folders, "data.ids=name"))
    assert {"004217.jpg", "004217.jpeg"} <= set(index["id"])


def test_hidden_files_and_files_that_are_no_images_are_passed_over(
    settings_for: SettingsFor, folders: Path
) -> None:
    before = data_digest(build_index(settings_for(folders)))
    image = folders / "train" / "leaf_rust" / "004217.jpg"
    # What macOS, Windows, Jupyter and unpacking leave behind.
    for path in (
        image.with_name("._004217.jpg"),
        image.with_name(".hidden.jpg"),
        folders / "train" / ".DS_Store",
        folders / "train" / "readme.txt",
        folders / "train" / ".ipynb_checkpoints" / "004217.jpg",
        folders / "test" / "Thumbs.db",
        folders / "test" / "notes.csv",
        folders / "test" / "noextension",
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"not an image")
    assert data_digest(build_index(settings_for(folders))) == before


@pytest.mark.parametrize("suffix", [".JPG", ".Jpeg", ".JFIF", ".PNG", ".webp", ".TIFF", ".bmp"])
def test_upper_and_lower_case_extensions_are_images(
    settings_for: SettingsFor, folders: Path, suffix: str
) -> None:
    shutil.copyfile(folders / "train/leaf_rust/004217.jpg", folders / f"test/NEW001{suffix}")
    assert "NEW001" in set(build_index(settings_for(folders))["id"])


def test_one_id_may_stand_in_both_parts(settings_for: SettingsFor, folders: Path) -> None:
    # Some hosts number the training and the test images each from 0 on.
    shutil.copyfile(folders / "train/leaf_rust/004217.jpg", folders / "test/004217.jpg")
    index = build_index(settings_for(folders))
    assert index.loc[index["id"] == "004217", "part"].tolist() == ["test", "train"]


def refusal(settings: Settings) -> str:
    """The message with which the data is refused."""
    with pytest.raises(InputError) as caught:
        build_index(settings)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_missing_data_folder_is_named_with_the_address_of_the_data(
    settings_for: SettingsFor, tmp_path: Path
) -> None:
    missing = tmp_path / "nowhere"
    message = refusal(settings_for(missing, "competition.address=https://example.org/wheat"))
    assert str(missing) in message
    assert "https://example.org/wheat" in message
    assert "--data" in message


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_missing_part_is_named_with_its_setting(
    settings_for: SettingsFor, folders: Path, part: str
) -> None:
    shutil.rmtree(folders / part)
    message = refusal(settings_for(folders))
    assert str(folders / part) in message
    assert f"data.{part}" in message


def test_a_test_folder_without_an_image_is_refused(
    settings_for: SettingsFor, folders: Path
) -> None:
    shutil.rmtree(folders / "test")
    (folders / "test").mkdir()
    (folders / "test" / "readme.txt").write_text("no image\n")
    assert str(folders / "test") in refusal(settings_for(folders))


def test_all_that_is_wrong_with_the_class_folders_stands_in_one_message(
    settings_for: SettingsFor, folders: Path
) -> None:
    (folders / "train" / "stem_rust").rename(folders / "train" / "Stem_Rust")
    (folders / "train" / "weeds").mkdir()
    shutil.copyfile(folders / "train/leaf_rust/004217.jpg", folders / "train/weeds/NEW001.jpg")
    shutil.rmtree(folders / "train" / "healthy_wheat")
    (folders / "train" / "healthy_wheat").mkdir()
    _, *problems, _ = refusal(settings_for(folders)).splitlines()
    train = folders / "train"
    assert [problem.strip() for problem in problems] == [
        f"{train / 'Stem_Rust'}: no such class in the settings, did you mean 'stem_rust'?",
        f"{train / 'weeds'}: no such class in the settings",
        f"{train / 'stem_rust'}: no such folder, but 'stem_rust' is in the settings",
        f"{train / 'healthy_wheat'}: no image in it",
    ]


def test_a_folder_without_an_image_that_is_no_class_is_passed_over(
    settings_for: SettingsFor, folders: Path
) -> None:
    before = data_digest(build_index(settings_for(folders)))
    (folders / "train" / "weeds").mkdir()
    (folders / "train" / "weeds" / "readme.txt").touch()
    assert data_digest(build_index(settings_for(folders))) == before
    # "auto" passes over it too.
    auto = settings_for(folders, "competition.classes=auto")
    assert set(auto.classes) == set(CLASSES)
    assert data_digest(build_index(auto)) == before


@pytest.mark.parametrize("layout", ["folders", "table"])
@pytest.mark.parametrize("auto", [False, True])
def test_a_class_is_found_in_either_form_of_unicode_with_the_same_digest(
    settings_for: SettingsFor, folders: Path, tmp_path: Path, layout: str, auto: bool
) -> None:
    digests = set()
    for form in ("NFC", "NFD"):
        data = Path(shutil.copytree(folders, tmp_path / form))
        name = unicodedata.normalize(form, "rouille jaun\u00e9")
        (data / "train" / "stem_rust").rename(data / "train" / name)
        if layout == "table":
            data = as_table(data, tmp_path / f"{form}-table")
        listed = f'["leaf_rust", "healthy_wheat", "{name}"]'
        classes = "auto" if auto else listed
        settings = settings_for(data, f"competition.classes={classes}", f"data.layout={layout}")
        index = build_index(settings)
        assert set(index["label"]) == {*settings.classes, ""}
        assert "rouille jaun\u00e9" in settings.classes
        digests.add(data_digest(index))
    assert len(digests) == 1


def test_all_unreadable_images_stand_in_one_message_and_no_readable_one(
    settings_for: SettingsFor, folders: Path
) -> None:
    images = {path.stem: path for path in folders.rglob("*.*")}
    broken = sorted(images)[:12]
    for name in broken:
        images[name].write_bytes(b"")
    first, *problems, _ = refusal(settings_for(folders)).splitlines()
    assert "12 of 12 images" in first
    # Fifty are listed before the others are only counted: a reader fixes them all in one go.
    assert sorted(re.findall(r"(\w+)\.\w+: the file is empty", "\n".join(problems))) == broken


def test_a_folder_named_like_an_image_is_refused_and_not_opened(
    settings_for: SettingsFor, folders: Path
) -> None:
    (folders / "test" / "album.jpg").mkdir()
    assert "test/album.jpg" in refusal(settings_for(folders))


def test_large_files_that_cannot_be_read_stand_in_the_message_too(
    settings_for: SettingsFor, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So small a limit makes every file a large one, which another thread digests.
    monkeypatch.setattr(index_module, "_SMALL", 1)
    for name in ("album.jpg", "other.jpg"):
        (folders / "test" / name).mkdir()
        (folders / "test" / name / "photo").touch()
    told = refusal(settings_for(folders))
    assert "2 of 14 images" in told
    assert "test/album.jpg: a folder, not an image" in told
    assert "test/other.jpg: a folder, not an image" in told


def test_a_file_name_that_is_no_text_is_refused(settings_for: SettingsFor, folders: Path) -> None:
    # Linux takes any bytes as a name; an id must be text, to be written and to name draws.
    image = folders / "train" / "leaf_rust" / "004217.jpg"
    name = os.fsencode(image.parent) + b"/gr\xfcn.jpg"
    try:
        shutil.copyfile(image, name)
    except OSError:
        pytest.skip("needs a file system that takes any name")
    assert "leaf_rust/gr" in refusal(settings_for(folders))


def test_training_images_of_one_name_have_their_paths_as_ids(
    settings_for: SettingsFor, folders: Path
) -> None:
    before = set(build_index(settings_for(folders))["id"])
    image = folders / "train" / "leaf_rust" / "004217.jpg"
    shutil.copyfile(image, folders / "train" / "stem_rust" / "004217.png")
    both = {"train/leaf_rust/004217.jpg", "train/stem_rust/004217.png"}
    assert set(build_index(settings_for(folders))["id"]) == before - {"004217"} | both


def test_two_test_images_with_one_id_are_named(settings_for: SettingsFor, folders: Path) -> None:
    image = next((folders / "test").iterdir())
    shutil.copyfile(image, image.with_suffix(".png"))
    message = refusal(settings_for(folders))
    assert f"{image.stem}: test/{image.name}, test/{image.stem}.png" in message


def test_a_missing_labels_table_is_named(settings_for: SettingsFor, table: Path) -> None:
    (table / "labels.csv").unlink()
    assert str(table / "labels.csv") in refusal(settings_for(table, "data.layout=table"))


@pytest.mark.parametrize("column", ["id_column", "label_column"])
def test_a_missing_column_of_the_labels_table_is_named_with_those_that_are_there(
    settings_for: SettingsFor, table: Path, column: str
) -> None:
    message = refusal(settings_for(table, "data.layout=table", f"data.{column}=Species"))
    assert str(table / "labels.csv") in message
    assert "'Species'" in message
    assert "ID, label" in message
    assert f"data.{column}" in message


def change_table(table: Path, old: str, new: str) -> None:
    path = table / "labels.csv"
    content = path.read_text(encoding="utf-8")
    assert content.count(old) == 1
    path.write_text(content.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param("004217,leaf_rust", "004217,rust", "004217: no class 'rust'", id="class"),
        pytest.param("004217,leaf_rust", "004217,", "004217: no label", id="empty label"),
        pytest.param(
            "004217,leaf_rust\n",
            "004217,leaf_rust\n004217,stem_rust\n",
            "004217: stands in labels.csv more than once, as 'leaf_rust' and 'stem_rust'",
            id="id twice",
        ),
        pytest.param(
            "004217,leaf_rust\n",
            "",
            "train/004217.jpg: an image without a label",
            id="image without label",
        ),
        pytest.param(
            "004217,leaf_rust\n",
            "004217,leaf_rust\n4217,leaf_rust\n",
            "4217: a label without an image",
            id="label without image",
        ),
    ],
)
def test_a_labels_table_that_does_not_fit_the_images_is_refused_with_the_place(
    settings_for: SettingsFor, table: Path, old: str, new: str, expected: str
) -> None:
    change_table(table, old, new)
    message = refusal(settings_for(table, "data.layout=table"))
    assert str(table / "labels.csv") in message
    assert expected in message


def test_an_empty_label_is_called_empty(settings_for: SettingsFor, table: Path) -> None:
    change_table(table, "004217,leaf_rust", "004217,")
    # "nan" is pandas' word for it, and stands nowhere in the user's file.
    assert "nan" not in refusal(settings_for(table, "data.layout=table")).split("004217:")[1]


def test_a_class_of_the_settings_without_a_row_is_refused(
    settings_for: SettingsFor, table: Path
) -> None:
    path = table / "labels.csv"
    path.write_text(path.read_text().replace("stem_rust", "leaf_rust"), encoding="utf-8")
    message = refusal(settings_for(table, "data.layout=table"))
    assert "stem_rust: a class of the settings without an image" in message


def test_ids_that_look_like_missing_values_are_ids(settings_for: SettingsFor, table: Path) -> None:
    # The ids stand in the second column, and one image is called NA.
    rows = ["label,ID"]
    for line in (table / "labels.csv").read_text().splitlines()[1:]:
        image_id, label = line.split(",")
        rows.append(f"{label},{'NA' if image_id == '004217' else image_id}")
    (table / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    (table / "train" / "004217.jpg").rename(table / "train" / "NA.jpg")
    assert "NA" in set(build_index(settings_for(table, "data.layout=table"))["id"])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"ID,label\n\xff\xfe\x00,leaf_rust\n", id="not UTF-8"),
        pytest.param(b'ID,label\n"004217,leaf_rust\n', id="a quote that does not end"),
        pytest.param(b"ID,label\n004217,leaf_rust,more\n", id="a row too long"),
    ],
)
def test_a_labels_table_that_is_no_table_is_refused_with_its_name(
    settings_for: SettingsFor, table: Path, content: bytes
) -> None:
    (table / "labels.csv").write_bytes(content)
    assert str(table / "labels.csv") in refusal(settings_for(table, "data.layout=table"))


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was_before_an_index(small_toml: Path, *, enabled: bool) -> None:
    settings = read_settings(small_toml)
    nowhere = read_settings(small_toml, changes=["data.folder=nowhere"])
    try:
        if not enabled:
            gc.disable()
        build_index(settings)
        assert gc.isenabled() is enabled
        with pytest.raises(InputError):
            build_index(nowhere)
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
