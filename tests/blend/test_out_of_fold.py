"""A member's folds put together: every image once, the mean of the test predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.run_folder.documents import DIGEST, record_member
from twinrun.blend.out_of_fold import fold_predictions, join_folds, write_out_of_fold
from twinrun.errors import InputError
from twinrun.files import write_csv

Tables = dict[str, pd.DataFrame]


def fold(valid: dict[str, float], test: dict[str, float]) -> Tables:
    def table(values: dict[str, float]) -> pd.DataFrame:
        x = np.array(list(values.values()), np.float32)
        return pd.DataFrame({"id": list(values), "x": x, "y": np.float32(1) - x})

    held_out = table(valid)
    held_out.insert(1, "label", ["x"] * len(held_out))
    return {"valid.csv": held_out, "test.csv": table(test)}


def test_rows_are_sorted_by_id_and_test_predictions_are_averaged_in_float32() -> None:
    first = fold({"b": 0.25, "007": 0.5}, {"t": 0.1, "s": 0.2})
    second = fold({"a": 0.75}, {"t": 0.3, "s": 0.2})
    third = fold({"c": 1.0}, {"t": 0.3, "s": 0.2})
    made = join_folds([first, second, third], "m")
    valid, test = made["valid.csv"], made["test.csv"]
    assert valid["id"].tolist() == ["007", "a", "b", "c"]
    assert valid["x"].tolist() == [0.5, 0.75, 0.25, 1.0]
    assert list(valid.columns) == ["id", "label", "x", "y"]
    assert test["id"].tolist() == ["t", "s"]
    assert test["x"].dtype == np.float32
    expected = (np.float64(np.float32(0.1)) + 2 * np.float64(np.float32(0.3))) / 3
    assert test["x"].iloc[0] == np.float32(expected)
    assert test["x"].iloc[1] == np.float32(0.2)


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (fold({"a": 0.5}, {"t": 0.1}), "a: held out by more than one"),
        (fold({"b": 0.5}, {"u": 0.1}), "other images or classes"),
    ],
)
def test_folds_that_do_not_belong_together_are_refused(second: Tables, told: str) -> None:
    with pytest.raises(InputError) as why:
        join_folds([fold({"a": 0.5}, {"t": 0.1}), second], "m")
    assert told in str(why.value)


IDENTITY = {"settings": {}, "data": DIGEST, "environment": {"machine": "x86_64"}}


def written(folder: Path) -> dict[str, Any]:
    records = {}
    for number, value in enumerate((0.1, 0.7), 1):
        for file, each in fold({f"a{number}": value}, {"t": value}).items():
            write_csv(folder / f"fold-{number}" / file, each)
        changes = {"identity": IDENTITY, "seconds": 2.0}
        records[f"fold-{number}"] = record_member(folder / f"fold-{number}", **changes)
    return records


def test_what_is_written_reads_back_to_the_same_float32(tmp_path: Path) -> None:
    record = write_out_of_fold(tmp_path, IDENTITY, written(tmp_path), ["a1", "a2"], "macro_f1")
    assert record["scores"]["accuracy"] == record["scores"]["error_rate"] == 0.5
    assert record["scores"]["valid_loss"] == pytest.approx(-(np.log(0.1) + np.log(0.7)) / 2)
    assert 0 <= record["scores"]["macro_f1"] < 1
    assert record["seconds"] == 4.0
    own = {"valid.csv", "test.csv"}
    folds = {f"fold-{number}/{file}" for number in (1, 2) for file in own}
    assert set(record["files"]) == own | folds
    assert set(record["guards"]) == {"fold-1/member.json", "fold-2/member.json"}
    again = fold_predictions(tmp_path)
    made = join_folds([fold_predictions(tmp_path / f"fold-{n}") for n in (1, 2)], "m")
    for file, table in made.items():
        pd.testing.assert_frame_equal(again[file], table, check_exact=True)


def test_environments_and_nodes_of_folds_are_kept(tmp_path: Path) -> None:
    folds = written(tmp_path)
    assert {"environments", "node"}.isdisjoint(
        write_out_of_fold(tmp_path, IDENTITY, folds, ["a1", "a2"], "macro_f1")
    )
    other = {"machine": "riscv"}
    folds["fold-2"] |= {"identity": IDENTITY | {"environment": other}, "node": "host-2"}
    record = write_out_of_fold(tmp_path, IDENTITY, folds, ["a1", "a2"], "macro_f1")
    assert record["environments"] == {"fold-2": other}
    assert record["node"] == {"fold-2": "host-2"}


def test_an_image_that_no_fold_has_held_out_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has held out these images"):
        write_out_of_fold(tmp_path, IDENTITY, written(tmp_path), ["a1", "a2", "a3"], "log_loss")
    assert not (tmp_path / "member.json").exists()


def test_a_fold_whose_file_is_not_the_recorded_one_is_refused(tmp_path: Path) -> None:
    records = written(tmp_path)
    path = tmp_path / "fold-2" / "test.csv"
    path.write_text(path.read_text().replace("0.7", "0.8"))
    with pytest.raises(InputError, match=r"fold-2/test\.csv is not the file that was written"):
        write_out_of_fold(tmp_path, IDENTITY, records, ["a1", "a2"], "log_loss")
    assert not (tmp_path / "member.json").exists()
    assert not (tmp_path / "test.csv").exists()
