"""What users' objects kept, out of a checkpoint again: into those of a training that resumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastai.learner import Learner
from torch import Tensor

from twinrun.errors import InputError
from twinrun.train.owners import Owner, owners
from twinrun.train.unpacking import Absent, give_state, nothing_there, unpack
from twinrun.train.users_state import speaks


def restore_users(
    learner: Learner, saved: Any, tensors: Mapping[str, Tensor], *, all_there: bool
) -> None:
    """Give the user's objects back what they kept.

    Args:
        learner: With callbacks of the same classes.
        saved: From `pack_users`.
        tensors: From there.
        all_there: The callbacks have heard what they had heard: an object whose state was kept and
            that is not there is an error. Before, a callback is not given what it said itself: it
            may be of what it makes as it hears that the fit begins.

    Raises:
        InputError: It is not.
    """
    found = {owner.label: owner for owner in owners(learner)}
    packed = dict(saved)
    for label in packed.keys() - found.keys():
        if all_there:
            raise InputError(
                f"a checkpoint has the state of the {label}, and there is no such object now",
                fix="Make the same callbacks, modules and loss at each call of your functions.",
            )
    for label, owner in found.items():
        if speaks(owner):
            if all_there and label in packed:
                give_state(owner.thing, packed[label], tensors)
        else:
            _restore_values(owner, packed.get(label, ["dict", []]), tensors, all_there)
            _as_begun(learner, owner, packed.get(label, ["dict", []]))


def _restore_values(
    owner: Owner, code: Any, tensors: Mapping[str, Tensor], all_there: bool
) -> None:
    kept = dict(code[1])
    for name, each in kept.items():
        current = owner.values.get(name, nothing_there())
        try:
            value = unpack(each, tensors, current)
        except Absent:
            if not all_there:
                continue
            raise InputError(
                f"{owner.title}: a checkpoint has what {name} was, and there is no such object now",
                fix="Make it in __init__ or before_fit, so that its state can be put back.",
            ) from None
        if current is not value:
            owner.set(name, value)
    if all_there and owner.kind not in ("layer", "learner"):
        for name in owner.values.keys() - kept.keys():
            owner.remove(name)


def _as_begun(learner: Learner, owner: Owner, code: Any) -> None:
    """Undo what a callback has changed again of a library's layer, as it began to resume."""
    if owner.kind == "layer" and owner.values:
        before = learner.users_start.layers[owner.label.removeprefix("layer ")]
        for name in owner.values.keys() - dict(code[1]).keys():
            owner.set(name, before[name])
