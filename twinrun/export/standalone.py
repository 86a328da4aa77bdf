"""Predicts new images with an exported run: needs onnxruntime, NumPy and Pillow only.

    python predict.py IMAGES [--output predictions.csv]

IMAGES is a folder, nested or not. Written is a CSV: id (the file's name without its suffix), and a
column of probabilities for each class. It lies beside export.json and the .onnx files.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
# As the engine decodes: a JPEG at a fraction of its size that leaves twice what is wanted; a
# panorama cut to four times its shorter side, around its middle.
GAP, LONGEST = 2, 4
BATCH = 16


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict what the command line names."""
    parser = argparse.ArgumentParser(description="Predict new images with an exported run.")
    parser.add_argument("images", type=Path, help="folder of images")
    parser.add_argument("--output", type=Path, default=Path("predictions.csv"))
    asked = parser.parse_args(arguments)
    export = json.loads((HERE / "export.json").read_text(encoding="utf-8"))
    paths = find(asked.images)
    if not paths:
        print(f"error: no image in {asked.images}", file=sys.stderr)  # noqa: T201
        return 2
    ids = name_ids(paths, asked.images, export["ids"])
    rows = list(zip(ids, predict(export, paths), strict=True))
    with asked.output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", *export["classes"]])
        writer.writerows([name, *map(repr, values)] for name, values in rows)
    print(f"{len(paths):,} images: {asked.output}")  # noqa: T201
    return 0


def find(folder: Path) -> list[Path]:
    """The images of a folder, whatever their suffixes, by their ids."""
    found = [path for path in folder.rglob("*") if path.is_file() and is_image(path)]
    return sorted(found, key=lambda path: path.stem)


def is_image(path: Path) -> bool:
    """Whether Pillow knows a file's first bytes."""
    try:
        with Image.open(path):
            return True
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def name_ids(paths: Sequence[Path], folder: Path, ids: str) -> list[str]:
    """The ids of images, as the settings' data.ids has them: `stem`, `name` or `path`."""
    if ids == "path":
        return [path.relative_to(folder).as_posix() for path in paths]
    return [path.name if ids == "name" else path.stem for path in paths]


def predict(export: Any, paths: Sequence[Path]) -> Iterator[list[float]]:
    """Of each image the blended probabilities."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = export["threads"]
    members = {
        name: [
            onnxruntime.InferenceSession(
                str(HERE / file), options, providers=["CPUExecutionProvider"]
            )
            for file in member["files"]
        ]
        for name, member in export["members"].items()
    }
    for first in range(0, len(paths), BATCH):
        block = paths[first : first + BATCH]
        squares = {
            size: np.stack([decode(path, size) for path in block])
            for size in {member["size"] for member in export["members"].values()}
        }
        tables = {}
        for name, sessions in members.items():
            given = {"images": squares[export["members"][name]["size"]]}
            folds = [session.run(None, given)[0].astype(np.float64) for session in sessions]
            tables[name] = sum(folds) / len(folds)
        yield from blend(export, tables).tolist()


def decode(path: Path, size: int) -> np.ndarray:
    """The middle square of an image, uint8, 3 x size x size."""
    with Image.open(path) as file:
        reduced = file.draft(None, (GAP * size, GAP * size)) is not None
        stored = file.size
        turned = file.getexif().get(0x0112, 1) >= 5
        image = ImageOps.exif_transpose(file)
        if image.mode == "P":
            image = image.convert("RGBA")
        image = image.convert("RGB")
    whole = (stored[::-1] if turned else stored) if reduced else image.size
    short, long = sorted(whole)
    longer = min((2 * long * size + short) // (2 * short), LONGEST * size)
    shape = (size, longer) if whole[1] > whole[0] else (longer, size)
    box = middle(*image.size)
    if shape != image.size or box != (0, 0, *image.size):
        image = image.resize(shape, Image.Resampling.LANCZOS, box=box)
    left, top = ((each - size) // 2 + (each - size) % 2 for each in image.size)
    pixels = np.asarray(image)[top : top + size, left : left + size]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def middle(width: int, height: int) -> tuple[float, float, float, float]:
    """The part of an image that is at most LONGEST times as long as wide."""
    across, down = min(width, LONGEST * height), min(height, LONGEST * width)
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, left + across, top + down


def blend(export: Any, tables: dict[str, np.ndarray]) -> np.ndarray:
    """The members' probabilities as one."""
    asked, total = export["blend"], 0.0
    weights = sum(asked["weights"].values())
    result: Any = 0.0
    for name, weight in asked["weights"].items():
        values = tables[name]
        if asked["clamp"]:
            # Rounded as the members' probabilities are.
            low, high = (float(np.float32(each)) for each in asked["clamp"])
            values = np.clip(values, low, high)
        total += weight
        result = result + weight * (np.log(values) if asked["mean"] == "geometric" else values)
    result = result / weights
    if asked["mean"] == "geometric":
        result = np.exp(result)
    if asked["renormalise"]:
        result = result / result.sum(1, keepdims=True)
    if asked["temperature"] != 1.0:
        result = result ** (1 / asked["temperature"])
        result = result / result.sum(1, keepdims=True)
    return np.asarray(result)


if __name__ == "__main__":
    sys.exit(main())
