"""Two steps of a learner that is thrown away: how long they take, and what they need.

Every draw is keyed, so no bit of the member depends on them.
"""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from twinrun.config.settings import Settings
from twinrun.data.pixels import Pixels
from twinrun.data.tta import tta_views
from twinrun.data.unread import readable
from twinrun.deadline.plan import Measured
from twinrun.hooks.in_use import trying
from twinrun.train.averages import averages_of
from twinrun.train.callbacks import OwnFit
from twinrun.train.fit import Phase, fit_phases
from twinrun.train.members import TrainingSetup, set_up_training
from twinrun.train.recorder import Recorder
from twinrun.train.too_large import name_what_to_lower
from twinrun.train.useless_callbacks import SeenEnough

_STEPS = 2


def measure(
    name: str,
    settings: Settings,
    index: pd.DataFrame,
    pixels: Mapping[int, Pixels],
    environment: dict[str, Any],
) -> Measured:
    """Measure a training on two steps of each of its phases, and two batches of prediction.

    Nothing is written. The steps are those of a training, from the loader to the ledger. The
    competitor's own code is called as by a training; what its modules keep is gone afterwards.

    Args:
        name: The training's name.
        settings: Of the run.
        index: As for `set_up_training`.
        pixels: Likewise.
        environment: From `set_up`.

    Raises:
        InputError: As `set_up_training`, or the memory is too small for a step.
    """
    cuda = environment["decides"]["device"] == "cuda"
    _give_back_memory()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    with trying(settings.code, settings.hooks):
        found = _measure(name, settings, index, pixels, environment)
    _give_back_memory()
    if cuda:
        torch.cuda.empty_cache()
    return found


def _measure(
    name: str,
    settings: Settings,
    index: pd.DataFrame,
    pixels: Mapping[int, Pixels],
    environment: dict[str, Any],
) -> Measured:
    cuda = environment["decides"]["device"] == "cuda"
    started = time.perf_counter()
    # At the largest size: what is planned with is rather too long than too short.
    whole = {
        each: member.model_copy(update={"sizes": {}}) for each, member in settings.members.items()
    }
    settings = settings.model_copy(update={"members": whole})
    setup = set_up_training(name, settings, index, pixels, environment)
    ready = time.perf_counter() - started
    steps: dict[str, _Timing] = {}

    def own(phase: Phase, start: int) -> list[OwnFit]:
        steps[phase.name] = _Timing(phase.first_epoch, start, cuda=cuda)
        return [steps[phase.name]]

    recorder = Recorder(setup.ledger, settings.run.ledger)
    network = setup.learner.model
    with name_what_to_lower(setup.training, setup.member, settings.run.workers, network):
        fit_phases(setup.learner, setup.member, recorder, None, own)
        image = _seconds_of_prediction(setup, cuda=cuda)
    return Measured(
        setup=ready,
        frozen=steps["frozen"].seconds if "frozen" in steps else 0.0,
        unfrozen=steps["unfrozen"].seconds if "unfrozen" in steps else 0.0,
        steps=len(setup.loaders.train),
        image=image,
        valid=len(setup.loaders.valid.ids),
        test=int((readable(index)["part"] == "test").sum()),
        passes=max(len(tta_views(setup.member)), 1),
        norms=len(setup.loaders.train.ids) if averages_of(setup.learner) else 0,
        weights=sum(each.numel() * each.element_size() for each in network.state_dict().values()),
        memory=_memory(),
        gpu_memory=torch.cuda.max_memory_allocated() if cuda else 0,
    )


class _Timing(OwnFit):
    """Ends a fit after so many steps; `seconds` is what the last of them took, its batch included.

    The first one is slower: memory is fetched and kernels are chosen. Where an epoch has one step
    only, it is all there is.
    """

    order = 5000  # after all that a step does

    def __init__(self, first_epoch: int, start: int, *, cuda: bool) -> None:
        super().__init__(first_epoch, start)
        self.cuda, self.done, self.seconds = cuda, 0, 0.0

    def before_train(self) -> None:
        self.since = _now(cuda=self.cuda)

    def after_batch(self) -> None:
        now = _now(cuda=self.cuda)
        self.seconds, self.since = now - self.since, now
        self.done += 1
        if self.done == min(_STEPS, len(self.dls.train)):
            raise SeenEnough


def _seconds_of_prediction(setup: TrainingSetup, *, cuda: bool) -> float:
    """Of an image, seen once: of the second batch where there is one."""
    loader, views, seconds = setup.loaders.valid, tta_views(setup.member), 0.0
    model = setup.learner.model.eval()
    with torch.no_grad(), loader.show_as(views[0]) if views else nullcontext():
        since = _now(cuda=cuda)
        for images, *_ in islice(loader, _STEPS):
            model(images).cpu()
            now = _now(cuda=cuda)
            seconds, since = (now - since) / len(images), now
    return seconds


def _now(*, cuda: bool) -> float:
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter()


def _give_back_memory() -> None:
    """Of what was measured before: to the system too, where its C library can do that."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _memory() -> int:
    """Bytes that this process has for itself by now, files in memory left out.

    What a step has freed is among them: it is kept for the next one. Where the system does not say,
    it is the most that the process ever had.
    """
    try:
        statm = Path("/proc/self/statm").read_text(encoding="ascii").split()
        pages = int(statm[1]) - int(statm[2])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * resource.getpagesize()
