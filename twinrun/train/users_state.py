"""What users' callbacks and modules keep between steps: in checkpoints, or refused by name."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from fastai.callback.core import Callback
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from fastai.torch_core import get_model
from torch import Tensor, nn

from twinrun.errors import InputError
from twinrun.hooks.mistakes import place_of
from twinrun.train.callbacks import OwnFit
from twinrun.train.packing import Absent, NotPlain, Packing, gives_state, nothing_there, unpack

# Where callbacks come from that are none of the user's: each fit sets them up anew, and MixUp's
# draws are made again at each step.
NOT_USERS = (
    "twinrun.",
    "fastai.learner",
    "fastai.callback.core",
    "fastai.callback.mixup",
    "fastai.callback.schedule",
)
# Packages whose layers keep all that they keep in parameters and buffers.
_LAYERS = ("torch", "torchvision", "timm", "fastai", "twinrun")
_WHAT_TO_KEEP = (
    "Keep numbers, texts, tensors, arrays, and lists, tuples and dictionaries of them;",
    "or give the class state_dict() and load_state_dict(state), whose state is of such.",
)
# Optimizers whose state is all of it of one parameter, and what others have beside theirs.
_OPTIMIZERS = ("torch.", "twinrun.")
_OF_EVERY_OPTIMIZER = ("state", "param_lists", "hypers", "cbs", "opt", "param_groups", "defaults")
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


@dataclass(frozen=True)
class _Owner:
    """Something of the user's that keeps a state between steps.

    Attributes:
        kind: "callback".
        label: Which it is, in a checkpoint.
        thing: Itself.
        values: Its attributes, those that are a state or may be.
    """

    kind: str
    label: str
    thing: Any
    values: dict[str, Any]

    @property
    def title(self) -> str:
        """How it is called in messages, with the place of its class."""
        return f"{self.kind} {type(self.thing).__name__}{source_place(type(self.thing))}"


def users_callbacks(learner: Learner) -> list[Callback]:
    """The callbacks that neither the engine nor fastai's own fit has added."""
    return [each for each in learner.cbs if not type(each).__module__.startswith(NOT_USERS)]


def source_place(thing: Any) -> str:
    """` (hooks/own.py, line N)` of a class; empty where that is not known."""
    try:
        file, line = inspect.getsourcefile(thing), inspect.getsourcelines(thing)[1]
    except (OSError, TypeError):
        return ""
    return f" ({place_of(str(file), line)})"


def refuse_unkept(learner: Learner) -> dict[str, Any]:
    """Check that everything that the user's callbacks and modules keep can be in a checkpoint.

    Returns:
        What of it is code or a setting and stands in no checkpoint, by its place.

    Raises:
        InputError: Something cannot.
    """
    return _pack_all(learner)[2]


def pack_users(learner: Learner) -> tuple[Any, dict[str, Tensor]]:
    """What the user's callbacks and modules keep, as JSON and tensors.

    Raises:
        InputError: As `refuse_unkept`.
    """
    return _pack_all(learner)[:2]


def refuse_exchanged(before: Mapping[str, Any], learner: Learner) -> None:
    """Check that what stands in no checkpoint is as it was when the training began.

    Args:
        before: From `refuse_unkept`.
        learner: In training.

    Raises:
        InputError: An attribute that held code or a setting holds another now.
    """
    now = _pack_all(learner)[2]
    for place, value in before.items():
        if place in now and now[place] is not value and not _equal(now[place], value):
            raise InputError(
                f"{place} was {value!r} when the training began and is {now[place]!r}: a "
                "checkpoint holds no code, so that a training could not go on from here",
                fix="Keep in the attribute a number or a text that says which one it is.",
            )


def restore_users(
    learner: Learner, saved: Any, tensors: Mapping[str, Tensor], *, all_there: bool
) -> None:
    """Give the user's callbacks and modules back what they kept.

    Args:
        learner: With callbacks of the same classes.
        saved: From `pack_users`.
        tensors: From there.
        all_there: The callbacks have heard what they had heard: an object whose state was kept and
            that is not there is an error.

    Raises:
        InputError: It is not.
    """
    owners = {owner.label: owner for owner in _owners(learner)}
    for label, code in saved:
        owner = owners.get(label)
        if owner is None:
            continue
        if _speaks(owner):
            owner.thing.load_state_dict(unpack(code, tensors, nothing_there()))
            continue
        _restore_values(owner, code, tensors, all_there)


def _restore_values(
    owner: _Owner, code: Any, tensors: Mapping[str, Tensor], all_there: bool
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
        if isinstance(owner.thing, nn.Module) and name in owner.thing._buffers:
            owner.thing._buffers[name] = value
        elif current is not value:
            vars(owner.thing)[name] = value
    if all_there:
        for name in owner.values.keys() - kept.keys():
            vars(owner.thing).pop(name, None)


def _pack_all(learner: Learner) -> tuple[Any, dict[str, Tensor], dict[str, Any]]:
    packing, packed = Packing(own=_own(learner)), []
    for owner in _owners(learner):
        try:
            if _speaks(owner):
                code = packing.pack(dict(owner.thing.state_dict()), f"{owner.title}: state_dict()")
            else:
                values = owner.values.items()
                code = ["dict", [[k, packing.pack(v, f"{owner.title}: {k}")] for k, v in values]]
        except NotPlain as error:
            raise InputError(
                f"{error.place} cannot be kept in a checkpoint, so that a training that was "
                "interrupted would go on without it",
                details=[f"It is {error.reason}."],
                fix=_WHAT_TO_KEEP,
            ) from None
        packed.append([owner.label, code])
    return packed, packing.tensors, packing.fixed


def _speaks(owner: _Owner) -> bool:
    """Whether it says itself what its state is.

    Of a module the weights are kept anyway, and of an optimizer what it has of each parameter.
    """
    return gives_state(owner.thing) and owner.kind in ("callback", "loss")


def _owners(learner: Learner) -> Iterator[_Owner]:
    counts: dict[str, int] = {}
    for callback in users_callbacks(learner):
        name = type(callback).__name__
        counts[name] = number = counts.get(name, 0) + 1
        values = {key: each for key, each in vars(callback).items() if key != "learn"}
        yield _Owner("callback", f"callback {name} {number}", callback, values)
    for name, module in get_model(learner.model).named_modules():
        if type(module).__module__.partition(".")[0] in _LAYERS:
            continue
        values = {key: each for key, each in vars(module).items() if key not in _OF_EVERY_MODULE}
        for buffer in module._non_persistent_buffers_set:
            values[buffer] = module._buffers[buffer]
        yield _Owner("module", f"module {name}", module, values)

    loss = getattr(getattr(learner, "own_loss", None), "own", None)
    if loss is not None and not isinstance(loss, (nn.Module, FunctionType)):
        yield _Owner("loss", "loss", loss, dict(getattr(loss, "__dict__", {})))
    optimizer = learner.opt.opt if isinstance(learner.opt, OptimWrapper) else learner.opt
    if optimizer is not None and not type(optimizer).__module__.startswith(_OPTIMIZERS):
        known = _OF_EVERY_OPTIMIZER
        values = {k: v for k, v in vars(optimizer).items() if k not in known and k[0] != "_"}
        yield _Owner("optimizer", "optimizer", optimizer, values)


def _own(learner: Learner) -> set[int]:
    """What callbacks may refer to and the learner keeps: its objects, its tensors' memory."""
    model = get_model(learner.model)
    found = {id(each) for each in (learner, learner.opt, learner.dls, learner.loss_func)}
    found |= {id(each) for each in (learner.recorder, *learner.dls.loaders, *learner.cbs)}
    found |= {id(each) for each in (learner.model, *model.modules())}
    # Not the buffers that stand in no file of weights: those are a module's own state.
    for tensor in model.state_dict().values():
        found.add(tensor.untyped_storage().data_ptr())
    return found - {0}


def _equal(first: Any, second: Any) -> bool:
    same = first == second
    return same if isinstance(same, bool) else False


class RestoreUsers(OwnFit):
    """Gives the user's callbacks back, in the middle of a fit, what they kept.

    They have heard by then what they had heard before the first step of the fit. The epochs before
    it, which fastai's loop passes through without living them, they do not hear.

    Args:
        saved: From `pack_users`.
        tensors: From there.
        place: Complete epochs and steps at the checkpoint.
        first_epoch: As for OwnFit.
    """

    order = -1_000_000_001  # before any callback of the user's, and before generators are seeded

    def __init__(
        self, saved: Any, tensors: Mapping[str, Tensor], place: tuple[int, int], first_epoch: int
    ) -> None:
        super().__init__(first_epoch, place[0])
        self.saved, self.tensors, self.step = saved, tensors, place[1]
        self.waiting, self.silent = True, list[Callback]()

    def __call__(self, event_name: str) -> Any:
        answer = super().__call__(event_name)
        if event_name == "before_epoch" and self.fits == 1 and self.at < self.start:
            self.silent += [each for each in users_callbacks(self.learn) if each.run]
            for callback in self.silent:
                callback.run = False
        return answer

    def before_epoch(self) -> None:
        for callback in self.silent:
            callback.run = True
        self.silent.clear()
        if not self.step:
            self._restore()

    def before_batch(self) -> None:
        self._restore()

    def after_train(self) -> None:
        self._restore()

    def _restore(self) -> None:
        if self.waiting:
            restore_users(self.learn, self.saved, self.tensors, all_there=True)
            self.waiting = False
