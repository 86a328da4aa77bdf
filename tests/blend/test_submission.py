"""A submission is bound to the host's sample by id, and every way to miss it is told."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from twinrun.blend.submission import (
    answers,
    bind_to_sample,
    read_sample,
    read_submission,
    refuse_other_images,
    submission_problems,
)
from twinrun.errors import InputError
from twinrun.files import read_csv

CLASSES = ["leaf", "stem", "healthy"]
ROWS = ["643083,0.25,0.5,0.25", "008FWT,0.125,0.125,0.75", "NA,1,0,0"]


@pytest.fixture
def sample(tmp_path: Path) -> pd.DataFrame:
    # As the host's: all values 0, and one id unquoted.
    path = tmp_path / "sample.csv"
    path.write_text('"ID","leaf","stem","healthy"\n643083,0,0,0\n"008FWT",0,0,0\n"NA",0,0,0\n')
    return read_sample(path, CLASSES)


def problems(folder: Path, sample: pd.DataFrame, *rows: str, sums: bool = False) -> list[str]:
    path = folder / "submission.csv"
    path.write_text("\n".join(["ID,leaf,stem,healthy", *rows]) + "\n", encoding="utf-8")
    return submission_problems(read_csv(path), sample, CLASSES, rows_sum_to_one=sums)


def test_ids_and_columns_of_the_sample_make_a_valid_submission(
    tmp_path: Path, sample: pd.DataFrame
) -> None:
    assert problems(tmp_path, sample, *ROWS, sums=True) == []


def test_rows_may_stand_in_any_order(tmp_path: Path, sample: pd.DataFrame) -> None:
    assert problems(tmp_path, sample, *ROWS[::-1], sums=True) == []


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_sample_that_is_not_separated_by_commas_is_read(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "sample.tsv"
    path.write_text("ID,leaf,stem,healthy\nNA,0,0,0\n".replace(",", separator))
    read = read_sample(path, CLASSES)
    assert read.columns.tolist() == ["ID", *CLASSES]
    assert read.to_numpy().tolist() == [["NA", 0, 0, 0]]


def test_missing_id_is_told(tmp_path: Path, sample: pd.DataFrame) -> None:
    assert problems(tmp_path, sample, *ROWS[1:]) == ["643083: missing"]


def test_unknown_id_is_told(tmp_path: Path, sample: pd.DataFrame) -> None:
    (problem,) = problems(tmp_path, sample, *ROWS, "004217,1,0,0")
    assert problem.startswith("004217:")
    assert "unknown" in problem


def test_doubled_id_is_told(tmp_path: Path, sample: pd.DataFrame) -> None:
    (problem,) = problems(tmp_path, sample, *ROWS, ROWS[1])
    assert problem.startswith("008FWT:")
    assert "more than once" in problem


def test_changed_id_is_told_from_both_sides(tmp_path: Path, sample: pd.DataFrame) -> None:
    # A lost leading zero is another id.
    found = problems(tmp_path, sample, ROWS[0], "8FWT,0.125,0.125,0.75", ROWS[2])
    assert [line.split(":")[0] for line in found] == ["008FWT", "8FWT"]


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path, sample: pd.DataFrame) -> None:
    wrong = ["643083,-1,0,1", "008FWT,,0,1", "008FWT,0,0,1", "004217,x,0,1"]
    found = "\n".join(problems(tmp_path, sample, *wrong))
    for words in ("643083: leaf is -1", "008FWT: nothing", "more than once", "004217: leaf holds"):
        assert words in found
    assert "NA: missing" in found
    assert "004217: unknown" in found


def test_sums_of_rows_are_asked_for_only_when_the_settings_say_so(
    tmp_path: Path, sample: pd.DataFrame
) -> None:
    rows = [*ROWS[:2], "NA,1,0.5,0"]
    assert problems(tmp_path, sample, *rows) == []
    (problem,) = problems(tmp_path, sample, *rows, sums=True)
    assert problem.startswith("NA:")


@pytest.mark.parametrize(
    "columns",
    [
        ["ID", "stem", "leaf", "healthy"],
        ["ID", "leaf", "stem"],
        ["leaf", "stem", "healthy", "ID"],
        ["image", "leaf", "stem", "healthy"],
        ["ID", "leaf", "stem", "healthy", "note"],
    ],
)
def test_columns_must_be_the_samples_in_its_order(sample: pd.DataFrame, columns: list[str]) -> None:
    submission = sample.assign(note=0.0, image=sample["ID"])[columns]
    (problem,) = submission_problems(submission, sample, CLASSES, rows_sum_to_one=False)
    assert ", ".join(columns) in problem
    assert "ID, leaf, stem, healthy" in problem


def test_predictions_take_the_samples_rows_columns_and_names(sample: pd.DataFrame) -> None:
    predictions = pd.DataFrame(
        {
            "id": ["NA", "643083", "008FWT"],
            "healthy": [0.0, 0.25, 0.75],
            "leaf": [1.0, 0.25, 0.125],
            "stem": [0.0, 0.5, 0.125],
        }
    )
    bound = bind_to_sample(predictions, sample, CLASSES)
    assert list(bound.columns) == ["ID", "leaf", "stem", "healthy"]
    assert bound["ID"].tolist() == ["643083", "008FWT", "NA"]
    assert bound[CLASSES].to_numpy().tolist() == [
        [0.25, 0.5, 0.25],
        [0.125, 0.125, 0.75],
        [1, 0, 0],
    ]
    assert submission_problems(bound, sample, CLASSES, rows_sum_to_one=True) == []


def test_what_cannot_be_bound_is_left_for_the_check_to_refuse(sample: pd.DataFrame) -> None:
    predictions = pd.DataFrame(
        {"id": ["643083", "NA", "004217"], "leaf": 1.0, "stem": 0.0, "healthy": 0.0}
    )
    bound = bind_to_sample(predictions, sample, CLASSES)
    found = submission_problems(bound, sample, CLASSES, rows_sum_to_one=False)
    # Nothing is predicted for 008FWT, in three columns; nobody asked for 004217.
    assert [line.split(":")[0] for line in found] == [*["008FWT"] * 3, "004217"]


def test_sample_may_have_the_classes_in_its_own_order(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    path.write_text("ID,stem,healthy,leaf\n004217,0,0,0\n", encoding="utf-8")
    sample = read_sample(path, CLASSES)
    assert list(sample.columns) == ["ID", "stem", "healthy", "leaf"]
    assert sample["ID"].tolist() == ["004217"]


@pytest.mark.parametrize("header", ["ID,leaf,stem,sick", "ID,leaf,stem", "ID,leaf,stem,healthy,x"])
def test_sample_with_other_classes_is_refused_with_both_lists(tmp_path: Path, header: str) -> None:
    path = tmp_path / "sample.csv"
    path.write_text(f"{header}\n004217{',0' * header.count(',')}\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_sample(path, CLASSES)
    for words in (str(path), header.split(",", 1)[1].replace(",", ", "), "leaf, stem, healthy"):
        assert words in str(caught.value)


def test_sample_with_an_id_twice_is_refused_with_the_id(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    path.write_text("ID,leaf,stem,healthy\n004217,0,0,0\nx,0,0,0\n004217,0,0,0\n")
    with pytest.raises(InputError) as caught:
        read_sample(path, CLASSES)
    assert str(path) in caught.value.what
    assert caught.value.details == ("004217: this id stands more than once",)


def test_sample_without_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.csv"
    path.write_text(",".join(["ID", *CLASSES]))
    with pytest.raises(InputError, match=r"none\.csv has no rows: it asks for no image"):
        read_sample(path, CLASSES)


def test_sample_of_other_images_is_refused_before_training(sample: pd.DataFrame) -> None:
    path = Path("sample.csv")
    refuse_other_images(sample, ["NA", "008FWT", "643083"], path, CLASSES)
    with pytest.raises(InputError) as caught:
        refuse_other_images(sample, ["NA", "8FWT", "643083"], path, CLASSES)
    assert str(path) in caught.value.what
    assert [detail.split(":")[0] for detail in caught.value.details] == ["008FWT", "8FWT"]


@pytest.mark.parametrize("turn", [1, -1])
def test_columns_of_the_sample_may_be_spelled_in_either_form_of_unicode(
    tmp_path: Path, turn: int
) -> None:
    composed, decomposed = ("rouille jaun\u00e9", "rouille jaune\u0301")[::turn]
    path = tmp_path / "sample.csv"
    path.write_text(f"ID,sain,{composed}\n004217,0,0\n", encoding="utf-8")
    classes = [unicodedata.normalize("NFC", decomposed), "sain"]
    sample = read_sample(path, classes)
    predictions = pd.DataFrame({"id": ["004217"], decomposed: 0.75, "sain": 0.25})
    bound = bind_to_sample(answers(predictions, classes, "classes"), sample, classes)
    # The file to hand in is spelled as the host spells it.
    assert list(bound.columns) == ["ID", "sain", composed]
    assert bound.iloc[0].tolist() == ["004217", 0.25, 0.75]


def test_sample_of_one_column_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    path.write_text("ID,Label\n004217,leaf\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"submission\.columns to .*'label' or 'probability'"):
        read_sample(path, CLASSES)


# One column beside the ids: a label, or a probability

DIGITS = ["0", "01", "10"]
LABELS = ["643083,01", "008FWT,0", "NA,10"]


@pytest.fixture
def label_sample(tmp_path: Path) -> pd.DataFrame:
    path = tmp_path / "sample.csv"
    path.write_text("Image,Grade\n643083,0\n008FWT,0\nNA,0\n", encoding="utf-8")
    return read_sample(path, DIGITS, "label")


def label_problems(folder: Path, sample: pd.DataFrame, *rows: str) -> list[str]:
    path = folder / "submission.csv"
    path.write_text("\n".join(["Image,Grade", *rows]) + "\n", encoding="utf-8")
    submission = read_submission(path, "label")
    return submission_problems(submission, sample, DIGITS, "label", rows_sum_to_one=False)


def test_labels_of_digits_stay_text(tmp_path: Path, label_sample: pd.DataFrame) -> None:
    assert list(label_sample.columns) == ["Image", "Grade"]
    assert label_problems(tmp_path, label_sample, *LABELS) == []
    assert label_problems(tmp_path, label_sample, *LABELS[::-1]) == []


def test_a_label_is_the_likeliest_class_and_of_equals_the_settings_first(
    label_sample: pd.DataFrame,
) -> None:
    predictions = pd.DataFrame(
        {
            "id": ["NA", "643083", "008FWT"],
            "10": [0.5, 0.4, 0.2],
            "01": [0.2, 0.4, 0.3],
            "0": [0.3, 0.2, 0.5],
        }
    )
    bound = bind_to_sample(answers(predictions, DIGITS, "label"), label_sample, DIGITS)
    assert bound.to_numpy().tolist() == [["643083", "01"], ["008FWT", "0"], ["NA", "10"]]
    assert list(bound.columns) == ["Image", "Grade"]
    found = submission_problems(bound, label_sample, DIGITS, "label", rows_sum_to_one=False)
    assert found == []


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("008FWT,1", ("008FWT: Grade is '1', no such class", "did you mean '10'?")),
        ("008FWT,0.0", ("008FWT: Grade is '0.0', no such class",)),
        ("008FWT,rust", ("008FWT: Grade is 'rust', no such class",)),
        ("008FWT,", ("008FWT: nothing in column Grade",)),
        ("008FWT", ("008FWT: nothing in column Grade",)),
        ("008FWT, ", ("008FWT: Grade is ' ', no such class",)),
        ("008FWT,nan", ("008FWT: Grade is 'nan', no such class",)),
    ],
)
def test_what_is_no_label_is_told(
    tmp_path: Path, label_sample: pd.DataFrame, row: str, words: tuple[str, ...]
) -> None:
    (problem,) = label_problems(tmp_path, label_sample, LABELS[0], row, LABELS[2])
    assert all(word in problem for word in words), problem


def test_missing_unknown_and_doubled_ids_of_labels_are_told(
    tmp_path: Path, label_sample: pd.DataFrame
) -> None:
    rows = [LABELS[0], LABELS[0], "8FWT,0", "NA,01"]
    assert label_problems(tmp_path, label_sample, *rows) == [
        "643083: this id stands more than once",
        "008FWT: missing",
        "8FWT: unknown to the sample",
    ]


def test_labels_under_another_header_are_told(tmp_path: Path, label_sample: pd.DataFrame) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("Image,grade\n643083,0\n", encoding="utf-8")
    (problem,) = submission_problems(
        read_submission(path, "label"), label_sample, DIGITS, "label", rows_sum_to_one=False
    )[:1]
    assert problem == "columns are Image, grade; must be Image, Grade"


def test_a_probability_is_the_last_classs(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    path.write_text("ID,target\n004217,0.5\nNA,0.5\n", encoding="utf-8")
    classes = ["healthy", "sick"]
    sample = read_sample(path, classes, "probability")
    predictions = pd.DataFrame({"id": ["NA", "004217"], "sick": [0.25, 1.0], "healthy": [0.75, 0]})
    bound = bind_to_sample(answers(predictions, classes, "probability"), sample, classes)
    assert list(bound.columns) == ["ID", "target"]
    assert bound.to_numpy().tolist() == [["004217", 1.0], ["NA", 0.25]]
    assert submission_problems(bound, sample, CLASSES, rows_sum_to_one=False) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("1.5", ("target is 1.5", "outside [0, 1]")),
        ("-0.1", ("target is -0.1", "outside [0, 1]")),
        ("yes", ("target holds 'yes'", "not a number")),
        ("", ("nothing in column target",)),
    ],
)
def test_what_is_no_probability_is_told(tmp_path: Path, value: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "sample.csv"
    path.write_text("ID,target\n004217,0\nNA,0\n", encoding="utf-8")
    sample = read_sample(path, ["healthy", "sick"], "probability")
    path.write_text(f"ID,target\n004217,{value}\nNA,0.5\n", encoding="utf-8")
    submission = read_submission(path, "probability")
    (problem,) = submission_problems(submission, sample, CLASSES, rows_sum_to_one=False)
    assert problem.startswith("004217:")
    assert all(word in problem for word in words), problem


@pytest.mark.parametrize("columns", ["label", "probability"])
@pytest.mark.parametrize("header", ["ID", "ID,a,b", "ID,leaf,stem,healthy"])
def test_sample_with_other_than_two_columns_is_refused_with_the_setting(
    tmp_path: Path, header: str, columns: str
) -> None:
    path = tmp_path / "sample.csv"
    path.write_text(f"{header}\n004217{',0' * header.count(',')}\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_sample(path, CLASSES, columns)
    for words in (str(path), header.replace(",", ", "), "submission.columns", repr(columns)):
        assert words in str(caught.value)


def test_predictions_of_other_classes_are_refused_with_both_lists() -> None:
    predictions = pd.DataFrame({"id": ["NA"], "sick": [0.25], "healthy": [0.75]})
    with pytest.raises(InputError) as caught:
        answers(predictions, CLASSES, "classes")
    assert "sick, healthy" in str(caught.value)
    assert "leaf, stem, healthy" in str(caught.value)
