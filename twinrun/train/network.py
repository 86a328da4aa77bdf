"""A member's network: backbone and head, its precision, its recorded weights. Imports no fastai."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from twinrun.errors import InputError
from twinrun.networks.family import Features
from twinrun.plain_files import plain

# Of the head's layer between the features and the logits.
_HIDDEN = 512
# In which layers compute, by the setting.
_NARROW = {"bf16": torch.bfloat16, "fp16": torch.float16}
# Among a network's parts, a loss that has weights of its own.
LOSS = "loss"


@dataclass(frozen=True)
class Body:
    """A backbone, of a family of networks or of the competitor's.

    Attributes:
        module: Itself.
        features: What it makes of an image.
        groups: Its parts, from the images up, each with a learning rate of its own.
    """

    module: nn.Module
    features: Features
    groups: Sequence[nn.Module]


class Network(nn.Sequential):
    """Backbone and head, in the precision of the recipe, with channels last in memory.

    In bf16 and fp16 the layers for which torch's autocast says so compute in these, in training and
    in prediction; weights, sums over batches and the logits stay float32.

    Shapes: (batch, 3, height, width) -> (batch, classes), float32.

    Args:
        backbone: From a family of networks.
        head: From `build_head`.
        precision: As the setting.
        loss: A module of the competitor's that the training makes small: its weights are trained,
            kept and saved with the network's, and no prediction uses it.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, precision: str, loss: nn.Module | None = None
    ) -> None:
        super().__init__(backbone, head)
        if loss is not None:
            self.add_module(LOSS, loss)
        self.narrow = _NARROW.get(precision)
        self.to(memory_format=torch.channels_last)

    def __getitem__(self, place: Any) -> Any:
        # fastai's splitters take slices, for which Sequential makes another of its own class.
        if isinstance(place, slice):
            return nn.Sequential(*list(self)[place])
        return super().__getitem__(place)

    def forward(self, images: Tensor) -> Tensor:
        # A plain tensor: fastai's kind costs a detour through Python at every operator.
        images = images.as_subclass(Tensor)
        with torch.autocast(images.device.type, self.narrow, enabled=self.narrow is not None):
            logits: Tensor = self[1](self[0](images))
        return logits.float()


class ConcatPool(nn.Module):
    """Maximum and average over an image's features, side by side, with a deterministic backward.

    The same values as fastai's AdaptiveConcatPool2d(1) and flattening, whose maximum has no
    deterministic backward pass on CUDA. `max` gives the whole gradient to one place, where `amax`
    would split it among ties.

    Shapes: (batch, channels, height, width) -> (batch, 2 x channels), the maxima first.
    """

    def forward(self, features: Tensor) -> Tensor:
        flat = features.flatten(2)
        return torch.cat([flat.max(-1).values, flat.mean(-1)], 1)


def build_head(features: Features, classes: int, dropout: float) -> nn.Sequential:
    """fastai's head for an image's features (`create_head`), with a deterministic pooling.

    Pooling, then twice batch norm, dropout and a linear layer: to 512 with ReLU, and to the logits.
    Built of torch's own layers, so that whoever only predicts needs no fastai.

    Args:
        features: Of the backbone.
        classes: Number of outputs.
        dropout: Before the last layer; half of it before the one before.
    """
    layers: list[nn.Module] = [] if features.pooled else [ConcatPool(), nn.Identity()]
    channels = features.channels * (1 if features.pooled else 2)
    layers += [*_norm_drop_linear(channels, _HIDDEN, dropout / 2), nn.ReLU(inplace=True)]
    layers += _norm_drop_linear(_HIDDEN, classes, dropout)
    return nn.Sequential(*layers)


def _norm_drop_linear(channels: int, outputs: int, dropout: float) -> list[nn.Module]:
    """fastai's LinBnDrop, whose batch norm begins with a small shift."""
    norm = nn.BatchNorm1d(channels)
    nn.init.constant_(norm.bias, 1e-3)
    # Where nothing is dropped there is no layer, as the names of recorded weights have it.
    drops = [nn.Dropout(dropout)] if dropout else []
    return [norm, *drops, nn.Linear(channels, outputs, bias=False)]


def read_weights(path: Path, *, fix: str) -> dict[str, Tensor]:
    """The tensors of a file of weights by name; only the format safetensors is read.

    Args:
        path: The file.
        fix: What to do where it is of another format.

    Raises:
        InputError: It is in a foreign format, which might run code.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights: dict[str, Tensor] = load_file(plain(path))
    except SafetensorError as error:
        raise InputError(
            f"{path} is not a file of the format safetensors, and is not read: {error}",
            fix=f"A different format may run code when it is read. {fix}",
        ) from None
    return weights


def load_weights(model: nn.Module, path: Path) -> None:
    """Put recorded weights into a model; only the format safetensors is read.

    Those of a loss are left out where the model has none: no prediction needs them.

    Raises:
        InputError: They are in a foreign format, which might run code, or of a different network.
    """
    weights = read_weights(path, fix="Put the recorded file back.")
    if not hasattr(model, LOSS):
        weights = {k: v for k, v in weights.items() if k.partition(".")[0] != LOSS}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{path} holds the weights of a different network:",
            details=[line.strip() for line in str(error).splitlines()[1:6]],
        ) from None
