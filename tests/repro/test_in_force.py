"""What decides bits and any code may change: set back before a training, named within one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from twinrun.errors import InputError
from twinrun.repro import machine_facts
from twinrun.repro.environment import set_up
from twinrun.repro.fact import Wanted, loaded
from twinrun.repro.facts import FACTS, write_out_environment
from twinrun.repro.in_force import hold, pin, refuse_changed

backends: Any = torch.backends
BY_OPERATION = hasattr(backends.cudnn, "conv")


def set_(owner: Any, name: str, value: object) -> Callable[[], None]:
    return lambda: setattr(owner, name, value)


def precision(backend: str, operation: str, value: str) -> Callable[[], None]:
    return lambda: set_precision(backend, operation, value)


def set_precision(backend: str, operation: str, value: str) -> None:
    torch._C._set_fp32_precision_setter(backend, operation, value)


def reduced(kind: str, value: bool) -> Callable[[], None]:
    return set_(backends.cuda.matmul, f"allow_{kind}", value)


# By fact, what a library or a hook may do to it.
CHANGES: dict[str, Callable[[], object]] = {
    "threads": lambda: torch.set_num_threads(2),
    "mkldnn": set_(backends.mkldnn, "enabled", False),
    "mkldnn_deterministic": set_(backends.mkldnn, "deterministic", True),
    "nnpack": lambda: backends.nnpack.set_flags(False),
    "float32_generic_all": precision("generic", "all", "bf16"),
    "float32_cuda_all": precision("cuda", "all", "tf32"),
    "float32_mkldnn_all": precision("mkldnn", "all", "bf16"),
    "float32_matmul": lambda: torch.set_float32_matmul_precision("medium"),
    "cudnn_tf32": set_(backends.cudnn, "allow_tf32", False),
    "float32_cuda_conv": precision("cuda", "conv", "ieee"),
    "float32_cuda_rnn": precision("cuda", "rnn", "ieee"),
    "float32_cuda_matmul": precision("cuda", "matmul", "tf32"),
    "float32_mkldnn_conv": precision("mkldnn", "conv", "bf16"),
    "float32_mkldnn_rnn": precision("mkldnn", "rnn", "bf16"),
    "float32_mkldnn_matmul": precision("mkldnn", "matmul", "bf16"),
    "deterministic": lambda: torch.set_deterministic_debug_mode("default"),
    "filled_memory": set_(torch.utils.deterministic, "fill_uninitialized_memory", True),
    "flush_denormal": lambda: torch.set_flush_denormal(True),
    "default_dtype": lambda: torch.set_default_dtype(torch.float64),
    "autocast": lambda: [torch.set_autocast_enabled(each, True) for each in ("cpu", "cuda")],
    "attention": lambda: backends.cuda.enable_flash_sdp(False),
    "fast_attention": lambda: backends.mha.set_fastpath_enabled(False),
    "opt_einsum": set_(backends.opt_einsum, "enabled", True),
    "cudnn_enabled": set_(backends.cudnn, "enabled", False),
    "cudnn_benchmark": set_(backends.cudnn, "benchmark", True),
    "cudnn_deterministic": set_(backends.cudnn, "deterministic", False),
    "cublas_fp16_reduced_precision_reduction": reduced("fp16_reduced_precision_reduction", False),
    "cublas_bf16_reduced_precision_reduction": reduced("bf16_reduced_precision_reduction", False),
    "cublas_fp16_accumulation": reduced("fp16_accumulation", True),
    "opencv_optimized": lambda: cv2.setUseOptimized(False),
    "opencv_ipp": lambda: cv2.ipp.setUseIPP(True),
}
# Where this build of a library has no such thing, its flag cannot be changed.
MISSING = {
    *([name for name in CHANGES if name.startswith("float32_")] if not BY_OPERATION else []),
    *(["cudnn_tf32"] if BY_OPERATION else []),
    *([] if cv2.ipp.useIPP() or "IPP:" in cv2.getBuildInformation() else ["opencv_ipp"]),
} - {"float32_matmul"}


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    pin(Wanted(threads=1, cuda=True))


@pytest.fixture(params=["cpu", "cuda"])
def environment(request: pytest.FixtureRequest) -> dict[str, Any]:
    """As on a CPU, and as it would be on a GPU as far as can be read without one."""
    found = set_up(threads=1, device="cpu")
    found["decides"]["device"] = request.param
    return found


def test_everything_that_can_be_set_is_changed_here() -> None:
    pinned = [fact.name for fact in FACTS if fact.decides and fact.pin]
    assert sorted(pinned) == sorted(CHANGES)
    # What is set is looked at again.
    assert all(FACTS.get(name).changed_by for name in pinned)


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_changed_before_is_set_back_and_within_is_named(
    environment: dict[str, Any], name: str
) -> None:
    if name in MISSING:
        pytest.skip("not in this version or build")
    on_gpu = environment["decides"]["device"] == "cuda"
    refuse_changed(environment, "a")
    CHANGES[name]()
    told_as = "float32_mkldnn_matmul" if name == "float32_matmul" and BY_OPERATION else name
    if FACTS.get(told_as).read(Wanted(1, cuda=on_gpu)) is None:
        assert not on_gpu  # a flag of CUDA decides nothing on a CPU
        refuse_changed(environment, "a")
    else:
        with pytest.raises(InputError, match="a: what decides its bits is not") as refused:
            refuse_changed(environment, "a")
        named = [line.partition(",")[0] for line in refused.value.details]
        assert told_as in named
        assert FACTS.get(told_as).words in "\n".join(refused.value.details)
        assert len(named) <= 2  # what torch sets together
    hold(environment, "a")
    refuse_changed(environment, "a")
    CHANGES[name]()
    again = set_up(threads=1, device="cpu")["decides"]
    assert {**again, "device": environment["decides"]["device"]} == environment["decides"]


def test_what_set_up_does_not_set_is_recorded_and_told() -> None:
    before = set_up(threads=1, device="cpu")
    # The control of the tests above: a snapshot that cannot be set back shows it.
    fact = FACTS.get("opencv_optimized")
    cv2.setUseOptimized(False)
    assert fact.read(Wanted(1)) is False
    assert before["beside"]["in_force"]["opencv_optimized"] is True
    assert "opencv_optimized" not in before["decides"]


def test_onednn_and_threads_do_decide_bits() -> None:
    network = torch.nn.Conv2d(16, 32, 3)
    for parameter in network.parameters():
        parameter.data = torch.linspace(-1, 1, parameter.numel()).reshape(parameter.shape)
    images = torch.linspace(-1, 1, 4 * 16 * 32 * 32).reshape(4, 16, 32, 32)

    def bits() -> str:
        set_up(threads=1, device="cpu")
        change()
        return hashlib.sha256(network(images).detach().numpy().tobytes()).hexdigest()

    change: Callable[[], object] = list
    usual = bits()
    assert bits() == usual
    change = CHANGES["mkldnn"]
    if backends.mkldnn.is_available():
        assert bits() != usual


def test_threads_that_flush_small_numbers_are_seen() -> None:
    wanted = Wanted(threads=2)
    torch.set_num_threads(2)
    read = FACTS.get("flush_denormal").read
    assert read(wanted) is False
    if torch.set_flush_denormal(True):
        assert read(wanted) is True
    torch.set_flush_denormal(False)
    assert read(wanted) is False


def test_variables_that_choose_kernels_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set_up(threads=1, device="cpu")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=1:glibc.pthread.rseq=0")
    assert set_up(threads=1, device="cpu")["decides"] == before["decides"]
    variables = {
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
        "NPY_ENABLE_CPU_FEATURES": "AVX2",
        "GLIBC_TUNABLES": "glibc.malloc.arena_max=1:glibc.cpu.hwcaps=-AVX2",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    recorded = set_up(threads=1, device="cpu")["decides"]
    told = {**variables, "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2"}
    assert recorded == {**before["decides"], "variables": told}
    with pytest.raises(InputError, match=r"variables\.OPENBLAS_CORETYPE"):
        refuse_changed(before, "a")


MAPS = """
import numpy as np
from twinrun.repro.machine_facts import _describe_blas
maps = np.sin(np.arange(9 * 500.0)).reshape(-1, 3, 3)
print(_describe_blas(), hash((maps @ maps[::-1]).tobytes()))
"""


@pytest.mark.skipif(
    not (machine_facts._describe_blas() or "").endswith(("Haswell", "Zen", "SkylakeX")),
    reason="needs an OpenBLAS with kernels to choose from",
)
def test_other_kernels_of_openblas_are_recorded_and_give_other_maps() -> None:
    def told(**variables: str) -> list[str]:
        answer = subprocess.run(
            [sys.executable, "-c", MAPS],
            env={**os.environ, "PYTHONHASHSEED": "0", **variables},
            capture_output=True,
            text=True,
            check=True,
        )
        return answer.stdout.split()

    usual, other = told(), told(OPENBLAS_CORETYPE="Nehalem")
    assert usual == told()
    assert other[:2] == usual[:2] == ["openblas", usual[1]]
    assert (other[2], other[3]) != (usual[2], usual[3])
    assert other[2] == "Nehalem"
    assert other[3] != usual[3]


def test_the_processor_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set_up(threads=1, device="cpu")["beside"]["processor"]
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Some CPU @ 3.0 GHz\n\nmodel name\t: other\n")
    assert machine_facts._from_cpuinfo(file) == "Some CPU @ 3.0 GHz"
    file.write_text("processor\t: 0\nBogoMIPS\t: 50\n")
    assert machine_facts._from_cpuinfo(file) is None
    assert machine_facts._from_cpuinfo(tmp_path / "none") is None
    # What macOS says of it.
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    command = tmp_path / "sysctl"
    command.write_text("#!/bin/sh\necho Apple M9\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine_facts.processor() == "Apple M9"


def test_a_record_is_read_with_the_neutral_values_that_it_leaves_out() -> None:
    written = write_out_environment({"threads": 2, "mkldnn": False})
    assert written["mkldnn"] is False
    assert written["opencv_optimized"] is True
    assert written["threads"] == 2
    assert "gpu" not in written


def test_a_module_that_its_package_has_not_imported_yet_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lazy_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "flags.py").write_text("enabled = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert loaded("lazy_package.flags").enabled is True
    with pytest.raises(AttributeError, match="nothing"):
        loaded("lazy_package.nothing")
    with pytest.raises(AttributeError, match="nothing"):
        loaded("lazy_package.flags.nothing")
