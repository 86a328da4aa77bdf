"""torchvision's networks: ResNets and DenseNets, with the ImageNet weights of 2020."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.networks.family import Features, NetworkFamily, PixelStatistics, PretrainedWeights

if TYPE_CHECKING:
    from torch import nn


# Of a network's last features. Written down, because asking torchvision would import torch before
# every command, and building a network without memory torch's compiler before every training.
_CHANNELS = {
    "densenet121": 1024,
    "densenet161": 2208,
    "densenet169": 1664,
    "densenet201": 1920,
    "resnet18": 512,
    "resnet34": 512,
    "resnet50": 2048,
    "resnet101": 2048,
    "resnet152": 2048,
}


class _Weights(PretrainedWeights):
    def file(self, network: str) -> Path:
        from twinrun.networks import torchvision_models

        return torchvision_models.weights_file(network)

    def fetch(self, network: str) -> Path:
        from twinrun.networks import torchvision_models

        return torchvision_models.fetch_imagenet(network)

    def load(self, backbone: nn.Module, network: str, size: int) -> None:  # noqa: ARG002
        from twinrun.networks import torchvision_models

        whole = torchvision_models.imagenet_model(network)
        backbone.load_state_dict(torchvision_models.cut(whole).state_dict())


class TorchvisionFamily(NetworkFamily):
    """Those whose cut, split and backward pass are tested here (tests/networks)."""

    name = "torchvision"
    title = "torchvision"
    forms = tuple(_CHANNELS)
    packages = ("torch", "torchvision")
    weights = _Weights()

    def problem(self, network: str, size: int, *, pretrained: bool) -> str | None:  # noqa: ARG002
        return None

    def pixel_statistics(self, network: str) -> PixelStatistics | None:  # noqa: ARG002
        return None

    def features(self, network: str, size: int) -> Features:  # noqa: ARG002
        return Features(_CHANNELS[network], pooled=False)

    def build(self, network: str, size: int) -> nn.Module:  # noqa: ARG002
        from twinrun.networks import torchvision_models

        return torchvision_models.build_backbone(network)

    def layer_groups(self, backbone: nn.Module) -> Sequence[nn.Module]:
        from twinrun.networks import torchvision_models

        return torchvision_models.split(backbone)
