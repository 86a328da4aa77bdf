"""What users' code keeps between steps: in checkpoints, or refused by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastai.learner import Learner
from fastai.torch_core import get_model
from torch import Tensor

from twinrun.errors import InputError
from twinrun.hooks.loading import modules_in_use
from twinrun.train.callbacks import OwnFit
from twinrun.train.insides import insides, insides_of_modules, is_theirs, plain_values
from twinrun.train.owners import (
    Owner,
    kept_by_itself,
    own_loss,
    owners,
    stays,
    users_callbacks,
)
from twinrun.train.packing import NotPlain, Packing
from twinrun.train.unpacking import gives_state

_WHAT_TO_KEEP = (
    "Keep numbers, texts, tensors, arrays, and lists, tuples and dictionaries of them;",
    "or give the class state_dict() and load_state_dict(state), whose state is of such.",
)
_KEEP_IN_AN_OBJECT = (
    "Keep it in an attribute of the callback, module, loss or optimizer itself: those are put into "
    "checkpoints."
)


@dataclass
class Start:
    """What stands in no checkpoint, as it was when a training began: a resume finds it so.

    Attributes:
        stays: What no callback may exchange, by its place.
        insides: Digests of what code keeps beside its text, by place.
        layers: The numbers and texts of each layer of a library.
        values: Code and settings that objects of the user's hold, by place.
        objects: Where objects of the user's hold others that say themselves what their state is.
        callbacks: The user's, by class.
        files: Of the user's code that were imported by then; what is imported later begins anew
            with its import in a training that resumes.
        loss: What the training part of the epoch began with.
        in_fit: Whether a fit is under way: an object is asked for its state within one alone, for
            what it is of may be there from `before_fit` to `after_fit`.
    """

    stays: dict[str, Any]
    insides: dict[str, int]
    layers: dict[str, dict[str, Any]]
    values: dict[str, Any] = field(default_factory=dict)
    objects: set[str] = field(default_factory=set)
    callbacks: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    loss: Any = None
    in_fit: bool = False


def note_start(learner: Learner) -> None:
    """Note at a learner what is to stay as it is, before anybody hears of a step.

    Raises:
        InputError: As `refuse_unkept`.
    """
    layers = get_model(learner.model).named_modules()
    files = list(modules_in_use())
    learner.users_start = Start(
        stays(learner) | {"learner.loss_func": learner.loss_func},
        dict(_insides(learner, {}, files)),
        {name: plain_values(module) for name, module in layers},
        files=files,
    )
    note_held(learner)


def note_held(learner: Learner) -> None:
    """Note what the user's objects hold by now that is no state, as a fit begins.

    Code that they hold may be another than in the fit before: what makes it as a fit begins makes
    it again in a training that resumes. All else that was noted stays so.

    Raises:
        InputError: As `refuse_unkept`.
    """
    start, (now, _) = learner.users_start, _pack_all(learner, asks=False)
    start.values |= now.fixed
    start.objects |= now.objects
    start.files = list(modules_in_use())
    start.insides = dict(_insides(learner, {}, start.files)) | start.insides
    start.insides |= dict(_insides_of_held(now.fixed, _kept_elsewhere(learner)))
    start.callbacks = start.callbacks or _classes(learner)


def refuse_unkept(learner: Learner) -> None:
    """Check that everything that the user's objects keep can be in a checkpoint.

    Within a fit also what they say that their state is.

    Raises:
        InputError: Something cannot, or their code raises an error.
    """
    _pack_all(learner, asks=_is_in_fit(learner))


def refuse_changed_code(learner: Learner) -> None:
    """Check that what stands in no checkpoint is as it was when the training began.

    Args:
        learner: Of which `note_start` was told.

    Raises:
        InputError: Something is not, or is there that was not.
    """
    _refuse_changed(learner, _pack_all(learner, asks=False)[0])


def pack_users(learner: Learner) -> tuple[Any, dict[str, Tensor]]:
    """What the user's objects keep, as JSON and tensors; what no checkpoint has is looked at too.

    After a fit None stands for what they say themselves.

    Raises:
        InputError: As `refuse_unkept` and `refuse_changed_code`.
    """
    packing, packed = _pack_all(learner, asks=_is_in_fit(learner))
    _refuse_changed(learner, packing)
    return packed, packing.tensors


def _refuse_changed(learner: Learner, now: Packing) -> None:
    """Check what was met while the user's objects were packed, and what they do not hold."""
    start = learner.users_start
    for place, value in now.fixed.items():
        if place not in start.values:
            raise _too_late(place)
        before = start.values[place]
        if before is not value and not _equal(before, value):
            raise InputError(
                f"{place} was {before!r} when the training began and is {value!r}: a "
                "checkpoint holds no code, so that a training could not go on from here",
                fix="Keep in the attribute a number or a text that says which one it is.",
            )
    for place in now.objects - start.objects:
        raise _too_late(place)
    found = stays(learner) | {"learner.loss_func": _loss_of_training(learner)}
    for place, value in found.items():
        if start.stays[place] is not value and not _equal(start.stays[place], value):
            raise InputError(
                f"{place}: a callback has exchanged it, and a training that resumes would not "
                "have it",
                fix="Change numbers and tensors in their place, and leave the object itself.",
            )
    if _classes(learner) != start.callbacks:
        raise InputError(
            f"the callbacks were {', '.join(start.callbacks) or 'none'} when the training began "
            f"and are {', '.join(_classes(learner)) or 'none'}: one that resumes has the former",
            fix="Give all of them in `callbacks`, and let each decide when it does something.",
        )
    code = dict(_insides(learner, now.fixed, start.files))
    for place in (*start.insides, *(code.keys() - start.insides.keys())):
        if start.insides.get(place) != code.get(place):
            raise InputError(
                f"{place} is not what it was when the training began: it stands in no "
                "checkpoint, and the next training of this process would begin with it",
                fix=_KEEP_IN_AN_OBJECT,
            )


def _is_in_fit(learner: Learner) -> bool:
    start = getattr(learner, "users_start", None)
    return start is not None and start.in_fit


def _pack_all(learner: Learner, *, asks: bool) -> tuple[Packing, list[list[Any]]]:
    """All that the user's objects keep: what was met on the way, and it as JSON.

    Args:
        learner: Of the training.
        asks: Whether those that say themselves what their state is are asked for it.
    """
    start = getattr(learner, "users_start", None)
    begun = None if start is None else start.values
    packing = Packing(own=kept_by_itself(learner), asks=asks, begun=begun)
    packed = [
        [owner.label, _pack(owner, packing)]
        for owner in owners(learner)
        if owner.values or speaks(owner)
    ]
    return packing, packed


def _pack(owner: Owner, packing: Packing) -> Any:
    try:
        if speaks(owner):
            return packing.pack_state(owner.thing, f"{owner.title}: state_dict()")
        return packing.pack_dictionary(owner.values, f"{owner.title}: ")
    except NotPlain as error:
        raise cannot_be_kept(error) from None


def cannot_be_kept(error: NotPlain) -> InputError:
    """The message for a value that no checkpoint can hold."""
    return InputError(
        f"{error.place} cannot be kept in a checkpoint, so that a training that was "
        "interrupted would go on without it",
        details=[f"It is {error.reason}."],
        fix=_WHAT_TO_KEEP,
    )


def speaks(owner: Owner) -> bool:
    """Whether an owner says itself what its state is.

    Of a module the weights are kept anyway, and of an optimizer what it has of each parameter.
    """
    return gives_state(owner.thing) and owner.kind in ("callback", "loss")


def _insides(
    learner: Learner, held: Mapping[str, Any], files: Collection[str]
) -> Iterator[tuple[str, int]]:
    """(place, digest) of all that code of the user's keeps.

    Args:
        learner: Of the training.
        held: Code that the user's objects hold, by place.
        files: Whose modules are looked at.
    """
    own = _kept_elsewhere(learner)
    yield from insides_of_modules(files, own)
    for owner in owners(learner):
        for kind in type(owner.thing).__mro__ if is_theirs(type(owner.thing)) else ():
            if is_theirs(kind):
                yield from insides(kind, f"the class {kind.__name__}", own)
    yield from insides(own_loss(learner), "`loss`", own)
    loader = learner.dls.train
    for transforms in (loader.own_items, loader.own_batches):
        for number, each in enumerate(() if transforms is None else transforms.functions, 1):
            name = getattr(each, "__name__", type(each).__name__)
            place = f"{name}, number {number} of `{transforms.hook.hook.name}`"
            yield from insides(each, place, own)
    yield from _insides_of_held(held, own)


def _kept_elsewhere(learner: Learner) -> set[int]:
    """What does not count among the insides of code."""
    return kept_by_itself(learner) | {id(owner.thing) for owner in owners(learner)}


def _insides_of_held(held: Mapping[str, Any], own: set[int]) -> Iterator[tuple[str, int]]:
    """The same as `_insides`, of the code alone that the user's objects hold."""
    for place, each in held.items():
        yield from insides(each, place, own)


def _classes(learner: Learner) -> list[str]:
    return [type(each).__name__ for each in users_callbacks(learner)]


def _loss_of_training(learner: Learner) -> Any:
    """The loss, where it is what this part of the epoch began with: the one of the beginning."""
    start = learner.users_start
    return (
        start.stays["learner.loss_func"] if learner.loss_func == start.loss else learner.loss_func
    )


def _too_late(place: str) -> InputError:
    return InputError(
        f"{place} is an object, or code, that was not there when the training began: one that "
        "resumes has nothing to put its state into",
        fix="Make it in __init__ or before_fit.",
    )


def _equal(first: Any, second: Any) -> bool:
    same = first == second
    return same if isinstance(same, bool) else False


class NoteHeld(OwnFit):
    """Notes, after all others have heard of a fit's beginning, what objects hold by then."""

    order = 2990
    looked = False

    def before_fit(self) -> None:
        note_held(self.learn)

    def after_fit(self) -> None:
        self.learn.users_start.in_fit = False

    def before_train(self) -> None:
        self.learn.users_start.in_fit = True
        if not self.looked:
            # Before the first step, not at the first checkpoint.
            refuse_unkept(self.learn)
            self.looked = True
        # MixUp and the validation put a loss of theirs in its place, and take it out again.
        self.learn.users_start.loss = self.learn.loss_func

    def after_train(self) -> None:
        self.learn.users_start.loss = None

    def before_validate(self) -> None:
        self.learn.users_start.loss = self.learn.loss_func

    def after_validate(self) -> None:
        self.after_train()
