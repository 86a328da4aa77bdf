"""Images that cannot be read: the run stops, takes what is there, or goes on without them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.conftest import FIXTURE
from tests.exact import read_exact
from tests.package.test_hosts import pages
from tests.run_folder.documents import record_member
from twinrun import prepare, submit, train_run
from twinrun.audit.audit import Audit, audit_folder
from twinrun.blend.copies import find_copies
from twinrun.cluster.share import share_images
from twinrun.cluster.storage import Storage
from twinrun.compare import replay_step
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.data.unread import WHY, class_shares, readable, with_shares
from twinrun.errors import InputError, NegativeVerdict
from twinrun.files import write_csv
from twinrun.report.run_data import read_run_data
from twinrun.run_folder.audit import write_audit
from twinrun.run_folder.manifest import read_run_settings
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.tables import write_index
from twinrun.verify.same_inputs import refuse_other_data

CLASSES = ["leaf_rust", "stem_rust", "healthy_wheat"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The fixture: a training and a test image cut short, and one of each without a picture."""
    folder = Path(shutil.copytree(FIXTURE, tmp_path / "data"))
    for path in (train(folder)[0], test(folder)[0]):
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    train(folder)[1].write_bytes(b"")
    test(folder)[1].write_bytes(b"404 not found")
    return folder


def of_suffix(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.jpg"))


def train(folder: Path) -> list[Path]:
    return of_suffix(folder / "train" / "leaf_rust")


def test(folder: Path) -> list[Path]:
    return of_suffix(folder / "test")


test.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture
def settings_of(data: Path, small_toml: Path) -> Callable[..., Settings]:
    return lambda *changes: read_settings(small_toml, data=data, changes=changes)


@pytest.fixture
def prepared(
    settings_of: Callable[..., Settings], tmp_path: Path
) -> Callable[..., prepare.Prepared]:
    def prepared(*changes: str) -> prepare.Prepared:
        found = prepare.prepare(settings_of(*changes), tmp_path / "runs" / "full")
        found.folder.mkdir(parents=True, exist_ok=True)
        write_index(found.folder, found.index)
        prepare.keep_record(found, 0.0)
        return found

    return prepared


PRIOR, PARTIAL = "data.unreadable=prior", "data.unreadable=partial"


def test_the_message_shows_the_ways_out(prepared: Callable[..., prepare.Prepared]) -> None:
    with pytest.raises(InputError, match=r"4 of .* images") as caught:
        prepared()
    text = " ".join(str(caught.value).split())
    assert '"partial"' in text
    assert '"prior"' in text
    assert "data.unreadable" in text


def test_what_is_cut_short_is_taken_and_what_is_empty_is_not(
    data: Path, prepared: Callable[..., prepare.Prepared]
) -> None:
    with pytest.raises(InputError, match=r"2 of .* images") as caught:
        prepared(PARTIAL)
    text = " ".join(str(caught.value).split())
    assert '"prior"' in text
    assert '"partial"' not in text
    for path in (train(data)[1], test(data)[1]):
        assert path.name in text


def test_a_part_is_marked_and_is_no_part_where_it_is_not_asked_for(
    data: Path, prepared: Callable[..., prepare.Prepared]
) -> None:
    for path in (train(data)[1], test(data)[1]):
        shutil.copyfile(train(data)[2] if "train" in str(path) else test(data)[2], path)
    run = prepared(PARTIAL)
    missing = run.index.set_index("path")["missing"]
    cut = sorted(str(path.relative_to(data)) for path in (train(data)[0], test(data)[0]))
    assert sorted(missing.index[missing != ""]) == cut
    [found] = (each for each in run.audit.found if each.check == "partial")
    assert (found.severity, found.count) == ("warning", 2)
    assert sorted(found.images) == cut
    # The report shows them.
    shown = read_run_data(run.folder).thumbnails
    assert all(shown.of(Path(path).parts[0], Path(path).stem) for path in cut)
    assert not shown.why
    page = " ".join(pages(run.folder, "zindi")["README.md"].split())
    assert "Of 2 images that are damaged or cut short what is there" in page
    # In the cache it is a part for whoever asks next, too.
    with pytest.raises(InputError, match=r"2 of .* images"):
        prepared()


@pytest.mark.slow
def test_without_those_that_cannot_be_read(
    data: Path, prepared: Callable[..., prepare.Prepared]
) -> None:
    run = prepared(PRIOR)
    gone = {path.stem for path in train(data)[:2]}
    assert not gone & set(run.train["id"])
    marked = run.index[run.index[WHY] != ""]
    assert sorted(marked["id"]) == sorted(path.stem for path in test(data)[:2])
    assert set(marked["part"]) == {"test"}
    keys = list(zip(run.index["part"], run.index["id"], strict=True))
    assert keys == sorted(keys)
    [found] = (each for each in run.audit.found if each.check == "unreadable")
    assert (found.severity, found.count) == ("warning", 4)
    assert set(run.audit.content()["policy"]["unread"]) == gone
    assert run.audit.content()["policy"]["dropped"] == {}
    run.audit.refuse()
    # What is seen of the others is what it is without them.
    assert set(readable(run.index)["sha256"]) <= set(run.pixels[max(run.pixels)].table.index)


def test_nothing_changes_where_all_can_be_read(small_toml: Path, tmp_path: Path) -> None:
    digests = set()
    for number, way in enumerate(("error", "partial", "prior")):
        settings = read_settings(small_toml, changes=[f"data.unreadable={way}"])
        run = prepare.prepare(settings, tmp_path / "runs" / f"r{number}")
        assert WHY not in run.index
        digests.add((run.data, str(run.identity("a"))))
    assert len(digests) == 1


def test_a_class_of_which_nothing_is_left(
    data: Path, prepared: Callable[..., prepare.Prepared]
) -> None:
    for path in (data / "train" / "leaf_rust").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="none of the class leaf_rust is left"):
        prepared(PRIOR)


def test_no_test_image_left(data: Path, prepared: Callable[..., prepare.Prepared]) -> None:
    for path in (data / "test").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="none of the test images is left"):
        prepared(PRIOR)


def table_of(ids: list[str], seed: int = 0) -> pd.DataFrame:
    values = np.random.default_rng(seed).dirichlet(np.ones(3), len(ids)).astype(np.float32)
    table = pd.DataFrame(values, columns=CLASSES)
    table.insert(0, "id", ids)
    return table


def test_the_shares_are_those_of_the_training_images_and_know_no_order(
    prepared: Callable[..., prepare.Prepared],
) -> None:
    run = prepared(PRIOR)
    labels = run.train["label"].tolist()
    expected = [labels.count(name) / len(labels) for name in CLASSES]
    assert class_shares(run.index, CLASSES).tolist() == expected
    seen = readable(run.index)
    table = table_of(seen.loc[seen["part"] == "test", "id"].tolist())
    whole = with_shares(table, run.index)
    assert whole.dtypes.tolist() == table.dtypes.tolist()
    assert whole["id"].tolist() == run.index.loc[run.index["part"] == "test", "id"].tolist()
    assert with_shares(table.iloc[::-1].reset_index(drop=True), run.index).equals(whole)
    assert with_shares(whole, run.index).equals(whole)
    rows = whole.set_index("id")
    for image in run.index.loc[run.index[WHY] != "", "id"]:
        assert rows.loc[image].tolist() == [np.float32(share) for share in expected]
    assert rows.loc[table["id"].tolist()].reset_index().equals(table)


def test_a_submission_gives_them_whatever_the_blend_does(
    prepared: Callable[..., prepare.Prepared],
) -> None:
    run = prepared(PRIOR, "submission.copies=mean", "blend.clamp=[0.3, 0.9]")
    seen = readable(run.index)
    for seed, name in enumerate("ab"):
        folder = RunFolder(run.folder).training(name).path
        folder.mkdir(parents=True)
        table = table_of(seen.loc[seen["part"] == "test", "id"].tolist(), seed)
        write_csv(folder / "test.csv", with_shares(table, run.index))
        ids = run.train["id"].tolist()[:6]
        valid = table_of(ids, seed + 7)
        valid.insert(1, "label", run.train["label"].tolist()[:6])
        write_csv(folder / "valid.csv", valid)
        (folder / "weights.safetensors").write_bytes(b"")
        record_member(folder)
    output = RunFolder(run.folder).submission
    submit.blend_run(run.folder, run.settings, run.sample_path, output)
    rows = read_exact(output, dtype={"ID": str}).set_index("ID")
    expected = class_shares(run.index, CLASSES).tolist()
    for image in run.index.loc[run.index[WHY] != "", "id"]:
        assert rows.loc[image, CLASSES].tolist() == expected
    unread = set(run.index.loc[run.index[WHY] != "", "id"])
    assert not any(unread & set(ids) for ids in find_copies(run.folder, run.settings))


@pytest.mark.slow
def test_it_is_the_same_data_for_whoever_makes_it_again(
    data: Path, prepared: Callable[..., prepare.Prepared]
) -> None:
    run = prepared(PRIOR)
    write_audit(run.folder, run.audit.content())
    prepare.keep_record(run, 0.0)
    refuse_other_data(run.folder, run.settings)
    test(data)[1].write_bytes(b"405")
    with pytest.raises(NegativeVerdict, match=f"test/{test(data)[1].stem}: changed"):
        refuse_other_data(run.folder, run.settings)
    test(data)[1].write_bytes(b"404 not found")
    # A training image that was mended would be trained on.
    shutil.copyfile(train(data)[2], train(data)[0])
    with pytest.raises(NegativeVerdict, match=f"train/{train(data)[0].stem}: changed"):
        refuse_other_data(run.folder, run.settings)


@pytest.mark.slow
def test_how_many_pixels_were_allowed_is_recorded(
    data: Path, prepared: Callable[..., prepare.Prepared]
) -> None:
    large = train(data)[2]
    with Image.open(large) as image:
        image.resize((300, 300)).save(large)
    run = prepared(PRIOR, "data.max_pixels=80000")
    assert large.stem in run.audit.unread
    # Whoever makes it again knows the data, and of the settings what is recorded.
    again = prepare.prepare(read_run_settings(run.folder, data), run.folder)
    assert again.data == run.data


def test_a_replay_does_without_them(
    prepared: Callable[..., prepare.Prepared], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepared(PRIOR)
    seen: dict[str, Any] = {}

    class Enough(Exception):
        pass

    def stop(name: str, settings: Any, index: Any, pixels: Any, environment: Any) -> None:
        seen.update(index=index)
        raise Enough

    monkeypatch.setattr(replay_step, "set_up_training", stop)
    with pytest.raises(Enough):
        replay_step.replay(run.folder, "a", (1, 1), "item", tmp_path / "out", data=None)
    assert seen["index"]["id"].tolist() == run.index["id"].tolist()


def test_nodes_get_the_images_that_there_are(
    prepared: Callable[..., prepare.Prepared], tmp_path: Path
) -> None:
    run = prepared(PRIOR)
    shared = share_images(Storage(str(tmp_path / "shared")), run.index, run.pixels)
    there = shared.here(tmp_path / "node")
    seen, size = readable(run.index)["sha256"].tolist(), max(run.pixels)
    ours, theirs = (each[size].rows(seen) for each in (run.pixels, there))
    assert all((ours.image(row) == theirs.image(row)).all() for row in range(len(seen)))


@pytest.mark.slow
def test_folds_and_a_run_that_is_made_again_treat_them_alike(
    settings_of: Callable[..., Settings], tmp_path: Path
) -> None:
    changes = (PRIOR, "recipe.validation={folds=2}", "recipe.epochs={frozen=1, unfrozen=0}")
    settings = settings_of(*changes)
    tables = []
    for name in ("full", "again"):
        folder = tmp_path / "runs" / name
        run = prepare.prepare(settings, folder)
        train_run.train(run, ["a", "b"], 0.0)
        submit.blend_run(folder, settings, run.sample_path, RunFolder(folder).submission)
        tables.append(RunFolder(folder).submission.read_bytes())
    assert tables[0] == tables[1]
    expected = [np.float32(share) for share in class_shares(run.index, CLASSES)]
    unread = run.index.loc[run.index[WHY] != "", "id"].tolist()
    assert unread
    for name in ("a", "a/fold-1", "a/fold-2", "b"):
        path = RunFolder(run.folder).training(name).test
        rows = read_exact(path, dtype={"id": str}).astype(dict.fromkeys(CLASSES, "float32"))
        assert rows["id"].tolist() == run.index.loc[run.index["part"] == "test", "id"].tolist()
        for image in unread:
            assert rows.set_index("id").loc[image].tolist() == expected
        valid = read_exact(path.with_name("valid.csv"), dtype={"id": str})
        assert not set(valid["id"]) & set(run.audit.unread)


@pytest.mark.slow
def test_the_audit_alone_says_the_same(
    settings_of: Callable[..., Settings], tmp_path: Path
) -> None:
    def severity(*changes: str) -> str:
        found: Audit = audit_folder(settings_of(*changes), tmp_path / "cache")
        return next(each.severity for each in found.found if each.check == "unreadable")

    assert [severity(), severity(PARTIAL), severity(PRIOR)] == ["error", "error", "warning"]


def test_a_package_tells_what_they_got(prepared: Callable[..., prepare.Prepared]) -> None:
    run = prepared(PRIOR)
    write_audit(run.folder, run.audit.content())
    prepare.keep_record(run, 0.0)
    text = " ".join(pages(run.folder, "zindi")["README.md"].split())
    assert "2 training images that cannot be read were left out" in text
    assert "by rule" not in text
    shares = class_shares(run.index, CLASSES)
    named = ", ".join(
        f"{name} {share!r}" for name, share in zip(CLASSES, shares.tolist(), strict=True)
    )
    assert f"get the share of each class among the training images: {named}" in text.replace(
        "\\", ""
    )
