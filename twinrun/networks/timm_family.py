"""timm's networks: any of its list, with the weights of its hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.networks.family import Features, NetworkFamily, PixelStatistics, PretrainedWeights

if TYPE_CHECKING:
    from torch import nn

_PREFIX = "timm/"


def _listed(network: str) -> str:
    """The name in timm's list."""
    return network.removeprefix(_PREFIX)


class _Weights(PretrainedWeights):
    def file(self, network: str) -> Path:
        from twinrun.networks import timm_models

        return timm_models.weights_file(_listed(network))

    def fetch(self, network: str) -> Path:
        from twinrun.networks import timm_models

        return timm_models.fetch_timm(_listed(network))

    def load(self, backbone: nn.Module, network: str, size: int) -> None:
        from twinrun.networks import timm_models

        model = timm_models.pretrained_model(_listed(network), size)
        timm_models.fill(backbone, model)


class TimmFamily(NetworkFamily):
    """Whether timm has a network is asked before the first training: its import takes seconds."""

    name = "timm"
    title = "timm"
    forms = (f"{_PREFIX}NAME",)
    packages = ("timm", "torch")
    weights = _Weights()

    def problem(self, network: str, size: int, *, pretrained: bool) -> str | None:
        from twinrun.networks import timm_models

        return timm_models.problem(_listed(network), size, pretrained=pretrained)

    def size_problem(self, network: str, size: int, other: int) -> str | None:
        from twinrun.networks import timm_models

        return timm_models.size_problem(_listed(network), size, other)

    def pixel_statistics(self, network: str) -> PixelStatistics | None:
        from twinrun.networks import timm_models

        return timm_models.pixel_statistics(_listed(network))

    def features(self, network: str, size: int) -> Features:
        from twinrun.networks import timm_models

        shape = timm_models.shape_of(_listed(network), size)
        return Features(shape.channels, pooled=shape.kind == "vector")

    def build(self, network: str, size: int) -> nn.Module:
        from twinrun.networks import timm_models

        return timm_models.build_backbone(_listed(network), size)

    def recomputes(self, network: str, size: int) -> bool:
        from twinrun.networks import timm_models

        return timm_models.recomputes(_listed(network), size)

    def recompute(self, backbone: nn.Module) -> None:
        from twinrun.networks import timm_models

        timm_models.recompute(backbone)

    def layer_groups(self, backbone: nn.Module) -> Sequence[nn.Module]:
        return [backbone]
