"""What Python and notebooks read of a run, and that nothing of it is changed by that."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch

import twinrun
from tests.conftest import FIXTURE
from tests.exact import read_exact
from twinrun.api.project import Project
from twinrun.files import sha256_file

matplotlib.use("agg")


@pytest.fixture
def run(project: Project) -> Iterator[twinrun.Run]:
    """The complete run, of which no file may change."""
    folder = project.folder / "runs" / "fixture"
    before = digests(folder)
    yield twinrun.open_run(folder)
    assert digests(folder) == before


def digests(folder: Path) -> dict[Path, str]:
    return {path: sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_names_are_there_and_each_has_an_example() -> None:
    assert set(twinrun.__all__) <= set(dir(twinrun))
    for name in twinrun.__all__:
        thing = getattr(twinrun, name)
        assert thing.__doc__
        if name in ("Project", "Run", "AuditedData", "BlendedRun", "RunDifference"):
            public = [each for each in vars(thing) if not each.startswith("_")]
            lacking = [
                each
                for each in public
                if each not in getattr(thing, "__dataclass_fields__", {})
                and "Example" not in (getattr(thing, each).__doc__ or "")
            ]
            assert not lacking, f"{name}: {lacking}"
    with pytest.raises(AttributeError, match="no attribute 'open_runs'"):
        _ = twinrun.open_runs


def test_members_have_a_row_each(run: twinrun.Run) -> None:
    members = run.members
    assert members.index.tolist() == ["a", "b"]
    assert members["complete"].all()
    assert members["weight"].gt(0).all()
    assert members["valid_loss"].notna().all()
    assert repr(run) == f"<Run {run.folder}: 2 of 2 members complete>"


def test_histories_and_predictions_are_those_of_the_files(run: twinrun.Run) -> None:
    folder = run.folder / "members" / "a"
    assert run.history("a/fold-1")["epoch"].tolist() == [1]
    for part in ("valid", "test"):
        recorded = read_exact(folder / f"{part}.csv", dtype={"id": str})
        pd.testing.assert_frame_equal(run.predictions("a", part), recorded)


@pytest.mark.parametrize("name", ["c", "a/fold-3", ""])
def test_a_name_that_is_none_is_reported(run: twinrun.Run, name: str) -> None:
    for asked in (run.history, run.predictions, run.learner):
        with pytest.raises(twinrun.InputError, match="has no member"):
            asked(name)


def test_a_part_that_is_none_is_reported(run: twinrun.Run) -> None:
    with pytest.raises(twinrun.InputError, match="there is no part 'train'"):
        run.predictions("a", "train")  # type: ignore[arg-type]


def test_the_recorded_blend_is_that_of_the_submission(run: twinrun.Run) -> None:
    blended = run.blend()
    submission = read_exact(run.folder / "submission.csv", dtype={"ID": str}).set_index("ID")
    table = blended.predictions.set_index("id").loc[submission.index]
    assert np.array_equal(table.to_numpy(), submission[table.columns].to_numpy())
    assert blended.weights == run.members["weight"].to_dict()


def test_another_blend_is_scored_and_not_kept(run: twinrun.Run) -> None:
    other = run.blend("geometric")
    assert other.method == "geometric"
    assert other.candidates["blend"].tolist() == ["geometric mean"]
    assert other.score is not None
    assert other.score != run.blend().score
    assert "members" in repr(other)
    with pytest.raises(twinrun.InputError, match="mediann"):
        run.blend("mediann")


def test_new_images_get_the_bits_of_the_run(run: twinrun.Run, tmp_path: Path) -> None:
    sample = FIXTURE / "sample_submission.csv"
    found = run.predict(FIXTURE / "test", sample=sample)
    recorded = read_exact(run.folder / "submission.csv", dtype={"ID": str})
    pd.testing.assert_frame_equal(found, recorded)
    run.predict([FIXTURE / "test"], output=tmp_path / "out.csv")
    assert {path.name for path in tmp_path.iterdir()} == {"out.csv", "out.predictions.json"}


# matplotlib asks fastai's images for a copy in numpy's newer way.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_learner_shows_its_results_and_changes_no_draw(run: twinrun.Run) -> None:
    from fastai.interpret import ClassificationInterpretation

    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    learner = run.learner("b")
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
    with learner.no_bar():
        learner.show_results(max_n=2)
        found = ClassificationInterpretation.from_learner(learner)
        labels = run.predictions("b", "valid")["label"]
        assert found.confusion_matrix().sum() == len(labels)
        probabilities = learner.get_preds(ds_idx=1)[0]
    recorded = run.predictions("b", "valid").iloc[:, 2:].to_numpy(np.float32)
    assert np.array_equal(probabilities.numpy(), recorded)


def test_a_learning_rate_is_looked_for_and_leaves_the_weights(run: twinrun.Run) -> None:
    learner = run.learner("a/fold-2")
    before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    with learner.no_bar():
        assert learner.lr_find(num_it=4, show_plot=False).valley > 0
    after = learner.model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert run.folder not in Path(learner.path).parents


def test_two_runs_are_compared(run: twinrun.Run, tmp_path: Path) -> None:
    import shutil

    same = twinrun.diff_runs(run.folder, run.folder)
    assert same.same
    assert same.grade == "same bits"
    assert same.trainings["stage"].isna().all()
    other = tmp_path / "runs" / "other"
    shutil.copytree(run.folder, other)
    path = other / "members" / "b" / "test.csv"
    path.write_text(path.read_text().replace("0.", "1.", 1))
    found = twinrun.diff_runs(run.folder, other)
    assert not found.same
    assert "test.csv" in repr(found)
    assert "<pre>" in found._repr_html_()
    with pytest.raises(twinrun.InputError, match="has no ledger"):
        twinrun.diff_runs(run.folder, tmp_path)


def test_in_a_cell_a_run_shows_its_report(run: twinrun.Run) -> None:
    shown = run._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    assert "&lt;svg" in shown


def test_what_is_no_run_is_reported(tmp_path: Path) -> None:
    with pytest.raises(twinrun.InputError, match="is not a run") as caught:
        twinrun.open_run(tmp_path)
    assert caught.value._render_traceback_()[0].startswith(f"error: {tmp_path} is not a run")
