"""Sources 16, 18 to 21 and 25: what happens within a step, on a CPU and on a GPU."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import cv2
import pytest
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from torch import Tensor, nn

from tests.mutations.harness import Bench, Mutation, moment, place, with_callback, with_learner
from twinrun.errors import InputError
from twinrun.repro.environment import set_up
from twinrun.train import members as members_module

# What a module gives is replaced by this, in training.
Change = Callable[[Tensor], Tensor | None]


def module_mutation(name: str, change: Change, at: tuple[int, int] | None = None) -> Mutation:
    """Let the output of a module be changed, at (epoch, step) or, when None, in each step."""

    def add(learner: Learner) -> None:
        def called(module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
            now = moment(learner)
            return change(output) if now[0] and at in (None, now) else None

        learner.model.get_submodule(name).register_forward_hook(called)

    def mutation(patch: pytest.MonkeyPatch) -> None:
        with_learner(patch, add)

    return mutation


def test_16_dropout_from_an_extra_draw(bench: Bench) -> None:
    def draw(output: Tensor) -> None:
        torch.rand(1)

    found = bench.twins(module_mutation("1.5", draw, at=(2, 2)))
    first = found.first()
    assert place(first) == ("forward", 2, 2)
    # Not the first of the two, which was before the draw, and not what came into it.
    assert first.changed[0] == "1.7 (Dropout)"
    assert first.changed[1:] == (
        "input of 1.8 (Linear)",
        "1.8 (Linear)",
        "1 (Sequential)",
        "model (Network)",
    )
    assert "its input was equal and it dropped different values" in found.cause


def test_18_threads_1_to_2(bench: Bench) -> None:
    try:
        found = bench.twins(changes=["run.threads=2"])
    finally:
        torch.set_num_threads(1)
    first = found.first()
    assert place(first) == ("environment", 0, 0)
    assert first.names == ("threads",)
    report = found.verdict.report
    assert [(gap.name, gap.first, gap.second) for gap in report.environment] == [("threads", 1, 2)]
    assert [gap.name for gap in report.settings] == ["run.threads"]
    # Order, images, batches and mixed batches are equal: it is the arithmetic that differs.
    result = found.result()
    assert result.stage in ("forward", "gradient")
    assert (result.epoch, result.step) == (1, 1)


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX"),
    reason="there is no other instruction set on this machine",
)
@pytest.mark.slow  # two processes that each import for ten seconds
def test_19_other_instruction_set(bench: Bench) -> None:
    found = bench.twin_process(ATEN_CPU_CAPABILITY="default")
    first = found.first()
    assert place(first) == ("environment", 0, 0)
    assert first.names == ("instruction_set", "variables.ATEN_CPU_CAPABILITY")
    gaps = {gap.name: gap.second for gap in found.verdict.report.environment}
    assert gaps["instruction_set"] == "DEFAULT"
    assert "trained in different environments (instruction_set" in found.cause


PARAMETER = "0.model.layer3.0.conv2.weight"


class OneUlp(Callback):
    """Moves one gradient of one parameter to the next float, at one step."""

    at = (2, 2)

    def after_backward(self) -> None:
        if moment(self.learn) == self.at:
            gradient = self.learn.model.get_parameter(PARAMETER).grad
            place = (0, 0, 2, 1)
            gradient[place] = torch.nextafter(gradient[place], torch.tensor(torch.inf))


def test_20_one_ulp_of_noise_on_one_gradient(bench: Bench) -> None:
    def mutation(patch: pytest.MonkeyPatch) -> None:
        with_callback(patch, OneUlp)

    found = bench.twins(mutation)
    first = found.first()
    assert place(first) == ("gradient", 2, 2)
    assert first.names == (PARAMETER,)
    assert "something changes gradients after it" in found.cause
    again = bench.replayed(found, mutation)
    assert again.difference is not None
    assert place(again.difference) == ("gradient", 2, 2)
    assert again.difference.names == (PARAMETER,)
    assert again.gap is not None
    assert (again.gap.name, again.gap.differing, again.gap.total) == (PARAMETER, 1, 20_736)
    assert 0 < again.gap.largest < 1e-6
    assert str(again.gap).endswith(": last bits")
    assert "differ in their last bits only" in found.after(again).cause
    assert again.as_recorded == (True, True)


def dirty(count: int) -> None:
    """Give back memory full of noise, for the next blocks of so many float32."""
    blocks = [torch.empty(count) for _ in range(64)]
    for block in blocks:
        block.copy_(torch.frombuffer(bytearray(os.urandom(4 * count)), dtype=torch.float32))


def test_21_read_of_uninitialised_memory(bench: Bench) -> None:
    read: list[Tensor] = []

    def unwritten(output: Tensor) -> Tensor:
        dirty(output.numel())
        found = torch.empty(output.numel())
        read.append(found.clone())
        # What is there as numbers from 0 to 255, so that the training resumes.
        noise = found.view(torch.uint8)[: output.numel()].float().view_as(output)
        return output + noise / 1000

    def mutation(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)
        module_mutation("1.4", unwritten)(patch)

    found = bench.twins(mutation, in_both=True)
    first = found.first()
    assert bool(read[0].view(torch.int32).any())
    assert place(first) == ("forward", 1, 1)
    assert first.changed[0] == "1.4 (Linear)"
    assert "it reads memory that nothing was written to" in found.cause


on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
ON_GPU = ["run.device=cuda"]


def added_up_by_atomics(output: Tensor) -> Tensor:
    """Adds a sum to which a million numbers are added in whichever order threads come by."""
    numbers = torch.linspace(-1, 1, 1 << 20, device=output.device).exp()
    places = torch.zeros(len(numbers), dtype=torch.int64, device=output.device)
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        total = torch.zeros(1, device=output.device).index_add_(0, places, numbers)
    finally:
        torch.use_deterministic_algorithms(deterministic)
    return output + (total - total.round(decimals=-4)) / 1000


@on_gpu
def test_25_identical_runs_on_a_gpu_are_the_same(bench: Bench) -> None:
    bench.twins(both=ON_GPU).assert_same()


# What a control noted is read by benchmarks/cuda, which asks that one of them differs.
Note = Callable[[str, object], None]


@on_gpu
def test_25_an_atomic_operation(bench: Bench, record_property: Note) -> None:
    found = bench.twins(module_mutation("1.4", added_up_by_atomics), in_both=True, both=ON_GPU)
    record_property("differs", not found.verdict.same)
    first = found.first()
    assert first.stage == "forward"
    assert first.changed[0] == "1.4 (Linear)"


@on_gpu
def test_25_cudnn_benchmark_on(bench: Bench, record_property: Note) -> None:
    class Benchmark(Callback):
        def before_fit(self) -> None:
            torch.use_deterministic_algorithms(False)
            torch.backends.cudnn.deterministic = False
            torch.backends.cudnn.benchmark = True

    def mutation(patch: pytest.MonkeyPatch) -> None:
        with_callback(patch, Benchmark)

    def unseen(patch: pytest.MonkeyPatch) -> None:
        mutation(patch)
        patch.setattr(members_module, "refuse_changed", lambda *_: None)

    try:
        with pytest.raises(InputError, match="cudnn_benchmark"):
            bench.twins(mutation, in_both=True, both=ON_GPU)
        found = bench.twins(unseen, in_both=True, both=ON_GPU)
    finally:
        set_up(threads=1)
    record_property("differs", not found.verdict.same)
    # Whether another algorithm wins the race is up to the moment.
    if not found.verdict.same:
        assert found.first().stage in ("forward", "gradient")


class WithoutOnednn(Callback):
    """Lets torch compute without oneDNN from one step on."""

    def after_batch(self) -> None:
        if moment(self.learn) == (1, 2):
            torch.backends.mkldnn.enabled = False  # type: ignore[assignment]


def test_26_a_library_told_to_compute_otherwise(bench: Bench) -> None:
    def mutation(patch: pytest.MonkeyPatch) -> None:
        with_callback(patch, WithoutOnednn)

    try:
        with pytest.raises(InputError) as refused:
            bench.twins(mutation)
    finally:
        set_up(threads=1)
    assert refused.value.what == "a: what decides its bits is not as it was at the start:"
    assert refused.value.details == (
        "mkldnn, whether torch computes with oneDNN: True at the start, False now; set by "
        "torch.backends.mkldnn.enabled",
    )
    assert not list(bench.folder.glob("**/second/members/a/member.json"))


@pytest.mark.slow  # two trainings
def test_26_it_is_set_back_before_the_first_step_and_decides_bits_after(bench: Bench) -> None:
    def without_onednn(learner: Learner) -> None:
        torch.backends.mkldnn.enabled = False  # type: ignore[assignment]

    def before(patch: pytest.MonkeyPatch) -> None:
        with_learner(patch, without_onednn)

    def unseen(patch: pytest.MonkeyPatch) -> None:
        with_callback(patch, WithoutOnednn)
        patch.setattr(members_module, "refuse_changed", lambda *_: None)

    try:
        bench.twins(before).assert_same()
        shutil.rmtree(bench.folder)
        # The control: what is refused does give other bits, and they show where it began.
        assert place(bench.twins(unseen).first()) == ("forward", 1, 3)
    finally:
        set_up(threads=1)


def test_27_another_opencv_in_front_of_the_locked_one(bench: Bench) -> None:
    def mutation(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(cv2, "__version__", "4.11.0")

    found = bench.twins(mutation)
    first = found.first()
    assert place(first) == ("environment", 0, 0)
    assert first.names == ("packages.opencv-python-headless",)
    (gap,) = found.verdict.report.environment
    assert gap.second == f"4.11.0 is imported, {gap.first} is installed"
    assert "packages: versions, as they are imported" in found.cause
