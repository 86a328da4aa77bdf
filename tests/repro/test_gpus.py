"""What a GPU cannot do is refused with the reason, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.conftest import FIXTURE, SMALL
from twinrun.config.reading import read_settings
from twinrun.errors import InputError
from twinrun.prepare import prepare
from twinrun.repro.environment import set_up
from twinrun.repro.gpus import has_kernels, refuse_precisions

BUILT_FOR = ["sm_75", "sm_80", "sm_90a", "sm_100", "sm_120", "compute_120"]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, int], None]:
    """Let there be a GPU of a name and a compute capability, as far as can be asked."""

    def found(name: str, major: int, minor: int) -> None:
        properties = SimpleNamespace(name=name, major=major, minor=minor, multi_processor_count=40)

        def bf16(including_emulation: bool = True) -> bool:
            return including_emulation or major >= 8

        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda: properties)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: BUILT_FOR)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", bf16)
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 92600)

    return found


@pytest.mark.parametrize(
    ("capability", "can"),
    [
        ((6, 0), False),  # P100
        ((7, 0), False),  # V100
        ((7, 5), True),  # T4
        ((8, 0), True),
        ((8, 6), True),  # machine code of 8.0
        ((9, 0), True),
        ((10, 3), True),
        ((11, 0), False),
        ((12, 1), True),
        ((13, 0), True),  # compiled by the driver
    ],
)
def test_a_gpu_runs_what_torch_was_built_for(capability: tuple[int, int], can: bool) -> None:
    assert has_kernels(capability, BUILT_FOR) is can


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_gpu_for_which_torch_has_no_kernels_is_refused(
    gpu: Callable[[str, int, int], None], device: str
) -> None:
    gpu("Tesla P100-PCIE-16GB", 6, 0)
    with pytest.raises(InputError) as refusal:
        set_up(threads=1, device=device)
    assert "Tesla P100-PCIE-16GB has compute capability 6.0" in refusal.value.what
    assert "sm_75" in refusal.value.details[0]
    assert "'cpu'" in refusal.value.fix
    gpu("Tesla T4", 7, 5)
    assert set_up(threads=1, device=device)["decides"]["gpu"] == "Tesla T4"
    gpu("Tesla P100-PCIE-16GB", 6, 0)
    assert set_up(threads=1, device="cpu")["decides"]["device"] == "cpu"


def test_bf16_that_a_gpu_only_emulates_is_refused(gpu: Callable[[str, int, int], None]) -> None:
    gpu("Tesla T4", 7, 5)
    with pytest.raises(InputError, match="Tesla T4 does not compute in bfloat16, which b asks"):
        refuse_precisions({"a": "fp32", "b": "bf16"})
    refuse_precisions({"a": "fp32"})
    gpu("NVIDIA A100", 8, 0)
    refuse_precisions({"a": "fp32", "b": "bf16"})


def test_bf16_of_any_member_is_refused_before_the_first_is_trained(
    gpu: Callable[[str, int, int], None], tmp_path: Path
) -> None:
    config = tmp_path / "small.toml"
    text = SMALL.format(folder=FIXTURE.as_posix()).replace('device = "cpu"\n', "")
    config.write_text(text.replace("[members.b]", '[members.b]\nprecision = "bf16"'))
    gpu("Tesla T4", 7, 5)
    with pytest.raises(InputError, match="does not compute in bfloat16, which b asks for"):
        prepare(read_settings(config), tmp_path / "runs" / "full")
    on_cpu = read_settings(config, changes=["run.device=cpu"])
    assert prepare(on_cpu, tmp_path / "runs" / "full").environment["decides"]["device"] == "cpu"
