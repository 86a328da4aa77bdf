"""One training in several processes, its ranks: which one this is, and what is its share.

torchrun or `accelerate launch` starts them and says in the environment which one each is. Without
them a process is alone: a batch is its own, and its keys are as they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from twinrun.errors import InputError

if TYPE_CHECKING:
    from twinrun.repro.keys import Key

T = TypeVar("T")

# What decides how NCCL sums, beside its version and the machines.
_NCCL_VARIABLES = (
    "NCCL_ALGO",
    "NCCL_BUFFSIZE",
    "NCCL_COLLNET_ENABLE",
    "NCCL_MAX_NCHANNELS",
    "NCCL_MIN_NCHANNELS",
    "NCCL_NTHREADS",
    "NCCL_NVLS_ENABLE",
    "NCCL_P2P_DISABLE",
    "NCCL_P2P_LEVEL",
    "NCCL_PROTO",
    "NCCL_SHM_DISABLE",
)

# What these facts are in a process that is alone.
NEUTRAL_RANKS = {"ranks": 1, "ranks_backend": None, "ranks_nccl": None}


@dataclass(frozen=True)
class Ranks:
    """The processes of one training, and which of them this is.

    Attributes:
        rank: This one, from 0.
        count: How many there are.
        local: Which one on its machine it is, from 0: the number of its GPU.
        on_machine: How many there are on this machine.
    """

    rank: int = 0
    count: int = 1
    local: int = 0
    on_machine: int = 1

    def share(self, batch: Sequence[T]) -> list[T]:
        """The part of a batch that is this rank's: as many in each, one after the other.

        Where a batch cannot be split evenly, which happens in validation and prediction only, its
        last image fills the places that are left; `Group.gather_batch` takes these away again.
        """
        each = -(-len(batch) // self.count)
        places = range(self.rank * each, (self.rank + 1) * each)
        return [batch[min(place, len(batch) - 1)] for place in places]

    def own(self, key: Key) -> Key:
        """The key of a draw that each rank makes for its part of a batch; alone, the key itself."""
        return key if self.count == 1 else key.of("rank", self.rank)


ALONE = Ranks()


def current_rank() -> Ranks:
    """What the environment says of this process.

    Raises:
        InputError: It says that there are several, but not which one this is.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return ALONE
    try:
        rank, count, local, on_machine = (int(os.environ[name]) for name in names)
        if not 0 <= rank < count:
            raise ValueError
    except (KeyError, ValueError):
        found = ", ".join(f"{name}={os.environ.get(name, '')}" for name in names)
        raise InputError(
            f"the environment names several ranks, but not as torchrun does: {found}",
            fix="Start them with torchrun, or unset WORLD_SIZE.",
        ) from None
    return Ranks(rank, count, local, on_machine)


def refuse_uneven(batches: Mapping[str, int], ranks: Ranks) -> None:
    """Check that batches can be shared evenly, with two images or more for a batch norm each.

    Args:
        batches: Of each member its batch_size.
        ranks: Who shares them; alone, every size will do.

    Raises:
        InputError: Some cannot: all of them are named.
    """
    count, uneven = ranks.count, []
    for name, size in batches.items():
        if count > 1 and (size % count or size < 2 * count):
            rounded = (size // count * count, -(-size // count) * count)
            fitting = sorted({max(each, 2 * count) for each in rounded})
            sizes = " or ".join(map(str, fitting))
            uneven.append(f"{name}: batch_size = {size}; set it to {sizes}")
    if uneven:
        raise InputError(
            f"batches that {count} ranks cannot share evenly, two images or more each:",
            details=uneven,
            fix="batch_size is that of all ranks together. Or start a different number of them.",
        )


def rank_facts(*, cuda: bool) -> dict[str, Any]:
    """What of the ranks decides bits, for the environment: each key of `NEUTRAL_RANKS`."""
    ranks = current_rank()
    found: dict[str, Any] = {**NEUTRAL_RANKS, "ranks": ranks.count}
    if ranks.count > 1:
        found["ranks_backend"] = "nccl" if cuda else "gloo"
    if ranks.count > 1 and cuda:
        from torch.cuda import nccl

        # The order of a sum follows the machines' connections.
        found["ranks_nccl"] = {
            "version": ".".join(map(str, nccl.version())),  # type: ignore[no-untyped-call]
            "ranks_on_machine": ranks.on_machine,
            **{name: os.environ[name] for name in _NCCL_VARIABLES if os.environ.get(name)},
        }
    return found
