"""fastai callbacks that write the stages of every step into the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from fastai.torch_core import get_model
from torch import Tensor, nn

from twinrun.repro.digests import digest_tensors, digest_text
from twinrun.repro.group import current_group
from twinrun.repro.ledger import Ledger
from twinrun.repro.stages import OPTIMIZER, STAGES
from twinrun.repro.told import number_bits
from twinrun.train.averages import averages_of
from twinrun.train.callbacks import OwnFit
from twinrun.train.scaling import scaling_of

# What the numbers are called that fastai's optimizers go by; others by their own names.
_HYPERPARAMETERS = {
    "lr": "learning rate",
    "wd": "weight decay",
    "mom": "momentum",
    "sqr_mom": "momentum of squares",
}

# (what, its tensors)
Named = Iterable[tuple[str, Sequence[Tensor]]]


@dataclass
class Recorder:
    """Decides what of a stage goes into the ledger.

    Several ranks write the same ledger: where each has a part of a stage, its row holds a digest of
    theirs, and the details of the others than the first are named with their rank.

    Attributes:
        ledger: Where rows go.
        level: As in ledger.py.
        moment: (epoch, step), from 1: at level "tensor", the only one whose details are written.
            None: those of every step.
        wanted: A stage and names of its details whose tensors are kept at that moment.
        kept: Those tensors, copied, by name.
        resumed: Where the training resumed, see `resume.Progress`. No bit depends on it, so that it
            stands beside the ledger.
    """

    ledger: Ledger
    level: str
    moment: tuple[int, int] | None = None
    wanted: tuple[str, Sequence[str]] = ("", ())
    kept: dict[str, list[Tensor]] = field(default_factory=dict)
    resumed: list[list[int]] = field(default_factory=list)

    @property
    def every_step(self) -> bool:
        """Whether the stages of each step get rows."""
        return self.level != "epoch"

    def details(self, epoch: int, step: int) -> bool:
        """Whether each image, module and parameter gets a row."""
        return self.level == "tensor" and self.moment in (None, (epoch, step))

    def note(
        self,
        stage: str,
        whole: Callable[[], int | Tensor],
        each: Callable[[], Named],
        *,
        epoch: int,
        step: int,
        what: str = "",
    ) -> None:
        """Write the row of a stage, and those of its details, where the level has them."""
        entry = STAGES.get(stage)
        if not entry.in_level(self.level):
            return
        digest = whole()
        if entry.per_rank:
            digest = current_group().joint_digest(digest)
        self.ledger.add(stage, digest, epoch=epoch, step=step, what=what)
        if self.details(epoch, step):
            for name, tensors in each():
                self.note_one(stage, name, tensors, epoch=epoch, step=step)

    def note_one(
        self, stage: str, what: str, tensors: Sequence[Tensor], *, epoch: int, step: int
    ) -> None:
        """Write the row of one detail, and keep its tensors if they are wanted."""
        digest = digest_tensors(tensors)
        found = [(what, digest)]
        if STAGES.get(stage).per_rank:
            found = current_group().gather_objects((what, digest))
        for rank, (name, own) in enumerate(found):
            label = f"rank {rank}: {name}" if rank else name
            self.ledger.add(stage, own, epoch=epoch, step=step, what=label)
        if stage == self.wanted[0] and what in self.wanted[1] and what not in self.kept:
            self.kept[what] = [tensor.detach().clone() for tensor in tensors]


class RecordBatch(OwnFit):
    """Order, items and batch transforms: what arrives before anybody's callback sees it."""

    order = -15

    def __init__(self, recorder: Recorder, first_epoch: int, start: int) -> None:
        super().__init__(first_epoch, start)
        self.recorder = recorder

    def before_train(self) -> None:
        if self.recorder.every_step:
            self.dls.train.watch = self._arrived

    def after_train(self) -> None:
        self.dls.train.watch = None

    def _arrived(self, ids: list[str], parts: tuple[Tensor, ...]) -> None:
        # The learner hears of the batch a little later; its step is the loader's.
        moment = {"epoch": self.at + 1, "step": self.dls.train.step + 1}
        self.ids = self.dls.train.ranks.share(ids)
        note = self.recorder.note
        note("order", lambda: digest_text(*ids), lambda: _places(ids), **moment)
        note("item", lambda: digest_tensors(parts), lambda: _rows(self.ids, parts), **moment)

    def before_batch(self) -> None:
        if self.training and self.recorder.every_step:
            parts = (*self.xb, *self.yb)
            self.parts, self.versions = parts, [part._version for part in parts]
            self.digest = digest_tensors(parts)
            self.recorder.note(
                "batch",
                lambda: self.digest,
                lambda: _rows(self.ids, parts),
                epoch=self.at + 1,
                step=self.iter + 1,
            )

    def digest_now(self) -> int | Tensor:
        """The digest of inputs and targets; not computed again where nobody has changed them."""
        parts = (*self.xb, *self.yb)
        unchanged = len(parts) == len(self.parts) and all(
            part is before and part._version == version
            for part, before, version in zip(parts, self.parts, self.versions, strict=True)
        )
        return self.digest if unchanged else digest_tensors(parts)


class RecordStep(OwnFit):
    """Mixed inputs, forward pass, loss, gradients, step, weights; the validation's predictions."""

    order = 2000

    def __init__(
        self, recorder: Recorder, batch: RecordBatch, first_epoch: int, start: int
    ) -> None:
        super().__init__(first_epoch, start)
        self.recorder, self.batch = recorder, batch
        self.hooks: list[Any] = []

    def before_fit(self) -> None:
        if self.recorder.level == "tensor":
            self.calls: dict[str, int] = {}
            for name, module in get_model(self.learn.model).named_modules():
                self.hooks.append(module.register_forward_hook(self._hook(name)))

    def after_fit(self) -> None:
        for hook in self.hooks:
            hook.remove()

    def before_batch(self) -> None:
        self.calls = {}
        if self._recorded:
            self._note(
                "mix", self.batch.digest_now, lambda: _rows(self.batch.ids, (*self.xb, *self.yb))
            )

    def after_pred(self) -> None:
        if self._recorded:
            self._note("forward", lambda: digest_tensors([self.pred]), list)
        elif not self.training:
            self.predictions.append(self.pred.detach())

    def after_loss(self) -> None:
        if self._recorded:
            self._note("loss", lambda: digest_tensors([self.loss_grad]), list)

    def before_step(self) -> None:
        if self._recorded:
            model = get_model(self.learn.model)
            # The nearest to the loss first: the order in which the backward pass makes them.
            found = [
                (name, (parameter.grad,))
                for name, parameter in reversed(list(model.named_parameters()))
                if parameter.grad is not None
            ]
            self._note(
                "gradient", lambda: digest_tensors([grad for _, (grad,) in found]), lambda: found
            )
            scaling = scaling_of(self.learn)
            scale = [] if scaling is None else [("scale of the loss", scaling.scaler.get_scale())]
            for what, value in [*hyperparameters(self.learn.opt), *scale]:
                self.recorder.ledger.add(
                    OPTIMIZER.name,
                    number_bits(value),
                    epoch=self.at + 1,
                    step=self.iter + 1,
                    what=what,
                )

    def after_batch(self) -> None:
        if self._recorded:
            self._note_weights(self.iter + 1)

    def before_validate(self) -> None:
        self.predictions: list[Tensor] = []

    def after_validate(self) -> None:
        epoch, step = self.at + 1, len(self.dls.train)
        if not self.recorder.every_step:
            self._note_weights(step)
        average = averages_of(self.learn)
        if average is not None:
            self.recorder.note(
                "average",
                lambda: digest_tensors(list(average.averages.values())),
                lambda: ((f"average/{k}", (each,)) for k, each in average.averages.items()),
                epoch=epoch,
                step=step,
                what="average",
            )
        logits = torch.cat(self.predictions)
        ids = [f"validation/{image}" for image in self.dls.valid.ids]
        self.recorder.note(
            "prediction",
            lambda: digest_tensors([logits]),
            lambda: _rows(ids, (logits,)),
            epoch=epoch,
            step=step,
            what="validation",
        )

    @property
    def _recorded(self) -> bool:
        return bool(self.training) and self.recorder.every_step

    def _note(
        self, stage: str, whole: Callable[[], int | Tensor], each: Callable[[], Named]
    ) -> None:
        self.recorder.note(stage, whole, each, epoch=self.at + 1, step=self.iter + 1)

    def _note_weights(self, step: int) -> None:
        weights = get_model(self.learn.model).state_dict()
        self.recorder.note(
            "update",
            lambda: digest_tensors(list(weights.values())),
            lambda: ((name, (tensor,)) for name, tensor in weights.items()),
            epoch=self.at + 1,
            step=step,
        )

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def called(module: nn.Module, inputs: Any, output: Any) -> None:
            moment = (self.at + 1, self.iter + 1)
            if not (self.fits == 1 and self.training and self.recorder.details(*moment)):
                return
            count = self.calls[name] = self.calls.get(name, 0) + 1
            label = f"{name or 'model'} ({type(module).__name__})"
            label += f" call {count}" if count > 1 else ""
            for role, tensors in (("input of ", _tensors(inputs)), ("", _tensors(output))):
                self.recorder.note_one(
                    "forward", role + label, tensors, epoch=moment[0], step=moment[1]
                )

        return called


def hyperparameters(optimizer: Any) -> Iterator[tuple[str, float]]:
    """(name, number) of all that an optimizer of fastai's takes a step with.

    Learning rates are spread over the groups of layers: one for each, counted from the input. Of
    the others there is one for all, as long as they are equal.
    """
    groups = len(optimizer.hypers)
    for key in optimizer.hypers[0]:
        values = [hypers[key] for hypers in optimizer.hypers]
        if all(isinstance(value, (int, float)) for value in values):
            name = _HYPERPARAMETERS.get(key, key)
            if groups == 1 or (key != "lr" and len(set(values)) == 1):
                yield name, float(values[0])
            else:
                for number, value in enumerate(values, 1):
                    yield f"{name}, layers {number}/{groups}", float(value)


def _rows(ids: Sequence[str], parts: Sequence[Tensor]) -> Named:
    """For each image its row of every part."""
    return ((image, [part[row] for part in parts]) for row, image in enumerate(ids))


def _places(ids: Sequence[str]) -> Named:
    """For each place in the batch the image that is there, as the bytes of its id."""
    for place, image in enumerate(ids, 1):
        yield f"place {place}: {image}", [torch.tensor(list(image.encode()), dtype=torch.uint8)]


def _tensors(value: Any) -> list[Tensor]:
    """The tensors of a module's arguments or answer."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [tensor for part in value for tensor in _tensors(part)]
    return []
