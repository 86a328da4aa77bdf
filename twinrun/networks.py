"""Which networks a recipe may name: those that are tested here, and any of timm's."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

# Bodies whose cut, split and backward pass are tested here (tests/train/test_learner.py).
# A plain list, because asking torchvision would import torch before every command.
NETWORKS = (
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
)

_TIMM = "timm/"


def timm_name(network: str) -> str | None:
    """The name in timm's list, None for one of NETWORKS."""
    return network.removeprefix(_TIMM) if network.startswith(_TIMM) else None


def _network(name: str) -> str:
    # Whether timm has it is asked before the first training, not here: its import takes seconds.
    if name in NETWORKS or re.fullmatch(rf"{_TIMM}[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        return name
    raise PydanticCustomError(
        "literal_error", "a network", {"expected": ", ".join([*NETWORKS, f"{_TIMM}NAME"])}
    )


NetworkName = Annotated[str, AfterValidator(_network)]
