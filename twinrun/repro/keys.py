"""Keyed randomness: every draw is a function of what it is for, never of what was drawn before.

A key names a draw: (run seed, member, purpose, epoch, step or item id). Its SHA-256 is the draw,
or seeds the generators that make it. Nothing is carried on from draw to draw, so that the order
of epoch 7 is known without living through epochs 0 to 6, and nobody's extra draw moves another's.

The construction is that of a counter-based generator (Salmon et al., "Parallel random numbers: as
easy as 1, 2, 3", SC 2011) with SHA-256 as the mixing function, or SHAKE-256 where a key gives many
numbers: slower than Philox, but there are only a few keys per image, and they take text.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice

import numpy as np


@dataclass(frozen=True)
class Key:
    """The name of a draw: a path of words and numbers, such as (13, "first", "order", 7).

    Keys with different parts give independent streams; a number and its text are different parts.
    """

    parts: tuple[int | str, ...]

    def of(self, *parts: int | str) -> Key:
        """The key one or more parts further down."""
        return Key((*self.parts, *parts))

    def integer(self, bits: int = 64) -> int:
        """An integer, uniform over [0, 2**bits), for at most 256 bits."""
        digest = hashlib.sha256(b"".join(map(_encoded, self.parts))).digest()
        return int.from_bytes(digest, "big") >> (256 - bits)

    def uniforms(self, count: int) -> np.ndarray:
        """Numbers uniform over [0, 1), float64, with 53 random bits each."""
        drawn = hashlib.shake_256(b"".join(map(_encoded, self.parts))).digest(8 * count)
        return _uniforms(drawn)

    def order(self, ids: Sequence[str]) -> list[int]:
        """A random order of distinct ids, as positions in `ids`.

        Every id is ranked by its own draw, so that the order depends on which ids there are and
        not on how they are listed, and an id more or less leaves the others' order as it was.
        """
        return sorted(range(len(ids)), key=lambda position: self.of(ids[position]).integer(256))

    def seed_generators(self) -> None:
        """Set the global generators of `random`, numpy and torch (all devices) from this key.

        This is how code that knows nothing of keys, such as fastai's transforms or a user's own
        callback, draws what the key says.
        """
        import torch

        random.seed(self.of("random").integer())
        np.random.seed(self.of("numpy").integer(32))
        # Without a GPU, `torch.manual_seed` keeps the seed and a traceback for one that may come
        # later, which takes forty times as long as the rest; there are three seeds in a step.
        seed_torch = torch.manual_seed if _on_gpu() else torch.default_generator.manual_seed
        seed_torch(self.of("torch").integer(63))

    @contextmanager
    def set_generators(self) -> Iterator[None]:
        """Within this context the global generators draw from this key; then they go on as before.

        But for those of GPUs, which are set anew before each of their uses.
        """
        import torch

        before = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
        self.seed_generators()
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
            torch.default_generator.set_state(before[2])


def child_uniforms(keys: Sequence[Key], counts: Mapping[str, int]) -> dict[str, np.ndarray]:
    """What `key.of(name).uniforms(count)` gives, for each of the keys and each name.

    The part that a key's children have in common is hashed once.

    Args:
        keys: One or more.
        counts: How many numbers each child gives, by its name.

    Returns:
        float64 in [0, 1), count x keys, by name.
    """
    endings = [(_encoded(name), 8 * count) for name, count in counts.items()]
    drawn = []
    for key in keys:
        above = hashlib.shake_256(b"".join(map(_encoded, key.parts)))
        for ending, size in endings:
            child = above.copy()
            child.update(ending)
            drawn.append(child.digest(size))
    rows = iter(_uniforms(b"".join(drawn)).reshape(len(keys), -1).T)
    return {name: np.stack(list(islice(rows, count))) for name, count in counts.items()}


def _uniforms(drawn: bytes) -> np.ndarray:
    return (np.frombuffer(drawn, "<u8") >> np.uint64(11)) * 2.0**-53


@cache
def _on_gpu() -> bool:
    """Whether torch has a generator besides the CPU's."""
    import torch

    return torch.accelerator.is_available()


def _encoded(part: int | str) -> bytes:
    """Tag, length and content, so that ("ab", "c") and ("a", "bc"), or 1 and "1", differ."""
    content = str(part).encode()
    tag = b"n" if isinstance(part, int) else b"t"
    return tag + len(content).to_bytes(8, "big") + content
