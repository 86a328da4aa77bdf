"""Blends of a run that are fitted: from its files to a submission, a record and a page of text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests import terminal
from tests.conftest import Command
from tests.exact import read_exact
from tests.predictions import drawn_labels, seeing, settings_for
from tests.run_folder.documents import (
    read_plain,
    record_member,
    record_run,
    whole_manifest,
    write_sealed,
)
from twinrun import submit
from twinrun.blend.choice import with_seed_of
from twinrun.blend.held_out import read_held_out_tables
from twinrun.blend_methods.temperature import apply_temperature, fit_temperature
from twinrun.cli import tables
from twinrun.config.settings import Settings
from twinrun.errors import InputError
from twinrun.files import sha256_file, write_csv
from twinrun.metrics import score_values
from twinrun.run_folder.manifest import guard_digests, read_manifest

CLASSES = ["a", "b", "c"]
MEMBERS = {"good": 1.6, "fair": 1.3, "poor": 0.3, "noise": 0.0}


def write_run(folder: Path, images: int = 120, *, shuffled: bool = False, sure: float = 1) -> None:
    """A run of four members of different skill that hold out the same images."""
    labels = drawn_labels(images, 3)
    unknown = drawn_labels(40, 3, seed=7)
    for number, (name, skill) in enumerate(MEMBERS.items()):
        member = folder / "members" / name
        member.mkdir(parents=True)
        for file, truth in (("valid.csv", labels), ("test.csv", unknown)):
            values = seeing(truth, 3, skill=skill, noise=1, seed=number, sure=sure)
            table = pd.DataFrame(values.astype(np.float32), columns=CLASSES)
            table.insert(0, "id", [f"{file[0]}{row:04d}" for row in range(len(truth))])
            if file == "valid.csv":
                table.insert(1, "label", [CLASSES[label] for label in truth])
            if shuffled:
                table = table.sample(frac=1, random_state=number)
            write_csv(member / file, table)
        record_member(member)
    ids = [f"v{row:04d}" for row in range(images)]
    index = pd.DataFrame(
        {
            "part": "train",
            "id": ids,
            "label": "x",
            "path": ids,
            "bytes": 1,
            "sha256": ids,
            "group": [f"g{row // 2}" for row in range(images)],
        }
    )
    index.to_parquet(folder / "index.parquet")


def settings_of(folder: Path, **options: Any) -> Settings:
    return settings_for(folder, options.pop("members", list(MEMBERS)), **options)


def by_id(path: Path) -> pd.DataFrame:
    return read_exact(path, dtype={"id": str}).set_index("id").sort_index()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "full"
    write_run(folder)
    return folder


@pytest.mark.parametrize("method", ["auto", "optimised", "selection"])
def test_the_submission_is_the_fitted_blend_and_blend_json_says_how(
    run: Path, tmp_path: Path, method: str
) -> None:
    settings = settings_of(tmp_path, method=method)
    chosen = submit.blend_run(run, settings, None, run / "submission.csv")
    content = read_plain(run / "blend.json")
    origin = content.pop("origin")
    assert content == json.loads(json.dumps(chosen.content()))
    assert origin["blend"]["method"] == origin["settings"]["method"] == method
    assert content["weights"]["good"] > 0.5
    assert sum(content["weights"].values()) == pytest.approx(1)
    members = [by_id(run / "members" / name / "test.csv") for name in content["weights"]]
    mean = sum(w * m for w, m in zip(content["weights"].values(), members, strict=True))
    assert isinstance(mean, pd.DataFrame)
    expected = mean.div(mean.sum(axis=1), axis=0).to_numpy()
    if content["temperature"] != 1.0:
        expected = apply_temperature(expected, content["temperature"])
    submission = by_id(run / "submission.csv")
    np.testing.assert_allclose(submission.to_numpy(), expected, atol=1e-12)


@pytest.mark.slow
def test_the_pages_example(tmp_path: Path) -> None:
    """What docs/blending.md says of four made-up members and 300 images."""
    run = tmp_path / "runs" / "full"
    write_run(run, 300)
    chosen = submit.choose_run_blend(run, settings_of(tmp_path, method="auto"))
    page = (Path(__file__).parents[1] / "docs" / "blending.md").read_text(encoding="utf-8")
    text = terminal.shown(tables.blends(chosen), tables.member_contributions(chosen), width=100)
    assert all(line.rstrip() in page for line in text.splitlines())
    plain = next(each for each in chosen.candidates if each.candidate.words == "optimised weights")
    held = read_held_out_tables(run, MEMBERS, CLASSES)
    labels = [CLASSES.index(label) for label in held["good"]["label"]]
    members = [plain.weights[n] * held[n][CLASSES].to_numpy(np.float64) for n in MEMBERS]
    mean = np.stack(members).sum(axis=0)
    temperature = fit_temperature(mean, np.array(labels))
    after = score_values(apply_temperature(mean, temperature), np.array(labels), "log_loss")
    assert chosen.taken is not None
    assert f"would give {after:.4f} on these images in place of {chosen.taken.fitted:.4f}" in page


def test_a_fitted_temperature_reaches_the_submission(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_run(run, sure=6)
    alone = {"good": 1.0}
    settings = settings_of(tmp_path, method="arithmetic", calibrate=True, weights=alone)
    chosen = submit.blend_run(run, settings, None, run / "submission.csv")
    assert chosen.temperature > 1.5
    plain = settings_of(tmp_path, weights=alone)
    submit.blend_run(run, plain, None, tmp_path / "plain.csv")
    expected = apply_temperature(by_id(tmp_path / "plain.csv").to_numpy(), chosen.temperature)
    np.testing.assert_allclose(by_id(run / "submission.csv").to_numpy(), expected, atol=1e-12)


def test_fixed_weights_are_the_default_and_nothing_of_them_is_fitted(
    run: Path, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path, weights={"noise": 2.0, "good": 69.0})
    chosen = submit.blend_run(run, settings, None, run / "submission.csv")
    assert chosen.weights == {"good": 69.0, "noise": 2.0}
    pairs = [(run / "members" / name / "test.csv", w) for name, w in chosen.weights.items()]
    submit.blend_files(pairs, settings, None, tmp_path / "files.csv")
    assert (tmp_path / "files.csv").read_bytes() == (run / "submission.csv").read_bytes()
    (candidate,) = json.loads((run / "blend.json").read_text())["candidates"]
    assert candidate["nested"] == candidate["fitted"]


SLOW_METHODS = [pytest.param(name, marks=pytest.mark.slow) for name in ("geometric", "selection")]


@pytest.mark.parametrize("method", ["arithmetic", "optimised", "auto", *SLOW_METHODS])
def test_order_of_rows_and_members_decides_no_bit_and_skill_does(
    run: Path, tmp_path: Path, method: str
) -> None:
    other = tmp_path / "other"
    write_run(other, shuffled=True)
    first = submit.blend_run(
        run, settings_of(tmp_path, method=method), None, run / "submission.csv"
    )
    names = list(reversed(MEMBERS))
    turned = settings_of(tmp_path, members=names, method=method)
    second = submit.blend_run(other, turned, None, other / "submission.csv")
    records = [read_plain(each / "blend.json") for each in (run, other)]
    files = [each["origin"].pop("predictions") for each in records]
    assert records[0] == records[1]
    assert files[0] != files[1]  # their rows are in other orders
    assert first.record() == second.record()
    rows = [sorted((each / "submission.csv").read_text().splitlines()) for each in (run, other)]
    assert rows[0] == rows[1]

    table = read_exact(other / "members" / "good" / "valid.csv", dtype={"id": str})
    table.loc[0, CLASSES] = np.roll(table.loc[0, CLASSES].to_numpy(), 1)
    table.to_csv(other / "members" / "good" / "valid.csv", index=False)
    with pytest.raises(InputError, match=r"good/valid\.csv is not the file that was written"):
        submit.blend_run(other, turned, None, other / "submission.csv")
    record_member(other / "members" / "good")
    third = submit.blend_run(other, turned, None, other / "submission.csv")
    assert third.content() != second.content()


def test_the_seed_decides_the_parts_and_the_index_keeps_groups_together(
    run: Path, tmp_path: Path
) -> None:
    def nested(**options: Any) -> list[float]:
        settings = settings_of(tmp_path, method="optimised", **options)
        return [each.nested for each in submit.choose_run_blend(run, settings).candidates]

    first = nested()
    assert nested() == first
    assert nested(seed=1)[1] != first[1]
    index = pd.read_parquet(run / "index.parquet")
    index.assign(group=index["id"]).to_parquet(run / "index.parquet")
    alone = nested()
    assert alone[1] != first[1]
    (run / "index.parquet").unlink()
    assert nested() == alone


def test_members_without_a_common_image_cannot_be_fitted(run: Path, tmp_path: Path) -> None:
    path = run / "members" / "good" / "valid.csv"
    path.write_text("id,label,a,b,c\nelsewhere,a,1,0,0\n")
    record_member(path.parent)
    with pytest.raises(InputError, match="no image was held out by every member"):
        submit.choose_run_blend(run, settings_of(tmp_path, method="auto"))
    chosen = submit.blend_run(run, settings_of(tmp_path), None, run / "submission.csv")
    assert chosen.images.all == 0
    # A member without a weight takes no part, and its images do not count.
    weights = {"fair": 1.0, "poor": 1.0}
    few = submit.choose_run_blend(run, settings_of(tmp_path, method="auto", weights=weights))
    assert set(few.weights) == {"fair", "poor"}
    assert few.images.all == 120


@pytest.mark.parametrize(
    "blend", [{"method": "auto"}, {"method": "selection"}, {"calibrate": True}]
)
def test_files_with_weights_cannot_be_fitted(
    run: Path, tmp_path: Path, blend: dict[str, Any]
) -> None:
    files = [(run / "members" / "good" / "test.csv", 1.0)]
    with pytest.raises(InputError, match="labels are known") as caught:
        submit.blend_files(files, settings_of(tmp_path, **blend), None, tmp_path / "o.csv")
    assert "--method arithmetic" in caught.value.fix
    assert not (tmp_path / "o.csv").exists()


@pytest.mark.parametrize("method", ["arithmetic", "auto", "optimised", *SLOW_METHODS])
def test_a_member_that_is_missing_is_left_out_where_the_settings_allow_it_and_said(
    run: Path, tmp_path: Path, method: str
) -> None:
    (run / "members" / "fair" / "member.json").unlink()
    with pytest.raises(InputError, match=r"not complete in .*: fair") as refused:
        submit.blend_run(run, settings_of(tmp_path, method=method), None, run / "sub.csv")
    assert "blend.allow_missing = true" in refused.value.fix
    assert not (run / "sub.csv").exists()

    allowed = settings_of(tmp_path, method=method, allow_missing=True)
    chosen = submit.blend_run(run, allowed, None, run / "submission.csv")
    assert "fair" not in chosen.weights
    content = json.loads((run / "blend.json").read_text())
    assert content["missing"] == ["fair"]
    assert "left out as blend.allow_missing allows: fair." in content["why"]
    assert "allows: fair." in shown(*tables.why(chosen))
    # The same as of a run that never had this member, but for what is said of it.
    others = [name for name in MEMBERS if name != "fair"]
    without = settings_of(tmp_path, members=others, method=method)
    submit.blend_run(run, without, None, tmp_path / "without.csv")
    assert (tmp_path / "without.csv").read_bytes() == (run / "submission.csv").read_bytes()
    assert submit.choose_run_blend(run, without).record() == chosen.record()
    assert submit.choose_run_blend(run, without).content()["missing"] == []


def test_a_member_without_a_weight_is_not_missed_and_one_at_least_must_be_there(
    run: Path, tmp_path: Path
) -> None:
    for name in ("noise", "fair"):
        (run / "members" / name / "member.json").unlink()
    weights = {"good": 2.0, "fair": 1.0}
    allowed = settings_of(tmp_path, weights=weights, allow_missing=True)
    chosen = submit.choose_run_blend(run, allowed)
    assert (chosen.weights, chosen.missing) == ({"good": 2.0}, ("fair",))
    (run / "members" / "good" / "member.json").unlink()
    with pytest.raises(InputError, match=r"not complete in .*: fair, good") as refused:
        submit.choose_run_blend(run, allowed)
    assert "allow_missing" not in refused.value.fix


def test_held_out_predictions_that_are_given_are_not_read_again(run: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, method="optimised")
    tables = read_held_out_tables(run, [*MEMBERS, "unknown"], settings.classes)
    assert list(tables) == list(MEMBERS)
    expected = submit.choose_run_blend(run, settings).content()
    for name in ("good", "fair"):
        (run / "members" / name / "valid.csv").unlink()
    assert submit.choose_run_blend(run, settings, tables).content() == expected
    del tables["fair"]
    with pytest.raises(InputError, match=r"fair/valid\.csv is missing"):
        submit.choose_run_blend(run, settings, tables)


def test_only_the_runs_own_submission_has_a_blend_json(run: Path, tmp_path: Path) -> None:
    submit.blend_run(run, settings_of(tmp_path, method="auto"), None, tmp_path / "o.csv")
    assert not (run / "blend.json").exists()


def test_the_manifest_records_the_weights_and_the_temperature(run: Path, tmp_path: Path) -> None:
    old = whole_manifest(settings={"submission": {}, "blend": {}}, submission="0" * 64)
    write_sealed(run / "manifest.json", old | {"guards": guard_digests(run)})
    settings = settings_of(tmp_path, method="optimised")
    chosen = submit.blend_run(run, settings, None, run / "submission.csv")
    submit.record_blend(run, settings, read_manifest(run))
    written = json.loads((run / "manifest.json").read_text())
    # A run is as old as its last change.
    assert written["beside"]["written"] > old["beside"]["written"]
    content = written["content"]
    assert content["blend"] == chosen.record()
    assert content["settings"]["blend"]["method"] == "optimised"
    assert content["submission"] == sha256_file(run / "submission.csv")
    (run / "blend.json").write_text("{")
    with pytest.raises(InputError, match=r"blend\.json is damaged"):
        submit.record_blend(run, settings, read_manifest(run))


def test_the_seed_is_the_runs_and_a_manifest_without_one_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert with_seed_of(settings, None) == settings
    found = with_seed_of(settings, whole_manifest(settings={"run": {"seed": 7}}))
    assert (found.run.seed, settings.run.seed) == (7, 0)
    recorded: list[dict[str, Any]] = [{}, {"run": {}}, {"run": None}, {"run": {"seed": "7"}}]
    for damaged in recorded:
        with pytest.raises(InputError, match="it names no seed"):
            with_seed_of(settings, whole_manifest(settings=damaged))


def shown(*parts: Any) -> str:
    return " ".join(terminal.shown(*parts, width=120).split())


def test_the_tables_show_the_numbers_of_blend_json(run: Path, tmp_path: Path) -> None:
    chosen = submit.blend_run(
        run, settings_of(tmp_path, method="auto"), None, run / "submission.csv"
    )
    content = chosen.content()
    text = shown(tables.blends(chosen), tables.member_contributions(chosen), *tables.why(chosen))
    for each in content["candidates"]:
        assert f"{each['nested']:.4f} │ {each['fitted']:.4f}" in text
    for name, weight in content["weights"].items():
        row = f"{name} │ {weight:.4g} │ {content['members'][name]:.4f}"
        assert f"{row} │ {content['without'][name]:.4f}" in text
    taken = chosen.taken
    assert taken is not None
    assert f"{content['without']['good'] - taken.nested:+.4f}" in text
    assert "on 120 held-out images (60 without copies; lower is better)" in text
    assert text.count("taken") == 1


def test_a_warning_is_shown_and_names_in_it_are_no_markup(run: Path, tmp_path: Path) -> None:
    weights = {"poor": 1.0, "good": 1.0, "noise": 5.0}
    settings = settings_of(tmp_path, weights=weights)
    chosen = submit.choose_run_blend(run, settings)
    assert "WORSE than its best member" in shown(*tables.why(chosen))


@pytest.mark.slow  # four processes
def test_the_command_fits_records_and_refuses(invoke: Command, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "full"
    write_run(run)
    settings_of(tmp_path)
    sample = tmp_path / "sample.csv"
    rows = "".join(f"t{row:04d},0,0,0\n" for row in reversed(range(40)))
    sample.write_text("id,a,b,c\n" + rows)
    record_run(run, settings={"submission": {}, "blend": {}, "run": {"seed": 3}})
    options = ["--config", tmp_path / "made-up.toml", "--sample", sample]
    done = invoke("blend", "--method", "auto", *options)
    assert done.returncode == 0, done.stderr
    printed = " ".join(done.stdout.split())
    content = json.loads((run / "blend.json").read_text())
    assert content["asked"] == "auto"
    assert "Best nested log loss of 10 candidates: " in printed
    assert "images (60 without copies) that every member held out" in printed
    assert "blended 4 members, " in printed
    manifest = json.loads((run / "manifest.json").read_text())["content"]
    assert manifest["blend"]["weights"] == content["weights"]
    assert manifest["settings"]["blend"]["method"] == "auto"
    # The parts of the nested validation are those of the run's own seed.
    taken = {
        seed: submit.choose_run_blend(run, settings_of(tmp_path, method="auto", seed=seed))
        for seed in (0, 3)
    }
    assert content["members"] == taken[3].content()["members"]
    assert (
        content["candidates"]
        == taken[3].content()["candidates"]
        != taken[0].content()["candidates"]
    )

    wrong = invoke("blend", "--method", "automatic", *options)
    assert wrong.returncode == 2
    assert "blend.method" in wrong.stderr
    assert "selection" in wrong.stderr
    file = f"{run / 'members' / 'good' / 'test.csv'}=1"
    files = invoke("blend", file, "--method", "auto", "--output", "o.csv", *options)
    assert files.returncode == 2
    assert "labels are known" in files.stderr
    assert "Traceback" not in files.stderr
    plain = invoke("blend", file, "--method", "geometric", "--output", "o.csv", *options)
    assert plain.returncode == 0, plain.stderr


BITS = """
import sys
from pathlib import Path
from twinrun import submit
from twinrun.files import sha256_json
from tests.test_blends import settings_of
folder = Path(sys.argv[1])
for method in ("auto", "selection", "optimised", "logistic", "boosting"):
    chosen = submit.choose_run_blend(folder / "runs" / "full", settings_of(folder, method=method))
    print(sha256_json(chosen.content()))
"""


@pytest.mark.slow  # two processes
def test_the_bits_do_not_depend_on_hash_seed_or_number_of_threads(
    run: Path, tmp_path: Path
) -> None:
    def digests(number: str) -> str:
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONHASHSEED")
        return subprocess.run(
            [sys.executable, "-c", BITS, str(tmp_path)],
            env={**os.environ, **dict.fromkeys(names, number)},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    first = digests("1")
    assert len(set(first.split())) == 5
    assert digests("4") == first
