"""What a family of networks is: everything that any room asks of it. Imports no torch."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

# Mean and standard deviation of red, green and blue, from 0 to 1.
PixelStatistics = tuple[Sequence[float], Sequence[float]]
# How a form ends that stands for any name after a prefix.
_ANY = "/NAME"


@dataclass(frozen=True)
class Features:
    """What comes out of a backbone.

    Attributes:
        channels: How many.
        pooled: batch x channels, as the network itself pools; otherwise batch x channels x height x
            width, which the head pools.
    """

    channels: int
    pooled: bool


class PretrainedWeights(ABC):
    """Where a family's pretrained weights come from, and how they get into a backbone."""

    @abstractmethod
    def file(self, network: str) -> Path:
        """Where on this machine a network's weights are, or would be."""

    @abstractmethod
    def fetch(self, network: str) -> Path:
        """Have a network's weights on this machine, whole.

        Returns:
            Their file; its SHA-256 is recorded.

        Raises:
            InputError: They cannot be had, or the file is not what it should be.
        """

    @abstractmethod
    def load(self, backbone: nn.Module, network: str, size: int) -> None:
        """Fetch a network's weights and fill a backbone with them; not a tensor may be missing.

        Args:
            backbone: From the family's `build`.
            network: As the settings name it.
            size: Of the images, pixels a side.

        Raises:
            InputError: As `fetch`, or the file is of a different network.
        """


class NetworkFamily(ABC):
    """Networks that are named, built, cut and split in one way.

    Networks are named as in the settings in all methods, and sizes are pixels a side of an image.
    torch and the family's own package are imported within methods: settings are read without them.

    Attributes:
        name: Of the family.
        title: What it is called in messages: "torchvision".
        forms: How settings name its networks: whole names, or PREFIX/NAME for any name after a
            prefix.
        packages: The distributions whose versions decide its bits; they are recorded with every
            training, and compared.
        weights: Its pretrained weights; None where it has none.
    """

    name: str
    title: str
    forms: tuple[str, ...]
    packages: tuple[str, ...]
    weights: PretrainedWeights | None

    def owns(self, network: str) -> bool:
        """Whether a name in the settings is of this family."""
        return any(_fits(network, form) for form in self.forms)

    @abstractmethod
    def problem(self, network: str, size: int, *, pretrained: bool) -> str | None:
        """Why a network cannot be trained, as far as that is known without its weights.

        Args:
            network: One that the family owns.
            size: Of the images.
            pretrained: Whether it is to begin with pretrained weights.

        Returns:
            In words, with the nearest name where there is no such network; None: it can be.
        """

    def size_problem(self, network: str, size: int, other: int) -> str | None:  # noqa: ARG002
        """Why a network that is built for images of a size cannot take smaller ones; None: it can.

        Args:
            network: One that the family owns, without a `problem` at this size.
            size: That it is built for.
            other: Of some training images.
        """
        return None

    @abstractmethod
    def pixel_statistics(self, network: str) -> PixelStatistics | None:
        """Mean and deviation by which the network wants pixels normalised; None: ImageNet's."""

    @abstractmethod
    def features(self, network: str, size: int) -> Features:
        """What the network's backbone makes of images of a size.

        Asked before the generators are set for `build`: it may draw.

        Raises:
            InputError: It cannot take them.
        """

    @abstractmethod
    def build(self, network: str, size: int) -> nn.Module:
        """The network's backbone with its initial weights, cut where `features` says.

        All draws are torch's global generators': they are set from the key of the initial weights
        just before. It takes float32, batch x 3 x size x size.
        """

    def recomputes(self, network: str, size: int) -> bool:  # noqa: ARG002
        """Whether the backward pass can compute a backbone's features again, and keep fewer."""
        return False

    def recompute(self, backbone: nn.Module) -> None:
        """Let it do so, where it can; the gradients are the same."""
        raise NotImplementedError(f"{self.title} keeps all features of {type(backbone).__name__}")

    @abstractmethod
    def layer_groups(self, backbone: nn.Module) -> Sequence[nn.Module]:
        """The backbone's parts, from the images up, each a group of layers with its learning rate.

        The head is one more group. In the frozen phase all groups of the backbone are frozen.
        """


def _fits(network: str, form: str) -> bool:
    if not form.endswith(_ANY):
        return network == form
    prefix = form.removesuffix(_ANY)
    return re.fullmatch(rf"{re.escape(prefix)}/[A-Za-z0-9_][A-Za-z0-9_.-]*", network) is not None
