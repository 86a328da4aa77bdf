"""A form of submission from outside: the likeliest class and how likely it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pytest

from twinrun import submit
from twinrun.blend import hand_in
from twinrun.config.reading import read_settings
from twinrun.errors import InputError, NegativeVerdict
from twinrun.metrics import METRICS
from twinrun.probabilities import column_problems, doubled_ids
from twinrun.registry import IncompleteEntry
from twinrun.scaffold.answers import answers_of
from twinrun.scaffold.inspect import inspect
from twinrun.submission_form import Recognised, SampleColumns, SubmissionForm
from twinrun.submission_forms import FORMS
from twinrun.submission_rows import RowPerImage

PARTS = ("words", "answer", "usual_metric", "as_text", "key_columns", "sums_are_lost")
METHODS = (
    "asks_for",
    "classes_problem",
    "sample_problem",
    "images",
    "answers",
    "bind",
    "by_image",
    "problems",
    "recognise",
)


class LabelAndConfidence(RowPerImage):
    name = "confidence"
    words = "two columns, the class's name and its probability"
    answer = "the likeliest class and its probability"
    usual_metric = "accuracy"
    as_text = True
    sums_are_lost = True

    def asks_for(self, classes: Sequence[str]) -> str:
        return f"the likeliest of {len(classes)} classes and its probability"

    def classes_problem(self, count: int) -> str:
        return "it tells at most nine classes" if count > 9 else ""

    def sample_problem(self, columns: Sequence[str], classes: Sequence[str]) -> tuple[str, str]:
        if list(columns) == ["guess", "confidence"]:
            return "", ""
        return "it must have guess and confidence", "Fetch it again."

    def answers(self, predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
        values = predictions[list(classes)]
        return predictions.iloc[:, :1].assign(
            guess=values.idxmax(axis=1), confidence=values.max(axis=1)
        )

    def value_problems(
        self,
        submission: pd.DataFrame,
        header: Sequence[str],
        classes: Sequence[str],
        *,
        rows_sum_to_one: bool,
    ) -> list[str]:
        if wrong := column_problems(submission, list(header)):
            return wrong
        rows = zip(submission[header[0]], submission["guess"], strict=True)
        unknown = [f"{image}: {guess} is no class" for image, guess in rows if guess not in classes]
        return doubled_ids(submission[header[0]]) + unknown

    def recognise(self, sample: SampleColumns) -> Recognised | None:
        return Recognised(sure=True) if set(sample.values) == {"guess", "confidence"} else None


@pytest.fixture
def form() -> Iterator[SubmissionForm]:
    with FORMS.including(LabelAndConfidence()) as entry:
        yield entry


def test_settings_know_it_and_its_number_of_classes(form: SubmissionForm, small_toml: Path) -> None:
    change = f"submission.columns={form.name}"
    assert read_settings(small_toml, changes=[change]).submission.columns == form.name
    many = ", ".join(f'"{letter}"' for letter in "abcdefghij")
    with pytest.raises(InputError, match=r"at most nine classes, but .* holds 10"):
        read_settings(small_toml, changes=[change, f"competition.classes=[{many}]"])
    with pytest.raises(InputError, match=r"did you mean 'confidence'\? Allowed: .*, confidence\."):
        read_settings(small_toml, changes=["submission.columns=confidense"])


def test_nobody_knows_it_when_it_is_not_there(small_toml: Path) -> None:
    with pytest.raises(InputError, match="Allowed: classes, long, joined, label, probability"):
        read_settings(small_toml, changes=["submission.columns=confidence"])


def test_it_is_blended_written_and_validated(
    form: SubmissionForm, small_toml: Path, tmp_path: Path
) -> None:
    changes = [f"submission.columns={form.name}", 'competition.classes=["no", "yes"]']
    settings = read_settings(small_toml, changes=changes)
    predictions, sample = tmp_path / "one.csv", tmp_path / "sample.csv"
    predictions.write_text("id,yes,no\n7,0.25,0.75\n07,1,0\n", encoding="utf-8")
    sample.write_text("ID,guess,confidence\n07,no,0\n7,no,0\n", encoding="utf-8")
    output = tmp_path / "out.csv"
    submit.blend_files([(predictions, 1.0)], settings, sample, output)
    written = "ID,guess,confidence\n07,yes,1.0\n7,no,0.75\n"
    assert output.read_text(encoding="utf-8") == written
    assert hand_in.validate_file(output, settings, sample) == 2
    output.write_text(written.replace("yes", "maybe"), encoding="utf-8")
    with pytest.raises(NegativeVerdict, match="07: maybe is no class"):
        hand_in.validate_file(output, settings, sample)
    sample.write_text("ID,guess\n07,no\n7,no\n", encoding="utf-8")
    with pytest.raises(InputError, match="it must have guess and confidence"):
        hand_in.validate_file(output, settings, sample)


def test_a_data_folder_shows_it(form: SubmissionForm, data: Path) -> None:
    found = inspect(data)
    assert found.columns == form.name
    assert answers_of(found, data, {})["submission_columns"] == form.answer
    assert form.usual_metric in METRICS


@pytest.fixture
def data(tmp_path: Path) -> Path:
    from PIL import Image

    for place in ("train/a/1.png", "train/b/2.png", "test/3.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40)).save(tmp_path / place)
    (tmp_path / "sample_submission.csv").write_text("ID,guess,confidence\n3,a,0\n")
    return tmp_path


@pytest.mark.parametrize("part", [*PARTS, *METHODS])
def test_a_part_that_is_left_out_is_named(part: str) -> None:
    parts = {name: getattr(LabelAndConfidence, name) for name in ("name", *PARTS, *METHODS)}
    del parts[part]
    incomplete = type("Incomplete", (), parts)
    with pytest.raises(IncompleteEntry, match=f"form of submission 'confidence' lacks: {part}$"):
        FORMS.add(incomplete())
    assert "confidence" not in FORMS


def test_every_part_is_tried_above() -> None:
    annotated = [name for name in SubmissionForm.__annotations__ if name != "name"]
    assert annotated == list(PARTS)
    assert SubmissionForm.__abstractmethods__ == set(METHODS)
