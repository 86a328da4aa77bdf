"""Features that the backward pass computes again: batch norms count each batch once."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def count_once(backbone: nn.Module) -> None:
    """Let no batch norm's running statistics move when the backward pass calls it again.

    Then a training has the bits that it has where all features are kept.

    Args:
        backbone: Whose features are computed again (timm's `set_grad_checkpointing`).
    """
    for module in backbone.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            once = _Once(module.momentum)
            module.register_forward_pre_hook(once.before)
            # Also where the recomputation stops within it, having all that it needs.
            module.register_forward_hook(once.after, always_call=True)


class _Once:
    def __init__(self, momentum: float | None) -> None:
        self.momentum, self.again = momentum, False

    def before(self, norm: Any, _: Any) -> None:
        # A task of autograd's is under way: it is the backward pass that calls.
        self.again = torch._C._current_graph_task_id() != -1 and norm.training
        if self.again:
            norm.momentum = 0.0

    def after(self, norm: Any, _: Any, __: Any) -> None:
        if self.again:
            norm.momentum, self.again = self.momentum, False
            norm.num_batches_tracked.sub_(1)
