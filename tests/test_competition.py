"""The competition of this project: its settings, its fixture, a small training of its own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from twinrun import prepare, submit, train_run
from twinrun.blend import hand_in
from twinrun.blend.submission import read_sample, refuse_other_images
from twinrun.config.project import project_settings
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.data.index import build_index
from twinrun.files import sha256_file
from twinrun.run_folder.paths import RESULT_FILES

# The smallest network on the smallest images: less than a second an epoch.
TINY = (
    "recipe.network=timm/test_resnet",
    "recipe.image_size=32",
    "recipe.batch_size=16",
    "recipe.epochs={ frozen = 0, unfrozen = 1 }",
    "run.threads=1",
)


def data_is_there() -> bool:
    return read_settings().data_folder.is_dir()


def check_data(settings: Settings) -> None:
    index = build_index(settings)
    assert set(index["label"]) - {""} == set(settings.classes)
    sample = settings.data_folder / settings.data.sample_submission
    test_ids = index.loc[index["part"] == "test", "id"].tolist()
    classes, columns = settings.asked_classes, settings.submission.columns
    asked = read_sample(sample, classes, columns, known=test_ids)
    refuse_other_images(asked, test_ids, sample, classes, columns)


def test_the_settings_are_valid() -> None:
    settings = read_settings()
    assert settings.members
    assert settings.config == project_settings().absolute()


def test_the_fixture_is_laid_out_as_the_settings_say() -> None:
    check_data(read_settings(profile="fixture"))


@pytest.mark.skipif(not data_is_there(), reason="needs the competition's data")
def test_the_data_is_laid_out_as_the_settings_say() -> None:
    check_data(read_settings())


def test_a_small_run_ends_in_a_valid_submission_and_comes_out_the_same_again(
    tmp_path: Path,
) -> None:
    results = []
    for workers in (0, 1):
        changes = [*TINY, f"run.workers={workers}"]
        settings = read_settings(profile="fixture", changes=changes)
        run = prepare.prepare(settings, tmp_path / f"workers-{workers}")
        member = next(iter(settings.members))
        train_run.train(run, [member], time.perf_counter())
        folder = run.member_folder(member)
        submission = run.folder / "submission.csv"
        submit.blend_files([(folder / "test.csv", 1.0)], settings, run.sample_path, submission)
        assert hand_in.validate_file(submission, settings, run.sample_path) > 0
        results.append(
            [sha256_file(path) for path in (submission, *map(folder.joinpath, RESULT_FILES))]
        )
    assert results[0] == results[1]


def test_another_seed_is_seen(tmp_path: Path) -> None:
    digests = set()
    for seed in (1, 2):
        settings = read_settings(profile="fixture", changes=[*TINY, f"run.seed={seed}"])
        run = prepare.prepare(settings, tmp_path / f"seed-{seed}")
        member = next(iter(settings.members))
        train_run.train(run, [member], time.perf_counter())
        digests.add(sha256_file(run.member_folder(member) / "test.csv"))
    assert len(digests) == 2
