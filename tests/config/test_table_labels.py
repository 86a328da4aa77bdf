"""Tables with a column per class are read, other tasks are refused, ordinary tables are neither."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from twinrun.config.csv_tables import CsvTable
from twinrun.config.measured import are_counted_up
from twinrun.config.one_hot import ONE_PER_CLASS
from twinrun.config.table_labels import choose_labels, with_labels
from twinrun.errors import InputError

WHERE = Path("train.csv")


def table(header: str, *rows: str) -> CsvTable:
    columns = header.split(",")
    frame = pd.DataFrame([row.split(",", len(columns) - 1) for row in rows], columns=columns)
    return CsvTable("train.csv", frame)


def labels(
    read: CsvTable, asked: list[str] | None = None, chosen: str | None = None
) -> tuple[str, list[str]]:
    found, column = choose_labels(read, read.columns[0], asked or [], chosen, WHERE)
    return column, found.frame[column].tolist()


ONE_HOT = table("image,MEL,NV,UNK", "a,1.0,0.0,0.0", "b,0.0,1.0,0.0", "c,1.0,0.0,0.0")


@pytest.mark.parametrize("asked", [[], ["label"], ["UNK", "NV", "MEL"]])
def test_a_column_for_each_class_is_one_column_of_labels(asked: list[str]) -> None:
    assert labels(ONE_HOT, asked) == (ONE_PER_CLASS, ["MEL", "NV", "MEL"])


@pytest.mark.parametrize(
    ("one", "zero"), [("1", "0"), ("1.0", "0.0"), ("True", "False"), ("1", "")]
)
def test_marks_may_be_written_in_several_ways(one: str, zero: str) -> None:
    read = table("image,a,b", f"1,{one},{zero}", f"2,{zero},{one}")
    assert labels(read) == (ONE_PER_CLASS, ["a", "b"])


def test_the_sample_tells_classes_from_other_marks() -> None:
    read = table("image,age,a,night,b", "1,50,1,1,0", "2,60,0,0,1", "3,50,0,1,1", "4,60,1,0,0")
    assert labels(read, ["b", "a"]) == (ONE_PER_CLASS, ["a", "b", "b", "a"])
    assert labels(table("id,a,night,b", "1,1,1,0", "2,0,0,1"), ["b", "a"])[1] == ["a", "b"]


def test_a_column_of_labels_goes_before_marks() -> None:
    read = table("id,label,night,wet,old", "1,0,1,1,0", "2,1,0,1,1", "3,1,1,0,0", "4,0,0,0,0")
    assert labels(read)[0] == "label"
    read = table("id,kind,night,wet", "1,x,1,0", "2,y,0,1", "3,x,1,0", "4,y,0,1")
    assert labels(read, ["kind"])[0] == "kind"


@pytest.mark.parametrize(
    ("row", "says"),
    [("d,1.0,1.0,0.0", "d: MEL and NV"), ("d,0.0,0.0,0.0", "1 image is of no class.*d")],
)
def test_a_row_of_two_classes_or_of_none_is_refused(row: str, says: str) -> None:
    rows = [",".join(each) for each in ONE_HOT.frame.to_numpy().tolist()]
    with pytest.raises(InputError) as refused:
        labels(table("image,MEL,NV,UNK", *rows, row))
    assert "one class an image" in str(refused.value)
    assert pd.Series([str(refused.value).replace("\n", " ")]).str.contains(says).all()


def test_the_settings_classes_say_which_columns_count() -> None:
    frame = ONE_HOT.frame.assign(night="1")
    assert with_labels(frame, "image", ["NV", "MEL"], WHERE)[ONE_PER_CLASS].tolist() == [
        *("MEL", "NV", "MEL")
    ]
    with pytest.raises(InputError, match="no column of 0 and 1 for SCC"):
        with_labels(frame, "image", ["NV", "SCC"], WHERE)
    with pytest.raises(InputError, match="several classes at once"):
        with_labels(frame, "image", [], WHERE)


OTHER_TASKS = {
    "measured": (
        table("id,biomass", *[f"{n},{n * 1.37:.2f}" for n in range(30)]),
        "30 different numbers .*regression",
    ),
    "ages": (
        table("id,age", *[f"{n},{1 + n % 90}" for n in range(400)]),
        r"90 different numbers \(1, 2, 3, .*\): a task of regression",
    ),
    "ages with a point": (
        table("id,PatientAge", *[f"{n},{1 + n % 60}.0" for n in range(400)]),
        "60 different numbers .*regression",
    ),
    "counts": (table("id,num_eggs", *[f"{n},{n % 40}" for n in range(400)]), "regression"),
    "years with gaps": (
        table("id,years", *[f"{n},{n % 30 + n % 30 // 7}" for n in range(900)]),
        "regression",
    ),
    "hardly one twice, with gaps": (
        table("id,target", *[f"{n},{n % 300 + n % 300 // 9}" for n in range(400)]),
        "regression",
    ),
    "below zero": (table("id,y", *[f"{n},{n % 40 - 20}" for n in range(400)]), "regression"),
    "hardly one twice": (table("id,y", *[f"{n},{n * 7}" for n in range(60)]), "regression"),
    "a share": (table("id,label", "1,0.13", "2,0.5", "3,0.77", "4,0.1"), "regression"),
    "blank": (table("id,label", "1,scab", "2,rust", "3,scab rust"), "'scab rust' is 'scab' and"),
    "bar": (table("id,label", "1,a", "2,b", "3,a|b"), "several labels"),
    "numbers of classes": (
        table("Id,Target", "1,0", "2,25", "3,25 0", "4,7", "5,7 0 25"),
        "several labels for one image: '25 0'",
    ),
    "seldom alone": (
        table(
            "image,tags",
            *("1,cloudy", "2,haze road", "3,haze water", "4,haze road water", "5,road water"),
            *("6,cloudy road", "7,cloudy water", "8,cloudy road water", "9,cloudy haze road"),
        ),
        "several labels",
    ),
    "rows that differ": (
        table("id,label", "1,a", "1,b", "2,a", "2,c", "3,b", "3,a"),
        "3 of 3 images have rows with different labels: 1 is 'a' and 'b'",
    ),
    "boxes in a cell": (
        table(
            "image_id,width,source,bbox",
            *[f"{n // 2},9,x{n % 2},[{n}.0, 2.0, 5.5, 6]" for n in range(8)],
        ),
        "boxes, in 'bbox'; 0 has several rows",
    ),
    "corners": (
        table("image,class,xmin,ymin,xmax,ymax", "1,a,1,2,3,4", "1,b,1,2,3,4", "2,a,5,6,7,8"),
        "boxes, in 'xmin', 'ymin', 'xmax', 'ymax'",
    ),
    "run lengths": (
        table("ImageId,EncodedPixels", "1,12 3 40 5 60 2", "2,", "3,9 9 99 9"),
        "masks, in 'EncodedPixels'",
    ),
    "run lengths of classes": (
        table("ImageId,ClassId,EncodedPixels", "1,1,12 3 40 5", "1,2,1 3 4 5", "2,4,9 9 99 9"),
        "masks, in 'EncodedPixels'",
    ),
    "polygons": (
        table("ImageId,segmentation", "1,[[1.5, 2, 3, 4, 5, 6]]", "2,[[1, 2, 3, 4.25, 5, 6]]"),
        "segmentation",
    ),
}


@pytest.mark.parametrize("task", OTHER_TASKS)
def test_a_task_that_is_not_one_class_an_image_is_refused_with_the_reason(task: str) -> None:
    read, says = OTHER_TASKS[task]
    with pytest.raises(InputError, match=says) as refused:
        labels(read)
    assert "Twinrun trains on one class an image." in str(refused.value)
    if "regression" in says:
        column = read.columns[1]
        assert f"--label-column {column!r}" in str(refused.value)
        assert labels(read, chosen=column)[0] == column


def test_named_by_the_user_a_combination_is_a_class_of_its_own() -> None:
    read = OTHER_TASKS["blank"][0]
    assert labels(read, chosen="label") == ("label", ["scab", "rust", "scab rust"])
    assert labels(read, ["scab", "rust", "scab rust"])[0] == "label", "as the sample has it"


def test_the_user_and_the_sample_may_call_any_numbers_classes() -> None:
    ages = OTHER_TASKS["ages"][0]
    assert labels(ages, chosen="age")[0] == "age"
    assert labels(ages, [str(n) for n in range(91)])[0] == "age"
    with pytest.raises(InputError, match="--label-column 'age'"):
        labels(ages)


BIRDS = [f"{kind} {place} Warbler" for kind in ("Black", "Blue") for place in map(str, range(100))]
ORDINARY = {
    "grades": table("id_code,diagnosis", *[f"{n},{n % 5}" for n in range(40)]),
    "whole numbers with a point": table("id,grade", *[f"{n},{n % 4}.0" for n in range(40)]),
    "half grades": table("id,grade", *[f"{n},{n % 5 / 2}" for n in range(40)]),
    "blanks": table("id,label", "1,leaf rust", "2,stem rust", "3,healthy wheat", "4,leaf rust"),
    "200 birds": table("id,label", *[f"{n},{BIRDS[n % 200]}" for n in range(800)]),
    "200 numbers": table("id,label", *[f"{n},{n % 200}" for n in range(800)]),
    "1000 plants": table("Id,Plant", *[f"{n},{n % 1000}" for n in range(3000)]),
    "ids with gaps": table("id,landmark_id", *[f"{n},{n % 300 * 37}" for n in range(900)]),
    "ids that seldom stand twice": table("id,whaleId", *[f"{n},{n % 60}" for n in range(90)]),
    "none of them": table("id,y", *[f"{n},{n % 40 - 1}" for n in range(400)]),
    "few ages": table("id,age", *[f"{n},{n % 20 * 5}" for n in range(400)]),
    "groups of ages": table("id,age_group", *[f"{n},{n % 30}" for n in range(400)]),
    "number of a class": table("id,num_class", *[f"{n},{n % 30}" for n in range(400)]),
    "0 and 1": table("id,target", "1,0", "2,1", "3,1", "4,0"),
    **{
        name: table(f"id,{name}", *[f"{n},{first + n % many * step}" for n in range(12 * many)])
        for name, first, many, step in (
            *(("score", 0, 30, 1), ("count", 1, 25, 1), ("weight", 0, 40, 1)),
            *(("years", 1990, 30, 1), ("num_person", 0, 21, 1), ("percent", 0, 21, 5)),
        )
    },
    **{
        f"{name} counted up from {first}": table(
            f"id,{name}", *[f"{n},{n % 300 + first}" for n in range(400)]
        )
        for name in ("target", "hotel", "product", "individual")
        for first in (0, 1)
    },
    "commas": table("id,label", "1,Tomato, ripe", "2,Tomato, green", "3,Pepper, ripe"),
    "cars with a box": table(
        "fname,x1,y1,x2,y2,class", "1,9,8,7,6,14", "2,9,8,7,6,3", "3,1,2,3,4,14"
    ),
    "boxes beside a class of another name": table(
        "fname,make,bbox", *[f"{n},m{n % 2},[1, 2, 3, {n}]" for n in range(8)]
    ),
    "twice the same row": table("id,label", "1,a", "1,a", "2,b", "3,b"),
    "a slip": table("id,label", *[f"{n},{'ab'[n % 2]}" for n in range(40)], "0,b"),
    "faces": table("id,mask,no_mask", "1,1,0", "2,0,1"),
    "letters": table("id,x,y,w,h", "1,1,0,0,0", "2,0,1,0,0", "3,0,0,1,0", "4,0,0,0,1"),
}


@pytest.mark.parametrize(
    ("texts", "counted"),
    [
        ("0 1 2", True),
        ("1.0 3 2", True),
        ("2 3 4", False),
        ("0 1 3", False),
        ("0 0.5 2", False),
        ("0 1 9e15", False),
        ("0 1 1e999", False),
        ("0 1 b", False),
        ("", False),
    ],
)
def test_numbers_of_classes_are_counted_up_from_0_or_1(texts: str, counted: bool) -> None:
    assert are_counted_up(texts.split()) == counted


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_table_is_not_refused(name: str) -> None:
    read = ORDINARY[name]
    column, found = labels(read)
    assert len(found) == len(read.frame)
    assert column in (read.columns[1], "class", "make", ONE_PER_CLASS)
