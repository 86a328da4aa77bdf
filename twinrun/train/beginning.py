"""A network given the weights of a file: of a member that was trained, or of a backbone alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from twinrun.errors import InputError, shorten
from twinrun.train.network import read_weights

# How the tensors of a backbone and of a head are called in a member's weights.
_BODY, _HEAD = "0.", "1."
# What the engine wraps timm's networks in: a file of timm's own has no such prefix.
_WRAPPED = "model."


def begin_with(model: nn.Module, file: Path, what: str) -> str:
    """Fill a network's backbone with the weights of a file, and its head where the file has such.

    Args:
        model: A `Network`; its own weights are replaced.
        file: Of the format safetensors: weights.safetensors of a training, or tensors that are
            named as in the backbone.
        what: The training, for messages.

    Returns:
        What is to be said of it; empty where backbone and head are the file's.

    Raises:
        InputError: It is of another format, or of another backbone: what is missing, and what has
            another shape, is named.
    """
    given = read_weights(file, fix="Save the weights in this one.")
    state = model.state_dict()
    body = {
        name.removeprefix(_BODY): each for name, each in state.items() if name.startswith(_BODY)
    }
    head = {name: each for name, each in state.items() if name.startswith(_HEAD)}
    whole, found = _named_as(body, given)
    if problems := _problems(body, found):
        raise InputError(
            f"{what} cannot begin with {file}, which is of another backbone:",
            details=shorten(problems),
            fix="Set the network that these weights are of, or leave `begin` away.",
        )
    chosen = {f"{_BODY}{name}": found[name] for name in body}
    others = _problems(head, given) if whole else []
    if whole and not others:
        chosen |= {name: given[name] for name in head}
    model.load_state_dict(state | chosen)
    if not whole:
        return "the file has no head: it is drawn"
    return f"the head of the file is left out: {others[-1]}" if others else ""


def _named_as(
    body: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> tuple[bool, dict[str, Tensor]]:
    """Whether a file is of a member's weights, and its tensors by the backbone's names.

    What is no member's is taken by the names under which most of the backbone is found.
    """
    tried = [
        {name.removeprefix(_BODY): each for name, each in given.items() if name.startswith(_BODY)},
        dict(given),
        {_WRAPPED + name: each for name, each in given.items()},
    ]
    best = max(tried, key=lambda each: len(each.keys() & body.keys()))
    return best is tried[0], best


def _problems(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    problems = []
    for name, tensor in wanted.items():
        if name not in found:
            problems.append(f"{name} is missing")
        elif found[name].shape != tensor.shape:
            shapes = (tuple(each.shape) for each in (found[name], tensor))
            problems.append("{}: {} in the file, {} here".format(name, *shapes))
    return problems
