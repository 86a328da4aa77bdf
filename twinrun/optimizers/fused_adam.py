"""Adam with decoupled weight decay, one kernel for all parameters of a group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from fastai.optimizer import Optimizer
from torch import Tensor
from torch.optim.adamw import adamw


class FusedAdam(Optimizer):
    """fastai's default optimizer (Adam with its defaults), by torch's fused kernel.

    The same update, Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, in one
    pass over the memory instead of ten. Each element has its own arithmetic, so that no order of
    threads can change a bit. Batch norms and biases are not decayed, as fastai has it.

    Args:
        params: Lists of parameters, one for each layer group.
        lr: Learning rate; the schedule sets it and `mom` at each step.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        mom: float = 0.9,
        sqr_mom: float = 0.99,
        eps: float = 1e-5,
        wd: float = 0.01,
    ) -> None:
        super().__init__(params, [], lr=lr, mom=mom, sqr_mom=sqr_mom, eps=eps, wd=wd)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # noqa: ARG002  (fastai's signature)
        for group, hypers in zip(self.param_lists, self.hypers, strict=True):
            for decayed in (True, False):
                chosen = [
                    parameter
                    for parameter in group
                    if parameter.grad is not None
                    and self.state[parameter].get("do_wd", True) is decayed
                ]
                if chosen:
                    self._step(chosen, hypers, hypers["wd"] if decayed else 0.0)

    def zero_grad(self) -> None:
        # Instead of zeros to which the next step's are added: two passes less.
        for parameter, *_ in self.all_params(with_grad=True):
            parameter.grad = None

    def _step(self, parameters: list[Tensor], hypers: Any, decay: float) -> None:
        for parameter in parameters:
            state = self.state[parameter]
            if "step" not in state:
                state["grad_avg"] = torch.zeros_like(parameter)
                state["sqr_avg"] = torch.zeros_like(parameter)
                state["step"] = torch.zeros((), device=parameter.device)
        states = [self.state[parameter] for parameter in parameters]
        adamw(
            [parameter.detach() for parameter in parameters],
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [state["grad_avg"] for state in states],
            [state["sqr_avg"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=float(hypers["mom"]),
            beta2=hypers["sqr_mom"],
            lr=float(hypers["lr"]),
            weight_decay=decay,
            eps=hypers["eps"],
            maximize=False,
        )
