"""A layout of labels from outside: train/<class>_<number>.png, all in one folder."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image

from twinrun.config.label_layout import (
    Candidate,
    FoundClasses,
    LabelLayout,
    Labelled,
    TrainingImages,
    training_folders,
)
from twinrun.config.layouts import LAYOUTS
from twinrun.config.reading import read_settings
from twinrun.config.sections import Data
from twinrun.data.index import build_index
from twinrun.errors import InputError
from twinrun.registry import IncompleteEntry
from twinrun.scaffold.answers import answers_of
from twinrun.scaffold.inspect import inspect

PARTS = ("words", "answer", "settings")
METHODS = ("find_classes", "read_images", "recognise")
IMAGES = ("train/rust_1.png", "train/rust_2.png", "train/healthy_1.png", "test/7.png")


def label(name: str) -> str:
    return name.partition("_")[0]


class NamedImages(LabelLayout):
    name = "names"
    words = "train/<class>_<anything>"
    answer = "class in the file's name"
    settings = ()

    def find_classes(self, data: Data, folder: Path, unseen: Collection[str] = ()) -> FoundClasses:
        (part,) = training_folders(data, folder)
        names = part.images
        return FoundClasses(sorted({label(n) for n in names}), "the names of images", "Rename.")

    def read_images(
        self, data: Data, folder: Path, classes: Sequence[str], unseen: Collection[str] = ()
    ) -> Labelled:
        parts = training_folders(data, folder)
        names = parts[0].images
        if unknown := [name for name in names if label(name) not in classes]:
            raise InputError("images of no class:", details=unknown)
        labels = {f"{data.train}/{name}": label(name) for name in names}
        return Labelled(labels, parts, "the names of images")

    def recognise(self, candidate: Candidate) -> TrainingImages | None:
        (folder,) = candidate.folders
        if not folder.images or not all("_" in name for name in folder.images):
            return None
        labels = {path: label(path.rpartition("/")[2]) for path in folder.own}
        counts = {each: list(labels.values()).count(each) for each in labels.values()}
        source = "the names of images"
        return TrainingImages(labels, [folder], source, layout=self.name, counts=counts)


@pytest.fixture
def layout() -> Iterator[LabelLayout]:
    with LAYOUTS.including(NamedImages()) as entry:
        yield entry


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for place in IMAGES:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40)).save(folder / place)
    (folder / "sample_submission.csv").write_text("ID,healthy,rust\n7,0,0\n")
    return folder


def test_settings_know_it_and_the_index_reads_it(
    layout: LabelLayout, data: Path, small_toml: Path
) -> None:
    changes = [f"data.layout={layout.name}", "competition.classes=auto"]
    settings = read_settings(small_toml, data=data, changes=changes)
    assert settings.classes == ["healthy", "rust"]
    train = build_index(settings).query("part == 'train'")
    assert list(zip(train["id"], train["label"], strict=True)) == [
        ("healthy_1", "healthy"),
        ("rust_1", "rust"),
        ("rust_2", "rust"),
    ]
    (data / "train" / "smut_1.png").write_bytes((data / "test" / "7.png").read_bytes())
    with pytest.raises(InputError, match="images of no class"):
        build_index(settings)
    with pytest.raises(InputError, match=r"did you mean 'names'\? Allowed: .*, names\."):
        read_settings(small_toml, changes=["data.layout=name"])


def test_too_few_classes_are_refused_in_its_words(
    layout: LabelLayout, data: Path, small_toml: Path
) -> None:
    (data / "train" / "healthy_1.png").unlink()
    changes = [f"data.layout={layout.name}", "competition.classes=auto"]
    with pytest.raises(InputError, match="only one, 'rust', looking at the names of images"):
        read_settings(small_toml, data=data, changes=changes)


def test_a_data_folder_shows_it(layout: LabelLayout, data: Path) -> None:
    found = inspect(data)
    assert (found.layout, found.counts) == (layout.name, {"healthy": 1, "rust": 2})
    assert answers_of(found, data, {})["layout"] == layout.answer


def test_without_it_the_data_folder_is_of_no_layout(data: Path, small_toml: Path) -> None:
    with pytest.raises(InputError, match="no table labels the 3 images"):
        inspect(data)
    with pytest.raises(InputError, match=r"Allowed: folders, table\."):
        read_settings(small_toml, changes=["data.layout=names"])


@pytest.mark.parametrize("part", [*PARTS, *METHODS])
def test_a_part_that_is_left_out_is_named(part: str) -> None:
    parts = {name: getattr(NamedImages, name) for name in ("name", *PARTS, *METHODS)}
    del parts[part]
    incomplete = type("Incomplete", (), parts)
    with pytest.raises(IncompleteEntry, match=f"layout 'names' lacks: {part}$"):
        LAYOUTS.add(incomplete())
    assert "names" not in LAYOUTS


def test_every_part_is_tried_above() -> None:
    annotated = [name for name in LabelLayout.__annotations__ if name != "name"]
    assert annotated == list(PARTS)
    assert LabelLayout.__abstractmethods__ == set(METHODS)
