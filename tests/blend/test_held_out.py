"""The members' held-out predictions side by side: by id, by class, by name, or refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.predictions import settings_for
from tests.run_folder.documents import record_member
from twinrun.blend.held_out import align_held_out, read_held_out
from twinrun.errors import InputError

ROWS = ["id,label,a,b,c", "01,a,1,0,0", "1,b,0,1,0", "NA,c,0.25,0.25,0.5"]


def read(folder: Path, rows: list[str]) -> pd.DataFrame:
    path = folder / "valid.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    record_member(folder)
    return read_held_out(folder, ["a", "b", "c"])


def test_what_all_held_out_is_joined_by_id_class_and_name(tmp_path: Path) -> None:
    first = read(tmp_path, ROWS)
    second = read(tmp_path, ["id,c,label,b,a", "NA,0.5,c,0.5,0", "x,0,a,0,1", "1,0,b,1,0"])
    made = settings_for(tmp_path, ["q", "p"], clamp=[0.125, 0.875])
    held = align_held_out({"q": first, "p": second}, {"1": "twins", "elsewhere": "x"}, made)
    assert held.ids == ["1", "NA"]
    assert held.members == ["p", "q"]
    assert held.labels.tolist() == [1, 2]
    assert held.groups == ["twins", "NA"]
    assert held.values.tolist() == [
        [[0.125, 0.875, 0.125], [0.125, 0.5, 0.5]],
        [[0.125, 0.875, 0.125], [0.25, 0.25, 0.5]],
    ]
    assert held.without("p").members == ["q"]


def test_other_labels_of_the_same_image_are_refused(tmp_path: Path) -> None:
    first = read(tmp_path, ROWS)
    second = read(tmp_path, [ROWS[0], "1,c,0,1,0"])
    with pytest.raises(InputError, match="other labels") as caught:
        align_held_out({"p": first, "q": second}, {}, settings_for(tmp_path, ["p", "q"]))
    assert caught.value.details == ("1: 'c' for q, 'b' for p",)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["id,label,a,b", "1,a,1,0"], "columns are id, label, a, b; must be id, label, a, b, c"),
        ([ROWS[0], "1,d,1,0,0"], "1: 'd' is none of the classes"),
        ([ROWS[0], "1,a,1,0,2"], "1: c is 2, outside [0, 1]"),
        ([ROWS[0], "1,a,1,0,0", "1,a,1,0,0"], "1: this id stands more than once"),
        ([ROWS[0], "1,a,1,,0"], "1: nothing in column b"),
    ],
)
def test_a_table_that_is_none_is_refused_with_file_and_row(
    tmp_path: Path, rows: list[str], told: str
) -> None:
    with pytest.raises(InputError, match="does not hold a member's held-out") as caught:
        read(tmp_path, rows)
    assert "valid.csv" in caught.value.what
    assert told in "\n".join(caught.value.details).replace("2.0", "2")
