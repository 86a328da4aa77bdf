"""The table of network families. Settings, help, messages and the record of packages ask it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twinrun.errors import InputError, nearest
from twinrun.networks.family import NetworkFamily, PretrainedWeights
from twinrun.networks.timm_family import TimmFamily
from twinrun.networks.torchvision_family import TorchvisionFamily
from twinrun.registry import Registry

FAMILIES: Registry[NetworkFamily] = Registry(
    "network family", NetworkFamily, setting="recipe.network"
)
FAMILIES.add(TorchvisionFamily())
FAMILIES.add(TimmFamily())


def network_forms() -> list[str]:
    """How the settings may name a network: whole names, and PREFIX/NAME."""
    return [form for family in FAMILIES for form in family.forms]


def family_of(network: str) -> NetworkFamily:
    """The family that a name in the settings is of.

    Raises:
        InputError: There is none; with the nearest name and all that may be given.
    """
    for family in FAMILIES:
        if family.owns(network):
            return family
    forms = network_forms()
    guess = nearest(network, forms)
    raise InputError(
        f"there is no network {network!r}"
        + (f"; {guess}" if guess else ".")
        + f" Known: {', '.join(forms)}."
    )


def weights_of(network: str) -> PretrainedWeights:
    """The pretrained weights of a network's family.

    Raises:
        InputError: The family has none.
    """
    family = family_of(network)
    if family.weights is None:
        raise InputError(_without_weights(network, family))
    return family.weights


@dataclass(frozen=True)
class NetworkUse:
    """How a member uses a network.

    Attributes:
        network: Its name in the settings.
        size: Of the images, pixels a side.
        pretrained: Whether it begins with pretrained weights.
        others: Smaller sizes at which training images are seen in some epochs.
        recomputed: Whether its features are computed again in the backward pass.
    """

    network: str
    size: int
    pretrained: bool
    others: tuple[int, ...] = ()
    recomputed: bool = False


def refuse_unusable(uses: Mapping[str, NetworkUse]) -> None:
    """Check everything that can be known of the members' networks without their weights.

    Whether there are such networks, whether they take images of the recipe's size, and whether
    there are pretrained weights, and features that are computed again, where the recipe asks for
    them.

    Args:
        uses: By the member's name.

    Raises:
        InputError: With a line for each network that cannot be used.
    """
    problems: dict[str, list[str]] = {}
    for member, use in uses.items():
        family = family_of(use.network)
        problem = family.problem(use.network, use.size, pretrained=use.pretrained)
        if problem is None and use.pretrained and family.weights is None:
            problem = _without_weights(use.network, family)
        for other in () if problem is not None else use.others:
            problem = problem or family.size_problem(use.network, use.size, other)
        if problem is None and use.recomputed and not family.recomputes(use.network, use.size):
            problem = (
                f"{family.title} keeps all features of {use.network}: set gradient_checkpointing = "
                "false"
            )
        if problem is not None:
            problems.setdefault(problem, []).append(member)
    if problems:
        raise InputError(
            "these networks cannot be used:",
            details=[f"{problem} ({', '.join(names)})" for problem, names in problems.items()],
            fix="Set a different network for these members.",
        )


def deciding_packages() -> dict[str, str]:
    """The packages whose versions decide the networks' bits, and the title of their family."""
    return {package: family.title for family in FAMILIES for package in family.packages}


def _without_weights(network: str, family: NetworkFamily) -> str:
    return f"{family.title} has no pretrained weights for {network}: set pretrained = false"
