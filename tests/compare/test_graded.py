"""Two runs, graded from their files: hand-made runs that differ in one thing each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.exact import read_exact
from tests.report.made_run import ENVIRONMENT, make_run
from tests.run_folder.documents import edited, read_plain, record_member, record_run
from twinrun.cli.app import app
from twinrun.compare.grade import GradedVerdict
from twinrun.compare.graded import grade_runs, held_by
from twinrun.compare.runs import compare_runs
from twinrun.compare.spread import record_spread
from twinrun.files import sha256_file
from twinrun.hooks.loading import unload
from twinrun.repro.ledger import Ledger
from twinrun.repro.told import number_bits
from twinrun.run_folder.manifest import read_manifest, read_run_settings, write_manifest
from twinrun.run_folder.paths import RunFolder

# epoch, step, stage, what, digest
Row = tuple[int, int, str, str, int]
ROWS: list[Row] = [
    (0, 0, "files", "", 1),
    (1, 1, "gradient", "", 2),
    (1, 1, "prediction", "test.csv", 3),
]


def write_ledger(run: Path, *rows: Row, digest: int = 2, **changes: Any) -> None:
    """The ledger of member a.

    Args:
        run: runs/<run>.
        rows: More of them.
        digest: Of the gradient.
        changes: Of its head.
    """
    content = read_run_settings(run, None).training_content("a")
    decides = {**ENVIRONMENT["decides"]}
    about = {"level": "step", "settings": content, "environment": decides, "code": "c" * 64}
    ledger = Ledger({**about, "steps": 1, **changes})
    for epoch, step, stage, what, number in (*ROWS, *rows):
        own = digest if stage == "gradient" else number
        ledger.add(stage, own, epoch=epoch, step=step, what=what)
    put_ledger(run, ledger)


def put_ledger(run: Path, ledger: Ledger) -> None:
    """Write the ledger of member a, and its digest."""
    place = RunFolder(run).training("a")
    ledger.write(place.ledger)
    guards = read_plain(place.record)["guards"] | {place.ledger.name: sha256_file(place.ledger)}
    edited(place.record, "guards", value=guards)


def train_otherwise(run: Path, digest: int) -> None:
    """Another gradient in the ledger of member a; the other rows stay."""
    old = Ledger.read(RunFolder(run).training("a").ledger)
    new = Ledger(old.about)
    for row in old.rows().to_pylist():
        own = digest if row["stage"] == "gradient" else row["digest"]
        new.add(row["stage"], own, epoch=row["epoch"], step=row["step"], what=row["what"])
    put_ledger(run, new)


def edit(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = read_manifest(run)
    change(manifest)
    write_manifest(run, manifest)


def keep(run: Path) -> None:
    """Record the files as they are now."""
    member = RunFolder(run).training("a")
    record = record_member(member.path)

    def change(manifest: dict[str, Any]) -> None:
        manifest["content"]["members"]["a"]["files"] = record["files"]
        manifest["content"]["submission"] = sha256_file(RunFolder(run).submission)

    edit(run, change)


def move(run: Path, by: float, files: tuple[str, ...] = ("test.csv", "valid.csv")) -> None:
    """Move so much of the first image's probability from its first class to its second."""
    for file in files:
        path = RunFolder(run).training("a").path / file
        table = read_exact(path, dtype={"id": str})
        for name, change in (("leaf_rust", -by), ("stem_rust", by)):
            values = table[name].to_numpy(dtype=np.float64, copy=True)
            values[0] += change
            table[name] = values
        table.to_csv(path, index=False)
    # Other predictions come of another training.
    train_otherwise(run, int(sha256_file(path)[:8], 16))
    keep(run)


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """A run, and the same one again."""
    first = make_run(tmp_path, members=("a",), pictures=False)
    write_ledger(first)
    return first, Path(shutil.copytree(first, first.with_name("again")))


def graded(runs: tuple[Path, Path]) -> GradedVerdict:
    """Their grade, which names no folder of this machine: it is recorded, and handed on."""
    verdict = grade_runs(compare_runs(*runs))
    assert str(runs[0].parent) not in repr(verdict)
    return verdict


def kinds(verdict: GradedVerdict) -> list[str]:
    return [cause.kind for cause in verdict.evidence.causes]


def test_all_files_and_digests_are_the_same_bits(runs: tuple[Path, Path]) -> None:
    verdict = graded(runs)
    assert verdict.grade.name == "same bits"
    assert verdict.sentence == "It was made again and every number came out exactly the same."


def test_a_digest_of_the_ledger_alone_is_not_the_same_bits(runs: tuple[Path, Path]) -> None:
    write_ledger(runs[1], digest=7)
    verdict = graded(runs)
    assert verdict.grade.name == "same to rounding"
    assert verdict.largest is not None
    assert verdict.largest.largest == 0
    assert verdict.evidence.first == "the runs differ: a first in gradient, epoch 1, step 1 of 1"


@pytest.mark.parametrize("file", ["valid.csv", "test.csv", "weights.safetensors"])
def test_a_byte_of_a_result_file_alone_has_no_grade_between(
    runs: tuple[Path, Path], file: str
) -> None:
    path = RunFolder(runs[1]).training("a").path / file
    with path.open("a") as written:
        written.write("\n")
    verdict = graded(runs)
    assert verdict.grade.name == "different"
    assert verdict.why["same to rounding"][0].startswith(f"members/a/{file} of B is not what was ")
    # Nor where it was recorded so: the ledgers, of what was in memory, agree.
    keep(runs[1])
    verdict = graded(runs)
    assert verdict.grade.name == "different"
    assert f"members/a/{file} is not the same" in verdict.why["same to rounding"][0]


def test_the_same_bits_of_another_machine_are_the_same_bits(runs: tuple[Path, Path]) -> None:
    write_ledger(runs[1], environment={**ENVIRONMENT["decides"], "machine": "aarch64"})
    verdict = graded(runs)
    assert verdict.grade.name == "same bits"
    assert verdict.evidence.environment == (("machine", "x86_64", "aarch64"),)


def test_late_digits_are_rounding_and_early_ones_are_not(runs: tuple[Path, Path]) -> None:
    move(runs[1], 1e-5)
    verdict = graded(runs)
    assert verdict.grade.name == "same to rounding"
    scores = [gap.scores for gap in verdict.evidence.gaps if gap.scores]
    assert len(scores) == 1
    assert 0 < abs(scores[0][0] - scores[0][1]) < 1e-4
    move(runs[1], 0.01)
    assert graded(runs).grade.name == "different"
    assert graded((runs[1], runs[0])).grade.name == "different"


def test_the_spread_is_the_recorded_runs_own(runs: tuple[Path, Path]) -> None:
    run, again = runs
    other = Path(shutil.copytree(run, run.with_name("full-seed1")))
    move(other, 0.1)
    edit(other, lambda manifest: manifest["content"]["settings"]["run"].update(seed=1))
    move(again, 0.05)
    assert graded(runs).grade.name == "different"
    assert "has recorded no spread of seeds" in graded(runs).why["within the spread of seeds"][0]
    record_spread([run, other], "log_loss", "classes", ["a", "b"])
    assert graded(runs).grade.name == "within the spread of seeds"
    write_ledger(again, code="d" * 64)
    assert graded(runs).grade.name == "different", "another engine may mean other things"
    write_ledger(again)
    move(again, 0.06)
    assert graded(runs).grade.name == "different", "farther than the seeds"
    # Only what was recorded of these files counts.
    move(run, 1e-9)
    assert "is of other predictions" in graded(runs).why["within the spread of seeds"][-1]


def other_seed(manifest: dict[str, Any]) -> None:
    manifest["content"]["settings"]["run"]["seed"] = 1


def other_decay(manifest: dict[str, Any]) -> None:
    manifest["content"]["settings"]["members"]["a"]["mixup"] = 0.25


def other_data(manifest: dict[str, Any]) -> None:
    manifest["content"]["data"] = "b" * 64


def other_blend(manifest: dict[str, Any]) -> None:
    blend = {"method": "arithmetic", "weights": {"a": 0.5}, "temperature": 1.0, "images": 12}
    manifest["content"]["blend"] = blend


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (other_seed, "seed"),
        (other_decay, "settings"),
        (other_data, "data"),
        (other_blend, "blend"),
    ],
)
def test_what_is_no_matter_of_the_machine_bars_the_grades_between(
    runs: tuple[Path, Path], change: Callable[[dict[str, Any]], None], kind: str
) -> None:
    blend = {"method": "arithmetic", "weights": {"a": 1.0}, "temperature": 1.0, "images": 12}
    for run in runs:
        edit(run, lambda manifest: manifest["content"].update(blend=blend))
    edit(runs[1], change)
    write_ledger(runs[1])
    move(runs[1], 1e-7)
    verdict = graded(runs)
    assert verdict.grade.name == "different"
    assert kinds(verdict) == [kind]
    assert f"not made from the same {kind}" in verdict.sentence


def test_labels_and_images_that_differ_are_named(runs: tuple[Path, Path]) -> None:
    index = pd.read_parquet(RunFolder(runs[1]).index)
    index.loc[0, "label"] = "stem_rust"
    index.loc[1, "sha256"] = "e" * 64
    index.drop(index=[2]).to_parquet(RunFolder(runs[1]).index, index=False)
    record_run(runs[1])
    edit(runs[1], other_data)
    move(runs[1], 1e-7)
    causes = {cause.kind: cause.lines for cause in graded(runs).evidence.causes}
    assert causes == {
        "data": ("train/000002: missing", "train/000001: changed"),
        "labels": ("train/000000: was leaf_rust, is stem_rust",),
    }


def test_pretrained_weights_that_differ_are_a_cause(runs: tuple[Path, Path]) -> None:
    for run, letter in zip(runs, "ab", strict=True):
        folder = RunFolder(run).training("a").path
        record_member(folder, pretrained={"file": "net.pth", "sha256": letter * 64})
    move(runs[1], 1e-7)
    assert kinds(graded(runs)) == ["pretrained weights"]


def test_what_no_machine_rounds_is_a_cause_where_the_ledgers_alone_show_it(
    runs: tuple[Path, Path],
) -> None:
    for number, run in enumerate(runs):
        write_ledger(run, (1, 1, "order", "", number))
    move(runs[1], 1e-7)
    verdict = graded(runs)
    assert (verdict.grade.name, kinds(verdict)) == ("different", ["recipe"])
    assert verdict.evidence.causes[0].lines == ("a: the ledgers differ in order",)
    edit(runs[1], other_seed)
    assert kinds(graded(runs)) == ["seed"]


@pytest.mark.parametrize(
    ("decay", "expected"), [(0.01 + 1e-17, []), (0.01 * (1 + 1e-12), []), (0.011, ["recipe"])]
)
def test_a_weight_decay_that_differs_bars_the_grades_between_and_its_last_digits_do_not(
    runs: tuple[Path, Path], decay: float, expected: list[str]
) -> None:
    for run, value in zip(runs, (0.01, decay), strict=True):
        write_ledger(run, (1, 1, "optimizer", "weight decay", number_bits(value)))
    move(runs[1], 1e-7)
    assert kinds(graded(runs)) == expected


def test_threads_are_of_the_machine_though_a_setting_asks_for_them(
    runs: tuple[Path, Path],
) -> None:
    edit(runs[1], lambda manifest: manifest["content"]["settings"]["run"].update(threads=2))
    write_ledger(runs[1], environment={**ENVIRONMENT["decides"], "threads": 2})
    move(runs[1], 1e-7)
    verdict = graded(runs)
    assert (verdict.grade.name, kinds(verdict)) == ("same to rounding", [])
    assert verdict.evidence.environment == (("threads", 1, 2),)


def test_a_fitted_blend_may_round_and_no_more(runs: tuple[Path, Path]) -> None:
    def fitted(weight: float) -> Mapping[str, Any]:
        taken = {"method": "optimised", "temperature": 1.0, "images": 12}
        return {**taken, "weights": {"a": weight}}

    def asked(manifest: dict[str, Any]) -> None:
        manifest["content"]["blend"] = fitted(0.5)
        manifest["content"]["settings"]["blend"]["method"] = "optimised"

    for run in runs:
        edit(run, asked)
    move(runs[1], 1e-7)
    edit(runs[1], lambda manifest: manifest["content"].update(blend=fitted(0.50001)))
    assert graded(runs).grade.name == "same to rounding"
    edit(runs[1], lambda manifest: manifest["content"].update(blend=fitted(0.51)))
    verdict = graded(runs)
    assert (verdict.grade.name, kinds(verdict)) == ("different", [])
    assert verdict.why["same to rounding"] == ("blend, weights.a: 0.5 then, 0.51 now",)


def test_the_submissions_are_graded_too(runs: tuple[Path, Path]) -> None:
    RunFolder(runs[1]).submission.write_text("ID,x\n1,0.50001\n")
    keep(runs[1])
    assert graded(runs).grade.name == "same to rounding"
    RunFolder(runs[1]).submission.write_text("ID,x\n1,0.51\n")
    keep(runs[1])
    assert graded(runs).grade.name == "different"
    RunFolder(runs[1]).submission.write_text("ID,y\n1,0.5\n")
    keep(runs[1])
    assert graded(runs).why["same to rounding"] == ("submissions: different columns",)
    RunFolder(runs[1]).submission.unlink()
    told = graded(runs).why["same to rounding"]
    assert any("again/submission.csv" in each for each in told), told


def test_a_run_that_is_not_finished_has_no_grade_between(runs: tuple[Path, Path]) -> None:
    move(runs[1], 1e-7)
    manifest = RunFolder(runs[1]).manifest
    text = manifest.read_text()
    manifest.unlink()
    assert "has no manifest.json" in graded(runs).why["same to rounding"][0]
    manifest.write_text(text)
    assert graded(runs).grade.name == "same to rounding"
    RunFolder(runs[1]).training("a").record.unlink()
    verdict = graded(runs)
    assert verdict.grade.name == "different"
    assert verdict.why["same to rounding"][0] == "a: complete in A only"


@pytest.mark.parametrize(
    ("by", "accept", "code"),
    [
        (0, (), 0),
        (1e-6, (), 3),
        (1e-6, ("--accept", "rounding"), 0),
        (1e-6, ("--accept", "spread"), 0),
        (0.01, ("--accept", "spread"), 1),
        (0, ("--accept", "all"), 2),
    ],
)
def test_diff_ends_with_the_grades_exit_code(
    runs: tuple[Path, Path], by: float, accept: tuple[str, ...], code: int
) -> None:
    if by:
        move(runs[1], by)
        write_ledger(runs[1], digest=7)
    answer = CliRunner().invoke(app, ["diff", *map(str, runs), *accept])
    assert answer.exit_code == code, answer.output
    names = {0: "same bits", 1e-6: "same to rounding", 0.01: "different"}
    assert names[by] in answer.output or code == 2
    if code == 3:
        assert "3; 0 with --accept rounding" in answer.output
        assert "largest difference 1e-06, in " in answer.output
        assert "top classes        none changed" in answer.output
        assert "for a host" in answer.output
    quiet = CliRunner().invoke(app, ["diff", *map(str, runs), *accept, "--quiet"])
    assert quiet.exit_code == code


def test_a_spread_that_is_damaged_is_named_by_diff(runs: tuple[Path, Path]) -> None:
    move(runs[1], 1e-6)
    RunFolder(runs[0]).spread.write_text(json.dumps({"members": {}}))
    answer = CliRunner().invoke(app, ["diff", *map(str, runs)])
    assert answer.exit_code == 2
    assert "spread.json is damaged" in answer.output


def test_a_metric_of_a_packages_own_code_is_not_called() -> None:
    unload()
    manifest = {"content": {"settings": {"competition": {"metric": "own"}}}}
    assert held_by(manifest).metric == "log_loss"
