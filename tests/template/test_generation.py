"""The template's own Python: what it refuses, how it writes TOML, how it deals out the fixture."""

from __future__ import annotations

import hashlib
import json
import runpy
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import FIXTURE, ROOT
from twinrun.config.reading import read_settings
from twinrun.errors import InputError

GENERATION = runpy.run_path(str(ROOT / "template" / "generation.py"))
RELABEL = runpy.run_path(str(ROOT / "template" / "relabel.py"))
QUESTIONS: dict[str, Any] = json.loads((ROOT / "template" / "cookiecutter.json").read_text())
DEFAULTS = {
    key: value[0] if isinstance(value, list) else value
    for key, value in QUESTIONS.items()
    if not key.startswith("_")
} | {"project_slug": "wheat-rust", "competition_name": "Wheat rust"}


def mistakes(**answers: str) -> list[str]:
    found: list[str] = GENERATION["mistakes"](DEFAULTS | answers)
    return found


def test_the_default_answers_are_accepted() -> None:
    assert mistakes() == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("project_name", " "),
        ("project_name", "two\nlines"),
        ("project_slug", ""),
        ("project_slug", "-x"),
        ("project_slug", "Grain"),
        ("project_slug", "été"),
        ("project_slug", "a/b"),
        ("competition_address", "zindi"),
        ("classes", "only one"),
        ("classes", "a,b,a"),
        ("classes", "a,b,A"),
        ("classes", "a,,b"),
        ("classes", "a/b,c"),
        ("classes", ".a,b"),
        ("unseen", "a,A"),
        ("unseen", "a/b"),
        ("unseen", "a,"),
        ("id_column", ""),
        ("train", " "),
        ("labels", "a\nb"),
        ("image_size", "31"),
        ("image_size", "5000"),
        ("image_size", "large"),
        ("image_size", "²²⁴"),
        ("submission_columns", "the last class's probability"),
    ],
)
def test_an_answer_that_cannot_work_is_refused_by_its_name(key: str, value: str) -> None:
    found = mistakes(**{key: value})
    assert found
    assert all(line.startswith(f"{key}: ") for line in found)


def test_a_class_without_an_image_is_none_of_the_others() -> None:
    assert mistakes(classes="a,b", unseen="c") == []
    (problem,) = mistakes(classes="a,b", unseen="B")
    assert problem.startswith("unseen: ")


@pytest.mark.parametrize("name", ["a b", "Été", "d'or", "2nd", "class", "a_b-c.d", "x" * 100, "天"])
def test_class_names_that_work(name: str) -> None:
    assert mistakes(classes=f"{name},other") == []


@given(st.text(min_size=1, max_size=20))
def test_the_engine_accepts_each_class_that_the_template_accepts(name: str) -> None:
    if mistakes(classes=f"{name},another one") or name.strip() == GENERATION["READ_FROM_DATA"]:
        return
    classes = GENERATION["classes_of"]({"classes": f"{name},another one"})
    try:
        settings = read_settings(changes=[f"competition.classes={GENERATION['toml'](classes)}"])
    except InputError as error:
        pytest.fail(str(error))
    assert settings.classes == classes


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_toml_reads_back_what_was_written(texts: list[str]) -> None:
    assert tomllib.loads(f"x = {GENERATION['toml'](texts)}")["x"] == texts


def relabelled(folder: Path, **answers: str) -> Path:
    RELABEL["relabel"](FIXTURE, folder, **GENERATION["fixture_of"](DEFAULTS | answers))
    return folder


def test_the_photos_have_neutral_classes_when_these_are_read_from_the_data(tmp_path: Path) -> None:
    folder = relabelled(tmp_path)
    drawn = sorted(path.name for path in (FIXTURE / "train").iterdir())
    names = [f"class_{number}" for number in range(1, len(drawn) + 1)]
    assert sorted(path.name for path in (folder / "train").iterdir()) == names
    header = (folder / "sample_submission.csv").read_text().splitlines()[0]
    assert header == ",".join(["ID", *names])
    for name, kind in zip(names, drawn, strict=True):
        images = {path.name: path.read_bytes() for path in (folder / "train" / name).iterdir()}
        kept = {p.name: p.read_bytes() for p in (FIXTURE / "train" / kind).iterdir()}
        assert images == kept
    for path in (FIXTURE / "test").iterdir():
        assert (folder / "test" / path.name).read_bytes() == path.read_bytes()
    written = {part for path in folder.rglob("*") for part in path.relative_to(folder).parts}
    assert not [part for part in written if set(drawn) & {part, part.partition(".")[0]}]


@pytest.mark.parametrize("count", [2, 3, 4, 10, 40, 200])
def test_each_class_gets_enough_photos_and_no_id_twice(tmp_path: Path, count: int) -> None:
    names = [f"class {number}" for number in range(count)]
    folder = relabelled(tmp_path, classes=",".join(names))
    images = list((folder / "train").rglob("*.*"))
    counts = Counter(path.parent.name for path in images)
    assert sorted(counts) == sorted(names)
    assert min(counts.values()) >= 4
    assert len({path.stem for path in images}) == len(images)


def test_no_photo_is_in_two_of_a_few_classes(tmp_path: Path) -> None:
    folder = relabelled(tmp_path, classes="a,b,c,d,e,f")
    stems = [path.stem for path in (folder / "train").rglob("*.*")]
    assert not any("-" in stem for stem in stems)


def test_a_table_names_every_photo(tmp_path: Path) -> None:
    answers = {"classes": "a,b", "layout": "table", "id_column": "Image", "label_column": "Rust"}
    folder = relabelled(tmp_path, **answers)
    header, *rows = (folder / "labels.csv").read_text().splitlines()
    assert header == "Image,Rust"
    images = {path.stem for path in (folder / "train").iterdir()}
    assert {row.split(",")[0] for row in rows} == images


@pytest.mark.parametrize(
    ("columns", "header"),
    [
        ("a probability per class", "ID,a,b"),
        ("the likeliest class", "ID,label"),
        ("the last class's probability", "ID,label"),
        ("a row per class: id, class, probability", "ID,class,probability"),
        ("a row per class: id_class, probability", "ID,probability"),
    ],
)
def test_the_sample_has_the_columns_of_a_submission(
    tmp_path: Path, columns: str, header: str
) -> None:
    folder = relabelled(tmp_path, classes="a,b", submission_columns=columns)
    assert (folder / "sample_submission.csv").read_text().splitlines()[0] == header


def test_a_part_of_the_engine_that_is_gone_is_an_error() -> None:
    with pytest.raises(ValueError, match="exactly one line"):
        GENERATION["part"]("competition/competition.toml", "[no such line]")


def test_every_answer_that_is_offered_can_be_carried_out() -> None:
    assert GENERATION["lacking"](QUESTIONS) == []
    offered = [QUESTIONS["_settings"][key].values() for key in ("layout", "submission_columns")]
    assert RELABEL["lacking"](*offered) == []


@pytest.mark.parametrize("question", ["licence", "ci", "members"])
def test_an_answer_that_no_table_knows_is_named(question: str) -> None:
    more = {**QUESTIONS, question: [*QUESTIONS[question], "other"]}
    (problem,) = GENERATION["lacking"](more)
    assert problem.endswith(f": {question} 'other'")


def test_a_key_of_data_that_no_question_asks_for_is_named() -> None:
    more = {**QUESTIONS, "_data_settings": {"names": ["pattern"]}}
    assert GENERATION["lacking"](more) == ["questions: key of [data] 'pattern'"]


def test_the_wheel_stands_among_the_packages_of_the_lock_by_its_path(tmp_path: Path) -> None:
    wheel = tmp_path / "twinrun-1-py3-none-any.whl"
    wheel.write_bytes(b"")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    new = GENERATION["with_wheel"](lock, wheel).splitlines()
    place = new.index(f"./vendor/{wheel.name} \\")
    assert new[place + 1] == f"    --hash=sha256:{hashlib.sha256(b'').hexdigest()}"
    before = [line for line in new[:place] if not line.startswith((" ", "#"))]
    assert before[-1] < "twinrun" < new[place + 2]
    assert [*new[:place], *new[place + 2 :]] == lock.splitlines()


def test_a_layout_or_form_that_the_fixture_cannot_have_is_named() -> None:
    assert RELABEL["lacking"](["folders", "names"], ["classes", "ranks"]) == [
        "LABELLED: layout 'names'",
        "SAMPLES: form of submission 'ranks'",
    ]


@pytest.mark.parametrize(
    ("answer", "folders", "page"),
    [
        ("train", "train", "`train/`"),
        ('["train_1", "é"]', ["train_1", "é"], "`train_1/`, `é/`"),
        ("[odd", "[odd", "`[odd/`"),
        ("[1]", "[1]", "`[1]/`"),
    ],
)
def test_an_answer_names_a_folder_or_several(
    answer: str, folders: str | list[str], page: str
) -> None:
    assert GENERATION["folders_of"](answer) == folders
    assert GENERATION["folder_names"](answer) == page
