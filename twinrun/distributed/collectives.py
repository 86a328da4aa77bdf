"""What the ranks of one training give each other: values, and the parts of a batch put together.

Each of these waits until all ranks have come to it. A process that is alone is answered at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from twinrun.errors import InputError, gaps
from twinrun.repro.digests import digest_tensors
from twinrun.repro.ranks import Ranks, current_rank

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


def refuse_different(what: str, content: Mapping[str, Any]) -> None:
    """Check that all ranks begin with the same things.

    Args:
        what: What that is, for the message.
        content: JSON values.

    Raises:
        InputError: They do not; on every rank.
    """
    first, *others = gather_objects(dict(content))
    for rank, other in enumerate(others, 1):
        found = [
            f"{where}: {one!r} in rank 0, {two!r} in rank {rank}"
            for where, one, two in gaps(first, other)
        ]
        if found:
            raise InputError(
                f"rank {rank} has another {what} than rank 0:",
                details=found,
                fix="The ranks of one training need the same.",
            )


def gather_objects(value: T) -> list[T]:
    """The value of every rank, in their order."""
    from torch import distributed

    if current_rank().count == 1:
        return [value]
    values: list[Any] = [None] * current_rank().count
    distributed.all_gather_object(values, value)
    return values


def broadcast(value: T) -> T:
    """What rank 0 has, whatever this rank has."""
    from torch import distributed

    if current_rank().count == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def any_rank(*flags: bool) -> tuple[bool, ...]:
    """For each flag whether any rank has set it. It takes a tenth of a millisecond.

    So a signal that reaches the ranks at different steps is met by all after the same one.
    """
    import torch
    from torch import distributed

    if current_rank().count == 1:
        return flags
    table = torch.tensor(flags, dtype=torch.uint8)
    distributed.all_reduce(table, distributed.ReduceOp.MAX)
    return tuple(map(bool, table.tolist()))


def gathered(tensor: Tensor) -> list[Tensor]:
    """A tensor of every rank, in their order, on this one's device; all have one shape."""
    import torch
    from torch import distributed

    plain = tensor.detach().as_subclass(torch.Tensor).contiguous()
    if current_rank().count == 1:
        return [plain]
    found = [torch.empty_like(plain) for _ in range(current_rank().count)]
    distributed.all_gather(found, plain)
    return found


def gather_batch(rows: Tensor, size: int, ranks: Ranks) -> Tensor:
    """The rows of a batch, put together from the shares that `Ranks.share` gave to the ranks.

    Args:
        rows: This rank's.
        size: Rows of the whole batch.
        ranks: Alone, they are the whole already.
    """
    import torch

    return rows if ranks.count == 1 else torch.cat(gathered(rows))[:size]


def joint_digest(digest: int | Tensor) -> int | Tensor:
    """One digest of those that the ranks have of their parts of a batch, in their order.

    Args:
        digest: This rank's, as `digest_tensors` gives it; alone, it stays as it is.
    """
    import torch

    if current_rank().count == 1:
        return digest
    if isinstance(digest, int):
        digest = torch.tensor(digest - (1 << 64) if digest >> 63 else digest)
    return digest_tensors([torch.stack(gathered(digest))])
