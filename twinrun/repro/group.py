"""What the processes of one training do together. A process is alone unless a group is in use.

The rooms ask `current_group()`. Alone, each answer is the process's own, at once. A room that
connects several ranks is an extra: it puts its own `Group` in use, and is known to no other room.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from twinrun.errors import InputError, gaps
from twinrun.repro.ranks import Ranks

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


class Group:
    """The processes that train one member together: this one alone.

    Where there are several, each method waits until all ranks have called it.
    """

    def broadcast(self, value: T) -> T:
        """What rank 0 has, whatever this rank has."""
        return value

    def any_rank(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag whether any rank has set it."""
        return flags

    def gather_objects(self, value: T) -> list[T]:
        """The value of every rank, in their order."""
        return [value]

    def gather_batch(self, rows: Tensor, size: int, ranks: Ranks) -> Tensor:  # noqa: ARG002
        """The rows of a batch, put together from the shares that `Ranks.share` gave to the ranks.

        Args:
            rows: This rank's.
            size: Rows of the whole batch.
            ranks: Who has the shares: of a loader that shares nothing, the rows are the whole.
        """
        return rows

    def joint_digest(self, digest: int | Tensor) -> int | Tensor:
        """One digest of those that the ranks have of their parts of a batch, in their order.

        Args:
            digest: This rank's, as `digest_tensors` gives it; alone, it stays as it is.
        """
        return digest

    def wait_for_all(self) -> None:
        """Return when every rank has come here, however long that takes."""

    @contextmanager
    def first_on_machine(self) -> Iterator[None]:
        """Let the first rank of each machine run the block, and when it has, the others."""
        yield

    def share_steps(self, learner: Any) -> None:
        """Let a fastai Learner take each step of its fits together with the other ranks'."""

    def refuse_different(self, what: str, content: Mapping[str, Any]) -> None:
        """Check that all ranks begin with the same things.

        Args:
            what: What that is, for the message.
            content: JSON values.

        Raises:
            InputError: They do not; on every rank.
        """
        first, *others = self.gather_objects(dict(content))
        for rank, other in enumerate(others, 1):
            found = [
                f"{where}: {one!r} in rank 0, {two!r} in rank {rank}"
                for where, one, two in gaps(first, other)
            ]
            if found:
                raise InputError(
                    f"rank {rank} has a different {what} than rank 0:",
                    details=found,
                    fix="The ranks of one training need the same.",
                )


_in_use = [Group()]


def current_group() -> Group:
    """The group that this process belongs to."""
    return _in_use[-1]


@contextmanager
def use_group(group: Group) -> Iterator[None]:
    """Belong to a group while the block runs."""
    _in_use.append(group)
    try:
        yield
    finally:
        _in_use.pop()
