"""Partial submissions: of what is complete of a run, recorded as such, replaced by a whole one."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tests.conftest import FIXTURE, SMALL, BeforeSecond, Command
from tests.exact import read_exact
from tests.predictions import settings_for
from tests.run_folder.documents import read_plain, record_member
from tests.test_blends import MEMBERS, by_id, write_run
from twinrun import locks, prepare, submit, train_run
from twinrun.blend.choice import is_blended
from twinrun.blend.parts import Parts, every_member, what_is_complete
from twinrun.cli import run as command
from twinrun.cli.submission import blend_trained, leave_submission
from twinrun.config.settings import Settings
from twinrun.errors import InputError, Stopped
from twinrun.package.preflight import find_faults
from twinrun.package.worktree import WorkTree
from twinrun.run_folder.manifest import read_manifest, read_run_settings
from twinrun.run_folder.paths import RESULT_FILES
from twinrun.verify.verify import select_members, verify_predictions

# The quickest training that there is.
QUICK = ("recipe.network=timm/test_resnet", "recipe.epochs.unfrozen=0")


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """A run of four members, of which one is not complete."""
    run = tmp_path / "runs" / "full"
    write_run(run)
    (run / "members" / "fair" / "member.json").rename(tmp_path / "fair.json")
    return run


@pytest.mark.parametrize(
    "method",
    ["arithmetic", "optimised", pytest.param("auto", marks=pytest.mark.slow)],
)
def test_a_partial_blend_is_that_of_the_members_that_are_there_and_says_so(
    made_up: Path, tmp_path: Path, method: str
) -> None:
    weights = {} if method == "auto" else {name: 2.0 + len(name) for name in MEMBERS}
    settings = settings_for(tmp_path, list(MEMBERS), method=method, weights=weights)
    parts = what_is_complete(made_up, settings)
    assert (parts.names, parts.missing, parts.partial) == (
        ["good", "noise", "poor"],
        ["fair"],
        True,
    )
    output = made_up / "submission.csv"
    chosen = submit.blend_run(made_up, settings, None, output, parts=parts)
    content = read_plain(made_up / "blend.json")
    assert content["partial"] == content["missing"] == ["fair"]
    assert content["why"].count("PARTIAL, without fair") == 1
    assert chosen.record()["partial"] == ["fair"]

    # The weights that are left count in full: the same as if there were no such member.
    others = [name for name in MEMBERS if name != "fair"]
    left = {name: weight for name, weight in weights.items() if name != "fair"}
    without = settings_for(tmp_path, others, method=method, weights=left)
    submit.blend_run(made_up, without, None, tmp_path / "without.csv")
    assert (tmp_path / "without.csv").read_bytes() == output.read_bytes()

    # When it is complete, its blend is whole, and nothing of the partial one is left.
    (tmp_path / "fair.json").rename(made_up / "members" / "fair" / "member.json")
    assert what_is_complete(made_up, settings) == every_member(made_up, settings)
    submit.blend_run(made_up, settings, None, output)
    whole = read_plain(made_up / "blend.json")
    assert "partial" not in whole
    assert whole["missing"] == []
    assert "PARTIAL" not in whole["why"]


def test_where_no_member_is_complete_the_folds_that_are_stand_for_theirs(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, ["a", "b", "c"], method="auto", weights={"a": 3.0, "b": 1.0})
    with_folds = {
        name: member.model_copy(
            update={"validation": member.validation.model_copy(update={"share": None, "folds": 3})}
        )
        for name, member in settings.members.items()
    }
    settings = settings.model_copy(update={"members": with_folds})
    made, run = tmp_path / "made", tmp_path / "run"
    write_run(made)
    folds = {"a/fold-1": "good", "a/fold-3": "fair", "b/fold-2": "poor", "c/fold-1": "noise"}
    for fold, source in folds.items():
        shutil.copytree(made / "members" / source, run / "members" / fold)
    parts = what_is_complete(run, settings)
    # Nothing of c, which has no weight.
    assert parts == Parts(["a/fold-1", "a/fold-3", "b/fold-2"], ["a", "b"], partial=True)
    assert parts.weights(settings) == {"a/fold-1": 1.5, "a/fold-3": 1.5, "b/fold-2": 1.0}
    chosen = submit.blend_run(run, settings, None, run / "submission.csv", parts=parts)
    tables = [by_id(made / "members" / folds[name] / "test.csv") for name in parts.names]
    mean = (1.5 * tables[0] + 1.5 * tables[1] + tables[2]) / 4
    found = by_id(run / "submission.csv")
    np.testing.assert_allclose(found, mean.div(mean.sum(axis=1), axis=0), atol=1e-12)
    content = read_plain(run / "blend.json")
    assert (content["method"], content["partial"]) == ("arithmetic", ["a", "b"])
    assert "PARTIAL, of folds alone, as no member is complete" in content["why"]
    assert chosen.score is None
    # A member that is complete is a better answer than any of its neighbours' folds.
    shutil.copytree(made / "members" / "noise", run / "members" / "b", dirs_exist_ok=True)
    assert what_is_complete(run, settings).names == ["b"]
    with pytest.raises(InputError, match=r"not complete in .*: a"):
        every_member(run, settings)
    assert what_is_complete(tmp_path / "empty", settings).names == []


@pytest.fixture
def ready(made_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """The made up run as `twinrun run` has it, of a method of blending; its record is not kept."""
    monkeypatch.setattr(prepare, "keep_record", lambda *_: None)

    def make(method: str) -> Any:
        settings = settings_for(tmp_path, list(MEMBERS), method=method)
        return SimpleNamespace(
            folder=made_up, settings=settings, sample_path=None, complete=lambda _: None
        )

    return make


OPTIONS: Any = SimpleNamespace(written_blend=lambda settings: settings.blend)


def complete(run: Path) -> None:
    """Complete the member that is missing."""
    (run.parents[1] / "fair.json").rename(run / "members" / "fair" / "member.json")


@pytest.mark.parametrize("method", ["arithmetic", "optimised"])
def test_a_partial_submission_never_replaces_the_whole_one_of_another_process(
    ready: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The other one completes the member while this one waits for its turn to write."""
    run = ready(method)
    turns = list[str]()

    @contextmanager
    def lock_record(folder: Path) -> Iterator[None]:
        turns.append("")
        # Of a fit the second turn: a plain mean of what was complete has been written by then.
        if len(turns) == (2 if method == "optimised" else 1):
            complete(folder)
        yield

    monkeypatch.setattr(locks, "lock_record", lock_record)
    left = leave_submission(run, 0.0, OPTIONS)
    assert left == ["a submission of 4 members is left"]
    content = read_plain(run.folder / "blend.json")
    assert content["method"] == method
    assert sorted(content["weights"]) == sorted(MEMBERS)
    assert "partial" not in content


def test_a_stop_where_all_is_complete_and_nothing_is_blended_leaves_the_submission(
    ready: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, blended = ready("optimised"), list[str]()
    complete(run.folder)
    true = submit.blend_run

    def stopped_once(folder: Path, settings: Settings, *arguments: Any) -> Any:
        blended.append(settings.blend.method)
        if len(blended) == 1:
            raise KeyboardInterrupt
        return true(folder, settings, *arguments)

    monkeypatch.setattr(submit, "blend_run", stopped_once)
    monkeypatch.setattr(train_run, "train", lambda *_: None)
    with pytest.raises(Stopped, match=r"^stopped before the end; a submission of 4 members is le"):
        command._train_and_blend(run, OPTIONS, 0.0, None, 0.0)
    # It may have seconds only: a plain mean comes before the fit.
    assert blended == ["optimised", "arithmetic", "optimised"]
    assert read_plain(run.folder / "blend.json")["method"] == "optimised"
    assert (run.folder / "submission.csv").exists()


def test_a_stop_leaves_the_whole_submission_that_is_there_as_it_is(
    ready: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ready("arithmetic")
    complete(run.folder)
    blend_trained(run, 0.0, OPTIONS)
    monkeypatch.setattr(submit, "blend_run", lambda *_: pytest.fail("it is there"))
    assert leave_submission(run, 0.0, OPTIONS) == []
    # Not where a member is another one by now.
    record_member(run.folder / "members" / "fair")
    assert is_blended(run.folder, run.settings)
    table = run.folder / "members" / "fair" / "test.csv"
    table.write_text(table.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    record_member(run.folder / "members" / "fair")
    assert not is_blended(run.folder, run.settings)


def small_run(invoke: Command, folder: Path, name: str, *options: str) -> Any:
    """`twinrun run` of two small members, in this process."""
    toml = folder / "small.toml"
    toml.write_text(SMALL.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    changes = [part for change in QUICK for part in ("--set", change)]
    where = ("--config", toml, "--out", folder / "runs", "--run", name)
    return invoke("run", *where, *changes, *options)


def test_sigterm_leaves_a_submission_of_what_is_complete_and_the_same_command_the_whole_one(
    invoke: Command, tmp_path: Path, before_second: BeforeSecond
) -> None:
    before_second(lambda: signal.raise_signal(signal.SIGTERM))
    stopped = small_run(invoke, tmp_path, "full")
    assert stopped.returncode == 2
    assert (
        "stopped b in epoch 1 of 1, after step 1 of 4; its checkpoint is written" in stopped.stderr
    )
    assert "; a submission of 1 member is left, without b\n" in stopped.stderr
    run = tmp_path / "runs" / "full"
    assert f"submission {run}/submission.csv, PARTIAL, checked" in stopped.stdout
    sample = read_exact(FIXTURE / "sample_submission.csv")
    assert read_exact(run / "submission.csv")["ID"].tolist() == sample["ID"].tolist()
    manifest = read_manifest(run)
    assert list(manifest["content"]["members"]) == ["a"]
    assert manifest["content"]["blend"]["partial"] == ["b"]
    assert manifest["content"]["submission"]

    tree = cast("WorkTree", SimpleNamespace(faults=[], engine=_no_engine))
    faults = find_faults(run, manifest, tree)
    assert "submission.csv: partial, made without b: rerun `twinrun run`" in faults
    assert "members/b: not complete" in faults


@pytest.mark.slow  # two trainings, a run after each, verification and reports
def test_the_same_command_completes_what_was_stopped_bit_for_bit(
    invoke: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before_second: BeforeSecond,
) -> None:
    run = tmp_path / "runs" / "full"

    def interrupted(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    before_second(lambda: signal.raise_signal(signal.SIGTERM))
    with monkeypatch.context() as patch:
        patch.setattr(submit, "blend_run", interrupted)
        twice = small_run(invoke, tmp_path, "full")
    # A second signal ends it at once, with nothing half written.
    assert twice.returncode == 2
    assert not (run / "submission.csv").exists()
    with monkeypatch.context() as patch:
        patch.setattr("twinrun.train.members.fit", interrupted)
        assert small_run(invoke, tmp_path, "full").returncode == 2

    # Of a blend that is to be fitted there is a plain mean first: a kill in the fit leaves that.
    true = submit.blend_run
    called = list[str]()

    def interrupted_fit(run: Path, settings: Settings, *arguments: Any) -> Any:
        called.append(settings.blend.method)
        return true(run, settings, *arguments) if len(called) == 1 else interrupted()

    fitted = ("--set", "blend.method=optimised")
    with monkeypatch.context() as patch:
        patch.setattr("twinrun.train.members.fit", interrupted)
        patch.setattr(submit, "blend_run", interrupted_fit)
        assert small_run(invoke, tmp_path, "full", *fitted).returncode == 2
    assert called == ["arithmetic", "optimised"]
    settings = read_run_settings(run, None)
    assert settings.blend.method == "arithmetic"
    assert verify_predictions(run, settings, ["a"], tmp_path / "plain").submission is True
    with monkeypatch.context() as patch:
        patch.setattr("twinrun.train.members.fit", interrupted)
        stopped = small_run(invoke, tmp_path, "full", *fitted)
    assert "a submission of 1 member is left, without b" in stopped.stderr
    assert read_run_settings(run, None).blend.method == "optimised"

    # What is recorded can be made again.
    with monkeypatch.context() as patch:
        patch.setattr("twinrun.train.members.fit", interrupted)
        assert small_run(invoke, tmp_path, "full").returncode == 2
    settings = read_run_settings(run, None)
    names = select_members(run, [])
    verified = verify_predictions(run, settings, names, tmp_path / "again")
    assert (names, verified.submission, verified.blend) == (["a"], True, True)
    shown = invoke("report", run)
    assert shown.returncode == 0
    assert "PARTIAL, without b" in (run / "report.html").read_text(encoding="utf-8")

    done = small_run(invoke, tmp_path, "full")
    assert done.returncode == 0, done.stderr
    assert "PARTIAL" not in done.stdout
    # What a command chose (--set) is told; what stood in for a fit was nobody's choice.
    assert 'a command chose (method = "optimised"): member b took no part then' in done.stdout
    assert done.stdout.count("a command chose") == 1
    assert small_run(invoke, tmp_path, "unbroken").returncode == 0
    contents = [read_manifest(tmp_path / "runs" / name)["content"] for name in ("full", "unbroken")]
    assert contents[0] == contents[1]
    for name in ("a", "b"):
        for file in RESULT_FILES:
            one, two = (
                tmp_path / "runs" / each / "members" / name / file for each in ("full", "unbroken")
            )
            assert one.read_bytes() == two.read_bytes()


def _no_engine() -> None:
    raise InputError("no engine")
