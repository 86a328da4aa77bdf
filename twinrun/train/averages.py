"""The exponential moving average of the weights: kept through a training, taken at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastai.torch_core import get_model
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn, update_bn

from twinrun.repro.ranks import ALONE
from twinrun.train.scaling import scaling_of

# A hundredth of a difference is less than the last digit of these.
_NARROW = (torch.float16, torch.bfloat16)


class AverageWeights(Callback):
    """Averages the parameters after every step of the optimizer (Polyak and Juditsky, 1992).

    The average moves by a share of 1 - decay towards the weights. It begins as the weights after
    the first step and moves by more at first, as TensorFlow has it: after n steps its decay is at
    most n / (n + 9). So the first weights, which were drawn, have no part in it.

    Args:
        decay: What is kept of the average at each step, from 0 to 1.

    Attributes:
        steps: That are in the average.
        averages: By the parameter's name, in its order in memory; float32 where the parameter is
            narrower. Empty before the first step.
    """

    order = 1500  # after any callback of the user's, which may change weights

    def __init__(self, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.averages = dict[str, Tensor]()

    def after_step(self) -> None:
        scaling = scaling_of(self.learn)
        if scaling is not None and scaling.skipped:
            return  # its gradients were not finite: no step was made
        weights = self._weights()
        if not self.steps:
            self.averages = {name: each.clone() for name, each in weights.items()}
        else:
            decay = min(self.decay, self.steps / (self.steps + 9))
            move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            move(list(self.averages.values()), list(weights.values()), self.steps)
        self.steps += 1

    def restore(self, steps: int, averages: Mapping[str, Tensor]) -> None:
        """Go on with an average that a checkpoint has.

        Args:
            steps: As the attribute.
            averages: Likewise, on any device.
        """
        self.steps = steps
        # In the parameter's order in memory, which a file does not keep: a sum of rows in another
        # order is made by other instructions.
        self.averages = {
            name: torch.empty_like(each).copy_(averages[name])
            for name, each in self._weights().items()
            if name in averages
        }

    def put_in_place(self) -> None:
        """Make the average the network's weights."""
        with torch.no_grad():
            for name, each in get_model(self.learn.model).named_parameters():
                if name in self.averages:
                    each.copy_(self.averages[name])

    def _weights(self) -> dict[str, Tensor]:
        found = get_model(self.learn.model).named_parameters()
        return {
            name: each.detach().float() if each.dtype in _NARROW else each.detach()
            for name, each in found
            if each.is_floating_point()
        }


def averages_of(learner: Learner) -> AverageWeights | None:
    """What averages a learner's weights; None where nothing does."""
    return next((each for each in learner.cbs if isinstance(each, AverageWeights)), None)


def estimate_norms(learner: Learner, epoch: int) -> None:
    """Estimate the running statistics of a network's batch norms anew: of other weights they are.

    As torch's `update_bn`: the mean of the statistics of the training batches of one more epoch,
    whose order, changes and dropout have keys of their own, so that no other draw is moved. Each
    rank sees the whole batches.

    Args:
        learner: Trained.
        epoch: That was never trained, from 0: its draws are taken.
    """
    loader = learner.dls.train.new(ranks=ALONE)
    loader.epoch = epoch

    def batches() -> Iterator[Tensor]:
        for step, (images, *_) in enumerate(loader):
            learner.keyed_steps.key.of("norms", step).seed_generators()
            yield images

    update_bn(batches(), get_model(learner.model))
