"""Every kind of fault that the audit looks for, put into a small folder of drawn images."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.exact import read_exact
from tests.run_folder.documents import record_member
from tests.terminal import plain
from twinrun import prepare, submit
from twinrun.audit import fingerprints as fingerprints_module
from twinrun.audit.audit import Audit, audit_folder
from twinrun.audit.check import Finding
from twinrun.audit.fingerprints import fingerprint_images
from twinrun.audit.image_fingerprint import fingerprint
from twinrun.blend.copies import find_copies
from twinrun.cli.app import app
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.data.cache import cache_readable_pixels
from twinrun.data.index import build_index, data_digest
from twinrun.errors import InputError, NegativeVerdict
from twinrun.files import sha256_file

CLASSES = ("leaf_rust", "stem_rust", "healthy_wheat")
DAY = 86_400


def picture(number: int, width: int = 40, height: int = 40) -> Image.Image:
    """Soft patches, others for each number."""
    patches = np.random.default_rng(number).integers(20, 236, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four training images of each class and three test images, all different, all sound."""
    folder = tmp_path / "data"
    number = 0
    for part, count in (*((f"train/{name}", 4) for name in CLASSES), ("test", 3)):
        (folder / part).mkdir(parents=True)
        for _ in range(count):
            path = folder / part / f"I{number:02d}.png"
            picture(number).save(path)
            os.utime(path, (10 * DAY, 10 * DAY))
            number += 1
    rows = [f"I{n:02d},0,0,0" for n in range(12, 15)]
    sample = "\n".join(["ID," + ",".join(CLASSES), *rows])
    (folder / "sample_submission.csv").write_text(sample + "\n")
    return folder


@pytest.fixture
def settings_of(data: Path, small_toml: Path) -> Callable[..., Settings]:
    return lambda *changes: read_settings(small_toml, data=data, changes=changes)


@pytest.fixture
def audited(settings_of: Callable[..., Settings], tmp_path: Path) -> Callable[..., Audit]:
    return lambda *changes: audit_folder(settings_of(*changes), tmp_path / "cache")


def of(audit: Audit, check: str) -> Finding:
    (finding,) = (finding for finding in audit.found if finding.check == check)
    return finding


def copy(data: Path, source: str, target: str) -> None:
    shutil.copy2(data / source, data / target)


A = "train/leaf_rust/I00.png"


def test_of_sound_images_there_is_nothing_to_say(audited: Callable[..., Audit]) -> None:
    audit = audited()
    assert audit.found == ()
    assert audit.groups == ()
    assert audit.summary() == []
    assert audit.content()["images"] == {"train": 12, "test": 3}
    audit.refuse()
    own = audit.index["part"] + "/" + audit.index["id"]
    assert audit.index["group"].tolist() == own.tolist()


def test_images_that_cannot_be_decoded_are_errors_and_all_else_is_still_looked_at(
    data: Path, audited: Callable[..., Audit]
) -> None:
    (data / "test" / "I12.png").write_bytes(b"")
    (data / "test" / "I13.png").write_bytes(b"404 not found")
    copy(data, A, "train/leaf_rust/X.png")
    audit = audited("recipe.image_size=48", "members.a.image_size=32")
    found = of(audit, "unreadable")
    assert (found.severity, found.count) == ("error", 2)
    assert found.images == ("test/I12.png", "test/I13.png")
    assert found.details == (
        "test/I12.png: the file is empty",
        "test/I13.png: not an image, whatever its name says",
    )
    assert audit.found[0] is found
    assert of(audit, "file-copies").count == 1
    with pytest.raises(NegativeVerdict, match=r"I13\.png: not an image") as why:
        audit.refuse()
    assert "data.conflicts" not in why.value.fix


def test_a_folder_in_which_nothing_can_be_decoded(
    data: Path, audited: Callable[..., Audit]
) -> None:
    for path in data.rglob("*.png"):
        path.write_bytes(b"404 not found")
    audit = audited()
    assert of(audit, "unreadable").count == 15
    assert len(audit.index) == 0


def test_what_each_image_tells_alone(data: Path, audited: Callable[..., Audit]) -> None:
    place = data / "train" / "stem_rust"
    Image.new("RGB", (40, 40), (90, 90, 90)).save(place / "even.png")
    Image.fromarray(np.asarray(picture(90)) // 8).save(place / "dark.png")
    picture(91, 300, 40).save(place / "long.png")
    picture(92, 20, 20).save(place / "small.png")
    picture(93).save(place / "other.jpg", "PNG")
    picture(94).convert("RGBA").save(place / "alpha.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    picture(95).save(place / "turned.jpg", exif=turned)
    turned[0x0112] = 12
    picture(96).save(place / "noted.png", exif=turned)
    audit = audited()
    expected = {
        "blank": ("warning", "even.png", ()),
        "dark": ("warning", "dark.png", ()),
        "shape": ("warning", "long.png", ("300 x 40: 1",)),
        "small": ("note", "small.png", ("20 x 20: 1",)),
        "extension": ("note", "other.jpg", ("train/stem_rust/other.jpg: PNG",)),
        "mode": ("note", "alpha.png", ("RGBA: 1",)),
        "orientation": ("note", "turned.jpg", ("EXIF orientation 6: 1",)),
        "metadata": (
            "note",
            "noted.png",
            ("train/stem_rust/noted.png: EXIF orientation '12': there is no such",),
        ),
    }
    for check, (severity, name, details) in expected.items():
        found = of(audit, check)
        assert (found.severity, found.images) == (severity, (f"train/stem_rust/{name}",)), check
        assert found.details == details
        assert found.count == 1
    assert {finding.check for finding in audit.found} == set(expected)
    assert audit.errors == []


def test_copies_are_told_by_what_is_the_same(data: Path, audited: Callable[..., Audit]) -> None:
    copy(data, A, "test/X.png")
    picture(0).save(data / "train/leaf_rust/Y.bmp")
    picture(4).save(data / "train/stem_rust/Z.jpg", quality=70)
    audit = audited()
    assert of(audit, "file-copies").details == (f"test/X.png = {A}",)
    assert of(audit, "pixel-copies").details == ("test/X.png = train/leaf_rust/Y.bmp",)
    near = of(audit, "near-copies")
    assert near.images == ("train/stem_rust/I04.png", "train/stem_rust/Z.jpg")
    across = of(audit, "across")
    assert (across.severity, across.count) == ("warning", 1)
    assert across.details == (f"test/X.png = {A} = train/leaf_rust/Y.bmp",)
    assert [group.kind for group in audit.groups] == ["pixels", "near"]
    content = audit.content()
    assert content["groups"][0]["images"][0] == {
        "part": "test",
        "id": "X",
        "label": "",
        "path": "test/X.png",
    }
    assert content["groups"][0]["spans"] is True
    assert json.loads(json.dumps(content)) == content
    assert "5 images are copies, in 2 groups" in plain(*audit.summary())


def test_blank_images_are_not_copies_because_they_are_blank(
    data: Path, audited: Callable[..., Audit]
) -> None:
    Image.new("RGB", (40, 40), (90, 90, 90)).save(data / "train/leaf_rust/one.png")
    Image.new("RGB", (40, 40), (91, 90, 90)).save(data / "train/stem_rust/two.png")
    audit = audited()
    assert of(audit, "blank").count == 2
    assert audit.groups == ()


@pytest.mark.parametrize(
    ("policy", "severity", "dropped"),
    [("keep", "warning", []), ("drop", "note", ["I00", "X"]), ("error", "error", [])],
)
def test_conflicting_labels(
    data: Path, audited: Callable[..., Audit], policy: str, severity: str, dropped: list[str]
) -> None:
    copy(data, A, "train/stem_rust/X.png")
    audit = audited(f"data.conflicts={policy}")
    found = of(audit, "labels")
    assert (found.severity, found.count) == (severity, 1)
    assert found.details == (f"{A} (leaf_rust) = train/stem_rust/X.png (stem_rust)",)
    told = audit.content()["policy"]
    digests = {path.stem: sha256_file(path) for path in (data / A, data / "train/stem_rust/X.png")}
    assert told == {
        "duplicates": "group",
        "conflicts": policy,
        "dropped": {image: digests[image] for image in dropped},
        "unread": {},
    }
    if policy == "error":
        with pytest.raises(NegativeVerdict, match="different labels") as why:
            audit.refuse()
        assert "data.conflicts" in why.value.fix
    else:
        audit.refuse()


def test_copies_that_the_settings_leave_alone_are_a_warning(
    data: Path, audited: Callable[..., Audit]
) -> None:
    copy(data, A, "train/leaf_rust/X.png")
    assert of(audited(), "file-copies").severity == "note"
    loose = of(audited("data.duplicates=keep"), "file-copies")
    assert loose.severity == "warning"
    assert "a copy of a trained one" in loose.title


def test_a_property_that_gives_a_class_away_is_named(
    data: Path, audited: Callable[..., Audit]
) -> None:
    for number in range(100, 140):
        name = CLASSES[number % 3]
        path = data / "train" / name / f"J{number}.{'bmp' if number % 3 == 0 else 'png'}"
        picture(number).save(path)
        # Another day is chance.
        day = DAY * (10 + number % 2)
        os.utime(path, (day, day))
    found = [finding for finding in audited().found if finding.check == "metadata-leak"]
    assert [finding.title.split(" gives")[0] for finding in found] == [
        "the extension",
        "the format",
    ]
    assert found[0].count == 13
    assert found[0].severity == "warning"
    assert found[0].details[0].startswith(".bmp: 13 of 13 are leaf_rust")


def test_a_day_on_which_only_one_class_was_saved_gives_it_away(
    data: Path, audited: Callable[..., Audit]
) -> None:
    for number in range(100, 145):
        path = data / "train" / CLASSES[number % 3] / f"J{number}.png"
        picture(number).save(path)
        os.utime(path, (DAY * (10 + number % 3),) * 2)
    (found,) = (finding for finding in audited().found if finding.check == "metadata-leak")
    assert found.title.startswith("the day of last change gives")


def test_a_class_with_one_image_is_said(data: Path, audited: Callable[..., Audit]) -> None:
    for number in range(1, 4):
        (data / f"train/leaf_rust/I{number:02d}.png").unlink()
    found = of(audited(), "single")
    assert (found.severity, found.details, found.images) == ("warning", ("leaf_rust",), (A,))


def test_copies_make_no_property_give_a_class_away(
    data: Path, audited: Callable[..., Audit]
) -> None:
    """Twelve files of one photo and one day say no more than one of them."""

    def leaks() -> list[Finding]:
        return [each for each in audited().found if each.check == "metadata-leak"]

    for number in range(30):
        other = data / f"train/stem_rust/S{number:02d}.png"
        picture(300 + number).save(other)
        os.utime(other, (10 * DAY,) * 2)
    names = [f"train/leaf_rust/C{number:02d}.png" for number in range(24)]
    for name in names:
        picture(100).save(data / name)
        os.utime(data / name, (20 * DAY,) * 2)
    assert leaks() == []
    for number, name in enumerate(names[:12]):
        picture(200 + number).save(data / name)
        os.utime(data / name, (20 * DAY,) * 2)
    (found,) = leaks()
    assert "13 of 13, copies counted once, are leaf_rust" in found.details[0]
    assert found.count == 24


@pytest.mark.parametrize("duplicates", ["group", "keep"])
def test_a_class_with_copies_of_one_image_has_one_image(
    data: Path, settings_of: Callable[..., Settings], tmp_path: Path, duplicates: str
) -> None:
    """They are held out together, unless the settings leave copies alone."""
    for number in range(1, 4):
        shutil.copyfile(data / A, data / f"train/leaf_rust/I{number:02d}.png")
    settings = settings_of(f"data.duplicates={duplicates}")
    found = [e for e in audit_folder(settings, tmp_path / "cache").found if e.check == "single"]
    if duplicates == "keep":
        assert found == []
    else:
        assert (found[0].count, found[0].details) == (1, ("leaf_rust: 4 copies of one image",))
        assert len(found[0].images) == 4


def test_the_same_whatever_the_order_and_the_cache(
    data: Path, audited: Callable[..., Audit], tmp_path: Path
) -> None:
    copy(data, A, "test/X.png")
    picture(4).save(data / "train/stem_rust/Z.jpg", quality=70)
    first = audited().content()
    again = audited().content()
    shutil.rmtree(tmp_path / "cache")
    assert first == again == audited().content()


def test_fingerprints_are_worked_out_once_and_again_when_they_are_damaged(
    settings_of: Callable[..., Settings],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index = build_index(settings_of())
    pixels = cache_readable_pixels(index, data, [32], tmp_path / "cache")[0][32]
    looked: list[str] = []

    def noted(image: np.ndarray) -> tuple[int, int, bytes]:
        looked.append("one more")
        return fingerprint(image)

    monkeypatch.setattr(fingerprints_module, "fingerprint", noted)
    first = fingerprint_images(index, pixels)
    assert len(looked) == 15
    backwards = fingerprint_images(index[::-1], pixels)
    assert backwards["hash"].tolist() == first["hash"].tolist()[::-1]
    assert len(looked) == 15
    (kept,) = (tmp_path / "cache").rglob("fingerprints-*.parquet")
    kept.write_bytes(kept.read_bytes()[:-9])
    pd.testing.assert_frame_equal(fingerprint_images(index, pixels), first)
    assert len(looked) == 30
    # What a different library has worked out is not taken for this one's.
    monkeypatch.setattr("imagehash.__version__", "99.0")
    pd.testing.assert_frame_equal(fingerprint_images(index, pixels), first)
    assert len(looked) == 45


def test_a_cache_that_cannot_be_written_to_is_audited_all_the_same(
    audited: Callable[..., Audit], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, table: pd.DataFrame) -> None:
        raise InputError("cannot write")

    monkeypatch.setattr(fingerprints_module, "write_rows", refused)
    assert audited().found == ()


def test_a_run_trains_on_what_the_policy_leaves(
    data: Path, settings_of: Callable[..., Settings], tmp_path: Path
) -> None:
    copy(data, A, "train/stem_rust/X.png")

    def prepared(*changes: str) -> prepare.Prepared:
        return prepare.prepare(settings_of(*changes), tmp_path / "runs" / "full")

    whole, dropped = prepared(), prepared("data.conflicts=drop")
    alone = prepared("data.duplicates=keep")
    assert len(whole.index) == len(dropped.index) + 2
    assert not set(dropped.index["id"]) & {"I00", "X"}
    pair = whole.index[whole.index["id"].isin(["I00", "X"])]
    assert pair["group"].tolist() == ["train/I00"] * 2
    # What decides bits is in the identity: what is dropped, and what is held out together.
    identities = [run.identity("a")["data"] for run in (whole, dropped, alone)]
    assert len(set(identities)) == 3
    assert len({run.data for run in (whole, dropped, alone)}) == 3
    with pytest.raises(NegativeVerdict, match="different labels"):
        prepared("data.conflicts=error")


def test_without_copies_the_policy_is_in_no_digest(settings_of: Callable[..., Settings]) -> None:
    index = build_index(settings_of())
    renamed = index.assign(group=index["part"] + "-" + index["id"])
    assert data_digest(renamed) == data_digest(index)
    together = index.assign(group=["one" if label else "two" for label in index["label"]])
    assert data_digest(together) != data_digest(index)


def test_copies_among_the_test_images_get_one_answer(
    data: Path, settings_of: Callable[..., Settings], tmp_path: Path
) -> None:
    copy(data, "test/I12.png", "test/I99.png")
    with (data / "sample_submission.csv").open("a") as sample:
        sample.write("I99,0,0,0\n")
    keep, mean = settings_of(), settings_of("submission.copies=mean")
    run = tmp_path / "run"
    with pytest.raises(InputError, match=r"index\.parquet"):
        find_copies(run, mean)
    run.mkdir()
    prepare.prepare(mean, run).index.to_parquet(run / "index.parquet")
    assert find_copies(run, keep) == []
    copies = find_copies(run, mean)
    assert copies == [["I12", "I99"]]
    lines = ["id," + ",".join(CLASSES), "I99,0.5,0.25,0.25", "I14,0.1,0.8,0.1"]
    lines += ["I13,0.2,0.2,0.6", "I12,1,0,0"]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    answers: dict[str, dict[str, list[float]]] = {}
    for name, some in (("keep", list[list[str]]()), ("mean", copies)):
        output = tmp_path / f"{name}.csv"
        files = [(tmp_path / "a.csv", 1.0)]
        submit.blend_files(files, mean, data / "sample_submission.csv", output, copies=some)
        table = read_exact(output)
        answers[name] = dict(
            zip(table["ID"], table[list(CLASSES)].to_numpy().tolist(), strict=True)
        )
    assert answers["keep"]["I99"] == [0.5, 0.25, 0.25]
    one = {image: [0.75, 0.125, 0.125] for image in ("I12", "I99")}
    assert answers["mean"] == answers["keep"] | one

    # The command finds them in the run's index by itself.
    member = tmp_path / "runs" / "full" / "members" / "a"
    member.mkdir(parents=True)
    (member / "test.csv").write_text("\n".join(lines) + "\n")
    held_out = ["id,label," + ",".join(CLASSES), f"I1,{CLASSES[0]},0.5,0.25,0.25"]
    (member / "valid.csv").write_text("\n".join(held_out) + "\n")
    record_member(member)
    shutil.copyfile(run / "index.parquet", member.parents[1] / "index.parquet")
    arguments = ["--config", str(mean.config), "--data", str(data), "--out", str(tmp_path / "runs")]
    arguments += ["--set", "submission.copies=mean", "--set", "blend.weights.b=0.0"]
    done = CliRunner().invoke(app, ["blend", *arguments])
    assert done.exit_code == 0, done.output
    blended = (member.parents[1] / "submission.csv").read_text()
    assert blended == (tmp_path / "mean.csv").read_text() != (tmp_path / "keep.csv").read_text()
