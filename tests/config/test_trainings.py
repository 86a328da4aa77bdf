"""The trainings of a member: what they are called, where they are, what they are keyed by."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinrun.compare.runs import compare_runs
from twinrun.config.reading import read_settings
from twinrun.config.trainings import Training, trainings_of
from twinrun.errors import InputError
from twinrun.repro.ledger import Ledger
from twinrun.run_folder.paths import checkpoint_name
from twinrun.run_folder.trainings import run_of, training_of, trainings_in
from twinrun.twins.processes import TwinProcess as Process
from twinrun.twins.processes import _in_mid_epoch


def test_a_member_is_trained_once_or_once_for_each_fold() -> None:
    (once,) = trainings_of("M27g", None)
    assert (once.name, once.title, once.folder, once.key) == ("M27g", "M27g", ".", ("M27g",))
    folds = trainings_of("M27g", 2)
    assert [each.name for each in folds] == ["M27g/fold-1", "M27g/fold-2"]
    assert [each.title for each in folds] == ["M27g fold 1/2", "M27g fold 2/2"]
    assert [each.folder for each in folds] == ["fold-1", "fold-2"]
    assert len({each.key for each in (once, *folds)}) == 3


def test_the_settings_know_the_trainings_by_name(small_toml: Path) -> None:
    settings = read_settings(small_toml, changes=["members.a.validation.folds=3"])
    assert [each.name for each in settings.trainings("a")] == ["a/fold-1", "a/fold-2", "a/fold-3"]
    assert settings.training("a/fold-3") == Training("a", 3, 3)
    assert settings.training("b") == Training("b")
    for name in ("a", "a/fold-4", "b/fold-1", "c"):
        with pytest.raises(KeyError):
            settings.training(name)
    contents = [settings.training_content(name) for name in ("a", "a/fold-1", "a/fold-2")]
    assert [content.get("fold") for content in contents] == [None, 1, 2]
    assert all(content["member"] == contents[0]["member"] for content in contents)
    found = [training_of(content) for content in contents]
    assert found == [Training("a"), Training("a", 1, 3), Training("a", 2, 3)]


def test_folders_tell_their_trainings_and_their_run(tmp_path: Path) -> None:
    member = tmp_path / "run" / "members" / "a"
    for name in ("fold-10", "fold-2", "fold-1", "fold-x", "checkpoint"):
        (member / name).mkdir(parents=True)
        (member / name / "valid.csv").touch()
    (member / "fold-3").mkdir()
    (member / "fold-3" / ".lock").touch()
    assert [each.name for each in trainings_in(member)] == ["a/fold-1", "a/fold-2", "a/fold-10"]
    assert trainings_in(member / "fold-1") == [Training("fold-1")]
    assert run_of(member) == (tmp_path / "run", "a")
    assert run_of(member / "fold-2") == (tmp_path / "run", "a/fold-2")
    # A member may be called so, too.
    assert run_of(tmp_path / "run" / "members" / "fold-2") == (tmp_path / "run", "fold-2")
    assert run_of(Path("/a"))[1] == "a"


def written(run: Path, *names: str) -> Path:
    for name in names:
        member, _, fold = name.partition("/fold-")
        settings = {"member": {"name": member, "validation": {"folds": 12}}}
        settings |= {"fold": int(fold)} if fold else {}  # type: ignore[dict-item]
        about = {"level": "step", "settings": settings, "environment": {}, "code": "", "steps": 1}
        Ledger(about).write(run / "members" / name / "ledger.parquet")
    return run


def test_runs_are_compared_fold_by_fold_in_their_order(tmp_path: Path) -> None:
    first = written(tmp_path / "1", "a/fold-1", "a/fold-2", "a/fold-10", "b")
    second = written(tmp_path / "2", "a/fold-1", "a/fold-2", "a/fold-10", "a/fold-11", "b")
    report = compare_runs(first, second)
    titles = ["a fold 1/12", "a fold 2/12", "a fold 10/12", "b"]
    assert [each.title for each in report.members] == titles
    assert report.only_second == ("a/fold-11",)
    assert not report.same
    for members, count in ((["a"], 3), (["a/fold-2"], 1), (["b", "a/fold-2"], 2)):
        assert len(compare_runs(first, second, members).members) == count
    with pytest.raises(InputError, match="no member 'a/fold-3' with a ledger"):
        compare_runs(first, second, ["a/fold-3"])
    member = compare_runs(first / "members" / "a", second / "members" / "a")
    assert [each.name for each in member.members] == ["a/fold-1", "a/fold-2", "a/fold-10"]
    fold = compare_runs(first / "members" / "a" / "fold-1", second / "members" / "a" / "fold-2")
    assert [each.title for each in fold.members] == ["a fold 1/12 and a fold 2/12"]


def test_a_twin_is_killed_within_a_fold_too(tmp_path: Path) -> None:
    process = Process(tmp_path, [], kill=tmp_path / "members")
    for place, found in (("a", True), ("a/fold-2", True), ("a/fold-2/other", False)):
        folder = tmp_path / "members" / place / "checkpoint"
        folder.mkdir(parents=True)
        whole = folder / checkpoint_name(1, 0, "0" * 32)
        whole.touch()
        assert not _in_mid_epoch(process)
        within = folder / checkpoint_name(1, 2, "0" * 32)
        within.touch()
        assert _in_mid_epoch(process) == found
        within.unlink()
