"""Keyed randomness: a draw depends on its key and on nothing else."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from twinrun.repro import keys as module
from twinrun.repro.keys import Key, child_uniforms

parts = st.integers() | st.text(max_size=8)
keys = st.builds(Key, st.lists(parts, max_size=5).map(tuple))
listings = st.lists(st.text(max_size=6), unique=True, max_size=30)


@given(one=keys, other=keys)
def test_distinct_keys_give_distinct_integers(one: Key, other: Key) -> None:
    assume(one.parts != other.parts)
    assert one.integer() != other.integer()
    assert one.integer(256) != other.integer(256)


@given(key=keys)
def test_the_same_key_gives_the_same_integer(key: Key) -> None:
    assert Key(key.parts).integer() == key.integer()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        (("ab",), ("a", "b")),
        (("a",), ("a", "")),
        ((1,), ("1",)),
        ((1, 2), (12,)),
        ((1, 2), (2, 1)),
        ((), ("",)),
        ((-1,), (1,)),
        (("\u00e9",), ("e\u0301",)),  # the same to the eye, other characters
        (("t\x00\x00\x00\x00\x00\x00\x00\x01a",), ("t", "a")),
    ],
)
def test_keys_that_look_alike_are_different(
    one: tuple[int | str, ...], other: tuple[int | str, ...]
) -> None:
    assert Key(one).integer() != Key(other).integer()


@given(before=st.lists(parts, max_size=2), number=st.integers(), after=st.lists(parts, max_size=2))
def test_a_number_and_its_text_are_different(
    before: list[int | str], number: int, after: list[int | str]
) -> None:
    key = Key((*before, number, *after))
    assert key.integer() != Key((*before, str(number), *after)).integer()


@given(key=keys, further=st.lists(parts, max_size=3))
def test_a_key_further_down_is_the_longer_path(key: Key, further: list[int | str]) -> None:
    assert key.of(*further) == Key((*key.parts, *further))


@given(key=keys, bits=st.integers(1, 256))
def test_an_integer_has_the_bits_that_were_asked_for(key: Key, bits: int) -> None:
    assert 0 <= key.integer(bits) < 2**bits
    # Fewer bits are the upper ones of more: one draw, looked at more or less closely.
    assert key.integer(bits) == key.integer(256) >> (256 - bits)


def test_integers_are_uniform() -> None:
    # 4000 draws into 16 drawers: 250 expected in each, with a deviation of 15.
    counts = np.bincount([Key(("uniform", n)).integer(4) for n in range(4000)], minlength=16)
    assert counts.min() > 175
    assert counts.max() < 325


@given(key=keys, ids=listings)
def test_an_order_is_a_permutation(key: Key, ids: list[str]) -> None:
    assert sorted(key.order(ids)) == list(range(len(ids)))


@given(key=keys, ids=listings, data=st.data())
def test_an_order_does_not_depend_on_how_the_ids_are_listed(
    key: Key, ids: list[str], data: st.DataObject
) -> None:
    other = data.draw(st.permutations(ids))
    assert ranked(key, other) == ranked(key, ids)


@given(key=keys, ids=listings, data=st.data())
def test_an_id_less_leaves_the_others_in_their_order(
    key: Key, ids: list[str], data: st.DataObject
) -> None:
    assume(ids)
    gone = data.draw(st.sampled_from(ids))
    expected = [image_id for image_id in ranked(key, ids) if image_id != gone]
    assert ranked(key, [image_id for image_id in ids if image_id != gone]) == expected


def ranked(key: Key, ids: list[str]) -> list[str]:
    return [ids[position] for position in key.order(ids)]


@given(one=keys, other=keys)
def test_distinct_keys_give_distinct_orders(one: Key, other: Key) -> None:
    assume(one.parts != other.parts)
    ids = [f"{number:06d}" for number in range(40)]
    assert one.order(ids) != other.order(ids)


def test_every_epoch_has_an_order_of_its_own() -> None:
    ids = [f"{number:06d}" for number in range(40)]
    orders = {tuple(Key((13, "M27g", "order", epoch)).order(ids)) for epoch in range(50)}
    assert len(orders) == 50


def test_the_hash_seed_of_the_process_means_nothing() -> None:
    script = (
        "from twinrun.repro.keys import Key\n"
        "ids = sorted({'a', 'b', 'c', '004217', 'X10A7L'})\n"
        "print(Key((13, 'M27g', 'order', 7)).order(ids), Key(('split', 1)).integer())\n"
        "Key((13, 'M27g', 'item', 0, '004217')).seed_generators()\n"
        "import random, numpy, torch\n"
        "print(random.random(), numpy.random.random(), float(torch.rand(())))\n"
        "print(hash('twin'))\n"
    )
    # This process is one of the two, which saves an import of torch.
    here = StringIO()
    with redirect_stdout(here):
        exec(script, {})
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    there = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    first, second = here.getvalue().splitlines(), there.splitlines()
    assert first[:2] == second[:2]
    # The control: the two processes do hash text differently.
    assert first[2] != second[2]


def draws() -> dict[str, object]:
    """A draw of every global generator that fastai's transforms and callbacks use.

    Of 62 bits at least: distinct streams give the same one in no run of the tests.
    """
    return {
        "random": random.getrandbits(64),
        "numpy": np.random.bytes(8),
        "torch": int(torch.randint(0, 2**62, ())),
    }


@pytest.fixture(autouse=True)
def _leave_the_generators_as_they_were() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


def test_seeded_generators_draw_the_same_again() -> None:
    key = Key((13, "M27g", "item", 0, "004217"))
    key.seed_generators()
    first = [draws(), draws()]
    draws()  # somebody draws once more
    key.seed_generators()
    assert [draws(), draws()] == first
    assert first[0] != first[1]


@pytest.mark.parametrize("on_gpu", [False, True])
def test_torch_is_seeded_as_by_its_own_function(
    on_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    plain = torch.manual_seed

    def noted(seed: int) -> torch.Generator:
        seeds.append(seed)
        return plain(seed)

    monkeypatch.setattr(torch, "manual_seed", noted)
    monkeypatch.setattr(module, "_on_gpu", lambda: on_gpu)
    key = Key((13, "M27g"))
    key.seed_generators()
    drawn = torch.rand(7)
    # All devices, where there are others than the CPU.
    assert seeds == [key.of("torch").integer(63)] * on_gpu
    plain(key.of("torch").integer(63))
    assert torch.equal(drawn, torch.rand(7))


@given(one=keys, other=keys)
def test_distinct_keys_seed_distinct_streams(one: Key, other: Key) -> None:
    assume(one.parts != other.parts)
    one.seed_generators()
    first = draws()
    other.seed_generators()
    second = draws()
    assert all(first[name] != second[name] for name in first)


@given(key=keys)
def test_every_epoch_seeds_a_stream_of_its_own(key: Key) -> None:
    drawn: dict[str, set[object]] = {"random": set(), "numpy": set(), "torch": set()}
    for epoch in range(20):
        key.of(epoch, "004217").seed_generators()
        for name, value in draws().items():
            drawn[name].add(value)
    assert {name: len(values) for name, values in drawn.items()} == dict.fromkeys(drawn, 20)


@pytest.mark.parametrize("name", ["random", "numpy", "torch"])
def test_another_key_draws_something_else(name: str) -> None:
    drawn = set()
    for key in (Key((13, "a")), Key((13, "b")), Key((14, "a")), Key((13, "a", 0))):
        key.seed_generators()
        drawn.add(draws()[name])
    assert len(drawn) == 4


def test_the_three_generators_have_seeds_of_their_own() -> None:
    # numpy's legacy generator and random's are the same algorithm: one seed, one stream.
    Key((13, "a")).seed_generators()
    assert random.random() != float(np.random.random())


@pytest.mark.parametrize("part", [0, -1, 2**200, "", "004217", "weizen-gänge", "\x00", "🌾"])
def test_the_construction_is_the_one_that_the_docstring_states(part: int | str) -> None:
    content = str(part).encode("utf-8")
    tag = b"t" if isinstance(part, str) else b"n"
    digest = hashlib.sha256(tag + len(content).to_bytes(8, "big") + content).hexdigest()
    assert f"{Key((part,)).integer(256):064x}" == digest


# From the first version on. A change of the derivation changes the bits of every member that was
# ever trained: it must not happen unnoticed.
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ((), 16406829232824261652),
        ((13,), 5384061653516776756),
        (("13",), 6882349016215698691),
        ((13, "split", "004217"), 13766606212215151493),
        ((13, "M27g", "order", 7), 7747967498422769964),
        ((13, "M27g", "item", 0, "X10A7L"), 15635654841337682666),
    ],
)
def test_integers_are_what_they_always_were(key: tuple[int | str, ...], expected: int) -> None:
    assert Key(key).integer() == expected


def test_an_order_is_what_it_always_was() -> None:
    ids = ["004217", "1AXIPJ", "2FQLIW", "643083", "X10A7L", "U1C9EA"]
    assert ranked(Key((13, "M27g", "order", 7)), ids) == [
        "004217",
        "1AXIPJ",
        "643083",
        "U1C9EA",
        "X10A7L",
        "2FQLIW",
    ]


def test_draws_are_what_they_always_were() -> None:
    Key((13, "M27g", "item", 0, "004217")).seed_generators()
    assert random.getrandbits(32) == 2886799392
    assert np.random.randint(0, 2**31) == 737633973
    assert int(torch.randint(0, 2**31, ())) == 1489371508


@given(
    some=st.lists(keys, min_size=1, max_size=4),
    counts=st.dictionaries(st.text(max_size=4), st.integers(1, 5), max_size=4),
)
def test_children_drawn_together_are_those_drawn_alone(
    some: list[Key], counts: dict[str, int]
) -> None:
    found = child_uniforms(some, counts)
    assert list(found) == list(counts)
    for name, count in counts.items():
        alone = np.stack([key.of(name).uniforms(count) for key in some], 1)
        assert np.array_equal(found[name], alone)
