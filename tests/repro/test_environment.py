"""What is set before anything is drawn, and what is written down about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
import torch

from twinrun.errors import InputError
from twinrun.repro.environment import set_up

BY_OPERATION = hasattr(torch.backends.cudnn, "conv")

PRINT_HASH_SEED = """
import os, sys
from twinrun.process import restart_process
restart_process()
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


def test_variables_that_let_openmp_start_fewer_threads_are_removed() -> None:
    script = PRINT_HASH_SEED.replace("print(", "print(*sorted(os.environ)); print(")
    told = subprocess.run(
        [sys.executable, "-c", script],
        env={
            "GOMP_SPINCOUNT": "2000",
            "OMP_DYNAMIC": "true",
            "OMP_MAX_ACTIVE_LEVELS": "0",
            "OMP_NUM_THREADS": "3",
            "OMP_THREAD_LIMIT": "1",
            "PYTHONHASHSEED": "0",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    names = told.stdout.splitlines()[0].split()
    assert [name for name in names if name.startswith("OMP_")] == ["OMP_NUM_THREADS"]


QUICKER = ("GOMP_SPINCOUNT", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_")


def test_what_makes_a_training_quicker_is_set_unless_it_is_there() -> None:
    script = PRINT_HASH_SEED.replace("print(", f"print(*map(os.environ.get, {QUICKER})); print(")

    def values(**environment: str) -> list[str]:
        told = subprocess.run(
            [sys.executable, "-c", script],
            env={"PATH": "", **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return told.stdout.splitlines()[0].split()

    assert values() == values(PYTHONHASHSEED="0") == ["2000", "0", str(1 << 40)]
    assert values(MALLOC_MMAP_MAX_="7", GOMP_SPINCOUNT="9") == ["9", "7", str(1 << 40)]


# A step of a small network, in a process that was prepared as the command prepares its own. The
# first argument is the number of threads, the second one says on which cores.
STEP = """
import hashlib, json, os, sys
if sys.argv[2] == "one":
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
from twinrun.process import restart_process
from twinrun.repro.environment import set_up
restart_process()
environment = set_up(threads=int(sys.argv[1]), device="cpu")
import torch
from torch import nn

def values(*shape):
    numbers = torch.arange(torch.Size(shape).numel()) * 2654435761 % 1000003
    return (numbers / 1000003 - 0.5).reshape(shape)

network = nn.Sequential(
    nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(14400, 301)
)
for parameter in network.parameters():
    parameter.data = values(*parameter.shape)
output = network(values(16, 3, 32, 32))
output.logsumexp(1).sum().backward()
digest = hashlib.sha256()
# A sum that each number of threads splits in its own way, whatever kernels the processor has.
split = values(1 << 20).sum()
for tensor in (split, output, *(parameter.grad for parameter in network.parameters())):
    digest.update(tensor.detach().numpy().tobytes())
print(json.dumps({"bits": digest.hexdigest(), "threads": torch.get_num_threads(), **environment}))
"""


def step(
    variables: Mapping[str, str] = MappingProxyType({}), *, threads: int = 2, cores: str = "all"
) -> dict[str, Any]:
    """The environment of a process, and the bits of the step above in it."""
    told = subprocess.run(
        [sys.executable, "-c", STEP, str(threads), cores],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert told.stderr == ""
    result: dict[str, Any] = json.loads(told.stdout)
    return result


@pytest.fixture(scope="module")
def usual() -> dict[str, Any]:
    """`step` with two threads and nothing special."""
    return step()


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two cores, and a system on which a process can be kept to one",
)
@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({}, marks=pytest.mark.slow),
        # Any of the first three would leave one thread, and a convolution that waits for ever for
        # the other one.
        {
            "OMP_DYNAMIC": "true",
            "OMP_MAX_ACTIVE_LEVELS": "0",
            "OMP_THREAD_LIMIT": "1",
            "OMP_NUM_THREADS": "1",
            "MKL_DYNAMIC": "true",
            "MKL_NUM_THREADS": "1",
        },
    ],
)
def test_a_process_on_one_core_uses_as_many_threads_and_gives_the_same_bits(
    usual: dict[str, Any], variables: dict[str, str]
) -> None:
    narrow = step(variables, cores="one")
    assert narrow["threads"] == usual["threads"] == 2
    assert narrow["decides"] == usual["decides"]
    assert narrow["bits"] == usual["bits"]


@pytest.mark.slow
def test_another_thread_count_gives_other_bits(usual: dict[str, Any]) -> None:
    # The control: the step above does depend on the threads that compute it.
    alone = step(threads=1)
    assert alone["decides"] == {**usual["decides"], "threads": 1}
    assert alone["bits"] != usual["bits"]


@pytest.mark.slow  # a process that imports for ten seconds
def test_another_instruction_set_is_recorded(usual: dict[str, Any]) -> None:
    plain = step({"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "AVX2"})
    assert "variables" not in usual["decides"]
    assert plain["decides"] == {
        **usual["decides"],
        "instruction_set": "DEFAULT",
        "variables": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    }
    if "avx512_f" in usual["decides"]["cpu_features"]:
        assert plain["bits"] != usual["bits"]


def test_the_features_of_the_processor_are_recorded() -> None:
    features = set_up(threads=1)["decides"]["cpu_features"]
    assert features == sorted(features)
    if hasattr(torch.cpu, "get_capabilities"):
        # Sizes and counts of cores decide nothing, and a process on fewer cores has fewer.
        assert all(torch.cpu.get_capabilities()[name] is True for name in features)
        known = {"avx2", "avx512_f", "fma3"}
    else:  # torch 2.8
        known = {"avx2", "avx512"}
    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        assert known <= set(features)


def test_variables_of_cuda_decide_nothing_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set_up(threads=1, device="cpu")["decides"]
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    monkeypatch.setenv("MKL_CBWR", "")  # as good as not set
    assert set_up(threads=1, device="cpu")["decides"] == before


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let there be a GPU as far as can be asked, and a folder for its nvidia-smi."""
    properties = SimpleNamespace(name="NVIDIA T4", major=7, minor=5, multi_processor_count=40)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda: properties)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 92600)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_a_gpu_is_recorded(gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    described = set_up(threads=1)
    assert described["decides"]["device"] == "cuda"
    assert described["decides"]["gpu"] == "NVIDIA T4"
    assert described["decides"]["compute_capability"] == "7.5"
    assert described["decides"]["multiprocessors"] == 40
    assert described["decides"]["variables"]["NVIDIA_TF32_OVERRIDE"] == "0"
    assert "driver" not in described["beside"]


@pytest.mark.parametrize(
    ("script", "driver"),
    [("echo 550.54.15; echo 550.54.15", "550.54.15"), ("echo failed; exit 9", None)],
)
def test_the_driver_is_recorded_where_it_can_be_told(
    gpu: Path, script: str, driver: str | None
) -> None:
    command = gpu / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    assert set_up(threads=1)["beside"].get("driver") == driver


def test_the_older_flags_are_what_they_always_are() -> None:
    set_up(threads=1)
    assert torch.backends.cudnn.allow_tf32
    if not BY_OPERATION:
        # What something else in the process may have set.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = True
        set_up(threads=1)
    assert torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.skipif(not BY_OPERATION, reason="torch before 2.9 has no precision by operation")
def test_precision_is_what_it_always_is(recwarn: pytest.WarningsRecorder) -> None:
    set_up(threads=1)
    usual = precision()
    assert usual["cuda matmul"] == usual["mkldnn conv"] == usual["mkldnn matmul"] == "ieee"
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.mkldnn.conv.fp32_precision = "bf16"  # type: ignore[attr-defined]
    assert precision() != usual
    set_up(threads=1)
    assert precision() == usual
    # torch's older way of asking agrees; where it does not, torch raises an error.
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32
    assert not recwarn.list


def precision() -> dict[str, str]:
    return {
        f"{name} {operation}": getattr(backend, operation).fp32_precision
        for name, backend in (("cuda", torch.backends.cudnn), ("mkldnn", torch.backends.mkldnn))
        for operation in ("conv", "rnn")
    } | {
        "cuda matmul": torch.backends.cuda.matmul.fp32_precision,
        "mkldnn matmul": torch.backends.mkldnn.matmul.fp32_precision,  # type: ignore[attr-defined]
        "matmul": torch.get_float32_matmul_precision(),
    }


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
    set_up(threads=1)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_asking_for_cuda_without_cuda_is_refused() -> None:
    with pytest.raises(InputError, match="no CUDA device"):
        set_up(threads=1, device="cuda")
