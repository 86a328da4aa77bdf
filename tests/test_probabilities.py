"""Prediction files: every kind of wrong value is found, named by id, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from twinrun.errors import InputError
from twinrun.files import read_csv
from twinrun.probabilities import probability_problems, read_probabilities

PANDAS_2 = pd.__version__.startswith("2.")
HEADER = "id,leaf,stem,healthy"
CLASSES = ["leaf", "stem", "healthy"]
GOOD = {"004217": "0.25,0.5,0.25", "643083": "0,1,0", "NA": "1,0.0,0"}


def table_file(folder: Path, header: str = HEADER, **rows: str) -> Path:
    """A prediction file of three good rows, of which the named ones are replaced or added."""
    path = folder / "predictions.csv"
    lines = [header, *(f"{image},{values}" for image, values in (GOOD | rows).items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def problems(path: Path, *, rows_sum_to_one: bool = False) -> list[str]:
    return probability_problems(read_csv(path), "id", CLASSES, rows_sum_to_one=rows_sum_to_one)


def test_good_table_has_no_problems(tmp_path: Path) -> None:
    assert problems(table_file(tmp_path), rows_sum_to_one=True) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("-0.1,1,0", ("leaf", "-0.1", "outside [0, 1]")),
        ("0,1.5,0", ("stem", "1.5", "outside [0, 1]")),
        ("0,1.0000001,0", ("stem", "1.0000001", "outside [0, 1]")),
        ("0,1,-5e-324", ("healthy", "-5e-324", "outside [0, 1]")),
        ("inf,0,0", ("leaf", "inf", "outside [0, 1]")),
        ("0,-inf,0", ("stem", "-inf", "outside [0, 1]")),
        # pandas 2 reads no number there.
        ("1e999,0,0", ("leaf", *([] if PANDAS_2 else ["inf", "outside [0, 1]"]))),
        (",0,1", ("leaf", "nothing")),
        ("0,nan,1", ("stem", "nothing")),
        ("0,1,NA", ("healthy", "nothing")),
        # A row cut short: its last value is missing.
        ("0,1", ("healthy", "nothing")),
        ("0,1,none", ("healthy", "'none'", "not a number")),
        ('0,"0,5",0.5', ("stem", "'0,5'", "not a number")),
        ("0x1,0,0", ("leaf", "'0x1'", "not a number")),
    ],
)
def test_wrong_value_is_told_once_with_id_column_and_value(
    tmp_path: Path, values: str, words: tuple[str, ...]
) -> None:
    (problem,) = problems(table_file(tmp_path, **{"643083": values}))
    assert problem.startswith("643083:")
    assert all(word in problem for word in words), problem


def test_every_wrong_value_is_told(tmp_path: Path) -> None:
    path = table_file(tmp_path, **{"004217": "-1,none,", "643083": "0,2,0"})
    found = problems(path)
    assert len(found) == 4
    assert [line.split(":")[0] for line in found].count("004217") == 3


@pytest.mark.parametrize("edge", ["0", "1", "0.0", "1.0", "-0.0", "5e-324", "1e0"])
def test_the_ends_of_the_range_are_probabilities(tmp_path: Path, edge: str) -> None:
    assert problems(table_file(tmp_path, **{"643083": f"{edge},0,0"})) == []


@pytest.mark.parametrize("times", [2, 3])
def test_id_that_stands_more_than_once_is_told_once(tmp_path: Path, times: int) -> None:
    path = table_file(tmp_path)
    with path.open("a", encoding="utf-8") as file:
        file.write("004217,0.25,0.5,0.25\n" * (times - 1))
    (problem,) = problems(path)
    assert problem.startswith("004217:")
    assert "more than once" in problem


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("id,leaf,stem,sick", id="other class"),
        pytest.param("id,stem,leaf,healthy", id="other order"),
        pytest.param("ID,leaf,stem,healthy", id="other id column"),
        pytest.param("leaf,stem,healthy,id", id="id column last"),
    ],
)
def test_wrong_columns_are_told_with_both_lists(tmp_path: Path, header: str) -> None:
    (problem,) = problems(table_file(tmp_path, header))
    assert header.replace(",", ", ") in problem
    assert HEADER.replace(",", ", ") in problem


def test_missing_and_extra_columns_are_told() -> None:
    table = pd.DataFrame({"id": ["x"], "leaf": [1.0], "stem": [0.0], "healthy": [0.0]})
    assert len(probability_problems(table.drop(columns="stem"), "id", CLASSES)) == 1
    assert len(probability_problems(table.assign(extra=0.0), "id", CLASSES)) == 1


def test_sums_of_rows_are_asked_for_only_when_the_settings_say_so(tmp_path: Path) -> None:
    path = table_file(tmp_path, **{"643083": "0.5,0.6,0"})
    assert problems(path) == []
    (problem,) = problems(path, rows_sum_to_one=True)
    assert problem.startswith("643083:")
    assert "1.1" in problem


@pytest.mark.parametrize(("off", "count"), [(5e-7, 0), (-5e-7, 0), (2e-6, 1), (-2e-6, 1)])
def test_sums_of_rows_may_be_off_by_a_rounding(tmp_path: Path, off: float, count: int) -> None:
    path = table_file(tmp_path, **{"643083": f"0.5,{0.5 + off!r},0"})
    assert len(problems(path, rows_sum_to_one=True)) == count


def test_wrong_sums_are_told_beside_other_mistakes(tmp_path: Path) -> None:
    # All that is wrong at once: whoever fixes the one row must not meet the other afterwards.
    path = table_file(tmp_path, **{"643083": "0.5,0.6,0", "NA": "-1,0,1"})
    found = "\n".join(problems(path, rows_sum_to_one=True))
    assert "NA: leaf is -1" in found
    assert "643083:" in found


def test_predictions_are_read_with_ids_as_text_and_values_as_float64(tmp_path: Path) -> None:
    table = read_probabilities(table_file(tmp_path))
    assert table["id"].tolist() == ["004217", "643083", "NA"]
    assert (table.dtypes[CLASSES] == "float64").all()
    assert table[CLASSES].to_numpy().tolist() == [[0.25, 0.5, 0.25], [0, 1, 0], [1, 0, 0]]


def test_whole_numbers_are_read_as_float64(tmp_path: Path) -> None:
    table = read_probabilities(table_file(tmp_path, **{"004217": "0,1,0", "NA": "1,0,0"}))
    assert (table.dtypes[CLASSES] == "float64").all()


def test_labels_of_a_valid_csv_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "valid.csv"
    path.write_text("id,label,leaf,stem\n004217,leaf,0.75,0.25\n", encoding="utf-8")
    assert list(read_probabilities(path).columns) == ["id", "leaf", "stem"]


def test_bad_prediction_file_is_refused_with_everything_that_is_wrong(tmp_path: Path) -> None:
    path = table_file(tmp_path, **{"004217": "-1,none,0"})
    with pytest.raises(InputError) as caught:
        read_probabilities(path)
    assert str(path) in caught.value.what
    assert len(caught.value.details) == 2
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "content", ["id,leaf\nx,1\n", "id;leaf;stem\nx;0,5;0,5\n", "words\nmore\n"]
)
def test_table_without_two_classes_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_probabilities(path)
    assert str(path) in str(caught.value)
