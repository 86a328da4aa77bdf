"""In which order callbacks hear an event: those by which others draw come before them all."""

from __future__ import annotations

from fastai.callback.core import Callback

from twinrun.repro.keys import Key
from twinrun.train.callbacks import KeyedSteps
from twinrun.train.checkpoints import Checkpoint
from twinrun.train.resumed_fit import Resume


class Early(Callback):
    order = -1_000_000


def test_generators_are_seeded_before_any_callback_of_the_users_draws() -> None:
    steps, restore = KeyedSteps(Key((0, "a"))), Resume(Checkpoint(1, 0, {}, {}), 0, 2)
    # What is put back may draw too.
    callbacks: list[Callback] = [Early(), steps, restore]
    assert sorted(callbacks, key=lambda each: each.order)[:2] == [restore, steps]
