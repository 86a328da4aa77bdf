"""What is set before anything is drawn, and what is written down about it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from competition.determinism.environment import set_up
from competition.errors import InputError

PRINT_HASH_SEED = """
import os, sys
from competition.determinism.environment import start_over_prepared
start_over_prepared()
print(os.environ["PYTHONHASHSEED"], hash("wheat"), sys.argv[1:])
"""


def start(**environment: str) -> str:
    """What a script prints that fixes its hash seed, started with two arguments."""
    return subprocess.run(
        [sys.executable, "-c", PRINT_HASH_SEED, "one", "two words"],
        env={"PATH": "", **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_a_process_without_a_hash_seed_starts_again_with_one() -> None:
    assert start() == start() == start(PYTHONHASHSEED="random")
    assert start().startswith("0 ")
    assert start().endswith("['one', 'two words']")


def test_a_hash_seed_that_is_there_is_kept() -> None:
    assert start(PYTHONHASHSEED="7").startswith("7 ")
    assert start(PYTHONHASHSEED="7") != start(PYTHONHASHSEED="8")


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_flags_are_set_and_recorded(threads: int) -> None:
    torch.backends.cudnn.benchmark = True
    decides = set_up(threads=threads, device="cpu")["decides"]
    assert torch.get_num_threads() == decides["threads"] == threads
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    assert decides["device"] == "cpu"
    assert decides["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert decides["instruction_set"]


def test_what_cannot_change_a_bit_is_kept_apart() -> None:
    one, other = set_up(threads=1, workers=0), set_up(threads=1, workers=8)
    assert one["decides"] == other["decides"]
    assert one["beside"]["workers"] != other["beside"]["workers"]


def test_cublas_workspace_is_set_before_cuda_can_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    import os

    set_up(threads=1)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_asking_for_cuda_without_cuda_is_refused() -> None:
    with pytest.raises(InputError, match="no CUDA device"):
        set_up(threads=1, device="cuda")
