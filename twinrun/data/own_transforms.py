"""A competitor's own changes of training images: called with keyed generators, and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastai.torch_core import TensorCategory, TensorImage
from torch import Tensor

from twinrun.config.recipe import Member
from twinrun.config.settings import Settings
from twinrun.errors import InputError
from twinrun.hooks.calls import OwnHook, telling_mistakes
from twinrun.repro.keys import Key


@dataclass(frozen=True)
class OwnTransforms:
    """The functions that a hook gave, in their order.

    Attributes:
        hook: `item_transforms` or `batch_transforms`.
        functions: Each is called with the global generators set from a key of its own.
    """

    hook: OwnHook
    functions: Sequence[Callable[..., Any]]

    def change_image(self, image: np.ndarray, key: Key) -> np.ndarray:
        """An image as the functions leave it.

        Args:
            image: uint8, rows x columns x 3; it may be changed.
            key: Of the image in this epoch.

        Returns:
            The same shape and dtype.

        Raises:
            InputError: A function raises an error, or gives something else.
        """
        for number, function in enumerate(self.functions):
            answer = self._call(key, number, function, image)
            if not isinstance(answer, np.ndarray):
                raise self._refuse(function, f"{type(answer).__name__}, not an array of NumPy")
            if (answer.shape, answer.dtype) != (image.shape, image.dtype):
                raise self._refuse(
                    function,
                    f"an array of {answer.dtype}, {answer.shape}, and got one of {image.dtype}, "
                    f"{image.shape}",
                )
            image = np.ascontiguousarray(answer)
        return image

    def change_batch(self, images: Tensor, targets: Tensor, key: Key) -> tuple[Tensor, Tensor]:
        """A batch as the functions leave it.

        Args:
            images: float32, batch x 3 x size x size, normalised.
            targets: int64, batch.
            key: Of the step.

        Returns:
            The same shapes and dtypes, on the same device.

        Raises:
            InputError: As `change_image`.
        """
        for number, function in enumerate(self.functions):
            answer = self._call(key, number, function, images, targets)
            if not isinstance(answer, (tuple, list)) or len(answer) != 2:
                raise self._refuse(function, f"{type(answer).__name__}, not images and targets")
            for what, now, before in zip(
                ("images", "targets"), answer, (images, targets), strict=True
            ):
                if not isinstance(now, Tensor) or _form(now) != _form(before):
                    told = _form(now) if isinstance(now, Tensor) else type(now).__name__
                    raise self._refuse(
                        function, f"{what} of {told}, and got such of {_form(before)}"
                    )
            images, targets = answer
        return images, targets

    def _call(self, key: Key, number: int, function: Callable[..., Any], *given: Any) -> Any:
        with key.of(f"hook:{self.hook.hook.name}", number).set_generators(), telling_mistakes():
            return function(*given)

    def _refuse(self, function: Callable[..., Any], gives: str) -> InputError:
        name = getattr(function, "__name__", type(function).__name__)
        return self.hook.refuse(f"{name}, which gives {gives}")


def own_transforms(
    settings: Settings, name: str, member: Member, training: str
) -> OwnTransforms | None:
    """What the hook of a name gives for a training; None where there is no such hook.

    Raises:
        InputError: It is no list of functions.
    """
    hook = settings.hook(name)
    if hook is None:
        return None
    found = hook(member=member, name=training)
    if not isinstance(found, (list, tuple)) or not all(map(callable, found)):
        raise hook.refuse(f"{type(found).__name__}: {found!r:.100}")
    return OwnTransforms(hook, list(found))


def as_plain(batch: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Images and targets as plain tensors, without fastai's kind."""
    images, targets = batch
    return images.as_subclass(Tensor), targets.as_subclass(Tensor)


def as_fastais(images: Tensor, targets: Tensor) -> tuple[TensorImage, TensorCategory]:
    """Images and targets as fastai has them."""
    return TensorImage(images), TensorCategory(targets)


def _form(tensor: Tensor) -> str:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return f"{dtype} {tuple(tensor.shape)} on {tensor.device.type}"


@dataclass(frozen=True)
class Mistake:
    """Stands in a batch's place where a loader's process found a mistake of the competitor's.

    An error itself would reach the training as a text with a traceback in it.

    Attributes:
        what: As of InputError, and so are the others.
    """

    what: str
    details: tuple[str, ...]
    fixes: tuple[str, ...]

    def tell(self) -> InputError:
        """The mistake as an error."""
        return InputError(self.what, details=self.details, fix=self.fixes)
