"""The command `audit`: its table, exit codes and file; on odd data, on real photos, on many."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.audit.test_audit import picture
from tests.conftest import FIXTURE, ROOT, Command
from tests.many import EVERY
from tests.run_folder.documents import record_run
from twinrun import prepare, train_run
from twinrun.audit.audit import Audit, audit_folder
from twinrun.audit.duplicates import NEAR_BITS
from twinrun.audit.hamming_search import near_pairs
from twinrun.config.reading import read_settings
from twinrun.data.decoding import decode
from twinrun.errors import InputError
from twinrun.files import read_csv, sha256_file
from twinrun.run_folder.audit import read_audit
from twinrun.run_folder.manifest import read_run_settings
from twinrun.verify.verify import verify_training

NAMES = ("leaf_rust", "stem_rust", "healthy_wheat")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three images of each class and a test image."""
    folder = tmp_path / "data"
    for number, part in enumerate((*(f"train/{name}" for name in NAMES), "test")):
        (folder / part).mkdir(parents=True)
        for image in range(1 if part == "test" else 3):
            picture(10 * number + image).save(folder / part / f"I{number}{image}.png")
    return folder


def test_the_command_says_what_it_found_and_whether_to_train(
    invoke: Command, small_toml: Path, data: Path, tmp_path: Path
) -> None:
    strange = data / "test" / "<img src=x onerror=alert(1)>[red].png"
    strange.write_bytes((data / "train/leaf_rust/I00.png").read_bytes())
    arguments = ("audit", "--config", small_toml, "--data", data)
    fit = invoke(*arguments, "--run", "r")
    assert fit.returncode == 0, fit.stderr
    assert fit.stderr == ""
    assert strange.name in fit.stdout
    assert "9 training and 2 test images" in fit.stdout
    assert "fit to train on" in fit.stdout
    kept = json.loads((tmp_path / "runs/r/audit.json").read_text())
    across = next(each for each in kept["findings"] if each["check"] == "across")
    assert across["images"] == [f"test/{strange.name}", "train/leaf_rust/I00.png"]

    # The run's record, which has the digest of audit.json, goes along.
    record_run(tmp_path / "runs" / "r")
    (data / "train/stem_rust/I10.png").write_bytes(b"<html>")
    unfit = invoke(*arguments, "--run", "r")
    assert unfit.returncode == 1
    assert "stem_rust/I10.png: not an image" in unfit.stdout
    assert unfit.stderr.startswith("error: training on this data would be wrong:")
    assert "Traceback" not in unfit.stderr
    kept = json.loads((tmp_path / "runs/r/audit.json").read_text())
    assert kept["findings"][0]["severity"] == "error"
    assert kept["images"] == {"train": 8, "test": 2}
    assert read_audit(tmp_path / "runs" / "r")["images"] == kept["images"]


def audited(config: Path, data: Path, cache: Path, *changes: str) -> Audit:
    return audit_folder(read_settings(config, data=data, changes=list(changes)), cache)


def test_the_drawn_photos_of_the_fixture_are_fit(small_toml: Path, tmp_path: Path) -> None:
    audit = audited(small_toml, FIXTURE, tmp_path)
    assert audit.errors == []
    assert {finding.check for finding in audit.found} <= {
        "across",
        "extension",
        "file-copies",
        "labels",
        "mode",
        "orientation",
    }


def test_what_is_laid_out_otherwise_is_refused_in_one_message(
    small_toml: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="class folders and the settings do not agree"):
        audited(small_toml, data, tmp_path, "competition.classes=['leaf_rust','stem_rust','a','b']")
    with pytest.raises(InputError, match=r"competition\.classes"):
        audited(small_toml, data, tmp_path, "competition.classes=['leaf_rust']")
    (data / "test").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"no folder .*test"):
        audited(small_toml, data, tmp_path)
    for name in NAMES[1:]:
        (data / "train" / name).rename(tmp_path / name)
    with pytest.raises(InputError, match="only one, 'leaf_rust'"):
        audited(small_toml, data, tmp_path, "competition.classes='auto'")


def test_a_thousand_classes(small_toml: Path, data: Path, tmp_path: Path) -> None:
    (data / "train").rename(tmp_path / "unused")
    draws = np.random.default_rng(0)
    for number in range(1000):
        place = data / "train" / f"c{number:03d}"
        place.mkdir(parents=True)
        pixels = draws.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"J{number}.png")
    audit = audited(small_toml, data, tmp_path / "cache", "competition.classes='auto'")
    single = next(each for each in audit.found if each.check == "single")
    assert single.count == 1000
    assert audit.content()["images"]["train"] == 1000


def rice(shared_data: Path, small_toml: Path, *changes: str) -> Audit:
    return audited(
        small_toml,
        shared_data / "rice",
        small_toml.parent / "cache",
        "competition.classes='auto'",
        "members.a.image_size=224",
        *changes,
    )


def test_copies_among_real_photos_are_found_and_those_across_named(
    shared_data: Path, small_toml: Path
) -> None:
    """276 photos, 255 distinct files: by a comparison of its own, in both layouts."""
    folder = shared_data / "rice"
    files: dict[str, list[str]] = {}
    for path in sorted(folder.glob("t*/**/*.*")):
        files.setdefault(sha256_file(path), []).append(path.relative_to(folder).as_posix())
    assert (sum(map(len, files.values())), len(files)) == (276, 255)
    across = {
        tuple(paths)
        for paths in files.values()
        if len({path.partition("/")[0] for path in paths}) == 2
    }
    audit = rice(shared_data, small_toml)
    copies = next(each for each in audit.found if each.check == "file-copies")
    assert copies.count == 276 - 255
    spanning = {
        tuple(sorted(audit.audited["path"][row] for row in group.rows))
        for group in audit.groups
        if group.spans
    }
    assert spanning == across
    assert len(across) == 10
    named = next(each for each in audit.found if each.check == "across")
    assert set(named.images) == {path for paths in across for path in paths}
    assert audit.errors == []
    dropped = rice(shared_data, small_toml, "data.duplicates=drop").dropped
    train = [path for paths in files.values() for path in paths if path.startswith("train")]
    assert len(train) - len(dropped) == sum(
        any(path.startswith("train") for path in paths) for paths in files.values()
    )


def test_near_copies_of_real_photos_are_found_and_other_photos_are_not(
    shared_data: Path, small_toml: Path
) -> None:
    """The threshold, measured on the photos of ../shared/data/rice: `-s` shows the figures."""
    import imagehash

    folder = shared_data / "rice"
    photos: dict[bytes, Image.Image] = {}
    for path in sorted(folder.glob("t*/**/*.*")):
        image = decode(path).resize((224, 224), Image.Resampling.LANCZOS)
        photos.setdefault(image.tobytes(), image)

    def hashed(images: Iterator[Image.Image]) -> np.ndarray:
        bits = [np.packbits(imagehash.phash(image, 16).hash).tobytes() for image in images]
        return np.frombuffer(b"".join(bits), np.uint64).reshape(-1, 4)

    words = hashed(iter(photos.values()))
    distances = np.bitwise_count(words[:, None] ^ words[None]).sum(2, dtype=int)
    between = np.sort(distances[np.triu_indices(len(words), 1)])
    alike = {
        frozenset(pair)
        for one, other in near_pairs(words, NEAR_BITS)
        for pair in zip(one.tolist(), other.tolist(), strict=True)
    }
    # The one pair is two shots of a leaf: looked at by eye.
    print(
        f"\n{len(words)} distinct photos, {len(between):,} pairs: {len(alike)} pair within "
        f"{NEAR_BITS} of 256 bits (two shots of one leaf), the next at {between[1]}; "
        f"false positives 0 of {len(between) - 1:,}"
    )
    others = between[1:]
    away = (others.mean() - NEAR_BITS) / others.std()
    chance = math.erfc(away / math.sqrt(2)) / 2
    print(
        f"distances of other photos: mean {others.mean():.1f}, deviation {others.std():.2f}; the "
        f"threshold lies {away:.1f} deviations below: by a normal tail {chance:.0e} a pair"
    )
    assert len(alike) == 1
    assert between[0] <= NEAR_BITS < 80 <= between[1]
    for name, (change, found_at_least) in CHANGES.items():
        changed = hashed(change(image) for image in photos.values())
        moved = np.bitwise_count(words ^ changed).sum(1, dtype=int)
        share = (moved <= NEAR_BITS).mean()
        print(f"{name}: {share:.1%} found, median {np.median(moved):.0f}, most {moved.max()} bits")
        assert share >= found_at_least, name


def test_even_scans_of_eight_by_eight_pixels_are_seldom_called_copies() -> None:
    """The hardest case: 300 handwritten digits, hardly any detail. `-s` shows the rate."""
    import imagehash
    from sklearn.datasets import load_digits

    digits = load_digits().images[:300]
    hashes = []
    for pixels in digits:
        image = Image.fromarray((pixels * 15.9).astype(np.uint8))
        large = image.resize((224, 224), Image.Resampling.LANCZOS)
        hashes.append(np.packbits(imagehash.phash(large, 16).hash).tobytes())
    words = np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, 4)
    distances = np.bitwise_count(words[:, None] ^ words[None]).sum(2, dtype=int)
    between = distances[np.triu_indices(len(words), 1)]
    near = int((between <= NEAR_BITS).sum())
    print(f"\n{near} of {len(between):,} pairs of different digits within {NEAR_BITS} bits")
    assert near < 1e-4 * len(between)


def _saved(quality: int, image: Image.Image) -> Image.Image:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def _cut(share: float, image: Image.Image) -> Image.Image:
    width, height = image.size
    box = (share * width, share * height, (1 - share) * width, (1 - share) * height)
    return image.resize(image.size, Image.Resampling.LANCZOS, box=box)


CHANGES: dict[str, tuple[Callable[[Image.Image], Image.Image], float]] = {
    "saved as JPEG of quality 60": (lambda image: _saved(60, image), 1.0),
    "saved as JPEG of quality 30": (lambda image: _saved(30, image), 1.0),
    "half the size": (lambda image: image.resize((112, 112), Image.Resampling.LANCZOS), 1.0),
    "15 % brighter": (lambda image: image.point(lambda value: min(255, int(1.15 * value))), 1.0),
    "1 % cut off each side": (lambda image: _cut(0.01, image), 1.0),
    "2.5 % cut off each side": (lambda image: _cut(0.025, image), 0.5),
    "turned by 1 degree": (
        lambda image: image.rotate(1, Image.Resampling.BICUBIC),
        0.85,
    ),
}


def test_copies_are_held_out_together_in_a_training_and_in_its_verification(
    small_toml: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for part in (*(f"train/{name}" for name in NAMES), "test"):
        (data / part).mkdir(parents=True)
        for path in sorted((FIXTURE / part).iterdir())[: None if part == "test" else 8]:
            shutil.copyfile(path, data / part / path.name)
    shutil.copyfile(FIXTURE / "sample_submission.csv", data / "sample_submission.csv")
    for path in sorted((data / "train" / "leaf_rust").iterdir()):
        # Three of each: the split without groups would tear most of them.
        for number in (1, 2):
            shutil.copyfile(path, path.with_name(f"{path.stem}-{number}{path.suffix}"))
    once = ["data.duplicates=group", "recipe.epochs.unfrozen=0"]
    settings = read_settings(small_toml, data=data, changes=once)
    started = time.perf_counter()
    run = tmp_path / "runs" / "full"
    train_run.train(prepare.prepare(settings, run), ["a"], started)
    valid = read_csv(run / "members" / "a" / "valid.csv", text=("id", "label"))
    copied = valid.loc[valid["label"] == "leaf_rust", "id"].str.partition("-")[0]
    assert set(copied.value_counts()) == {3}
    kept = json.loads((run / "audit.json").read_text())
    assert len(kept["groups"]) == 8
    assert verify_training(run, read_run_settings(run, None), ["a"], tmp_path / "again").same
    loose = settings.model_copy(
        update={"data": settings.data.model_copy(update={"duplicates": "keep"})}
    )
    assert not verify_training(run, loose, ["a"], tmp_path / "loose").same


@pytest.mark.slow  # a hundred thousand images
def test_time_and_memory_grow_with_the_number_of_images_and_no_faster(tmp_path: Path) -> None:
    """`-s` shows the figures: linear would be 10 for 10 times the images."""
    figures = {}
    for count in (10_000, 100_000):
        command = [sys.executable, "-m", "tests.many", str(count), str(tmp_path / str(count))]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        figures[count] = json.loads(done.stdout.splitlines()[-1])
        print(f"\n{count:,} images: {figures[count]}")
        assert figures[count]["groups"] == pytest.approx(count / EVERY, rel=0.01)
    few, many = figures.values()
    assert many["first"] / few["first"] < 20
    assert many["MB"] - few["MB"] < 600
