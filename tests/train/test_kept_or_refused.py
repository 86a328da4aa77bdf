"""What a competitor's code keeps: an interruption changes no bit of it, or it is refused by name.

Each is tried as `twinrun check` does, on drawn images: there a second training goes on from a
checkpoint of the first and has to end with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fastai.learner import Learner

from twinrun.config.reading import read_settings
from twinrun.errors import InputError
from twinrun.hooks.loading import unload
from twinrun.train import resume, resumed_fit, trial_resume, users_state
from twinrun.train.checkpoints import Checkpoint
from twinrun.train.trial import try_training

# A network that takes no time.
SMALL = """
import enum
import functools
import itertools
import random
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from fastai.callback.core import Callback
from torch import nn


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, stride=8), nn.Conv2d(4, 6, 3)

    def layer_groups(self):
        return [self.first, self.last]

    def forward(self, images):
        return self.last(self.first(images).relu())


def backbone():
    return Body()


def head(channels, classes):
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(channels, classes)
    )


def torch_sgd(groups, lr, kind=torch.optim.SGD):
    return kind([{"params": group} for group in groups], lr=lr, momentum=0.9)

"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    unload()


@pytest.fixture
def attempt(small_toml: Path) -> Callable[[str], None]:
    """Try code as `twinrun check` does."""

    def attempt(code: str) -> None:
        small_toml.with_name("hooks.py").write_text(SMALL + code)
        small_toml.with_name("parts.py").write_text("SIZE = 3\n")
        settings = read_settings(small_toml)
        try_training(settings, "b", torch.device("cpu"))

    return attempt


def callback(body: str, init: str = "pass", order: int = 0) -> str:
    """hooks.py with one callback."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    start = "".join(f"        {line}\n" for line in init.splitlines())
    return (
        f"class Mine(Callback):\n    order = {order}\n    def __init__(self):\n{start}{lines}"
        "def callbacks():\n    return [Mine()]\n"
    )


WEIGHTS = """
def {event}(self):
    with torch.no_grad():
        self.learn.model[1][-1].weight.mul_(1.25)
        self.learn.model[0].first.bias.add_(0.5)
"""
KEPT = {
    **{
        f"weights changed in {event}": callback(WEIGHTS.format(event=event))
        for event in ("before_fit", "before_epoch", "before_train", "after_train", "after_fit")
    },
    "what is trained, changed in the middle": callback(
        "def after_batch(self):\n"
        "    if self.training and self.iter == 0:\n"
        "        self.learn.model[0].last.weight.requires_grad_(False)\n"
        "        self.learn.model[0].last.weight.grad = None"
    ),
    "groups of layers frozen in the middle": callback(
        "def after_batch(self):\n"
        "    if self.training and self.iter == 0:\n        self.learn.opt.freeze_to(-2)"
    ),
    "numbers of the optimizer, changed as an epoch begins": callback(
        "def before_epoch(self):\n    self.learn.opt.set_hyper('wd', 0.3)"
    ),
    "layers put into prediction in the middle": callback(
        "def after_batch(self):\n"
        "    if self.training and self.iter == 0:\n        self.learn.model[1].eval()"
    ),
    "the share of a Dropout": callback(
        "def after_batch(self):\n"
        "    if self.training and self.iter == 0:\n        self.learn.model[1][2].p = 0.1"
    ),
    "an attribute of the learner": callback(
        "def after_batch(self):\n"
        "    if self.training:\n"
        "        self.learn.scale = 1.5 * getattr(self.learn, 'scale', 1.0)\n"
        "def before_batch(self):\n"
        "    self.learn.xb = (self.x * getattr(self.learn, 'scale', 1.0),)"
    ),
    "named tuples, dataclasses and enumerations": (
        "Best = namedtuple('Best', 'step loss')\n"
        "@dataclass(frozen=True)\nclass Row:\n    at: int\n    seen: torch.Tensor\n"
        "@dataclass\nclass Rows:\n    rows: list\n    best: Best\n"
        "class Mode(enum.Enum):\n    FEW = 1\n    MANY = 2\n"
        + callback(
            "def after_batch(self):\n"
            "    if self.training:\n"
            "        loss = self.loss.detach()\n"
            "        self.kept.rows.append(Row(self.iter, loss))\n"
            "        self.kept.best = Best(self.iter, 2 * loss)\n"
            "        self.mode = Mode.MANY\n"
            "def before_batch(self):\n"
            "    many = 2 if self.mode is Mode.MANY else 1\n"
            "    more = sum(each.seen for each in self.kept.rows) + self.kept.best.loss\n"
            "    self.learn.xb = (self.x * (many + more),)",
            init="self.kept, self.mode = Rows([], Best(0, 0.0)), Mode.FEW",
        )
    ),
    "a loss that is a method": (
        "class Grows:\n    def __init__(self):\n        self.factor = 1.0\n"
        "    def loss(self, logits, targets):\n        self.factor *= 1.5\n"
        "        return self.factor * F.cross_entropy(logits, targets)\n"
        "def loss():\n    return functools.partial(Grows().loss)\n"
    ),
    "attributes of an optimizer": (
        "class Own(torch.optim.SGD):\n"
        "    def __init__(self, *given, **named):\n        super().__init__(*given, **named)\n"
        "        self._factor, self.opt, self.cbs = 1.0, [1.0], {}\n"
        "    def step(self):\n"
        "        self._factor *= 1.5\n        self.opt.append(self._factor)\n"
        "        self.cbs['more'] = self.defaults['more'] = self.cbs.get('more', 0) + 0.1\n"
        "        beside = self.state['global']\n"
        "        beside['steps'] = beside.get('steps', 0) + 1\n"
        "        for group in self.param_groups:\n"
        "            group['lr'] *= self._factor + sum(self.opt) + self.cbs['more']\n"
        "            group['lr'] *= beside['steps'] + self.defaults['more']\n"
        "        super().step()\n"
        "def optimizer():\n    return functools.partial(torch_sgd, kind=Own)\n"
    ),
    "what an optimizer keeps of each parameter": (
        "class Own(torch.optim.SGD):\n"
        "    def step(self):\n"
        "        for group in self.param_groups:\n"
        "            for weight in group['params']:\n"
        "                if weight.grad is not None:\n"
        "                    kept = self.state[weight]\n"
        "                    kept['sum'] = kept.get('sum', 0) + weight.grad.double()\n"
        "                    kept.setdefault('steps', []).append(np.float32(0.1))\n"
        "                    weight.grad.add_(kept['sum'].float() * float(sum(kept['steps'])))\n"
        "        super().step()\n"
        "def optimizer():\n    return functools.partial(torch_sgd, kind=Own)\n"
    ),
    "an optimizer around another": (
        "from fastai.optimizer import Lookahead\n"
        "def optimizer():\n    from fastai.optimizer import Adam\n"
        "    return lambda groups, lr: Lookahead(Adam(groups, lr=lr), k=2)\n"
    ),
    "timm's optimizer around another": (
        "from timm.optim import Lookahead\n"
        "def optimizer():\n    return lambda groups, lr: Lookahead(torch_sgd(groups, lr), k=2)\n"
    ),
    "timm's optimizer around one of timm's": (
        "from timm.optim import Adopt, Lookahead\n"
        "def optimizer():\n"
        "    return lambda groups, lr: Lookahead("
        "Adopt([{'params': group} for group in groups], lr=lr), k=2)\n"
    ),
    "an optimizer of several": (
        "class Several(torch.optim.Optimizer):\n"
        "    def __init__(self, groups, lr):\n"
        "        super().__init__([{'params': g} for g in groups], {'lr': lr, 'momentum': 0.9})\n"
        "        weights = [weight for group in groups for weight in group]\n"
        "        few = [weight for weight in weights if weight.dim() > 1]\n"
        "        rest = [weight for weight in weights if weight.dim() < 2]\n"
        "        self.parts, self.factor = [torch_sgd([few], lr), torch.optim.Adam(rest)], 1.0\n"
        "    def step(self, closure=None):\n"
        "        self.factor *= 1.5\n"
        "        for part in self.parts:\n"
        "            for group in part.param_groups:\n"
        "                group['lr'] = self.factor * (group['lr'] + self.param_groups[0]['lr'])\n"
        "            part.step()\n"
        "def optimizer():\n    return Several\n"
    ),
    "an object that is made as the first phase begins": callback(
        "def before_fit(self):\n"
        "    if not hasattr(self, 'mean'):\n        self.mean = nn.Linear(6, 3)\n"
        "def after_batch(self):\n"
        "    with torch.no_grad():\n"
        "        self.mean.weight.lerp_(self.learn.model[1][-1].weight, 0.3)\n"
        "        self.learn.model[1][-1].weight.lerp_(self.mean.weight, 0.1)"
    ),
    "a function around which a name has no value": (
        "def made():\n    def own(logits, targets):\n"
        "        return F.cross_entropy(logits, targets) if targets is not None else later\n"
        "    if False:\n        later = 1\n    return own\n"
        "def loss():\n    return made()\n"
    ),
    "numbers of a module that a callback holds": (
        "class Held(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.layer, self.seen, self.last = nn.Linear(1, 1), 0, []\n"
        "        self.register_buffer('sum', torch.zeros(1), persistent=False)\n"
        + callback(
            "def after_batch(self):\n"
            "    self.held.seen += 1\n    self.held.sum += 0.5\n    self.held.last = [self.iter]\n"
            "def before_batch(self):\n"
            "    factor = 1 + self.held.seen + self.held.sum + sum(self.held.last)\n"
            "    self.learn.xb = (self.x * factor,)",
            init="self.held = nn.Sequential(Held())[0]",
        )
    ),
    "kinds of numbers, devices and paths that come late, and change": (
        "from pathlib import Path\n"
        + callback(
            "def after_batch(self):\n"
            "    self.device, self.dtype = self.x.device, self.x.dtype\n"
            "    self.kind, self.best = np.dtype('u1'), Path(f'{self.iter}.txt')\n"
            "def before_batch(self):\n"
            "    late = hasattr(self, 'kind') and self.device == self.x.device\n"
            "    late = late and self.dtype == self.x.dtype and self.kind.itemsize\n"
            "    number = 1 + int(self.best.stem) if late else 3\n"
            "    self.learn.xb = (self.x * number,)",
            init="self.best = None",
        )
    ),
    "code that is made as a fit begins": callback(
        "def before_fit(self):\n"
        "    self.drawn = torch.distributions.Beta(torch.tensor(0.4), torch.tensor(0.4))\n"
        "    self.scaled = functools.partial(torch.mul, 1.5)\n"
        "    rate = float(self.opt.hypers[-1]['lr'])\n"
        "    self.own = lambda images: images * rate\n"
        "def before_batch(self):\n"
        "    self.learn.xb = (self.scaled(self.own(self.x)) * self.drawn.sample(),)"
    ),
    "a file of one's own that is imported late": callback(
        "def after_batch(self):\n    from parts import SIZE\n    self.seen = SIZE"
    ),
    "a state of what is there within a fit alone": callback(
        "def before_fit(self):\n"
        "    self.mean = torch.zeros_like(self.learn.model[1][-1].weight)\n"
        "def after_batch(self):\n"
        "    with torch.no_grad():\n"
        "        self.mean.lerp_(self.learn.model[1][-1].weight, 0.3)\n"
        "        self.learn.model[1][-1].weight.lerp_(self.mean, 0.1)\n"
        "def after_fit(self):\n    del self.mean\n"
        "def state_dict(self):\n    return {'mean': self.mean}\n"
        "def load_state_dict(self, state):\n    self.mean.copy_(state['mean'])",
        order=2995,
    ),
    "a state that has more as the second phase begins": callback(
        "def before_fit(self):\n"
        "    self.fits += 1\n    if self.fits == 2:\n        self.mean = torch.zeros(3, 6)\n"
        "def after_batch(self):\n"
        "    if self.fits == 2:\n"
        "        with torch.no_grad():\n"
        "            self.mean.lerp_(self.learn.model[1][-1].weight, 0.3)\n"
        "            self.learn.model[1][-1].weight.lerp_(self.mean, 0.1)\n"
        "def state_dict(self):\n"
        "    return {'fits': self.fits} | ({'mean': self.mean} if self.fits == 2 else {})\n"
        "def load_state_dict(self, state):\n"
        "    self.fits = state['fits']\n"
        "    if 'mean' in state:\n        self.mean.copy_(state['mean'])",
        init="self.fits = 0",
    ),
    "an object that is set up as a fit begins": (
        "class Mean:\n"
        "    def begin(self, weight):\n        self.now = torch.zeros_like(weight)\n"
        "    def state_dict(self):\n        return {'now': self.now}\n"
        "    def load_state_dict(self, state):\n        self.now.copy_(state['now'])\n"
        + callback(
            "def before_fit(self):\n    self.mean.begin(self.learn.model[1][-1].weight)\n"
            "def after_batch(self):\n"
            "    with torch.no_grad():\n"
            "        self.mean.now.lerp_(self.learn.model[1][-1].weight, 0.3)\n"
            "        self.learn.model[1][-1].weight.lerp_(self.mean.now, 0.1)",
            init="self.mean = Mean()",
        )
    ),
    "a callback with fastcore's store_attr": (
        "from fastcore.basics import store_attr\n"
        + callback(
            "def after_batch(self):\n    self.seen.append(1)", init="self.given([])"
        ).replace(
            "class Mine(Callback):\n",
            "class Mine(Callback):\n    def given(self, seen):\n        store_attr('seen')\n",
        )
    ),
}


@pytest.mark.parametrize("label", KEPT)
def test_kept(attempt: Callable[[str], None], label: str) -> None:
    attempt(KEPT[label])


REFUSED = {
    "a global number": (
        "SEEN = 0\n" + callback("def after_batch(self):\n    global SEEN\n    SEEN = SEEN + 1"),
        "`SEEN` of hooks.py is not what it was",
    ),
    "a global list": (
        "SEEN = []\n"
        "def loss():\n    return own\n"
        "def own(logits, targets):\n    SEEN.append(1)\n"
        "    return F.cross_entropy(logits, targets)\n",
        "`SEEN` of hooks.py is not what it was",
    ),
    "a global generator": (
        "DRAWS = np.random.default_rng(0)\n"
        "def item_transforms():\n    return [shift]\n"
        "def shift(image):\n    return image + DRAWS.integers(0, 2, dtype=np.uint8)\n",
        "`DRAWS` of hooks.py is not what it was",
    ),
    "an attribute of a callback's class": (
        callback("seen = []\ndef after_batch(self):\n    self.seen.append(1)"),
        "`Mine` of hooks.py: the attribute `seen` of the class is not what it was",
    ),
    "an attribute of a loss's class": (
        "class Own:\n    factor = 1.0\n"
        "    def __call__(self, logits, targets):\n        Own.factor *= 1.5\n"
        "        return Own.factor * F.cross_entropy(logits, targets)\n"
        "def loss():\n    return Own()\n",
        "`Own` of hooks.py: the attribute `factor` of the class is not what it was",
    ),
    "what a loss's function closes over": (
        "def loss():\n    seen = 0\n    def own(logits, targets):\n        nonlocal seen\n"
        "        seen += 1\n        return seen * F.cross_entropy(logits, targets)\n"
        "    return own\n",
        "`loss` (",
    ),
    "the arguments of a partial": (
        "def own(seen, logits, targets):\n    seen.append(1)\n"
        "    return len(seen) * F.cross_entropy(logits, targets)\n"
        "def loss():\n    return functools.partial(own, [])\n",
        "`loss`: argument 1 of its partial is not what it was",
    ),
    "a default that is changed": (
        "def loss():\n    return own\n"
        "def own(logits, targets, seen=[]):\n    seen.append(1)\n"
        "    return len(seen) * F.cross_entropy(logits, targets)\n",
        "the default of `seen` is not what it was",
    ),
    "a function's attribute": (
        "def loss():\n    return own\n"
        "def own(logits, targets):\n    own.seen = getattr(own, 'seen', 0) + 1\n"
        "    return own.seen * F.cross_entropy(logits, targets)\n",
        "its attribute `seen` is not what it was",
    ),
    "a batch transform that counts": (
        "class Fades:\n    def __init__(self):\n        self.calls = 0\n"
        "    def __call__(self, images, targets):\n        self.calls += 1\n"
        "        return images / self.calls, targets\n"
        "def batch_transforms():\n    return [Fades()]\n",
        "Fades, number 1 of `batch_transforms`: its attribute `calls` is not what it was",
    ),
    "an item transform that counts": (
        "def item_transforms():\n    counter = itertools.count()\n"
        "    def fade(image):\n        return image + np.uint8(next(counter))\n    return [fade]\n",
        "`counter` of the function around it is not what it was",
    ),
    "another loss in the middle": (
        callback("def after_epoch(self):\n    self.learn.loss_func = F.cross_entropy"),
        "learner.loss_func: a callback has exchanged it",
    ),
    "another loss in the middle of an epoch": (
        callback(
            "def after_batch(self):\n    if self.training:\n"
            "        self.learn.loss_func = F.cross_entropy"
        ),
        "learner.loss_func: a callback has exchanged it",
    ),
    "another layer": (
        callback("def before_fit(self):\n    self.learn.model[1][2] = nn.Dropout(0.1)"),
        "what the network is made of: a callback has exchanged it",
    ),
    "other weights": (
        callback(
            "def after_epoch(self):\n"
            "    self.learn.model[1][-1].weight = nn.Parameter(torch.zeros(3, 6))"
        ),
        "which weights the network has: a callback has exchanged it",
    ),
    "a callback that comes in the middle": (
        "class Later(Callback):\n    pass\n"
        + callback("def after_epoch(self):\n    self.learn.add_cb(Later())"),
        "the callbacks were Mine when the training began and are Mine, Later",
    ),
    "an object that comes in the middle": (
        callback("def after_batch(self):\n    self.copy = nn.Linear(1, 1)"),
        "copy is an object, or code, that was not there when the training began",
    ),
    "code that comes in the middle": (
        callback("def after_batch(self):\n    self.rules.append(max)", init="self.rules = []"),
        "rules[0] is an object, or code, that was not there when the training began",
    ),
    "a state that holds code": (
        callback(
            "def state_dict(self):\n    return {'rule': max}\n"
            "def load_state_dict(self, state):\n    pass"
        ),
        "state_dict()['rule'] cannot be kept",
    ),
    "a state that is no dictionary": (
        callback(
            "def state_dict(self):\n    return [1]\ndef load_state_dict(self, state):\n    pass"
        ),
        "state_dict() cannot be kept",
    ),
    "a state that fails": (
        callback(
            "def state_dict(self):\n    return {'mean': self.late()}\n"
            "def late(self):\n    return {}['mean']\n"
            "def load_state_dict(self, state):\n    pass"
        ),
        "hooks.py, line 48: KeyError: 'mean'",
    ),
    "a state that cannot be put back": (
        callback(
            "def state_dict(self):\n    return {'mean': 1}\n"
            "def load_state_dict(self, state):\n    self.mean = state['means']"
        ),
        "hooks.py, line 48: KeyError: 'means'",
    ),
    "a key that is an object": (
        callback("def after_batch(self):\n    self.kept[nn.Linear] = 1", init="self.kept = {}"),
        "a key of callback Mine",
    ),
    "a class that is made within a function": (
        callback(
            "def after_batch(self):\n"
            "    Best = namedtuple('Best', 'loss')\n    self.best = Best(1.0)"
        ),
        "best cannot be kept",
    ),
    "memory of the optimizer under two names": (
        "class Own(torch.optim.SGD):\n    def step(self):\n        super().step()\n"
        "        for group in self.param_groups:\n            for weight in group['params']:\n"
        "                self.state[weight]['slow'] = weight.data\n"
        "def optimizer():\n    return functools.partial(torch_sgd, kind=Own)\n",
        "the same object as parameter",
    ),
    "an object beside the optimizer's groups": (
        "class Own(torch.optim.SGD):\n    def step(self):\n        super().step()\n"
        "        self.param_groups[0]['seen'] = {1}\n"
        "def optimizer():\n    return functools.partial(torch_sgd, kind=Own)\n",
        "the optimizer: of group 1 seen cannot be kept",
    ),
    "one loss with weights for all trainings": (
        "class Own(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.scale = nn.Parameter(torch.ones(3))\n"
        "    def forward(self, logits, targets):\n"
        "        return F.cross_entropy(self.scale * logits, targets)\n"
        "ONE = Own()\ndef loss():\n    return ONE\n",
        "`loss` gives the same Parameter at each call",
    ),
    "one layer with a running mean for all trainings": (
        "ONE = nn.BatchNorm2d(6, affine=False)\n"
        "def head(channels, classes):\n"
        "    return nn.Sequential(ONE, nn.AdaptiveAvgPool2d(1), nn.Flatten(), "
        "nn.Linear(channels, classes))\n",
        "`head` gives the same Tensor at each call",
    ),
    "what is kept where nothing looks, and used after the fit": (
        callback(
            "def after_batch(self):\n"
            "    if self.training:\n        self.learn.dls.train.seen = self.loss.detach()\n"
            "def after_fit(self):\n"
            "    with torch.no_grad():\n"
            "        seen = self.learn.dls.train.__dict__.pop('seen', 0.0)\n"
            "        self.learn.model[1][-1].bias.add_(seen)"
        ).replace("if self.training:", "if self.training and self.iter == 0:"),
        "is not the one that never was. First these differ:",
    ),
    "one callback for all trainings": (
        "class Mine(Callback):\n    pass\nONE = Mine()\ndef callbacks():\n    return [ONE]\n",
        "`callbacks` gives the same Mine at each call",
    ),
    "state where nothing looks for it": (
        callback(
            "def after_batch(self):\n"
            "    if self.training:\n        self.learn.dls.train.seen = self.loss.detach()\n"
            "def before_batch(self):\n"
            "    self.learn.xb = (self.x + getattr(self.learn.dls.train, 'seen', 0.0),)"
        ),
        "is not the one that never was. First these differ:",
    ),
}


@pytest.mark.parametrize("label", REFUSED)
def test_refused(attempt: Callable[[str], None], label: str) -> None:
    code, said = REFUSED[label]
    with pytest.raises(InputError) as refused:
        attempt(code)
    assert said in str(refused.value)
    assert refused.value.fix


def without(*names: str) -> Callable[[Learner, Checkpoint], None]:
    """Put all back but some facts."""
    proper = resume.restore_all

    def restore(learner: Learner, checkpoint: Checkpoint) -> None:
        model = learner.model
        facts = dict(checkpoint.facts)
        if "trained" in names:
            facts["trained"] = [name for name, _ in model.named_parameters()]
        if "in_training" in names:
            facts["in_training"] = [name for name, _ in model.named_modules()]
        if "optimizer_beside" in names:
            facts["optimizer_beside"] = {}
        proper(learner, Checkpoint(checkpoint.epoch, checkpoint.step, checkpoint.tensors, facts))

    return restore


def without_inner(learner: Learner, checkpoint: Checkpoint) -> None:
    """Put all back but what optimizers keep that the outer one holds."""
    facts = dict(checkpoint.facts)
    facts["optimizer"] = {label: {} for label in facts["optimizer"]}
    tensors = {k: v for k, v in checkpoint.tensors.items() if "optimizer/optimizer." not in k}
    PUT_ALL_BACK(learner, Checkpoint(checkpoint.epoch, checkpoint.step, tensors, facts))


PUT_ALL_BACK = resume.restore_all


def test_for_each_checkpoint_it_is_packed_once(
    attempt: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, counts = list[None](), list[int]()
    pack, take = users_state._pack_all, trial_resume._Keep.take

    def counted(*arguments: Any, **options: Any) -> Any:
        packed.append(None)
        return pack(*arguments, **options)

    def taken(*arguments: Any) -> None:
        before = len(packed)
        take(*arguments)
        counts.append(len(packed) - before)

    monkeypatch.setattr(users_state, "_pack_all", counted)
    monkeypatch.setattr(trial_resume._Keep, "take", taken)
    attempt(KEPT["an attribute of the learner"])
    assert set(counts) == {1}


def nothing(*_: Any, **__: Any) -> None:
    """Put nothing back."""


def nothing_of_users(*_: Any, **__: Any) -> None:
    """Put back nothing that users' objects keep."""


@pytest.mark.parametrize(
    ("label", "restore"),
    [
        ("weights changed in before_fit", nothing),
        ("what is trained, changed in the middle", without("trained")),
        ("layers put into prediction in the middle", without("in_training")),
        ("the share of a Dropout", nothing_of_users),
        ("an attribute of the learner", nothing_of_users),
        ("named tuples, dataclasses and enumerations", nothing_of_users),
        ("a loss that is a method", nothing_of_users),
        ("a state of what is there within a fit alone", nothing_of_users),
        ("attributes of an optimizer", nothing_of_users),
        ("attributes of an optimizer", without("optimizer_beside")),
        ("timm's optimizer around another", without_inner),
        ("an optimizer of several", without_inner),
        ("an optimizer of several", nothing_of_users),
    ],
)
def test_what_is_not_put_back_is_seen(
    attempt: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    label: str,
    restore: Callable[..., None],
) -> None:
    if restore is nothing_of_users:
        monkeypatch.setattr(resume, "restore_users", restore)
    else:
        monkeypatch.setattr(resumed_fit, "restore_all", restore)
    with pytest.raises(InputError, match="is not the one that never was"):
        attempt(KEPT[label])
