"""A group of several ranks, connected by torch.distributed.

Values and digests go through gloo, on the CPU; a batch's rows through the backend of their device.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import distributed

from twinrun.distributed.process_group import LOOK, REPORTS
from twinrun.errors import InputError
from twinrun.repro.digests import digest_tensors
from twinrun.repro.group import Group
from twinrun.repro.ranks import Ranks

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


class TorchGroup(Group):
    """Several ranks; torch's process group of this process must be connected.

    Args:
        ranks: Which one of how many this is.
        store: A small table that all ranks can read and write (torch.distributed.Store).
    """

    def __init__(self, ranks: Ranks, store: Any) -> None:
        self.ranks, self.store = ranks, store
        self._meetings = 0

    def gather_objects(self, value: T) -> list[T]:
        values: list[Any] = [None] * self.ranks.count
        distributed.all_gather_object(values, value)
        return values

    def broadcast(self, value: T) -> T:
        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def any_rank(self, *flags: bool) -> tuple[bool, ...]:
        # It takes a tenth of a millisecond. So a signal that reaches the ranks at different steps
        # is met by all after the same one.
        table = torch.tensor(flags, dtype=torch.uint8)
        distributed.all_reduce(table, distributed.ReduceOp.MAX)
        return tuple(map(bool, table.tolist()))

    def gather_batch(self, rows: Tensor, size: int, ranks: Ranks) -> Tensor:
        return rows if ranks.count == 1 else torch.cat(self._gather(rows))[:size]

    def joint_digest(self, digest: int | Tensor) -> int | Tensor:
        if isinstance(digest, int):
            digest = torch.tensor(digest - (1 << 64) if digest >> 63 else digest)
        return digest_tensors([torch.stack(self._gather(digest))])

    def wait_for_all(self) -> None:
        # Collectives have a time limit; one rank may decode images for hours, or fetch weights.
        self._meetings += 1
        names = [f"meeting {self._meetings} rank {rank}" for rank in range(self.ranks.count)]
        self.store.set(names[self.ranks.rank], "")
        self._wait(names)

    @contextmanager
    def first_on_machine(self) -> Iterator[None]:
        self._meetings += 1
        first = self.ranks.rank - self.ranks.local
        name = f"meeting {self._meetings} machine of rank {first}"
        if self.ranks.local:
            self._wait([name])
        yield
        if not self.ranks.local:
            self.store.set(name, "")

    def share_steps(self, learner: Any) -> None:
        from twinrun.distributed.ddp import ShareSteps

        learner.add_cb(ShareSteps(learner.dls.device))

    def _gather(self, tensor: Tensor) -> list[Tensor]:
        """A tensor of every rank, in their order, on this one's device; all have one shape."""
        plain = tensor.detach().as_subclass(torch.Tensor).contiguous()
        found = [torch.empty_like(plain) for _ in range(self.ranks.count)]
        distributed.all_gather(found, plain)
        return found

    def _wait(self, names: Sequence[str]) -> None:
        while not self.store.check(list(names)):
            if self.store.check([REPORTS]):
                raise InputError("a different rank has ended")
            time.sleep(LOOK)
