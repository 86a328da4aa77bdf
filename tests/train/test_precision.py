"""bf16 and fp16 are settings: part of the bits, the same twice, named where two runs differ."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from fastai.learner import AvgSmoothLoss
from safetensors.torch import load_file
from torch import nn

from twinrun.compare.first_difference import compare_ledgers
from twinrun.config.reading import read_settings
from twinrun.data.cache import cache_pixels, with_pixels
from twinrun.data.index import build_index
from twinrun.data.pixels import Pixels
from twinrun.files import read_csv
from twinrun.repro.environment import set_up
from twinrun.repro.ledger import Ledger
from twinrun.run_folder.paths import RESULT_FILES
from twinrun.train.learner import SmoothLoss
from twinrun.train.members import set_up_training, train_member
from twinrun.train.network import Network


@pytest.fixture(scope="module")
def environment() -> dict[str, Any]:
    return set_up(threads=1, device="cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, dict[int, Pixels]]:
    settings = read_settings(profile="fixture")
    index = build_index(settings)
    cache = tmp_path_factory.mktemp("cache")
    pixels = cache_pixels(index, settings.data_folder, [48], cache)
    return with_pixels(index, pixels), pixels


def trained(
    toml: Path, data: tuple[pd.DataFrame, dict[int, Pixels]], folder: Path, *changes: str
) -> Path:
    settings = read_settings(toml, changes=changes)
    environment = set_up(threads=1, device="cpu")
    train_member("a", settings, *data, environment, folder)
    return folder


@pytest.mark.slow  # where the processor has no bf16, it takes half a minute
def test_bf16_gives_the_same_bits_twice_and_others_than_fp32(
    small_toml: Path, data: tuple[pd.DataFrame, dict[int, Pixels]], tmp_path: Path
) -> None:
    bf16 = ("recipe.precision=bf16",)
    first = trained(small_toml, data, tmp_path / "first", *bf16)
    second = trained(small_toml, data, tmp_path / "second", *bf16, "run.workers=1")
    full = trained(small_toml, data, tmp_path / "full")
    for file in RESULT_FILES:
        assert (first / file).read_bytes() == (second / file).read_bytes()
        assert (first / file).read_bytes() != (full / file).read_bytes()
    ledgers = [Ledger.read(folder / "ledger.parquet") for folder in (first, second, full)]
    assert compare_ledgers(ledgers[0], ledgers[1]).same
    difference = compare_ledgers(ledgers[0], ledgers[2]).first
    assert difference is not None
    assert difference.stage == "environment"
    assert difference.changed == ("precision",)


def test_weights_and_probabilities_of_bf16_are_float32(
    small_toml: Path, data: tuple[pd.DataFrame, dict[int, Pixels]], tmp_path: Path
) -> None:
    folder = trained(small_toml, data, tmp_path / "m", "recipe.precision=bf16")
    weights = load_file(folder / "weights.safetensors")
    assert {tensor.dtype for tensor in weights.values()} <= {torch.float32, torch.int64}
    sums = read_csv(folder / "test.csv").drop(columns="id").sum(axis=1)
    # bfloat16 has eight significant bits: rows of its sums would miss 1 by more.
    assert (sums - 1).abs().max() < 1e-6


def test_a_network_computes_in_its_precision_and_answers_in_float32(
    small_toml: Path, data: tuple[pd.DataFrame, dict[int, Pixels]], environment: dict[str, Any]
) -> None:
    seen: dict[str, set[torch.dtype]] = {}
    for precision in ("fp32", "bf16", "fp16"):
        settings = read_settings(small_toml, changes=[f"recipe.precision={precision}"])
        model = set_up_training("a", settings, *data, environment).learner.model.eval()
        kinds = seen.setdefault(precision, set())
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda *args, kinds=kinds: kinds.add(args[2].dtype))
        logits = model(torch.zeros(2, 3, 32, 32))
        assert logits.dtype == torch.float32
        assert logits.shape == (2, 3)
        convolutions = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
        assert all(w.is_contiguous(memory_format=torch.channels_last) for w in convolutions)
    narrow = {"bf16": {torch.bfloat16}, "fp16": {torch.float16}}
    assert seen == narrow | {"fp32": {torch.float32}}


def test_a_network_is_cut_into_layer_groups_as_a_plain_sequence() -> None:
    network = Network(nn.Linear(2, 2), nn.Linear(2, 1), "fp32")
    assert type(network[1:]) is nn.Sequential
    assert network[1:][0] is network[1]


def test_the_smoothed_loss_is_fastais() -> None:
    ours, theirs = SmoothLoss(), AvgSmoothLoss()
    for metric in (ours, theirs):
        metric.reset()
    for step in range(5):
        learner = SimpleNamespace(loss=torch.tensor([0.7, 1.9]) / (step + 1))
        for metric in (ours, theirs):
            metric.accumulate(learner)
        assert torch.equal(ours.value, theirs.value)
    ours.reset()
    theirs.reset()
    assert ours.count == theirs.count == 0
