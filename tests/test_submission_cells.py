"""A submission with a row per image and class: bound to its sample, and every fault of it told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exact import read_exact
from twinrun import submit
from twinrun.blend import hand_in
from twinrun.blend.submission import read_sample
from twinrun.compare.prediction_gaps import compare_submissions
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.errors import InputError, NegativeVerdict
from twinrun.joined_ids import SEPARATORS, take_apart

CLASSES = ["rust", "leaf_rust", "10"]
PREDICTED = "id,leaf_rust,10,rust\nNA,0.5,0.25,0.25\n004217,0.125,0.75,0.125\n"
SAMPLES = {
    "long": "Image,Kind,p\nNA,10,0\n004217,rust,0\nNA,leaf_rust,0\n004217,10,0\nNA,rust,0\n"
    "004217,leaf_rust,0\n",
    "joined": "key,p\nNA_10,0\n004217_rust,0\nNA_leaf_rust,0\n004217_10,0\nNA_rust,0\n"
    "004217_leaf_rust,0\n",
}
VALUES = [0.25, 0.125, 0.5, 0.75, 0.25, 0.125]


def settings_of(form: str, folder: Path, *changes: str) -> Settings:
    classes = f"competition.classes={CLASSES!r}"
    return read_settings(changes=[classes, f"submission.columns={form}", *changes])


def handed_in(form: str, values: list[float] = VALUES) -> str:
    header, *rows = SAMPLES[form].splitlines()
    lines = [f"{row.rpartition(',')[0]},{value}" for row, value in zip(rows, values, strict=True)]
    return "\n".join([header, *lines]) + "\n"


def refused(form: str, folder: Path, text: str, *changes: str) -> list[str]:
    sample, path = folder / "sample.csv", folder / "submission.csv"
    sample.write_text(SAMPLES[form], encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    changes = changes or ("submission.rows_sum_to_one=true",)
    with pytest.raises(NegativeVerdict) as caught:
        hand_in.validate_file(path, settings_of(form, folder, *changes), sample)
    return list(caught.value.details)


FORM = pytest.mark.parametrize("form", SAMPLES)


@FORM
def test_it_is_written_in_the_samples_order_and_valid(form: str, tmp_path: Path) -> None:
    predictions, sample, out = (tmp_path / f"{name}.csv" for name in ("a", "sample", "out"))
    predictions.write_text(PREDICTED, encoding="utf-8")
    sample.write_text(SAMPLES[form], encoding="utf-8")
    settings = settings_of(form, tmp_path)
    submit.blend_files([(predictions, 1.0)], settings, sample, out)
    assert out.read_text(encoding="utf-8") == handed_in(form)
    assert hand_in.validate_file(out, settings, sample) == 6
    header, *rows = handed_in(form).splitlines()
    out.write_text("\n".join([header, *reversed(rows)]), encoding="utf-8")
    assert hand_in.validate_file(out, settings, sample) == 6, "in any order"


@FORM
@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_it_is_separated_as_its_sample_is(form: str, separator: str, tmp_path: Path) -> None:
    predictions, sample, out = (tmp_path / f"{name}.csv" for name in ("a", "sample", "out"))
    predictions.write_text(PREDICTED, encoding="utf-8")
    sample.write_text(SAMPLES[form].replace(",", separator), encoding="utf-8")
    settings = settings_of(form, tmp_path)
    submit.blend_files([(predictions, 1.0)], settings, sample, out)
    assert out.read_text(encoding="utf-8") == handed_in(form).replace(",", separator)
    assert hand_in.validate_file(out, settings, sample) == 6
    other = tmp_path / "other.csv"
    other.write_text(handed_in(form), encoding="utf-8")
    assert compare_submissions(out, other, columns=form, classes=CLASSES, bound=0.0).largest == 0
    with pytest.raises(NegativeVerdict, match="separated by commas, and the sample's by"):
        hand_in.validate_file(other, settings, sample)


@FORM
def test_without_a_sample_it_has_columns_of_its_own(form: str, tmp_path: Path) -> None:
    predictions, out = tmp_path / "a.csv", tmp_path / "out.csv"
    predictions.write_text(PREDICTED, encoding="utf-8")
    submit.blend_files([(predictions, 1.0)], settings_of(form, tmp_path), None, out)
    first = {"long": "id,class,probability\nNA,rust,0.25\n", "joined": "id_class,probability\n"}
    assert out.read_text(encoding="utf-8").startswith(first[form])
    assert hand_in.validate_file(out, settings_of(form, tmp_path), out) == 6


@FORM
def test_all_that_is_wrong_is_told_at_once(form: str, tmp_path: Path) -> None:
    join = ", " if form == "long" else "_"
    header, *rows = handed_in(form).splitlines()
    rows[0] = rows[0].replace("0.25", "1.5")
    rows[1] = rows[1].replace("0.125", "much")
    extra = rows[3].replace("004217", "4217")
    found = refused(form, tmp_path, "\n".join([header, *rows[:4], rows[3], extra, rows[5]]))
    assert found == [
        f"004217{join}10: this row stands more than once",
        f"004217{join}rust: probability holds 'much', which is not a number",
        f"NA{join}10: probability is 1.5, outside [0, 1]",
        "NA: no row for the class rust",
        f"4217{join}10: unknown to the sample",
    ]


@FORM
def test_an_image_that_is_missing_and_a_sum_are_told_once(form: str, tmp_path: Path) -> None:
    header, *rows = handed_in(form).splitlines()
    there = [row for row in rows if row.startswith("NA")]
    assert refused(form, tmp_path, "\n".join([header, *there])) == ["004217: missing"]
    (problem,) = refused(form, tmp_path, handed_in(form, [0.5, *VALUES[1:]]))
    assert problem == "NA: the row's sum is 1.25, not 1"
    (problem,) = refused(form, tmp_path, handed_in(form).replace("p\n", "q\n"))
    assert "columns are" in problem


@pytest.mark.parametrize(
    ("form", "change", "says"),
    [
        ("long", ("NA,rust,0\n", ""), "NA: no row for the class rust"),
        ("long", ("NA,rust,0\n", "NA,10,0\n"), "NA, 10: more than one row"),
        ("long", ("NA,rust,", "NA,rusty,"), "Kind is 'rusty', no such class, did you mean 'rust'?"),
        ("joined", ("NA_rust,0\n", ""), "NA: no row for the class rust"),
        ("joined", ("NA_rust,0\n", "NA_10,0\n"), "NA, 10: more than one row"),
        ("joined", ("NA_rust,", "NA_rusty,"), "NA_rusty: not an id and a class"),
        ("joined", ("key,p", "key,rust"), "it must have 2 columns"),
        ("long", ("Kind,p", "Kind,p,q"), "it must have 3 columns"),
    ],
)
def test_a_sample_that_cannot_be_answered(
    form: str, change: tuple[str, str], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "sample.csv"
    text = SAMPLES[form].replace(*change)
    if ",q" in change[1]:
        text = "\n".join(line + ",0" * (number > 0) for number, line in enumerate(text.split("\n")))
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_sample(path, CLASSES, form, known=["NA", "004217"])
    assert says in str(caught.value)


@FORM
def test_two_of_them_are_compared_image_by_image(form: str, tmp_path: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    paths[0].write_text(handed_in(form), encoding="utf-8")
    paths[1].write_text(handed_in(form, [0.5, 0.125, 0.25, *VALUES[3:]]), encoding="utf-8")
    gap = compare_submissions(*paths, columns=form, classes=CLASSES, bound=0.0)
    assert (gap.images, gap.largest, gap.tops) == (2, 0.25, 1)


# Texts that hold an id and a class


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("class_first", [False, True])
def test_any_separator_and_either_order(separator: str, class_first: bool) -> None:
    cells = [(image, label) for image in ("x", "x_rust", "a-1") for label in CLASSES]
    texts = [separator.join(reversed(cell) if class_first else cell) for cell in cells]
    found = take_apart(texts, CLASSES, known=["x", "x_rust", "a-1", "unasked"])
    assert found.problem == ""
    assert found.cells == cells


def test_ids_that_end_like_classes_are_told_by_what_is_whole() -> None:
    classes = ["b", "a_b"]
    for images in (["x", "x_a_a"], ["x_a", "y"], ["b", "a_b", "b_b_b"]):
        cells = [(image, label) for image in images for label in classes]
        texts = ["_".join(cell) for cell in cells]
        assert len(set(texts)) == len(texts)
        assert take_apart(texts, classes, known=images).cells == cells


def test_what_can_be_read_in_two_ways_is_refused_with_both() -> None:
    texts = [f"{image}_{label}" for image in "ab" for label in "ab"]
    found = take_apart(texts, ["a", "b"], known=["a", "b"])
    assert found.cells == [None] * 4
    assert found.problem == "a_b: image 'a' and class 'b', or image 'b' and class 'a'?"


def test_a_class_without_images_is_0_in_a_row_of_its_own(tmp_path: Path) -> None:
    predictions, sample, out = (tmp_path / f"{name}.csv" for name in ("a", "sample", "out"))
    predictions.write_text(PREDICTED, encoding="utf-8")
    for form, text in {
        "long": SAMPLES["long"] + "NA,UNK,0\n004217,UNK,0\n",
        "classes": "ID,UNK,leaf_rust,rust,10\nNA,0,0,0,0\n004217,0,0,0,0\n",
    }.items():
        sample.write_text(text, encoding="utf-8")
        settings = settings_of(form, tmp_path, 'submission.unseen=["UNK"]')
        submit.blend_files([(predictions, 1.0)], settings, sample, out)
        hand_in.validate_file(out, settings, sample)
        table = read_exact(out)
        column = table.loc[table["Kind"] == "UNK", "p"] if form == "long" else table["UNK"]
        assert column.tolist() == [0.0, 0.0]
    with pytest.raises(InputError, match="'rust' in competition"):
        settings_of("classes", tmp_path, 'submission.unseen=["rust"]')
    with pytest.raises(InputError, match="unseen holds 4"):
        settings_of("probability", tmp_path, 'submission.unseen=["UNK"]')
