"""Files: whole or not at all, and read back to the same bits and the same ids."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinrun.errors import InputError
from twinrun.files import (
    as_written,
    read_csv,
    sha256_file,
    sha256_json,
    whole_file,
    write_csv,
    write_json,
    write_text,
)

# The same examples on every machine, and no folder of them beside the source.
examples = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def only_file(folder: Path) -> Path:
    """The one file of a folder: a temporary one left behind would be a second."""
    (path,) = folder.iterdir()
    return path


def write_half(path: Path, then: BaseException) -> None:
    with whole_file(path) as temporary:
        temporary.write_text("half")
        raise then


# Whole files


def test_new_content_appears_when_the_block_ends_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert only_file(tmp_path) == path


def test_somebody_who_reads_the_old_file_reads_it_to_its_end(tmp_path: Path) -> None:
    # The new file is moved into place; writing into the old one would mix the two.
    path = tmp_path / "a.txt"
    path.write_text("old")
    with path.open() as reader:
        write_text(path, "new content")
        assert reader.read() == "old"


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "text")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "text"


@pytest.mark.parametrize("raised", [ValueError("slip"), KeyboardInterrupt()])
def test_old_file_stays_and_nothing_is_left_over_when_the_block_raises(
    tmp_path: Path, raised: BaseException
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(raised)):
        write_half(path, raised)
    assert path.read_text() == "old"
    assert only_file(tmp_path) == path


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_old_file_stays_when_the_disk_refuses_and_the_user_is_told(
    tmp_path: Path, number: int
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(InputError) as caught:
        write_half(path, OSError(number, os.strerror(number)))
    assert str(path) in str(caught.value)
    assert os.strerror(number) in str(caught.value)
    assert ("Free some space" in str(caught.value)) == (number in (errno.ENOSPC, errno.EDQUOT))
    assert path.read_text() == "old"
    assert only_file(tmp_path) == path


def test_old_file_stays_when_the_disk_turns_out_full_on_the_way_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Space is often allocated late: the write itself succeeds and fsync is refused.
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="Free some space"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert only_file(tmp_path) == path


@pytest.mark.parametrize("below", ["a.csv", "deeper/a.csv"])
def test_file_in_place_of_the_folder_is_told_and_stays(tmp_path: Path, below: str) -> None:
    occupied = tmp_path / "runs"
    occupied.write_text("not a folder")
    with pytest.raises(InputError) as caught:
        write_text(occupied / below, "text")
    assert str(occupied / below) in str(caught.value)
    assert only_file(tmp_path) == occupied
    assert occupied.read_text() == "not a folder"


def test_folder_in_place_of_the_file_is_told_and_nothing_is_left_over(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(InputError) as caught:
        write_text(tmp_path / "a.csv", "text")
    assert str(tmp_path / "a.csv") in str(caught.value)
    assert only_file(tmp_path).is_dir()


def test_text_is_written_as_utf8_with_unix_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Blätter\n")
    assert (tmp_path / "a.txt").read_bytes() == b"Bl\xc3\xa4tter\n"


# Tables


def bits(values: Any, kind: type[np.floating[Any]]) -> list[int]:
    """The bit patterns of floats, in which -0.0 differs from 0.0."""
    unsigned = {np.float32: np.uint32, np.float64: np.uint64}[kind]
    numbers: list[int] = np.asarray(values, dtype=kind).view(unsigned).tolist()
    return numbers


def assert_round_trip(folder: Path, values: list[float], kind: type[np.floating[Any]]) -> None:
    path = folder / "floats.csv"
    ids = [f"{number:06d}" for number in range(len(values))]
    table = pd.DataFrame({"id": ids, "value": np.array(values, dtype=kind)})
    write_csv(path, table)
    again = read_csv(path)
    assert again["id"].tolist() == ids
    assert bits(again["value"], kind) == bits(table["value"], kind)


@examples
@given(values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_float32_reads_back_to_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    assert_round_trip(tmp_path_factory.getbasetemp(), values, np.float32)


@examples
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_float64_reads_back_to_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    assert_round_trip(tmp_path_factory.getbasetemp(), values, np.float64)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_edges_of_a_float_read_back_to_the_same_bits(
    tmp_path: Path, kind: type[np.floating[Any]]
) -> None:
    info = np.finfo(kind)
    edges = [info.max, info.tiny, info.smallest_subnormal, info.eps, 1 - info.epsneg, 1 / 3, 0.1]
    signed = np.array([*edges, 0.0, *edges, 0.0], dtype=kind) * np.repeat([1, -1], 8).astype(kind)
    assert_round_trip(tmp_path, signed.tolist(), kind)


def test_random_probabilities_of_float32_read_back_to_the_same_bits(tmp_path: Path) -> None:
    # What the engine writes most: thousands of float32 in [0, 1], read as float64 and rounded.
    values = np.random.default_rng(0).random(20_000, dtype=np.float32)
    assert_round_trip(tmp_path, values.tolist(), np.float32)


def test_float32_is_written_with_no_more_digits_than_it_needs(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", pd.DataFrame({"id": ["x"], "p": np.array([0.1], np.float32)}))
    assert (tmp_path / "a.csv").read_bytes() == b"id,p\nx,0.1\n"


def test_missing_value_is_written_as_nothing_and_read_as_missing(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", pd.DataFrame({"id": ["x", "y"], "p": [np.nan, 0.5]}))
    assert (tmp_path / "a.csv").read_bytes() == b"id,p\nx,\ny,0.5\n"
    assert read_csv(tmp_path / "a.csv")["p"].isna().tolist() == [True, False]


TRAPS = ["004217", "643083", "NA", "1e5", "nan", "None", "null", "True", "inf", "-0", "1.50", " 7"]


def test_ids_that_look_like_something_else_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("ID,p\n" + "".join(f"{trap},0.5\n" for trap in TRAPS), encoding="utf-8")
    assert read_csv(path)["ID"].tolist() == TRAPS


@pytest.mark.parametrize("trap", TRAPS)
def test_an_id_stays_text_where_all_ids_look_alike(tmp_path: Path, trap: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"ID,p\n{trap},0.5\n", encoding="utf-8")
    assert read_csv(path)["ID"].tolist() == [trap]


def test_ids_and_labels_stay_text_wherever_their_columns_stand(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("p,label,ID\n" + "".join(f"0.5,{trap},{trap}\n" for trap in TRAPS))
    table = read_csv(path, text=("ID", "label"))
    assert table["ID"].tolist() == TRAPS
    assert table["label"].tolist() == TRAPS


def test_ids_are_written_and_read_back_as_they_are(tmp_path: Path) -> None:
    ids = [*TRAPS, "a,b", 'a"b', "ü"]
    write_csv(tmp_path / "a.csv", pd.DataFrame({"ID": ids, "p": 0.5}))
    assert read_csv(tmp_path / "a.csv")["ID"].tolist() == ids


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_values_may_be_separated_by_other_signs(tmp_path: Path, separator: str) -> None:
    path, ids = tmp_path / "a.csv", [*TRAPS, "a,b", "a;b", "a|b", "a\tb"]
    write_csv(path, pd.DataFrame({"ID": ids, "p": 0.5}), separator=separator)
    assert path.read_text().startswith(f"ID{separator}p\n004217{separator}0.5\n")
    assert read_csv(path, separator=separator)["ID"].tolist() == ids


PLAIN = b"ID,a,b\n004217,0.25,0.75\n643083,1,0\n"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xef\xbb\xbf" + PLAIN, id="byte-order mark"),
        pytest.param(PLAIN.replace(b"\n", b"\r\n"), id="windows line ends"),
        pytest.param(b"\xef\xbb\xbf" + PLAIN.replace(b"\n", b"\r\n"), id="both"),
        pytest.param(PLAIN[:-1], id="no line end at the end"),
        pytest.param(
            b'\xef\xbb\xbf"ID","a","b"\r\n"004217",0.25,0.75\r\n643083,1,0\r\n', id="quoted"
        ),
    ],
)
def test_other_ways_to_save_a_table_read_the_same(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plain.csv").write_bytes(PLAIN)
    (tmp_path / "other.csv").write_bytes(content)
    plain, other = read_csv(tmp_path / "plain.csv"), read_csv(tmp_path / "other.csv")
    pd.testing.assert_frame_equal(other, plain, check_exact=True)
    assert plain["ID"].tolist() == ["004217", "643083"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\n\n", id="empty lines"),
        pytest.param(b"\xef\xbb\xbf", id="byte-order mark alone"),
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\x00", id="image"),
        pytest.param("ID,a\nx,1\n".encode("utf-16"), id="utf-16"),
        pytest.param("ID,a\nü,1\n".encode("latin-1"), id="latin-1"),
        pytest.param(b"ID,a,b\nx,1,0\ny,1,0,0\n", id="a longer row"),
        # Excel's comma as decimal sign: every value breaks in two, and the last ones would be lost.
        pytest.param(b"ID,a,b\nx,0,25,0,75\ny,0,5,0,5\n", id="all rows longer"),
        pytest.param(b"ID,a,b\nx,1,0,0\ny,1,0\n", id="the first row longer"),
        pytest.param(b'ID,a,b\n"x,1,0\ny,1,0\n', id="open quote"),
    ],
)
def test_what_is_not_a_table_is_refused_with_the_files_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_csv(path)
    assert str(path) in str(caught.value)
    assert "UTF-8" in str(caught.value)


def test_missing_table_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_csv(tmp_path / "none.csv")
    assert str(tmp_path / "none.csv") in str(caught.value)


# JSON and digests

CONTENT = {"b": 1, "a": {"y": [1, 2.5, None], "x": "Blätter"}}
SAME = {"a": {"x": "Blätter", "y": [1, 2.5, None]}, "b": 1}


def test_equal_content_is_equal_json_whatever_the_order_of_insertion(tmp_path: Path) -> None:
    assert list(CONTENT) != list(SAME)
    write_json(tmp_path / "one.json", CONTENT)
    write_json(tmp_path / "two.json", SAME)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert json.loads((tmp_path / "one.json").read_text(encoding="utf-8")) == CONTENT


def test_equal_content_has_equal_digests_and_other_content_others() -> None:
    assert sha256_json(CONTENT) == sha256_json(SAME)
    assert sha256_json(CONTENT) != sha256_json(CONTENT | {"b": 2})


def test_digest_of_a_file_is_sha256_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # The example of FIPS 180-2, appendix B.1.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "abc") == expected


def test_numbers_as_they_are_read_back_are_those_of_the_file(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random(500, dtype=np.float32)
    table = pd.DataFrame({"id": [f"0{number}" for number in range(500)], "p": values})
    write_csv(tmp_path / "a.csv", table)
    assert as_written(table).equals(read_csv(tmp_path / "a.csv"))
    assert not as_written(table)["p"].equals(table["p"].astype("float64"))
