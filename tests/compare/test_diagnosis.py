"""What a first difference is said to come from: true of what differs, and of nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.compare.test_first_difference import (
    STEP_STAGES,
    Key,
    Rows,
    changed,
    ledger,
    sentences_of,
    text_of,
    training,
    write_run,
)
from tests.run_folder.documents import whole_record
from tests.terminal import plain
from twinrun.compare.bits import Gap
from twinrun.compare.diagnosis import advise, advise_training
from twinrun.compare.first_difference import LedgerComparison, compare_ledgers
from twinrun.compare.format import format_replay
from twinrun.compare.predictions import find_prediction_change
from twinrun.compare.replay import Replay
from twinrun.compare.runs import compare_runs
from twinrun.files import sha256_file
from twinrun.repro.stage import Advice, Known
from twinrun.repro.told import number_bits, split_digest
from twinrun.run_folder.records import write_record

BOTH = [Path("runs/a"), Path("runs/b c")]


def comparison_of(*keys: Key, level: str = "step", rows: Rows | None = None) -> LedgerComparison:
    rows = training(level) if rows is None else rows
    return compare_ledgers(ledger(rows, level), ledger(changed(rows, *keys), level))


def advice_on(*keys: Key, level: str = "step", **more: Any) -> Advice:
    return advise(comparison_of(*keys, level=level), BOTH, **more)


@pytest.mark.parametrize(
    ("level", "keys", "words"),
    [
        ("step", [(0, 0, "files", "")], "image file was changed"),
        ("step", [(0, 0, "split", "classes")], "classes have different numbers"),
        ("step", [(0, 0, "split", "i2")], "held out"),
        ("step", [(0, 0, "pixels", "")], "Pillow"),
        ("step", [(0, 0, "init", "0.0.weight")], "pretrained"),
        ("step", [(0, 0, "init", "1.0.weight")], "The head began"),
        ("step", [(0, 0, "init", f"{part}.0.weight") for part in (0, 1)], "Body and head"),
        ("step", [(1, 1, "order", "")], "not drawn from the key"),
        ("step", [(1, 2, "order", "")], "delivered out of turn"),
        ("step", [(1, 2, "item", "")], "An item transform draws"),
        ("step", [(1, 2, "batch", "")], "batch transform"),
        ("step", [(1, 2, "mix", "")], "MixUp"),
        ("step", [(1, 2, "forward", "")], "dropout"),
        ("tensor", [(1, 2, "forward", "1.0 (Dropout)")], "1.0 (Dropout): its input was equal"),
        ("tensor", [(1, 2, "forward", "0.0 (Conv2d)")], "0.0 (Conv2d): all before it was equal"),
        ("step", [(1, 2, "loss", "")], "the loss draws"),
        ("step", [(1, 2, "gradient", "")], "atomic operation"),
        ("step", [(1, 2, "optimizer", "weight decay")], "with a different weight decay"),
        ("step", [(1, 2, "update", "")], "Something else changes weights"),
        ("tensor", [(1, 2, "update", "0.1.running_mean")], "running statistics"),
        ("epoch", [(1, 3, "update", "")], "Some step of this epoch"),
        ("step", [(1, 3, "prediction", "validation")], "test-time augmentation"),
        ("step", [(2, 3, "prediction", "test.csv")], "so were the predictions of the validation"),
    ],
)
def test_each_difference_has_its_likely_cause_and_a_next_step(
    level: str, keys: list[Key], words: str
) -> None:
    advice = advice_on(*keys, level=level)
    assert words in advice.cause
    stage = keys[0][2]
    if level == "step" and stage in STEP_STAGES and stage != "optimizer":
        assert advice.next == "twinrun diff runs/a 'runs/b c' --replay"
    else:
        assert "--replay" not in advice.next
    assert advice.next


@pytest.mark.parametrize("stage", [each for each in STEP_STAGES if each != "optimizer"])
def test_a_step_that_was_made_again_is_not_to_be_made_again(stage: str, tmp_path: Path) -> None:
    key = (1, 2, stage, "")
    assert advice_on(key).next == "twinrun diff runs/a 'runs/b c' --replay"
    rows = training("tensor")
    run_a = write_run(tmp_path / "a", {"m": ledger(training())})
    run_b = write_run(tmp_path / "b", {"m": ledger(changed(training(), key))})
    report = compare_runs(run_a, run_b)
    # Loss and logits have no details: the replay names no more than the ledgers did.
    again = Replay(comparison_of(key, level="tensor", rows=rows), None, "", (True, True))
    assert again.difference is not None
    assert again.difference.names == ()
    advice = advise_training(report.members[0], report, again)
    assert advice.next
    assert "--replay" not in advice.next
    assert "--replay" not in plain(*format_replay(report.members[0], again, report))


def test_logits_that_no_module_gave_were_changed_after_the_network() -> None:
    advice = advice_on((1, 2, "forward", ""), known=Known(detailed=True), replayed=True)
    assert advice.cause.startswith("Every module gave the same and the logits differ")
    assert "after_pred" in advice.next


# What the optimizer takes a step with.


def test_a_different_learning_rate_is_named_with_both_values(tmp_path: Path) -> None:
    rows = training()
    other = rows | {(2, 1, "optimizer", "learning rate"): number_bits(0.0015)}
    run_a = write_run(tmp_path / "a", {"m": ledger(rows)})
    run_b = write_run(tmp_path / "b", {"m": ledger(other)})
    text = sentences_of(run_a, run_b)
    assert "first difference: optimizer, epoch 2, step 1 of 3" in text
    assert "learning rate: 0.001 in A, 0.0015 in B" in text
    assert "with a different learning rate (0.001 in A, 0.0015 in B)" in text
    assert "weight decay:" not in text
    assert "resum" not in text


def test_a_difference_of_weights_tells_the_numbers_of_the_step(tmp_path: Path) -> None:
    rows = training()
    run_a = write_run(tmp_path / "a", {"m": ledger(rows)})
    run_b = write_run(tmp_path / "b", {"m": ledger(changed(rows, (2, 1, "update", "")))})
    assert "equal in both: learning rate 0.001; weight decay 0.01" in text_of(run_a, run_b)
    assert "so were learning rate, weight decay and momentum" in sentences_of(run_a, run_b)


def test_a_competitors_own_functions_are_named() -> None:
    for stage, hook in (("item", "item_transforms"), ("batch", "batch_transforms")):
        advice = advice_on((1, 2, stage, ""), known=Known(hooks=(hook,)))
        assert f"function of `{hook}` in hooks.py draws" in advice.cause
        assert hook not in advice_on((1, 2, stage, "")).cause


# Resuming, and what else differs beside.


def record(run: Path, resumed: Sequence[Sequence[int]] = (), **beside: Any) -> None:
    """Complete a member: write its member.json, with what it was trained on."""
    facts = {"platform": "Linux", "cores": 4, "workers": 0, "processor": "x", "hash_seed": "0"}
    content = whole_record(beside=facts | beside | {"resumed": [list(each) for each in resumed]})
    write_record(run / "members" / "m", content)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ((2, 2, "order", ""), "B resumed after step 1 of epoch 2: a resume that forgot the data"),
        ((2, 2, "item", ""), "B resumed after step 1 of epoch 2, and an item transform keeps"),
        ((2, 2, "optimizer", "learning rate"), "B resumed after step 1 of epoch 2: a resume with"),
        ((2, 2, "update", ""), "B resumed after step 1 of epoch 2: a resume without the opt"),
    ],
)
def test_a_checkpoint_is_a_cause_only_where_one_was_used_before(
    tmp_path: Path, key: Key, words: str
) -> None:
    rows = training()
    run_a = write_run(tmp_path / "a", {"m": ledger(rows)})
    run_b = write_run(tmp_path / "b", {"m": ledger(changed(rows, key))})
    assert "resum" not in text_of(run_a, run_b)  # nothing is known of it
    record(run_a)
    record(run_b)
    assert "resum" not in text_of(run_a, run_b)
    record(run_b, resumed=[[1, 2]])  # later than the difference
    assert "B resumed" not in text_of(run_a, run_b)
    record(run_b, resumed=[[0, 1], [1, 1]])
    text = sentences_of(run_a, run_b)
    assert words in text
    assert "differs beside, deciding no bit: resumed" in text


def test_what_differs_beside_is_one_line_of_what_does_differ(tmp_path: Path) -> None:
    rows = training()
    run_a = write_run(tmp_path / "a", {"m": ledger(rows)})
    run_b = write_run(tmp_path / "b", {"m": ledger(rows)})
    record(run_a)
    record(run_b)
    assert "differs beside" not in text_of(run_a, run_b)
    name = "A processor of a very long name @ 2.10GHz"
    record(run_b, [[1, 0]], workers=3, cores=8, processor=name, hash_seed="17")
    (line,) = [each for each in text_of(run_a, run_b).splitlines() if "differs beside" in each]
    assert line == (
        "differs beside, deciding no bit: cores 4 in A, 8 in B; hash seed 0 in A, 17 in B; "
        "processor; resumed never in A, after epoch 1 in B; workers 0 in A, 3 in B"
    )
    assert compare_runs(run_a, run_b).same
    # What decides bits and was left out at its neutral value is told as environment, not here.
    record(run_a, in_force={"mkldnn": True})
    record(run_b, in_force={})
    assert "differs beside" not in text_of(run_a, run_b)


def test_a_transform_that_keeps_state_is_a_cause_and_the_first_with_other_workers(
    tmp_path: Path,
) -> None:
    rows = training()
    run_a = write_run(tmp_path / "a", {"m": ledger(rows)})
    run_b = write_run(tmp_path / "b", {"m": ledger(changed(rows, (1, 1, "item", "")))})
    cause = sentences_of(run_a, run_b)
    assert 0 < cause.index("draws from a generator") < cause.index("keeps something from one image")
    record(run_a)
    record(run_b, workers=2)
    cause = sentences_of(run_a, run_b)
    assert 0 < cause.index("keeps something from one image") < cause.index("draws from a generator")


# Code, settings and environment.


def test_code_that_differs_is_the_first_cause(tmp_path: Path) -> None:
    advice = advice_on((1, 1, "gradient", ""), code=("source a", "source b"))
    assert advice.cause == (
        "The two were trained with different code (source a in A, source b in B), which may be "
        "the whole reason."
    )
    assert advice.next == "train both with the same code, and compare again"
    keys = [(0, 0, "environment", "threads"), (1, 1, "gradient", "")]
    cause = advice_on(*keys, code=("a", "b"), settings=["run.seed"]).cause
    assert cause == (
        "The two were trained with different code (a in A, b in B), and with different settings "
        "(run.seed), and with a different environment (threads): any of these may be the reason."
    )
    # Of a member whose code is the same, that of another is no cause.
    rows = training()
    other = ledger(changed(rows, (1, 2, "loss", "")))
    run_a = write_run(tmp_path / "a", {"m": ledger(rows), "n": ledger(rows)})
    run_b = write_run(tmp_path / "b", {"m": other, "n": ledger(rows, code="d")})
    report = compare_runs(run_a, run_b)
    assert report.code == ("source c", "source d")
    assert "code" not in advise_training(report.members[0], report).cause


def test_other_settings_or_environments_are_the_likelier_cause() -> None:
    keys = [(0, 0, "environment", "threads"), (1, 1, "gradient", "")]
    assert "different environments (threads)" in advice_on(*keys).cause
    assert (
        "different settings (run.seed): reason enough"
        in advice_on(keys[1], settings=["run.seed"]).cause
    )
    alike = dataclasses.replace(comparison_of(*keys), environment=None, result=None)
    with pytest.raises(ValueError, match="no difference"):
        advise(alike, [])


@pytest.mark.parametrize(
    ("stage", "setting", "decides"),
    [
        ("prediction", "members.m.prediction_batch_size", True),
        ("prediction", "members.m.test_time.passes", True),
        ("gradient", "members.m.prediction_batch_size", False),
        ("gradient", "members.m.test_time.passes", False),
        ("gradient", "members.m.mixup", True),
        ("split", "members.m.mixup", False),
        ("split", "run.seed", True),
        ("split", "members.m.validation.share", True),
        ("split", "data.duplicates", True),
        ("files", "data.duplicates", True),
        ("files", "run.seed", False),
    ],
)
def test_a_setting_is_a_cause_only_where_it_can_be_one(
    stage: str, setting: str, decides: bool
) -> None:
    key = next(key for key in training() if key[2] == stage)
    cause = advice_on(key, settings=[setting]).cause
    assert (f"different settings ({setting})" in cause) is decides
    assert cause


@pytest.mark.parametrize("key", [(0, 0, "files", ""), (0, 0, "split", "i2")])
def test_no_environment_changes_a_file_or_a_label(key: Key) -> None:
    cause = advice_on((0, 0, "environment", "threads"), key).cause
    assert "environment" not in cause


# Labels.


def test_a_changed_label_is_told_with_both_classes(tmp_path: Path) -> None:
    rows = training() | {(0, 0, "split", "i2"): split_digest("train", 0)}
    other = rows | {(0, 0, "split", "i2"): split_digest("train", 1)}
    run_a = write_run(tmp_path / "a", {"m": ledger(rows)})
    run_b = write_run(tmp_path / "b", {"m": ledger(other)})
    assert "i2: label a in A, b in B" in text_of(run_a, run_b)
    assert "i2 has label a in A, b in B. A table of labels was changed" in sentences_of(
        run_a, run_b
    )
    # The same of whatever code.
    run_b = write_run(tmp_path / "b", {"m": ledger(other, code="d")})
    assert "which may be the whole reason. Images have different labels" in sentences_of(
        run_a, run_b
    )


def test_an_image_that_changed_sides_is_told_apart_from_one_with_another_label(
    tmp_path: Path,
) -> None:
    rows = training() | {(0, 0, "split", "i2"): split_digest("train", 0)}
    other = rows | {(0, 0, "split", "i2"): split_digest("valid", 0)}
    run_a = write_run(tmp_path / "a", {"m": ledger(rows)})
    run_b = write_run(tmp_path / "b", {"m": ledger(other)})
    assert "i2: trained on in A, held out in B" in text_of(run_a, run_b)
    assert "The same images with the same labels" in sentences_of(run_a, run_b)


def test_no_label_is_told_where_the_classes_have_other_numbers(tmp_path: Path) -> None:
    rows = training()
    other = changed(rows, (0, 0, "split", "classes"))
    other[0, 0, "split", "i2"] = split_digest("train", 1)
    run_a = write_run(tmp_path / "a", {"m": ledger(rows)})
    run_b = write_run(tmp_path / "b", {"m": ledger(other)})
    text = sentences_of(run_a, run_b)
    assert "The classes have different numbers" in text
    assert "label a" not in text


# How large a difference is.


def gap(differing: int, largest: float, share: float) -> Gap:
    return Gap("1.0.weight", differing, 1000, largest, share)


def test_last_bits_of_one_gradient_are_told_apart_from_all_of_them(tmp_path: Path) -> None:
    names = [key for key in training("tensor") if key[:3] == (1, 2, "gradient")]
    run_a = write_run(tmp_path / "a", {"m": ledger(training())})
    run_b = write_run(tmp_path / "b", {"m": ledger(changed(training(), names[0]))})
    report = compare_runs(run_a, run_b)

    def said(keys: Sequence[Key], found: Gap) -> str:
        again = Replay(comparison_of(*keys, level="tensor"), found, "", (True, True))
        return " ".join(plain(*format_replay(report.members[0], again, report)).split())

    one = said(names[:2], gap(1, 3e-9, 1e-8))
    assert "1 of 2" in one
    assert "1.0.weight: 1 of 1,000 values differ, by up to 3e-09: last bits" in one
    assert "differ in their last bits only: the backward pass added up in a different order" in one
    assert "clips" not in one
    assert "code" not in one
    all_of_them = said(names, gap(1000, 0.8, 0.9))
    assert "2 of 2" in all_of_them
    assert "1,000 of 1,000 values differ, by up to 0.8 (farthest: 1.0.weight)" in all_of_them
    assert (
        "by far more than sums in a different order do: something changes gradients" in all_of_them
    )


@pytest.mark.parametrize(
    ("share", "first", "second"),
    [(1e-7, "threads", "it reads"), (1e-2, "precision", "it draws"), (0.5, "it draws", "threads")],
)
def test_kernels_precision_and_threads_are_causes_of_logits_by_what_fits(
    share: float, first: str, second: str
) -> None:
    key = (1, 2, "forward", "0.0 (Conv2d)")
    cause = advice_on(key, level="tensor", known=Known(detailed=True, gap=share)).cause
    assert 0 < cause.index(first) < cause.index(second)
    for words in ("kernels", "precision", "threads"):
        assert words in cause
        assert words in advice_on((1, 2, "forward", "")).cause


# Predictions.


def write_predictions(run: Path, text: str) -> None:
    (run / "members" / "m" / "test.csv").write_text(text)


def of_test(tmp_path: Path, first: str, second: str) -> tuple[Path, Path]:
    rows = training()
    other = changed(rows, (2, 3, "prediction", "test.csv"))
    run_a = write_run(tmp_path / "a", {"m": ledger(rows)})
    run_b = write_run(tmp_path / "b", {"m": ledger(other)})
    write_predictions(run_a, first)
    write_predictions(run_b, second)
    return run_a, run_b


TABLE = "id,a,b,c\n007,0.5,0.25,0.25\n008,0.75,0.125,0.125\n"


def test_changed_predictions_are_counted_and_measured(tmp_path: Path) -> None:
    run_a, run_b = of_test(tmp_path, TABLE, TABLE.replace("0.125,0.125", "0.125,0.125001"))
    (line,) = compare_runs(run_a, run_b).members[0].evidence
    assert line == "test.csv: 1 of 6 numbers differ, by up to 1e-06, of 1 of 2 images: 008"
    cause = sentences_of(run_a, run_b)
    assert cause.index("batch size, number of threads") < cause.index("test-time augmentation")
    write_predictions(run_b, TABLE.replace("0.125,0.125", "0.225,0.025"))
    cause = sentences_of(run_a, run_b)
    assert cause.index("test-time augmentation") < cause.index("batch size, number of threads")
    (run_b / "members" / "m" / "test.csv").unlink()
    (line,) = compare_runs(run_a, run_b).members[0].evidence
    assert "cannot be read" in line


def test_swapped_columns_and_rows_are_named(tmp_path: Path) -> None:
    columns = "id,a,b,c\n007,0.25,0.5,0.25\n008,0.125,0.75,0.125\n"
    text = sentences_of(*of_test(tmp_path, TABLE, columns))
    assert "The columns of test.csv are swapped: a of A is b of B, b of A is a of B." in text
    assert "twinrun verify" in text
    rows = "id,a,b,c\n007,0.75,0.125,0.125\n008,0.5,0.25,0.25\n"
    text = sentences_of(*of_test(tmp_path, TABLE, rows))
    assert "The rows of test.csv are swapped: 007 of A is 008 of B, 008 of A is 007 of B." in text


def test_what_the_files_show_comes_before_a_batch_size_and_after_the_code() -> None:
    swapped = Advice("The columns are swapped.", "twinrun verify {first} --predict-only")
    key, known = (2, 3, "prediction", "test.csv"), Known(causes=(swapped,))
    size = ["members.m.prediction_batch_size"]
    advice = advice_on(key, settings=size, known=known)
    assert advice.cause.startswith("The columns are swapped. The two were trained with different")
    assert advice.next == "twinrun verify runs/a --predict-only"
    cause = advice_on(key, code=("a", "b"), known=known).cause
    assert cause.endswith("which may be the whole reason. The columns are swapped.")
    assert (
        "different settings (members.m.prediction_batch_size): reason enough"
        in advice_on(key, settings=size).cause
    )


def test_a_file_that_was_changed_is_named_before_all_else(tmp_path: Path) -> None:
    run_a, run_b = of_test(tmp_path, TABLE, TABLE.replace("0.5,0.25", "0.25,0.5"))
    first, second = (run / "members" / "m" / "test.csv" for run in (run_a, run_b))
    digests = [sha256_file(path) for path in (first, second)]
    assert find_prediction_change(first, second, digests).cause is None
    change = find_prediction_change(first, second, [digests[0], digests[0]])
    assert change.words == "test.csv: in B it is not the file that was recorded"
    assert change.cause is not None
    assert "test.csv in B was changed after it was written" in change.cause.cause
    # Through a whole report: the record of B tells of another file.
    folder = run_b / "members" / "m"
    write_record(folder, whole_record(files={"test.csv": digests[0]}))
    assert "test.csv in B was changed after it was written" in sentences_of(run_a, run_b)


def test_lines_are_no_wider_than_80_columns_but_for_names_and_commands(tmp_path: Path) -> None:
    rows = training()
    for number, key in enumerate(key for key in rows if key[2] != "environment"):
        run_a = write_run(tmp_path / f"a{number}", {"m": ledger(rows)})
        run_b = write_run(tmp_path / f"b{number}", {"m": ledger(changed(rows, key))})
        lines = text_of(run_a, run_b).splitlines()
        assert [each for each in lines[3:] if len(each) > 80 and "twinrun " not in each] == []
        if number > 20:
            break
