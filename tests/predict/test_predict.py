"""New images through a run: the bits of its own predictions, whatever stands beside an image."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.conftest import FIXTURE, Command
from tests.exact import read_exact
from tests.predict.conftest import CHANGES
from tests.run_folder.documents import edited
from twinrun import submit
from twinrun.blend.parts import what_is_complete
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.data.decoding import decode_to
from twinrun.errors import InputError, NegativeVerdict
from twinrun.files import sha256_file
from twinrun.hooks.loading import unload
from twinrun.hooks.own_code import read_own_code
from twinrun.predict import networks as networks_module
from twinrun.predict.asked import ask
from twinrun.predict.predict import Predicted, predict_images
from twinrun.predict.record import is_record, read_record_of, record_path
from twinrun.run_folder.manifest import read_manifest, read_run_settings

TEST, SAMPLE = FIXTURE / "test", FIXTURE / "sample_submission.csv"


def predicted(run: Path, images: Path, output: Path, sample: Path | None = None) -> Predicted:
    return predict_images(ask(run, [images], sample, output))


def rows_of(path: Path) -> dict[str, list[str]]:
    table = read_exact(path, dtype=str)
    return {row[0]: list(row[1:]) for row in table.itertuples(index=False)}


@pytest.fixture(scope="module")
def whole(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What each of the run's test images gets, all of them together."""
    output = tmp_path_factory.mktemp("whole") / "predictions.csv"
    predicted(recorded, TEST, output)
    return rows_of(output)


def test_the_images_that_a_run_knew_get_the_bits_of_its_submission(
    recorded: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "new.csv"
    before = {path: sha256_file(path) for path in recorded.rglob("*") if path.is_file()}
    done = predicted(recorded, TEST, output, SAMPLE)
    assert output.read_bytes() == (recorded / "submission.csv").read_bytes()
    assert done.images == 24
    assert not done.elsewhere
    assert sorted(path.name for path in output.parent.iterdir()) == [
        "new.csv",
        "new.predictions.json",
    ]
    assert {path: sha256_file(path) for path in recorded.rglob("*") if path.is_file()} == before
    record = read_record_of(done.record)
    assert record["output"] == {
        "file": "new.csv",
        "kind": "submission",
        "sha256": sha256_file(output),
    }
    assert record["images"]["1AXIPJ"] == sha256_file(TEST / "1AXIPJ.jpg")
    assert sorted(record["weights"]) == ["a/fold-1", "a/fold-2", "b"]
    content = read_manifest(recorded)["content"]
    taken = {name: content["blend"][name] for name in ("method", "weights", "temperature")}
    assert record["blend"] == {**taken, "missing": [], "partial": False}
    assert record["environment"] == content["environment"]


def test_an_image_has_the_same_bits_whatever_stands_beside_it(
    recorded: Path, whole: dict[str, list[str]], tmp_path: Path
) -> None:
    assert len({tuple(row) for row in whole.values()}) == len(whole)
    names = sorted(path.name for path in TEST.iterdir())
    folders = {"alone": names[7:8], "some": names[3:20:2], "first": names[:9]}
    for folder, chosen in folders.items():
        for number, name in enumerate(chosen):
            place = tmp_path / folder / f"{number % 2}" / "deeper"
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(TEST / name, place)
        if folder == "some":  # strangers among them, before and behind
            for number, name in enumerate(("0000.png", "zzzz.png", "MMMM.png")):
                pixels = np.full((40, 70, 3), 60 * number, np.uint8)
                Image.fromarray(pixels).save(tmp_path / folder / name)
        output = tmp_path / f"{folder}.csv"
        predicted(recorded, tmp_path / folder, output)
        found = rows_of(output)
        known = [Path(name).stem for name in chosen]
        assert {name: found[name] for name in known} == {name: whole[name] for name in known}
        assert len(found) == len(known) + 3 * (folder == "some")


def test_a_renamed_image_is_drawn_for_anew_and_otherwise_the_same(
    recorded: Path, tmp_path: Path
) -> None:
    # Member a is shown flipped, b as its training draws for the id: only b's answer moves.
    shutil.copy(TEST / "1AXIPJ.jpg", tmp_path / "renamed.jpg")
    asked = ask(recorded, [tmp_path], None, tmp_path / "out.csv")
    assert asked.images.ids == ("renamed",)
    first = {"a": asked.trained["a"]}
    alone = dataclasses.replace(asked.blend, weights={"a": 1.0})
    predict_images(dataclasses.replace(asked, blend=alone, trained=first))
    renamed = rows_of(tmp_path / "out.csv")["renamed"]
    known = ask(recorded, [TEST], None, tmp_path / "known.csv")
    predict_images(dataclasses.replace(known, blend=alone, trained=first))
    assert rows_of(tmp_path / "known.csv")["1AXIPJ"] == renamed
    predict_images(asked)
    assert rows_of(tmp_path / "out.csv")["renamed"] != renamed


def test_networks_that_do_not_fit_into_memory_are_read_again_to_the_same_bits(
    recorded: Path, whole: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks_module.Networks.__init__, "__defaults__", (1,))
    predicted(recorded, TEST, tmp_path / "out.csv")
    assert rows_of(tmp_path / "out.csv") == whole


def test_a_table_names_images_and_their_ids(
    recorded: Path, whole: dict[str, list[str]], tmp_path: Path
) -> None:
    table = tmp_path / "photos.csv"
    lines = [f"{TEST / name};0{number}" for number, name in enumerate(("S2U8GN.gif", "W7RCF8.png"))]
    table.write_text("\n".join(["path;id", *lines]), encoding="utf-8")
    predicted(recorded, table, tmp_path / "out.csv")
    assert list(rows_of(tmp_path / "out.csv")) == ["00", "01"]
    shutil.copy(TEST / "W7RCF8.png", tmp_path)
    table.write_text(f"path\nW7RCF8.png\n{TEST / 'S2U8GN.gif'}\n", encoding="utf-8")
    predicted(recorded, table, tmp_path / "out.csv")
    found = rows_of(tmp_path / "out.csv")
    assert found == {name: whole[name] for name in ("S2U8GN", "W7RCF8")}


def test_a_sample_is_answered_in_its_order_and_what_it_does_not_ask_for_left_out(
    recorded: Path, invoke: Command, tmp_path: Path
) -> None:
    host = read_exact(SAMPLE, dtype=str)
    few = host.iloc[[5, 0, 9]]
    few = few[[few.columns[0], *reversed(few.columns[1:])]]
    few.to_csv(tmp_path / "few.csv", index=False)
    done = invoke(
        *("predict", recorded, "--images", TEST, "--sample", "few.csv", "--output", "out.csv")
    )
    assert done.returncode == 0, done.stderr
    assert "images      3; 21 more, which the sample does not ask for, are left out" in done.stdout
    whole = read_exact(recorded / "submission.csv", dtype=str).set_index(host.columns[0])
    found = read_exact(tmp_path / "out.csv", dtype=str)
    assert found[host.columns[0]].tolist() == few[host.columns[0]].tolist()
    assert list(found.columns) == list(few.columns)
    own = found.set_index(host.columns[0])
    assert own.equals(whole.loc[own.index, list(own.columns)])


@pytest.fixture
def spoiled(tmp_path: Path) -> Path:
    """Test images of which one is cut short and one is no image."""
    folder = tmp_path / "spoiled"
    folder.mkdir()
    for name in ("1AXIPJ.jpg", "2VXT82.jpg", "643083.jpg"):
        shutil.copy(TEST / name, folder)
    whole = (folder / "2VXT82.jpg").read_bytes()
    (folder / "2VXT82.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "643083.jpg").write_bytes(b"no image at all")
    return folder


def test_what_cannot_be_read_is_named_before_anything_is_decoded(
    recorded: Path, spoiled: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="1 of 3 images cannot be read") as caught:
        predicted(recorded, spoiled, tmp_path / "out.csv")
    assert [line.split(": ")[0] for line in caught.value.details] == [str(spoiled / "643083.jpg")]
    (spoiled / "643083.jpg").unlink()
    with pytest.raises(InputError, match="1 of 2 images cannot be read"):
        predicted(recorded, spoiled, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("way", ["partial", "prior"])
def test_a_run_that_goes_on_without_them_does_so_here(
    recorded: Path, whole: dict[str, list[str]], spoiled: Path, tmp_path: Path, way: str
) -> None:
    run = Path(shutil.copytree(recorded, tmp_path / "runs" / "full"))
    edited(run / "manifest.json", "content", "settings", "data", "unreadable", value=way)
    if way == "partial":
        (spoiled / "643083.jpg").unlink()
    done = predicted(run, spoiled, tmp_path / "out.csv")
    found = rows_of(tmp_path / "out.csv")
    assert found["1AXIPJ"] == whole["1AXIPJ"]
    if way == "partial":
        assert list(done.parts) == ["2VXT82"]
        assert found["2VXT82"] != whole["2VXT82"]
        return
    assert sorted(done.unread) == ["2VXT82", "643083"]
    shares = [float(value) for value in found["643083"]]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.2)
    assert sum(shares) == pytest.approx(1)
    assert found["2VXT82"] == found["643083"]
    record = read_record_of(done.record)
    assert record["unread"] == dict(done.unread)


def test_copies_get_the_mean_of_their_answers_after_all_and_it_is_said(
    recorded: Path, invoke: Command, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(recorded, tmp_path / "runs" / "full"))
    edited(run / "manifest.json", "content", "settings", "submission", "copies", value="mean")
    images = tmp_path / "images"
    images.mkdir()
    for name in ("one.jpg", "two.jpg"):
        shutil.copy(TEST / "1AXIPJ.jpg", images / name)
    shutil.copy(TEST / "2VXT82.jpg", images)
    columns = read_exact(SAMPLE).columns
    rows = [[name, 0.2, 0.3, 0.5] for name in ("one", "two", "2VXT82")]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "sample.csv", index=False)
    plain = predicted(run, images, tmp_path / "plain.csv")
    assert not plain.copies
    alone = rows_of(tmp_path / "plain.csv")
    assert alone["one"] != alone["two"]  # the ids that member b draws for
    done = invoke("predict", run, "--images", images, "--sample", "sample.csv")
    assert done.returncode == 0, done.stderr
    assert "2 images with the pixels of another one" in done.stdout
    found = rows_of(tmp_path / "submission.csv")
    assert found["one"] == found["two"]
    # In the order of the sample's columns, which is not that of the classes.
    means = pd.DataFrame([alone["one"], alone["two"]]).astype(float).mean()
    assert sorted(map(float, found["one"])) == pytest.approx(sorted(means))


def test_copies_are_told_by_the_largest_pixels_as_in_the_run(
    recorded: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(recorded, tmp_path / "runs" / "full"))
    edited(run / "manifest.json", "content", "settings", "submission", "copies", value="mean")
    # The blend sees images decoded to 48 pixels; the run's largest are of 72.
    edited(run / "manifest.json", "content", "blend", "weights", value={"a": 1.0})
    assert read_run_settings(run, None).cached_sizes() == [48, 72]
    images = tmp_path / "images"
    images.mkdir()
    with Image.open(TEST / "1AXIPJ.jpg") as file:
        photo = file.convert("RGB").resize((72, 72))
    photo.paste((100, 100, 100), (10, 10, 60, 60))
    photo.save(images / "photo.png")
    photo.save(images / "same.bmp")
    photo.resize((144, 144)).save(images / "larger.png")
    photo.putpixel((37, 37), (101, 100, 100))  # between two pixels of 48: in none more than half
    photo.save(images / "one_level.png")
    small = {decode_to(images / f"{name}.png", 48).digest for name in ("photo", "one_level")}
    assert len(small) == 1, "in the blend's pixels they are the same"
    rows = [[path.stem, 0.2, 0.3, 0.5] for path in images.iterdir()]
    pd.DataFrame(rows, columns=read_exact(SAMPLE).columns).to_csv(
        tmp_path / "sample.csv", index=False
    )
    done = predicted(run, images, tmp_path / "out.csv", tmp_path / "sample.csv")
    assert done.copies == [["photo", "same"]]


def refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("error:") == 1
    assert words in done.stderr.replace("\n", " "), done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "notes.txt").write_text("nothing")
    yield folder
    assert not list(tmp_path.glob("*predictions*")), "nothing is written"


def test_bad_input_is_one_message(
    recorded: Path, invoke: Command, empty: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(recorded, tmp_path / "runs" / "full"))
    refused(invoke("predict", run, "--images", empty), "no image in")
    refused(invoke("predict", run, "--images", tmp_path / "gone"), "no folder of images")
    refused(invoke("predict", empty, "--images", TEST), "is not a run")
    (tmp_path / "wrong.csv").write_text("file\na.jpg\n")
    refused(invoke("predict", run, "--images", "wrong.csv"), "none 'path'")
    (tmp_path / "gone.csv").write_text("path\nnowhere.jpg\n")
    refused(
        invoke("predict", run, "--images", "gone.csv"), "names files that are not there, 1 of 1"
    )
    twice = tmp_path / "twice"
    for folder in ("x", "y"):
        (twice / folder).mkdir(parents=True)
        shutil.copy(TEST / "1AXIPJ.jpg", twice / folder)
    refused(invoke("predict", run, "--images", twice), "two images with one id")
    sample = read_exact(SAMPLE, dtype=str)
    sample.iloc[3, 0] = "never_seen"
    sample.to_csv(tmp_path / "sample.csv", index=False)
    asked = ("predict", run, "--images", TEST, "--sample")
    refused(invoke(*asked, "sample.csv"), "asks for images that are not there, 1 of 24")
    (tmp_path / "none.csv").write_text(",".join(sample.columns))
    refused(invoke(*asked, "none.csv"), "none.csv has no rows: it asks for no image")
    refused(invoke(*asked, tmp_path / "no.csv"), "no sample submission")
    refused(invoke("predict", run, "--images", TEST, "--output", empty), "is a folder")


def test_nothing_that_is_read_is_overwritten(
    recorded: Path, invoke: Command, tmp_path: Path
) -> None:
    images, run = tmp_path / "images", tmp_path / "runs" / "full"
    shutil.copytree(TEST, images)
    shutil.copytree(recorded, run)
    shutil.copy(SAMPLE, tmp_path / "submission.csv")
    (tmp_path / "predictions.csv").write_text(f"path\n{images / '1AXIPJ.jpg'}\n")
    (tmp_path / "no").write_text("a file, and no folder")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    command = ("predict", run, "--images")
    over = "is read, and would be overwritten"
    refused(invoke(*command, images, "--sample", "submission.csv"), f"submission.csv {over}")
    refused(invoke(*command, "predictions.csv"), f"predictions.csv {over}")
    image = images / "1AXIPJ.jpg"
    refused(invoke(*command, images, "--output", image), "would be overwritten")
    inside = run / "members" / "new" / "test.csv"
    refused(invoke(*command, images, "--output", inside), "would lie in the run")
    refused(invoke(*command, images, "--output", "no/a.csv"), "cannot write")
    for name in ("predictions.json", "today.predictions.json"):
        called = "is a name for a record of predictions"
        refused(invoke(*command, images, "--output", name), called)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_each_output_has_its_own_record(recorded: Path, invoke: Command, tmp_path: Path) -> None:
    names = ("predictions.csv", "today.csv", "v1.2.csv", "none", ".csv")
    records = {name: record_path(tmp_path / name).name for name in names}
    assert records == {
        "predictions.csv": "predictions.json",
        "today.csv": "today.predictions.json",
        "v1.2.csv": "v1.2.predictions.json",
        "none": "none.predictions.json",
        ".csv": ".predictions.json",
    }
    assert all(is_record(tmp_path / name) for name in records.values())
    assert not is_record(tmp_path / "manifest.json")
    table = tmp_path / "photos.csv"
    for name, image in (("one", "1AXIPJ"), ("two", "2VXT82")):
        table.write_text(f"path\n{TEST / image}.jpg\n")
        predicted(recorded, table, tmp_path / name)
    there = {name: read_record_of(record_path(tmp_path / name)) for name in ("one", "two")}
    for name, record in there.items():
        assert record["output"]["file"] == name
        assert record["output"]["sha256"] == sha256_file(tmp_path / name)
    # A file of the same name with another suffix has none of its own.
    command = ("predict", recorded, "--images", TEST, "--output")
    refused(invoke(*command, "two.txt"), "two.predictions.json is of two, and would be overwritten")
    (tmp_path / "predictions.json").write_text("{}")
    refused(invoke(*command, "predictions.csv"), "is of something else, and would be overwritten")
    assert read_record_of(record_path(tmp_path / "two")) == there["two"]
    table.write_text(f"path\n{TEST / '1AXIPJ.jpg'}\n")
    predicted(recorded, table, tmp_path / "two")
    assert read_record_of(record_path(tmp_path / "two"))["images"] == there["one"]["images"]


def test_a_run_of_own_code_is_refused_and_names_it(
    recorded: Path, invoke: Command, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(recorded, tmp_path / "runs" / "full"))
    record = run / "members" / "b" / "member.json"
    for name in ("loss", "head"):
        edited(record, "identity", "settings", "hooks", value={name: "0" * 64})
        done = invoke("predict", run, "--images", TEST)
        if name == "head":
            refused(done, "made with code of its own (hooks.py: head)")
        else:
            assert done.returncode == 0, done.stderr


def test_weights_and_members_that_are_missing_or_changed_are_named(
    recorded: Path, invoke: Command, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(recorded, tmp_path / "runs" / "full"))
    weights = run / "members" / "a" / "fold-2" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    asked = ("predict", run, "--images", TEST)
    refused(invoke(*asked), "fold-2/weights.safetensors is not the file that was written")
    weights.unlink()
    refused(invoke(*asked), "fold-2/weights.safetensors is missing")
    shutil.rmtree(run / "members" / "b")
    refused(invoke(*asked), "has no complete member b, and its blend needs it")


def test_ranks_are_among_the_images_that_are_there_and_it_is_said(
    recorded: Path, invoke: Command, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(recorded, tmp_path / "runs" / "full"))
    toml = recorded.parents[1] / "small.toml"
    settings = read_settings(toml, changes=[*CHANGES, "blend.method='rank'"])
    submit.blend_run(run, settings, SAMPLE, run / "submission.csv")
    submit.record_blend(run, settings, read_manifest(run))
    done = invoke("predict", run, "--images", TEST, "--sample", SAMPLE)
    assert done.returncode == 0, done.stderr
    assert "ranks each image among these: its answer depends on which others" in done.stdout
    assert (tmp_path / "submission.csv").read_bytes() == (run / "submission.csv").read_bytes()
    assert (run / "submission.csv").read_bytes() != (recorded / "submission.csv").read_bytes()
    images = tmp_path / "images"
    images.mkdir()
    for name in ("1AXIPJ.jpg", "2VXT82.jpg"):
        shutil.copy(TEST / name, images)
    predicted(run, images, tmp_path / "two.csv")
    two, whole = rows_of(tmp_path / "two.csv"), rows_of(tmp_path / "submission.csv")
    assert all(two[name] != whole[name] for name in ("1AXIPJ", "2VXT82"))


def test_an_edited_metric_decides_no_prediction(
    recorded: Path, invoke: Command, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(recorded, tmp_path / "runs" / "full"))
    folder = tmp_path / "competition"
    folder.mkdir()
    toml = folder / "competition.toml"
    shutil.copy(recorded.parents[1] / "small.toml", toml)
    edited(run / "local.json", "config", value=str(toml))
    score = "def metric(probabilities, truth):\n    return {}\n"
    change = "\n\ndef after_predictions(table):\n    return table{}\n"
    hooks = folder / "hooks.py"
    hooks.write_text(score.format(1.0) + change.format(""))
    digests = read_own_code(toml).digests("blend", {})
    assert sorted(digests) == ["after_predictions", "metric"]
    edited(run / "manifest.json", "content", "blend", "hooks", value=digests)
    try:
        hooks.write_text(score.format(2.0) + change.format(""))
        done = invoke("predict", run, "--images", TEST, "--sample", SAMPLE)
        assert done.returncode == 0, done.stderr
        made = (tmp_path / "submission.csv").read_bytes()
        assert made == (recorded / "submission.csv").read_bytes()
        hooks.write_text(score.format(1.0) + change.format(".copy()"))
        done = invoke("predict", run, "--images", TEST)
        assert done.returncode == 1
        assert "after_predictions: edited since" in done.stderr
        assert "metric: " not in done.stderr
    finally:
        unload()


def test_a_blend_without_a_member_is_what_the_run_has(
    recorded: Path, invoke: Command, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(recorded, tmp_path / "runs" / "full"))
    settings, manifest = read_run_settings(run, None), read_manifest(run)

    def weighted(weights: dict[str, float]) -> Settings:
        changed = {"weights": weights, "allow_missing": True}
        return settings.model_copy(update={"blend": settings.blend.model_copy(update=changed)})

    submit.blend_run(run, weighted({"b": 1.0}), SAMPLE, run / "submission.csv")
    submit.record_blend(run, weighted({}), manifest)
    shutil.rmtree(run / "members" / "a")
    done = invoke("predict", run, "--images", TEST, "--sample", SAMPLE)
    assert done.returncode == 0, done.stderr
    assert "the run's blend is made without a, as blend.allow_missing allows" in done.stdout
    record = read_record_of(tmp_path / "submission.predictions.json")
    assert (record["blend"]["missing"], record["blend"]["partial"]) == (["a"], False)
    assert (tmp_path / "submission.csv").read_bytes() == (run / "submission.csv").read_bytes()
    assert (run / "submission.csv").read_bytes() != (recorded / "submission.csv").read_bytes()


def test_a_partial_blend_is_used_said_and_recorded_as_one(
    recorded: Path, invoke: Command, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(recorded, tmp_path / "runs" / "full"))
    shutil.rmtree(run / "members" / "b")
    for lost in ("member.json", "fold-1/member.json", "fold-1/weights.safetensors"):
        (run / "members" / "a" / lost).unlink()
    settings = read_run_settings(run, None)
    parts = what_is_complete(run, settings)
    assert parts.names == ["a/fold-2"]
    submit.blend_run(run, settings, SAMPLE, run / "submission.csv", parts=parts)
    edited(run / "manifest.json", "content", "members", value={})
    submit.record_blend(run, settings, read_manifest(run))
    command = ("predict", run, "--images", TEST, "--sample", SAMPLE, "--output", "out.csv")
    done = invoke(*command, "--quiet", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert "partial blend" in done.stdout
    assert "The run's blend is made without a/fold-1, b, not complete" in done.stdout
    assert (tmp_path / "out.csv").read_bytes() == (run / "submission.csv").read_bytes()
    record = read_record_of(tmp_path / "out.predictions.json")
    assert list(record["weights"]) == ["a/fold-2"]
    assert record["blend"]["missing"] == ["a/fold-1", "b"]
    assert record["blend"]["partial"]
    # And so it is where it is made again.
    again = ("verify", "out.predictions.json", "--of", run, "--images", TEST, "--sample", SAMPLE)
    done = invoke(*again, "--quiet", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert "partial blend" in done.stdout
    edited(run / "manifest.json", "content", "blend", "partial", value=None)
    done = invoke(*again)
    assert done.returncode == 1
    assert "partial: True then, False now" in done.stdout
    assert "was made again to the same bits, but not of what it records" in done.stderr


def test_what_is_no_valid_submission_is_not_written(recorded: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(recorded, tmp_path / "runs" / "full"))
    edited(run / "manifest.json", "content", "settings", "blend", "renormalise", value=False)
    edited(run / "manifest.json", "content", "settings", "blend", "clamp", value=[0.4, 1.0])
    output = tmp_path / "out.csv"
    with pytest.raises(NegativeVerdict, match="not a valid submission"):
        predicted(run, TEST, output, SAMPLE)
    assert not list(tmp_path.glob("*.csv"))
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.slow
def test_no_fastai_no_data_and_no_place_to_write_is_needed(recorded: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(recorded, tmp_path / "run"))
    (run / "local.json").unlink()
    images = Path(shutil.copytree(TEST, tmp_path / "images"))
    for path in (*run.rglob("*"), *images.rglob("*"), run, images):
        path.chmod(0o555 if path.is_dir() else 0o444)
    code = (
        "import sys; sys.modules['fastai'] = None; sys.modules['fasttransform'] = None; "
        "from pathlib import Path; from twinrun.predict.asked import ask; "
        "from twinrun.predict.predict import predict_images; "
        "run, images, *others = map(Path, sys.argv[1:]); "
        "predict_images(ask(run, [images], *others)); "
        "print(sorted(each for each in sys.modules if each.startswith(('fast', 'ray'))))"
    )
    words = [sys.executable, "-c", code, run, images, SAMPLE, tmp_path / "out.csv"]
    done = subprocess.run(
        [*map(str, words)],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.replace("'", '"')) == ["fastai", "fasttransform"]
    assert (tmp_path / "out.csv").read_bytes() == (recorded / "submission.csv").read_bytes()
