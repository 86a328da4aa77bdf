"""Photos for the measurements: drawn, with the detail and the file sizes of real ones."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("a", "b")
# Width, height, JPEG quality: a photo for the web; one of a phone, of about 2 MB.
SIZES = {"1300 px": (1300, 1000, 85), "12 MP": (4000, 3000, 70)}
# Files of training images that are held out, whatever their share.
HELD_OUT = 8


def draw_photos(place: Path, size: str, count: int) -> Path:
    """Draw a competition: `count` training images and HELD_OUT more, one test image, a sample.

    Args:
        place: For its folder.
        size: Of SIZES.
        count: Training images.

    Returns:
        The folder, with train/<class>/, test/ and sample_submission.csv; drawn once.
    """
    folder = place / f"{size.replace(' ', '')}-{count}"
    if (folder / "sample_submission.csv").is_file():
        return folder
    for part in (*(f"train/{name}" for name in CLASSES), "test"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    paths = [
        folder / "train" / CLASSES[number % 2] / f"{number:05d}.jpg"
        for number in range(count + HELD_OUT)
    ]
    # Not by fork: the caller may have torch's threads.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        wanted = [*paths, folder / "test" / "t.jpg"]
        list(pool.map(_draw, wanted, [size] * len(wanted), chunksize=8))
    (folder / "sample_submission.csv").write_text("ID,a,b\nt,0,0\n", encoding="utf-8")
    return folder


def _draw(path: Path, size: str) -> None:
    """Soft patches with a grain; the two classes differ in their hue."""
    width, height, quality = SIZES[size]
    draws = np.random.default_rng(int(path.stem) if path.stem.isdigit() else 0)
    patches = draws.integers(0, 256, (height // 25, width // 25, 3), dtype=np.uint8)
    patches[..., int(path.parent.name == "b")] //= 2
    soft = Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC)
    grain = draws.normal(0, 7, (height, width, 1)).astype(np.float32)
    pixels = np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=quality)


def draw_small(folder: Path, count: int) -> None:
    """Draw small JPEG files, all different, of 3 KB: two classes and one test image."""
    if (folder / "test" / "t.jpg").is_file():
        return
    from io import BytesIO

    draws = np.random.default_rng(0)
    patterns = []
    for _ in range(64):
        patches = Image.fromarray(draws.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        buffer = BytesIO()
        patches.resize((96, 96), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=92)
        patterns.append(buffer.getvalue())
    for part in (*(f"train/{name}" for name in CLASSES), "test"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        # What stands behind the end of a JPEG makes it another file, not another picture.
        content = patterns[number % len(patterns)] + number.to_bytes(4, "big")
        (folder / "train" / CLASSES[number % 2] / f"{number:06d}.jpg").write_bytes(content)
    (folder / "test" / "t.jpg").write_bytes(patterns[0])
