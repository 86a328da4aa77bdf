"""One step made again: from the nearest checkpoint, in full detail, the same as it was."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from tests.conftest import FIXTURE, SMALL
from twinrun import prepare, train_run
from twinrun.compare.bits import Gap, measure_gap
from twinrun.compare.first_difference import Difference
from twinrun.compare.replay import _measure, replay_both
from twinrun.compare.replay_step import _for_numpy, replay
from twinrun.config.reading import read_settings
from twinrun.errors import InputError
from twinrun.repro.ledger import Ledger
from twinrun.train import saving

Row = dict[str, Any]


def train(folder: Path, *changes: str) -> Path:
    toml = folder.with_suffix(".toml")
    toml.write_text(SMALL.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    settings = read_settings(toml, changes=list(changes))
    started = time.perf_counter()
    train_run.train(prepare.prepare(settings, folder), ["a"], started)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that wrote down everything at every step."""
    return train(tmp_path_factory.mktemp("whole") / "run", "run.ledger='tensor'")


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, ended after the second step of the second epoch, with its checkpoints."""
    patch = pytest.MonkeyPatch()
    plain = saving._Saving.after_batch

    def end(self: Any) -> None:
        plain(self)
        if self.training and (self.at, self.iter) == (1, 1):
            self.saver.save()
            raise KeyboardInterrupt

    patch.setattr(saving._Saving, "after_batch", end)
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    with pytest.raises(KeyboardInterrupt):
        train(folder)
    patch.undo()
    return folder


def rows_at(ledger: Ledger, moment: tuple[int, int]) -> list[Row]:
    rows: list[Row] = ledger.rows().to_pylist()
    return [row for row in rows if (row["epoch"], row["step"]) == moment]


def made_again(run: Path, moment: tuple[int, int], stage: str, output: Path, **more: Any) -> Ledger:
    output.mkdir(exist_ok=True)
    replay(run, "a", moment, stage, output, data=None, **more)
    return Ledger.read(output / "ledger.parquet")


def first_moment(ledger: Ledger) -> tuple[int, int]:
    rows = ledger.rows()
    return rows["epoch"][0].as_py(), rows["step"][0].as_py()


def test_a_step_is_made_again_from_the_nearest_checkpoint(
    whole: Path, interrupted: Path, tmp_path: Path
) -> None:
    recorded = Ledger.read(whole / "members" / "a" / "ledger.parquet")
    again = made_again(interrupted, (2, 4), "update", tmp_path / "out")
    assert first_moment(again) == (2, 3)  # the checkpoint was made after step 2
    before = rows_at(recorded, (2, 4))
    training = [row for row in before if row["stage"] != "prediction"]
    assert len(training) > 300  # images, modules, gradients, weights
    assert rows_at(again, (2, 4)) == training


def test_a_step_before_every_checkpoint_is_made_again_from_the_beginning(
    whole: Path, interrupted: Path, tmp_path: Path
) -> None:
    recorded = Ledger.read(whole / "members" / "a" / "ledger.parquet")
    again = made_again(interrupted, (1, 2), "forward", tmp_path / "out")
    assert first_moment(again) == (1, 1)
    assert rows_at(again, (1, 2)) == rows_at(recorded, (1, 2))


def test_a_complete_run_borrows_the_checkpoint_of_the_other(
    whole: Path, interrupted: Path, tmp_path: Path
) -> None:
    alone = made_again(whole, (2, 3), "loss", tmp_path / "alone")
    helped = made_again(whole, (2, 3), "loss", tmp_path / "helped", beside=[interrupted])
    assert (first_moment(alone), first_moment(helped)) == ((1, 1), (2, 3))
    assert rows_at(alone, (2, 3)) == rows_at(helped, (2, 3))


def test_a_checkpoint_of_another_run_s_settings_is_not_used(
    interrupted: Path, tmp_path: Path
) -> None:
    other = train(tmp_path / "other", "run.seed=4", "members.a.epochs.unfrozen=0")
    (other / "members" / "a" / "checkpoint").mkdir()
    source = interrupted / "members" / "a" / "checkpoint"
    shutil.copytree(source, other / "members" / "a" / "checkpoint", dirs_exist_ok=True)
    again = made_again(other, (1, 2), "loss", tmp_path / "out", beside=[interrupted])
    assert first_moment(again) == (1, 1)


def test_predictions_of_an_epoch_are_made_again_image_by_image(whole: Path, tmp_path: Path) -> None:
    recorded = Ledger.read(whole / "members" / "a" / "ledger.parquet")
    again = made_again(whole, (1, 4), "prediction", tmp_path / "out")
    found = [row for row in rows_at(again, (1, 4)) if row["stage"] == "prediction"]
    assert len(found) == 25  # 24 images and all of them together
    assert found == [row for row in rows_at(recorded, (1, 4)) if row["stage"] == "prediction"]


@pytest.mark.parametrize(
    ("moment", "stage", "wanted", "shape"),
    [
        ((0, 0), "init", "0.model.conv1.0.weight", (16, 3, 3, 3)),
        ((1, 2), "forward", "1.3 (Dropout)", (16, 192)),
        ((1, 2), "forward", "input of 1.4 (Linear)", (16, 192)),
        ((1, 2), "gradient", "1.8.weight", (3, 512)),
        ((1, 2), "update", "0.model.bn1.running_mean", (32,)),
    ],
)
def test_the_values_that_are_wanted_are_kept(
    whole: Path,
    tmp_path: Path,
    moment: tuple[int, int],
    stage: str,
    wanted: str,
    shape: tuple[int, ...],
) -> None:
    made_again(whole, moment, stage, tmp_path / "out", wanted=[wanted])
    (kept,) = load_file(tmp_path / "out" / "values.safetensors").items()
    assert kept[0] == f"0 float32/{wanted}"
    assert kept[1].shape == shape


def test_an_image_s_pixels_and_its_label_are_kept(whole: Path, tmp_path: Path) -> None:
    rows = rows_at(Ledger.read(whole / "members" / "a" / "ledger.parquet"), (1, 2))
    images = [row["what"] for row in rows if row["stage"] == "item" and row["what"]][:2]
    made_again(whole, (1, 2), "item", tmp_path / "out", wanted=images)
    shapes = {
        key: each.shape for key, each in load_file(tmp_path / "out" / "values.safetensors").items()
    }
    pixels, labels = ({f"{kind}/{image}" for image in images} for kind in ("0 uint8", "1 int64"))
    assert shapes.keys() == pixels | labels
    assert {shapes[key] for key in labels} == {()}


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ([0.0, 1.0, 2.0], "0 of 3 values differ, by up to 0: last bits"),
        ([-0.0, 1.0, 2.0], "1 of 3 values differ, by up to 0: last bits"),
        ([0.0, 1.5, 2.0], "1 of 3 values differ, by up to 0.5"),
        ([0.0, 1.0000001, 2.0], "1 of 3 values differ, by up to 1.19e-07: last bits"),
        ([0.0, 1.5, float("nan")], "2 of 3 values differ, some of them no numbers in one of the"),
        ([[0.0, 1.0, 2.0]], "layer: float32 [3] in A, float32 [1, 3] in B"),
    ],
)
def test_values_are_counted_bit_by_bit(tmp_path: Path, second: list[Any], told: str) -> None:
    for name, values in (("a", [0.0, 1.0, 2.0]), ("b", second)):
        save_file({"0 float32/layer": np.array(values, np.float32)}, tmp_path / name)
    gap, kinds = _measure(tmp_path / "a", tmp_path / "b")
    assert (str(gap) if gap else kinds).startswith(told)


def test_values_of_another_precision_are_told(tmp_path: Path) -> None:
    """NumPy has no bfloat16: its values are written as float32, its name beside them."""
    for name, kind in (("a", "bfloat16"), ("b", "float32")):
        save_file({f"0 {kind}/0.0 (Conv2d)": np.zeros(3, np.float32)}, tmp_path / name)
    told = "0.0 (Conv2d): bfloat16 [3] in A, float32 [3] in B"
    assert _measure(tmp_path / "a", tmp_path / "b") == (None, told)
    assert _for_numpy(torch.ones(2, dtype=torch.bfloat16)).dtype == torch.float32


def test_the_farthest_of_several_tensors_is_named() -> None:
    first = {(name, "0"): np.ones(4, np.float32) for name in ("x", "y", "z")}
    second = {key: values.copy() for key, values in first.items()}
    second["y", "0"][1], second["z", "0"][2] = 1.25, 1.5
    gap = measure_gap(first, second)
    assert gap == Gap("z", 2, 12, 0.5, 0.5 / 1.5)


def test_a_step_of_several_ranks_is_not_made_again_by_one_process(tmp_path: Path) -> None:
    for run, ranks in (("a", {"ranks": 2}), ("b", {})):
        settings = {"member": {"name": "m"}}
        about = {"settings": settings, "environment": ranks, "level": "step", "code": ""}
        ledger = Ledger(about)
        (tmp_path / run / "members" / "m").mkdir(parents=True)
        ledger.write(tmp_path / run / "members" / "m" / "ledger.parquet")
    found = Difference("loss", 1, 1, (), (), (), 0)
    with pytest.raises(InputError, match="several ranks") as error:
        replay_both((tmp_path / "a", tmp_path / "b"), "m", found, None)
    assert error.value.details == (f"{tmp_path / 'a'}: 2 ranks",)
