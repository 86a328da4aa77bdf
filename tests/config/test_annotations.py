"""Boxes and masks that lie in files beside the images are told as the reason; classes are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from twinrun.config.mask_images import are_masks
from twinrun.errors import InputError
from twinrun.scaffold.inspect import inspect

# What each file holds: a text, None for a photo, or MASK for a mask.
Files = dict[str, str | None]
MASK = "a mask"

IDS = range(4)
TEST: Files = {
    "test/t1.png": None,
    "test/t2.png": None,
    "sample_submission.csv": "id,a,b\nt1,0,0\nt2,0,0\n",
}
IMAGES: Files = {f"train/{n}.png": None for n in IDS}
CLASSES: Files = {"train.csv": "id,label\n0,a\n1,b\n2,a\n3,b\n"}
VOC = """<annotation><filename>{}.png</filename>
<object><name>a</name><bndbox><xmin>1</xmin><ymin>1</ymin></bndbox></object></annotation>"""
SHAPES = json.dumps({"imagePath": "x", "shapes": [{"label": "a", "points": [[1, 2], [3, 4]]}]})
COCO = {
    "images": [{"id": n, "file_name": f"{n}.png", "license": "x" * 500} for n in IDS],
    "categories": [{"id": 1, "name": "a"}],
}


def coco(**about: object) -> str:
    rows = [{"image_id": n, "category_id": 1, **about} for n in IDS]
    return json.dumps({**COCO, "annotations": rows})


SIZE = (40, 32)


def mask(number: int, mode: str = "L") -> Image.Image:
    """A few even areas, one in another, as in a mask of several objects."""
    drawn = Image.new(mode, SIZE, 0)
    drawn.paste(1, (number % 9, 8, 30, 26))
    drawn.paste(2, (10, 9 + number % 9, 24, 20))
    return drawn


def write(folder: Path, files: Files) -> Path:
    for number, (name, content) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            Image.effect_noise(SIZE, 60 + number % 40).convert("RGB").save(path)
        elif content == MASK:
            mask(number).save(path)
        else:
            path.write_text(content, encoding="utf-8")
    return folder


def refused(folder: Path, files: Files) -> str:
    with pytest.raises(InputError) as error:
        inspect(write(folder, files | TEST))
    return str(error.value)


YOLO: Files = {f"images/train/{n}.png": None for n in IDS}
OTHER_TASKS: dict[str, tuple[Files, str]] = {
    "Pascal VOC beside": (
        IMAGES | {f"train/{n}.xml": VOC.format(n) for n in IDS},
        "(boxes, in 4 files of Pascal VOC such as train/0.xml): a task of detection",
    ),
    "Pascal VOC in a folder": (
        IMAGES | {f"annotations/{n}.xml": VOC.format(n) for n in IDS},
        "such as annotations/0.xml",
    ),
    "Pascal VOC of some": (
        IMAGES | {f"annotations/{n}.xml": VOC.format(n) for n in (2, 3)},
        "in 2 files of Pascal VOC such as annotations/2.xml",
    ),
    "YOLO": (
        YOLO
        | {"labels/train/0.txt": ""}
        | {f"labels/train/{n}.txt": "0 0.5 0.5 0.1 0.25\n3 .1 .2 1e-2 0.3\n" for n in (1, 2, 3)},
        "(boxes, in 4 files of YOLO such as labels/train/0.txt): a task of detection",
    ),
    "YOLO of outlines": (
        YOLO | {f"labels/train/{n}.txt": "0 .5 .5 .1 .2 .3 .4 .5 .6\n" for n in IDS},
        "(masks, in 4 files of YOLO such as labels/train/0.txt): a task of segmentation",
    ),
    "outlines in JSON": (
        IMAGES | {f"train/{n}.json": SHAPES for n in IDS},
        "(masks, in 4 files of LabelMe such as train/0.json): a task of segmentation",
    ),
    "COCO": (
        IMAGES | {"annotations/instances.json": coco(bbox=[1, 2, 3, 4], segmentation=[])},
        "(boxes, in annotations/instances.json, a file of COCO): a task of detection",
    ),
    "COCO of masks": (
        IMAGES | {"instances.json": coco(segmentation=[[1, 2, 3, 4, 5, 6]])},
        "(masks, in instances.json, a file of COCO): a task of segmentation",
    ),
    "COCO of points": (
        IMAGES | {"points.json": coco(keypoints=[1, 2, 2])},
        "(points, in points.json, a file of COCO): a task of keypoints",
    ),
    "masks in a folder": (
        IMAGES | {f"masks/{n}.png": MASK for n in IDS},
        "masks holds a mask of each image in train/: a task of segmentation",
    ),
    "masks of other names": (
        IMAGES | {f"train_masks/{n}_mask.png": MASK for n in IDS},
        "train_masks holds a mask of each image in train/: a task of segmentation",
    ),
    "masks beside the images": (
        IMAGES | {f"train/{n}_mask.png": MASK for n in IDS},
        "train holds a mask of each image in train/, such as train/0_mask.png: a task of segm",
    ),
    "masks beside a table of something": (
        IMAGES | {f"masks/{n}.png": MASK for n in IDS} | {"depths.csv": "id,z\n0,9\n1,8\n"},
        "masks holds a mask of each image in train/",
    ),
}


@pytest.mark.parametrize("task", OTHER_TASKS)
def test_boxes_and_masks_in_files_are_the_reason(task: str, tmp_path: Path) -> None:
    files, says = OTHER_TASKS[task]
    told = refused(tmp_path, files)
    assert says in told
    assert told.count("task of") == 1
    assert "no table labels" not in told
    assert "Twinrun trains on one class an image." in told
    assert "--labels" in told


# Masks among the images have no row there, which is told.
@pytest.mark.parametrize("task", sorted(OTHER_TASKS.keys() - {"masks beside the images"}))
def test_beside_a_table_of_classes_they_decide_nothing(task: str, tmp_path: Path) -> None:
    files, _ = OTHER_TASKS[task]
    found = inspect(write(tmp_path, files | CLASSES | TEST), labels="train.csv")
    assert found.classes == ["a", "b"]


NO_TASK: dict[str, Files] = {
    "texts": {f"train/{n}.txt": "A leaf, seen at noon.\n" for n in IDS},
    "numbers of something": {f"train/{n}.txt": "12 300\n" for n in IDS},
    "XML of cameras": {f"train/{n}.xml": "<camera><object>x</object></camera>" for n in IDS},
    "JSON of classes": {"train.json": coco()},
    "JSON of cameras": {f"train/{n}.json": '{"camera": "bbox"}' for n in IDS},
    "texts of other images": {f"labels/x{n}.txt": "0 0.5 0.5 0.1 0.2\n" for n in IDS},
    "no JSON": {"train.json": "annotations bbox"},
}


@pytest.mark.parametrize("files", NO_TASK.values(), ids=NO_TASK)
def test_other_files_are_no_reason(files: Files, tmp_path: Path) -> None:
    told = refused(tmp_path, IMAGES | files)
    assert "no table labels the 4 images in train/" in told
    assert "task of" not in told


FACES: Files = {f"train/{name}/{n}.png": None for name in ("mask", "no_mask", "half") for n in IDS}


@pytest.mark.parametrize("classes", [("mask", "no_mask"), ("mask", "no_mask", "half")])
def test_classes_that_are_called_like_masks_are_classes(
    classes: tuple[str, ...], tmp_path: Path
) -> None:
    sample: Files = {"sample_submission.csv": f"id,{','.join(classes)}\nt1{',0' * len(classes)}\n"}
    files = {name: text for name, text in FACES.items() if name.split("/")[1] in classes}
    assert inspect(write(tmp_path, files | TEST | sample)).classes == list(classes)


def test_a_folder_of_masks_that_no_sample_calls_a_class_is_told(tmp_path: Path) -> None:
    masks: Files = {f"train/mask/{n}.png": MASK for n in IDS}
    assert "train/mask holds a mask of each image in train/half/" in refused(
        tmp_path, FACES | masks
    )


@pytest.mark.parametrize(
    "classes",
    [("SEG", "LYM"), ("labels", "bottle"), ("gt", "sedan"), ("correct_mask", "no_mask", "wrong")],
)
@pytest.mark.parametrize("content", [None, MASK], ids=["photos", "drawings"])
def test_class_folders_whose_files_have_the_same_names_are_classes(
    classes: tuple[str, ...], content: str | None, tmp_path: Path
) -> None:
    files = {f"train/{name}/{n}.png": content for name in classes for n in IDS}
    sample: Files = {"sample_submission.csv": "id,label\nt1,\nt2,\n"}
    found = inspect(write(tmp_path, files | TEST | sample))
    assert found.classes == sorted(classes)
    doubted = [note for note in found.notes if "may be masks of those in" in note]
    assert bool(doubted) == (content == MASK), "of drawings nothing tells"


def test_a_photo_of_the_name_of_a_mask_is_a_photo(tmp_path: Path) -> None:
    told = refused(tmp_path, IMAGES | {f"train/{n}_mask.png": None for n in IDS})
    assert "task of" not in told


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "I;16"])
def test_masks_of_every_mode_are_masks(mode: str, tmp_path: Path) -> None:
    photo, other = tmp_path / "photo.png", tmp_path / "other.png"
    Image.effect_noise(SIZE, 80).save(photo)
    Image.effect_noise((32, 40), 80).save(other)
    masks = [tmp_path / f"{n}.png" for n in IDS]
    for number, path in enumerate(masks):
        mask(number, mode).save(path)
    assert are_masks([(path, [other, photo]) for path in masks])
    assert are_masks([(path, [other]) for path in masks]) is False, "another size"
    assert are_masks([(path, masks[:1]) for path in masks]) is None, "images that are drawn too"
    assert not are_masks([(photo, [photo])])


def test_masks_may_be_jpeg_and_damaged_ones_tell_nothing(tmp_path: Path) -> None:
    photo, jpeg, damaged = (tmp_path / name for name in ("1.png", "2.jpg", "3.png"))
    Image.effect_noise((400, 320), 80).save(photo)
    mask(3).point(lambda value: value * 120).resize((400, 320), Image.Resampling.NEAREST).save(jpeg)
    damaged.write_bytes(photo.read_bytes()[:300])
    assert are_masks([(damaged, [photo]), (jpeg, [damaged, photo])])
    assert not are_masks([(damaged, [photo])])
    assert not are_masks([])
