"""Data folders as public competitions hand them out, with small drawn photos in them.

What a folder is called, what its tables and columns are called, and how the answers are written
follow the competition; the photos, ids and numbers are drawn from a seed. Each drawing returns the
truth that an index of the folder must equal.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image

# Per class, and in all.
TRAIN, TEST = 8, 10
SIDE = 40


@dataclass(frozen=True)
class Truth:
    """What was drawn.

    Attributes:
        labels: The class of each training image, by its file's path in the data folder.
        test: The paths of the test images.
        sample: The sample submission's path.
    """

    labels: dict[str, str]
    test: list[str]
    sample: str


@dataclass(frozen=True)
class Competition:
    """A competition whose data folder can be drawn.

    Attributes:
        name: Of the competition.
        draw: Writes the folder.
        columns: What a submission holds, as `submission.columns`.
    """

    name: str
    draw: Callable[[Path], Truth]
    columns: str


def photo(path: Path, number: int, shade: int) -> None:
    """Write a photo whose colour follows its class, in the format of its suffix.

    Args:
        path: The file.
        number: Of the class.
        shade: What makes two photos of a class different, and no copies of each other.
    """
    draw = Random(f"{path.name} {shade}")
    of_class = tuple(60 + 120 * (number >> bit & 1) for bit in range(3))
    image = Image.new("RGB", (SIDE, SIDE), of_class)
    for _ in range(120):
        place = (draw.randrange(SIDE), draw.randrange(SIDE))
        image.putpixel(place, tuple(draw.randrange(256) for _ in range(3)))
    box = sorted(draw.sample(range(SIDE), 2)) + sorted(draw.sample(range(SIDE), 2))
    image.paste(tuple(draw.randrange(256) for _ in range(3)), (box[0], box[2], box[1], box[3]))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=92)


def photos(folder: Path, labels: dict[str, str], test: list[str], classes: Sequence[str]) -> None:
    """Write all photos of a competition.

    Args:
        folder: Of the data.
        labels, test: As `Truth` has them.
        classes: Whose order gives each its colour; those of the test images take turns.
    """
    for path, label in labels.items():
        photo(folder / path, classes.index(label), 0)
    for number, path in enumerate(test):
        photo(folder / path, number % len(classes), 1)


def table(path: Path, header: Sequence[object], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def training(
    names: Iterable[str], classes: Sequence[str], seed: str, each: int = TRAIN
) -> list[tuple[str, str]]:
    """(id, class) of the training images, in a drawn order."""
    labels = [name for name in classes for _ in range(each)]
    Random(seed).shuffle(labels)
    return list(zip(names, labels, strict=False))


def plant_pathology(folder: Path) -> Truth:
    """Kaggle, 2020: all images in one folder, a column per class, a table of test ids."""
    classes = ["healthy", "multiple_diseases", "rust", "scab"]
    images = training((f"Train_{k}" for k in range(99)), classes, "plants")
    test = [f"Test_{k}" for k in range(TEST)]
    truth = Truth(
        {f"images/{image}.jpg": label for image, label in images},
        [f"images/{image}.jpg" for image in test],
        "sample_submission.csv",
    )
    photos(folder, truth.labels, truth.test, classes)
    one_hot = ([image, *(int(label == name) for name in classes)] for image, label in images)
    table(folder / "train.csv", ["image_id", *classes], one_hot)
    table(folder / "test.csv", ["image_id"], ([image] for image in test))
    even = ([image, *[0.25] * 4] for image in test)
    table(folder / "sample_submission.csv", ["image_id", *classes], even)
    return truth


def cassava(folder: Path) -> Truth:
    """Kaggle, 2020: ids with a suffix, numbered classes, their names in a JSON file, shards."""
    draw = Random("cassava")
    names = [f"{draw.randrange(10**8, 10**10)}.jpg" for _ in range(99)]
    images = training(names, list("01234"), "cassava")
    test = [f"{draw.randrange(10**8, 10**10)}.jpg" for _ in range(TEST)]
    truth = Truth(
        {f"train_images/{image}": label for image, label in images},
        [f"test_images/{image}" for image in test],
        "sample_submission.csv",
    )
    photos(folder, truth.labels, truth.test, "01234")
    table(folder / "train.csv", ["image_id", "label"], images)
    table(folder / "sample_submission.csv", ["image_id", "label"], ([image, 4] for image in test))
    diseases = {"0": "Bacterial Blight", "1": "Brown Streak", "2": "Mottle", "3": "Mosaic"}
    text = json.dumps(diseases | {"4": "Healthy"})
    (folder / "label_num_to_disease_map.json").write_text(text, encoding="utf-8")
    for part in ("train", "test"):
        shard = folder / f"{part}_tfrecords" / f"ld_{part}00-1.tfrec"
        shard.parent.mkdir()
        shard.write_bytes(b"\x0a\x00" * 8)
    return truth


def aptos(folder: Path) -> Truth:
    """Kaggle, 2019: grades from 0 to 4, hexadecimal ids without suffix, PNG files."""
    draw = Random("aptos")
    names = [f"{draw.randrange(16**12):012x}" for _ in range(99)]
    images = training(names, list("01234"), "aptos")
    test = [f"{draw.randrange(16**12):012x}" for _ in range(TEST)]
    truth = Truth(
        {f"train_images/{image}.png": label for image, label in images},
        [f"test_images/{image}.png" for image in test],
        "sample_submission.csv",
    )
    photos(folder, truth.labels, truth.test, "01234")
    table(folder / "train.csv", ["id_code", "diagnosis"], images)
    table(folder / "test.csv", ["id_code"], ([image] for image in test))
    table(folder / "sample_submission.csv", ["id_code", "diagnosis"], ([i, 0] for i in test))
    return truth


def isic(folder: Path) -> Truth:
    """ISIC, 2019: a column per class of 0.0 and 1.0, metadata and a licence beside the images.

    Its ground truth has a column UNK that is never 1.
    """
    classes = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]
    images = training((f"ISIC_{k:07d}" for k in range(99)), classes, "isic")
    test = [f"ISIC_{34321 + k:07d}" for k in range(TEST)]
    train_folder, test_folder = "ISIC_2019_Training_Input", "ISIC_2019_Test_Input"
    truth = Truth(
        {f"{train_folder}/{image}.jpg": label for image, label in images},
        [f"{test_folder}/{image}.jpg" for image in test],
        "sample_submission.csv",
    )
    photos(folder, truth.labels, truth.test, classes)
    for part in (train_folder, test_folder):
        (folder / part / "LICENSE.txt").write_text("CC-BY-NC\n", encoding="utf-8")
        (folder / part / "ATTRIBUTION.txt").write_text("drawn\n", encoding="utf-8")
    header = ["image", *classes, "UNK"]
    marks = ([i, *(float(label == name) for name in classes), 0.0] for i, label in images)
    table(folder / "ISIC_2019_Training_GroundTruth.csv", header, marks)
    draw = Random("isic")
    known = ["image", "age_approx", "anatom_site_general", "lesion_id", "sex"]
    sites = ["anterior torso", "upper extremity", ""]
    metadata = (
        [i, draw.randrange(5, 85, 5), draw.choice(sites), "", draw.choice(["female", "male"])]
        for i, _ in images
    )
    table(folder / "ISIC_2019_Training_Metadata.csv", known, metadata)
    seen = ([i, draw.randrange(5, 85, 5), draw.choice(sites), "male"] for i in test)
    table(folder / "ISIC_2019_Test_Metadata.csv", [*known[:3], "sex"], seen)
    table(folder / "sample_submission.csv", header, ([i, *[0.5] * 9] for i in test))
    return truth


def zindi_table(folder: Path) -> Truth:
    """Zindi: Train.csv, Test.csv and SampleSubmission.csv beside one folder of all images.

    Two classes, of which the sample asks for one probability.
    """
    draw = Random("zindi")
    names = [f"id_{draw.randrange(36**6):06x}.jpg" for _ in range(99)]
    images = training(names, ["0", "1"], "zindi", 2 * TRAIN)
    test = [f"id_{draw.randrange(36**6):06x}.jpg" for _ in range(TEST)]
    truth = Truth(
        {f"Images/{image}": label for image, label in images},
        [f"Images/{image}" for image in test],
        "Sample_submission.csv",
    )
    photos(folder, truth.labels, truth.test, "01")
    table(folder / "Train.csv", ["Image_id", "Label"], images)
    table(folder / "Test.csv", ["Image_id"], ([image] for image in test))
    even = ([image, 0.5 + k / 100] for k, image in enumerate(test))
    table(folder / "Sample_submission.csv", ["Image_id", "Label"], even)
    return truth


def wheat(folder: Path) -> Truth:
    """Zindi, 2020, ICLR's crop disease challenge: a folder per class, upper-case ids."""
    classes = ["leaf_rust", "stem_rust", "healthy_wheat"]
    draw = Random("wheat")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    names = ["".join(draw.choices(letters, k=6)) for _ in range(99)]
    suffixes = [".jpg", ".JPG", ".png", ".jpeg", ".jfif"]
    labels = {
        f"train/{label}/{image}{draw.choice(suffixes)}": label
        for image, label in training(names, classes, "wheat")
    }
    test = [f"test/{image}{draw.choice(suffixes)}" for image in names[60 : 60 + TEST]]
    photos(folder, labels, test, classes)
    ids = [Path(path).stem for path in test]
    even = ([image, *[0.333] * 3] for image in ids)
    table(folder / "sample_submission.csv", ["ID", *classes], even)
    return Truth(labels, test, "sample_submission.csv")


COMPETITIONS = (
    Competition("Plant Pathology 2020", plant_pathology, "classes"),
    Competition("Cassava", cassava, "label"),
    Competition("APTOS 2019", aptos, "label"),
    Competition("ISIC 2019", isic, "classes"),
    Competition("Zindi, labels in a table", zindi_table, "probability"),
    Competition("Zindi, crop disease", wheat, "classes"),
)


def draw_anew(competition: Competition, folder: Path) -> Truth:
    """Draw a competition's folder, which must not have been there or goes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return competition.draw(folder)
