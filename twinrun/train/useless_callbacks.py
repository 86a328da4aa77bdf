"""Callbacks that can do nothing in a training here, or harm: refused with the reason."""

from __future__ import annotations

import sys
import traceback

from fastai.callback.core import Callback, CancelFitException
from fastai.callback.tracker import (
    EarlyStoppingCallback,
    ReduceLROnPlateau,
    SaveModelCallback,
    TerminateOnNaNCallback,
)
from fastai.learner import Learner

from twinrun.errors import InputError
from twinrun.hooks.mistakes import place_of
from twinrun.train.callbacks import OwnFit

_ENDS_EARLY = (
    "it would end a one-cycle before its learning rate has come down; the recipe's epochs say how "
    "long a training is"
)
_OF_NO_USE: dict[type[Callback], str] = {
    EarlyStoppingCallback: _ENDS_EARLY,
    TerminateOnNaNCallback: "a training whose predictions are no numbers is refused anyway",
    ReduceLROnPlateau: "the one-cycle schedule sets the learning rate at each step, so that "
    "nothing would come of it",
    SaveModelCallback: "its file lies outside the run, where other members and runs write theirs; "
    "keep the weights as tensors in an attribute of a callback of your own",
}


def refuse_useless(learner: Learner) -> None:
    """Check that no callback of fastai's is there that would do nothing here, or harm.

    Raises:
        InputError: One is, with the reason.
    """
    for callback in learner.cbs:
        reason = next(
            (_OF_NO_USE[each] for each in type(callback).__mro__ if each in _OF_NO_USE), ""
        )
        if reason:
            raise InputError(
                f"the callback {type(callback).__name__} cannot be used: {reason}",
                fix="Take it out of the callbacks.",
            )


class SeenEnough(CancelFitException):
    """The engine's own wish to end a fit of which nothing is kept."""


class RefuseEarlyEnd(OwnFit):
    """Refuses that a callback ends a fit: what comes after it is not what the recipe says."""

    def after_cancel_fit(self) -> None:
        # Called while the wish to end is handled.
        _, wish, trace = sys.exc_info()
        if isinstance(wish, SeenEnough):
            return
        frames = traceback.extract_tb(trace)
        place = f"{place_of(frames[-1].filename, frames[-1].lineno)}: " if frames else ""
        raise InputError(
            f"{place}a callback ends the training: {_ENDS_EARLY}",
            fix="Take it out, and set the recipe's epochs.",
        )
