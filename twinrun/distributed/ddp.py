"""A fastai callback that shares the steps of a fit among several ranks."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from accelerate import DistributedDataParallelKwargs
from fastai.distributed import DistributedTrainer
from torch import nn

from twinrun.data.keyed_loader import KeyedLoader
from twinrun.repro.group import current_group


class ShareSteps(DistributedTrainer):
    """fastai's DistributedTrainer (accelerate, DistributedDataParallel) over keyed loaders.

    The gradient of a step is the mean of the ranks' gradients. In validation every rank gets the
    logits of the whole batch, so that losses and metrics are those of all images, on all ranks.

    The gradients are summed in buckets that are laid out once, from the order of the parameters
    (`find_unused_parameters` has that effect). By default they would be laid out anew after the
    first step, in the order in which gradients came; a training that resumes from a checkpoint has
    its first step later, and with three and more ranks the sums would have other last bits.

    On a GPU, batch norms take their statistics from all ranks' images (SyncBatchNorm), as one rank
    would: of a batch of 64, eight ranks have eight images each. torch has none for the CPU: there
    each rank takes its own images' statistics, and the running ones are rank 0's, which
    DistributedDataParallel sends to the others before every forward pass.

    Args:
        device: The learner's.
    """

    # After fastai has moved the model, before anybody looks at a prediction.
    order = -9

    def __init__(self, device: torch.device) -> None:
        # accelerate sets the threads where OMP_NUM_THREADS is not set, and says so.
        threads = torch.get_num_threads()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "OMP_NUM_THREADS")
            super().__init__(
                sync_bn=False,  # fastai's knows no batch norms of timm, and leaves them so
                cpu=device.type == "cpu",
                mixed_precision="no",
                kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
            )
        torch.set_num_threads(threads)
        self.on_gpu, self.fits = device.type == "cuda", 0
        self.replaced: list[tuple[nn.Module, str, nn.Module]] = []

    def before_fit(self) -> None:
        # A `validate` of the user's within a fit sends this once more.
        self.fits += 1
        if self.fits == 1:
            if self.on_gpu:
                self.replaced = synchronise_batch_norms(self.learn.model)
            super().before_fit()

    def after_fit(self) -> None:
        self.fits -= 1
        if self.fits == 0:
            super().after_fit()
            for parent, name, norm in self.replaced:
                setattr(parent, name, norm)

    def after_pred(self) -> None:
        if not self.training and isinstance(self.dl, KeyedLoader) and self.dl.answers_together:
            size = len(self.yb[0])
            self.learn.pred = current_group().gather_batch(self.pred, size, self.dl.ranks)

    def _wrap_dl(self, loader: Any) -> Any:
        return loader


def synchronise_batch_norms(model: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    """Put a batch norm over all ranks in place of each of a model's.

    Only for the time of a fit: fastai, which neither decays nor freezes batch norms, would not know
    them as such. Parameters and running statistics are the same tensors.

    Returns:
        (its parent, its name there, the batch norm) of each one replaced.
    """
    from timm.layers import convert_sync_batchnorm

    found: list[tuple[nn.Module, str, nn.Module]] = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.modules.batchnorm._BatchNorm)
    ]
    for parent, name, norm in found:
        setattr(parent, name, convert_sync_batchnorm(norm))
    return found
