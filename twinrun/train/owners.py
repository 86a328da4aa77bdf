"""What of a training is the user's and keeps something between steps: callbacks, loss and so on."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from types import FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastai.optimizer import Optimizer, OptimWrapper, _BaseOptimizer
from fastai.torch_core import get_model
from torch import nn

from twinrun.hooks.mistakes import place_of
from twinrun.train.insides import attributes, own_values, plain_values

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
# Optimizers whose state is all of it of one parameter.
_OPTIMIZERS = ("torch.", "twinrun.")
# What fastai and the engine keep at a learner: a checkpoint has it, or each step sets it anew.
_OF_EVERY_LEARNER = {
    "_metrics",
    "cbs",
    "create_mbar",
    "default_cbs",
    "dl",
    "dls",
    "epoch",
    "final_record",
    "it",
    "iter",
    "lock",
    "logger",
    "loss",
    "loss_func",
    "loss_grad",
    "lr",
    "model",
    "model_dir",
    "moms",
    "n_epoch",
    "n_iter",
    "opt",
    "opt_func",
    "own_loss",
    "path",
    "pct_train",
    "pred",
    "smooth_loss",
    "splitter",
    "train_bn",
    "train_iter",
    "training",
    "users_start",
    "wd",
    "wd_bn_bias",
    "xb",
    "yb",
}
# What of it no callback may exchange.
_STAYS = ("dls", "opt", "opt_func", "splitter", "own_loss", "lr", "moms", "wd")


@dataclass(frozen=True)
class Owner:
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
        if self.kind == "learner":
            return "the learner"
        if self.kind == "layer":
            return f"{self.label} ({type(self.thing).__name__})"
        return f"{self.kind} {type(self.thing).__name__}{source_place(type(self.thing))}"

    def set(self, name: str, value: Any) -> None:
        """Give an attribute a value, whatever its class does where one is set.

        A dictionary or list of an optimizer stays itself: another optimizer may have it too.
        """
        now: Any = self.values.get(name)
        is_alike = type(now) is type(value)
        if self.kind == "optimizer" and is_alike and isinstance(now, _SHARED):
            now.clear()
            now.update(value) if isinstance(now, dict) else now.extend(value)
        elif isinstance(self.thing, nn.Module) and name in self.thing._buffers:
            self.thing._buffers[name] = value
        else:
            object.__setattr__(self.thing, name, value)

    def remove(self, name: str) -> None:
        """Take an attribute away, where it is there."""
        getattr(self.thing, "__dict__", {}).pop(name, None)


_places: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def users_callbacks(learner: Learner) -> list[Callback]:
    """The callbacks that neither the engine nor fastai's own fit has added."""
    return [each for each in learner.cbs if not type(each).__module__.startswith(NOT_USERS)]


def source_place(thing: type) -> str:
    """` (hooks/own.py, line N)` of a class; empty where that is not known."""
    if thing not in _places:
        # The file is parsed for it.
        try:
            file, line = inspect.getsourcefile(thing), inspect.getsourcelines(thing)[1]
            _places[thing] = f" ({place_of(str(file), line)})"
        except (OSError, TypeError):
            _places[thing] = ""
    return _places[thing]


def owners(learner: Learner) -> Iterator[Owner]:
    """All that keeps something, each with what it keeps now."""
    counts: dict[str, int] = {}
    for callback in users_callbacks(learner):
        name = type(callback).__name__
        counts[name] = number = counts.get(name, 0) + 1
        values = {key: each for key, each in attributes(callback).items() if key != "learn"}
        yield Owner("callback", f"callback {name} {number}", callback, values)
    start = getattr(learner, "users_start", None)
    for name, module in get_model(learner.model).named_modules():
        if type(module).__module__.partition(".")[0] in _LAYERS:
            before = {} if start is None else start.layers.get(name, {})
            changed = {k: v for k, v in plain_values(module).items() if before.get(k, v) != v}
            yield Owner("layer", f"layer {name}", module, changed)
            continue
        yield Owner("module", f"module {name}", module, own_values(module))
    loss = loss_object(learner)
    if loss is not None:
        yield Owner("loss", "loss", loss, attributes(loss))
    if learner.opt is not None:
        yield from _optimizers(learner.opt)
    taken = {id(each) for each in learner.cbs}
    values = {
        name: each
        for name, each in attributes(learner).items()
        if name not in _OF_EVERY_LEARNER and id(each) not in taken
    }
    yield Owner("learner", "learner", learner, values)


def own_loss(learner: Learner) -> Any:
    """The loss that hooks.py gave; None: it gave none."""
    return getattr(getattr(learner, "own_loss", None), "own", None)


def loss_object(learner: Learner) -> Any:
    """The object of the user's that a loss is, or whose method it is; None: there is none."""
    loss = own_loss(learner)
    while isinstance(loss, (partial, MethodType)):
        loss = loss.func if isinstance(loss, partial) else loss.__self__
    of_the_network = isinstance(loss, nn.Module) and any(
        loss is each for each in learner.model.modules()
    )
    is_code = isinstance(loss, (FunctionType, type)) or not hasattr(loss, "__dict__")
    return None if of_the_network or is_code else loss


def optimizer_itself(optimizer: Any) -> Any:
    """torch's optimizer that fastai has wrapped; any other is itself."""
    return optimizer.opt if isinstance(optimizer, OptimWrapper) else optimizer


def stays(learner: Learner) -> dict[str, Any]:
    """What a learner has that no callback may exchange, by its place."""
    found = {f"learner.{name}": getattr(learner, name, None) for name in _STAYS}
    # Of several ranks the network stands within one that gathers gradients, in some events.
    model = found["learner.model"] = get_model(learner.model)
    found["what the network is made of"] = [
        (name, id(module)) for name, module in model.named_modules()
    ]
    found["which weights the network has"] = [
        (name, id(tensor)) for name, tensor in model.named_parameters()
    ]
    if learner.opt is not None:
        found["the optimizer's groups of weights"] = [
            [id(each) for each in group] for group in learner.opt.param_lists
        ]
    return found


def kept_by_itself(learner: Learner) -> set[int]:
    """What users' objects may refer to and the learner keeps: its objects, its tensors' memory."""
    model = get_model(learner.model)
    found = {id(each) for each in (learner, learner.opt, learner.dls, learner.loss_func)}
    found |= {id(each) for each in (learner.recorder, *learner.dls.loaders, *learner.cbs)}
    found |= {id(each) for each in (learner.model, *model.modules(), loss_object(learner))}
    found |= {id(each) for each in every_optimizer(learner.opt).values()}
    # Not the buffers that stand in no file of weights: those are a module's own state.
    for tensor in model.state_dict().values():
        found.add(tensor.untyped_storage().data_ptr())
    return found - {0, id(None)}


def every_optimizer(optimizer: Any) -> dict[str, Any]:
    """An optimizer, those that it holds in attributes, alone or in a list, and so on: each once.

    Args:
        optimizer: A learner's; None: there is none.

    Returns:
        By places such as `optimizer.base`; the optimizer itself, `optimizer`, is the first.
    """
    found: dict[str, Any] = {}
    waiting = [("optimizer", optimizer)]
    for label, each in waiting:  # it grows meanwhile
        is_one = isinstance(each, (_BaseOptimizer, torch.optim.Optimizer))
        if not is_one or any(each is other for other in found.values()):
            continue
        found[label] = each
        for name, value in attributes(each).items():
            if name not in _of_every(each):
                waiting.append((f"{label}.{name}", value))
                if isinstance(value, (list, tuple)):
                    waiting += [(f"{label}.{name}[{n}]", x) for n, x in enumerate(value)]
    return found


def _optimizers(optimizer: Any) -> Iterator[Owner]:
    """Of an optimizer, and those that it holds, the ones that are of the user's."""
    seen: dict[int, str] = {}
    for label, each in every_optimizer(optimizer).items():
        if type(each).__module__.startswith(_OPTIMIZERS) or type(each) in _PLAIN:
            continue
        values = {
            name: value
            for name, value in attributes(each).items()
            if name not in _of_every(each)
            # What two optimizers share is kept of the first, and put back in its place.
            and not (isinstance(value, _SHARED) and seen.setdefault(id(value), label) != label)
        }
        yield Owner("optimizer", label, each, values)


def _of_every(optimizer: Any) -> frozenset[str]:
    if isinstance(optimizer, OptimWrapper):
        return frozenset({"state"})
    return _names_of_torch() if isinstance(optimizer, torch.optim.Optimizer) else _OF_FASTAI


# Whose attributes only say how it works.
_PLAIN = (OptimWrapper, Optimizer)
_OF_FASTAI = frozenset({"state", "param_lists", "hypers"})
_SHARED = (dict, list)


@cache
def _names_of_torch() -> frozenset[str]:
    """What torch keeps at each optimizer; its defaults are a state as any other."""
    one = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    return frozenset(vars(one)) - {"defaults"}
