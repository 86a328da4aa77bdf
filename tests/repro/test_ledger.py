"""The ledger comes back as it was written, or is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from twinrun.errors import InputError
from twinrun.repro.ledger import Ledger
from twinrun.repro.stages import STAGES

ABOUT = {
    "level": "step",
    "settings": {"member": {"name": "a", "rate": 0.1}},
    "environment": {},
    "code": "c",
    "ä": None,
}

rows = st.tuples(
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**31 - 1),
    st.sampled_from(STAGES.names),
    st.text(max_size=5).filter(lambda text: text.isprintable()),
    st.integers(0, 2**64 - 1),
)


def small() -> Ledger:
    ledger = Ledger(ABOUT)
    ledger.add("split", 2**64 - 1)
    for step in (1, 2):
        ledger.add("order", 2**63 + step, epoch=1, step=step)
        ledger.add("gradient", step, epoch=1, step=step, what="conv1.weight")
        ledger.add("gradient", 0, epoch=1, step=step, what="fc.bias")
    return ledger


def content(ledger: Ledger) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = ledger.rows().to_pylist()
    return table


def test_rows_come_in_the_order_of_writing() -> None:
    columns = small().rows().to_pydict()
    assert columns == {
        "epoch": [0, 1, 1, 1, 1, 1, 1],
        "step": [0, 1, 1, 1, 2, 2, 2],
        "stage": ["split", "order", "gradient", "gradient", "order", "gradient", "gradient"],
        "what": ["", "", "conv1.weight", "fc.bias", "", "conv1.weight", "fc.bias"],
        "digest": [2**64 - 1, 2**63 + 1, 1, 0, 2**63 + 2, 2, 0],
    }


@settings(deadline=None)
@given(written=st.lists(rows, max_size=20), later=st.lists(rows, max_size=5))
def test_a_ledger_comes_back_and_goes_on(written: list[Any], later: list[Any]) -> None:
    whole, begun = Ledger(ABOUT), Ledger(ABOUT)
    for epoch, step, stage, what, digest in written:
        for ledger in (whole, begun):
            ledger.add(stage, digest, epoch=epoch, step=step, what=what)
    resumed = Ledger.from_bytes(begun.to_bytes())
    assert content(resumed) == content(begun)
    assert resumed.about == ABOUT
    for epoch, step, stage, what, digest in later:
        for ledger in (whole, resumed):
            ledger.add(stage, digest, epoch=epoch, step=step, what=what)
    # Interrupted or not, once or often: the same bytes.
    assert resumed.to_bytes() == whole.to_bytes()
    assert Ledger.from_bytes(resumed.to_bytes()).to_bytes() == whole.to_bytes()


def test_a_ledger_comes_back_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "members" / "a" / "ledger.parquet"
    small().write(path)
    read = Ledger.read(path)
    assert content(read) == content(small())
    assert read.about == ABOUT
    assert read.rows().schema == small().rows().schema
    assert [file.name for file in path.parent.iterdir()] == ["ledger.parquet"]


def test_an_empty_ledger_comes_back() -> None:
    read = Ledger.from_bytes(Ledger({}).to_bytes())
    assert content(read) == []
    assert read.about == {}


def test_digests_that_wait_on_a_device_are_fetched_in_their_place() -> None:
    ledger = Ledger({})
    ledger.add("batch", torch.tensor(-1), epoch=1, step=1)
    ledger.add("loss", 7, epoch=1, step=1)
    ledger.add("update", torch.tensor(5), epoch=1, step=1)
    assert ledger.rows()["digest"].to_pylist() == [2**64 - 1, 7, 5]


def test_asking_for_the_rows_changes_nothing() -> None:
    asked, unasked = Ledger(ABOUT), Ledger(ABOUT)
    for step in range(5):
        for ledger in (asked, unasked):
            ledger.add("order", step, epoch=1, step=step, what=f"image {step}")
        asked.rows()
        asked.to_bytes()
    assert asked.to_bytes() == unasked.to_bytes()


def test_an_unknown_stage_is_refused() -> None:
    ledger = Ledger({})
    with pytest.raises(ValueError, match="no stage of a ledger: weather"):
        ledger.add("weather", 1)
    with pytest.raises(ValueError, match="weather"):
        ledger.add("weather", 1, epoch=1, step=1, what="rain")
    assert content(ledger) == []


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_a_flipped_bit_of_the_file_is_noticed_or_changes_nothing(data: st.DataObject) -> None:
    damaged = bytearray(small().to_bytes())
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = Ledger.from_bytes(bytes(damaged))
    except ValueError:
        return
    assert content(read) == content(small())
    assert read.about == ABOUT


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "ledger.parquet"
    whole = small().to_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=r"ledger\.parquet is damaged") as refused:
        Ledger.read(path)
    assert "Train the member again" in refused.value.fix


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.parquet"
    path.write_text("wheat")
    with pytest.raises(InputError, match="damaged"):
        Ledger.read(path)
    parquet.write_table(pa.table({"epoch": [1], "digest": [2]}), path)
    with pytest.raises(InputError, match="not a ledger"):
        Ledger.read(path)
    # What only looks like one: its own description, other columns.
    table = parquet.read_table(pa.BufferReader(small().to_bytes()))
    parquet.write_table(table.rename_columns(["epoch", "step", "stage", "which", "digest"]), path)
    with pytest.raises(InputError, match="other columns"):
        Ledger.read(path)
    parquet.write_table(table.slice(1), path)
    with pytest.raises(InputError, match="not a ledger"):
        Ledger.read(path)


def test_a_file_that_is_missing_or_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file: .*ledger\.parquet"):
        Ledger.read(tmp_path / "ledger.parquet")
    with pytest.raises(InputError, match="is a folder"):
        Ledger.read(tmp_path)


def test_reading_needs_neither_torch_nor_pandas(tmp_path: Path) -> None:
    small().write(tmp_path / "ledger.parquet")
    script = """
import sys
from pathlib import Path
from twinrun.repro.ledger import Ledger
ledger = Ledger.read(Path(sys.argv[1]))
assert ledger.rows().num_rows == 7
assert not {"torch", "pandas"} & sys.modules.keys()
ledger.add("order", 1)
assert ledger.rows().num_rows == 8
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script, tmp_path / "ledger.parquet"], check=True)
