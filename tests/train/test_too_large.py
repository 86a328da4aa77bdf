"""A training that does not fit: one message, what to lower and what that does to bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from twinrun import prepare, train_run
from twinrun.config.reading import read_settings
from twinrun.errors import InputError
from twinrun.train.too_large import name_what_to_lower

OUT = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB"
)


def lowered(network: nn.Module, small_toml: Path, error: Exception, workers: int = 0) -> str:
    settings = read_settings(small_toml)
    training, member = settings.training("a"), settings.members["a"]
    with (
        pytest.raises(InputError) as refused,
        name_what_to_lower(training, member, workers, network),
    ):
        raise error
    assert refused.value.__cause__ is error
    return str(refused.value)


def test_in_a_step_it_is_the_batch_and_in_a_prediction_that_of_predictions(
    small_toml: Path,
) -> None:
    network = nn.Linear(1, 1)
    told = lowered(network.train(), small_toml, OUT)
    assert told.startswith("a: the memory of the machine does not hold a step (CUDA out of memory)")
    assert "members.a.batch_size = 16: a different recipe: other bits" in told
    assert "members.a.image_size = 32: " in told
    assert "prediction_batch_size" not in told
    assert "workers" not in told
    assert "the same bits. A different recipe needs a new run" in told
    told = lowered(network.eval(), small_toml, MemoryError(), workers=3)
    assert "does not hold a prediction; what" in told
    assert "members.a.prediction_batch_size = 64: " in told
    assert "run.workers = 3: the same bits, slower" in told


def test_on_a_gpu_the_gpu_is_named_and_no_loader(small_toml: Path) -> None:
    told = lowered(nn.Linear(1, 1, device="meta"), small_toml, OUT, workers=3)
    assert "the memory of the GPU does not hold a step" in told
    assert "run.workers" not in told


def test_other_errors_are_let_through(small_toml: Path) -> None:
    settings = read_settings(small_toml)
    training, member = settings.training("a"), settings.members["a"]
    with (
        pytest.raises(RuntimeError, match="shapes"),
        name_what_to_lower(training, member, 0, nn.Linear(1, 1)),
    ):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("twinrun.optimizers.fused_adam.adamw", "batch_size"),
        pytest.param(
            "twinrun.train.predict._logits", "prediction_batch_size", marks=pytest.mark.slow
        ),
    ],
)
def test_a_training_that_meets_it_says_so_and_is_completed_by_the_same_command(
    small_toml: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    what: str,
) -> None:
    settings = read_settings(small_toml, changes=["recipe.epochs.unfrozen=0"])
    run = prepare.prepare(settings, tmp_path / "runs" / "full")

    def full(*arguments: Any, **options: Any) -> Any:
        raise OUT

    with monkeypatch.context() as patched:
        patched.setattr(place, full)
        with pytest.raises(InputError, match="out of memory") as refused:
            train_run.train(run, ["a"], 0.0)
    assert refused.value.details[0].startswith(f"members.a.{what} = ")
    assert list(train_run.train(run, ["a"], 0.0)) == ["a"]
