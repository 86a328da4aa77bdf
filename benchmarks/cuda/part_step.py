"""A training step as it is, captured as a CUDA graph, and compiled: speed, and whether twins hold.

A step is the network's forward pass, loss, backward pass and the fused optimizer, on one batch that
is there already; dropout's generator is seeded by the step's number, as the engine's is by a key.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.contestants import Ours, Task, now
from benchmarks.cuda.work import NEEDS_CUDA, Answer, Plan, photos
from benchmarks.drawing import HELD_OUT
from twinrun.repro.environment import set_up
from twinrun.repro.gpus import computes_in_bf16

# A small network is compiled in the time that there is; a large one takes minutes.
_COMPILED = "resnet18"
_WARM_UP = 3


@dataclass(frozen=True)
class Made:
    """Steps that were made: seconds of one, and what weights and buffers became."""

    seconds: float
    state: list[Tensor]

    def same(self, other: Made) -> bool:
        """Whether both led to the same bits."""
        return all(map(torch.equal, self.state, other.state))


@dataclass(frozen=True)
class Twins:
    """Steps that were made twice from the same beginning, and once with another seed."""

    first: Made
    second: Made
    other_seed: Made

    @property
    def seconds(self) -> float:
        return min(self.first.seconds, self.second.seconds)


class Training:
    """A model in training, that can be put back to where it began.

    Args:
        model: On the device; its parameters are trained.
        plan: For the batch.
    """

    def __init__(self, model: nn.Module, plan: Plan) -> None:
        self.model, self.plan = model, plan
        draws = torch.Generator().manual_seed(0)
        shape = (plan.batch, 3, plan.size, plan.size)
        images = torch.randn(*shape, generator=draws).to(plan.device)
        self.images = images.contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(2, (plan.batch,), generator=draws).to(plan.device)
        on_gpu = plan.device == "cuda"
        self.optimizer = torch.optim.AdamW(model.parameters(), fused=True, capturable=on_gpu)
        self.forward: Callable[[Tensor], Tensor] = model
        self._start = {name: each.clone() for name, each in model.state_dict().items()}

    def step(self) -> None:
        """One step; gradients are made anew, not added up."""
        self.optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(self.forward(self.images), self.labels).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def restart(self) -> None:
        """Put weights, buffers and the optimizer's averages back, each in its own memory."""
        with torch.no_grad():
            self.model.load_state_dict(self._start)
            for state in self.optimizer.state.values():
                for value in state.values():
                    value.zero_()

    def made(self, step: Callable[[], None], count: int, *, seed: int = 0) -> Made:
        """From the beginning so many steps, each after its seed."""
        self.restart()
        started = now()
        for number in range(seed, seed + count):
            torch.manual_seed(number)
            step()
        seconds = (now() - started) / count
        state = self.model.state_dict().values()
        return Made(seconds, [each.detach().cpu().clone() for each in state])

    def captured(self) -> Callable[[], None]:
        """The step as a CUDA graph."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                self.step()
        torch.cuda.current_stream().wait_stream(stream)
        self.restart()
        # The graph's own gradients are made within it.
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            functional.cross_entropy(self.forward(self.images), self.labels).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        return graph.replay


def measure(plan: Plan, answer: Answer, until: float) -> None:
    """Graphs of the network that is timed, then a small one compiled."""
    environment = set_up(threads=plan.threads, device=plan.device)
    folder = photos(plan)
    bf16 = plan.rehearsed or computes_in_bf16()

    def training(network: str, precision: str) -> Training:
        images = plan.photos - HELD_OUT
        numbers = (plan.size, plan.batch, plan.threads)
        task = Task(folder, images, network, *numbers, plan.device)
        return Training(Ours(task, environment).workshop(precision).learner.model.train(), plan)

    for precision in ("fp32", "bf16")[: 1 + bf16]:
        title = f"{plan.network}, {precision}"
        if plan.rehearsed:
            one = training(plan.network, precision)
            _add_bits(f"{title}, as it is, on this CPU", _twins(one, one.step), plan, answer)
            answer.row(f"{title}, captured as a CUDA graph", "not run", kept=NEEDS_CUDA)
        elif time.monotonic() < until - 5:
            with answer.attempt(f"{title}, captured as a CUDA graph"):
                one = training(plan.network, precision)
                # A replay writes gradients of its own: steps as they are come after it.
                captured = _twins(one, one.captured())
                _compare(title, _twins(one, one.step), captured, "captured", plan, answer)
    title = f"{_COMPILED}, fp32"
    if shutil.which("c++") is None:
        answer.row(f"{title}, compiled", "there is no C++ compiler", kept="not run")
    elif time.monotonic() < until - 5:
        with answer.attempt(f"{title}, compiled"):
            one = training(_COMPILED, "fp32")
            eager = _twins(one, one.step)
            one.forward = torch.compile(one.model)
            waited = one.made(one.step, _WARM_UP).seconds * _WARM_UP
            answer.row(f"{title}: {_WARM_UP} steps, with compiling", f"{waited:.0f} s")
            _compare(title, eager, _twins(one, one.step), "compiled", plan, answer)


def _twins(training: Training, step: Callable[[], None]) -> Twins:
    """Twice and with another seed, after a warm-up."""
    training.made(step, _WARM_UP)
    count = training.plan.steps
    first, second = (training.made(step, count) for _ in range(2))
    return Twins(first, second, training.made(step, count, seed=1))


def _compare(
    title: str, eager: Twins, changed: Twins, how: str, plan: Plan, answer: Answer
) -> None:
    words = f"{eager.seconds * 1e3:.1f} ms as it is, {changed.seconds * 1e3:.1f} ms {how}"
    quicker = f": {eager.seconds / changed.seconds:.2f} times as fast"
    answer.row(f"{title}: a step", words + (" (rehearsed)" if plan.rehearsed else quicker))
    _add_bits(f"{title}, as it is", eager, plan, answer)
    _add_bits(f"{title}, {how}", changed, plan, answer)
    answer.row(f"{title}: {how} against as it is", _bits(eager.first.same(changed.first)))


def _add_bits(title: str, twins: Twins, plan: Plan, answer: Answer) -> None:
    same = twins.first.same(twins.second)
    answer.row(f"{title}: {plan.steps} steps twice", _bits(same), asked="same bits", kept=same)
    other = twins.first.same(twins.other_seed)
    asked = "different bits"
    answer.row(f"{title}: with another seed", _bits(other), asked=asked, kept=not other)


def _bits(same: bool) -> str:
    return "same bits" if same else "different bits"
