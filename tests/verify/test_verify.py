"""A recorded run, made again: the same bits, or a clear no."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from tests.conftest import FIXTURE, SMALL, Command
from tests.exact import read_exact
from tests.run_folder.documents import edited, read_plain, record_member, write_sealed
from twinrun import prepare, submit, train_run
from twinrun.cli.app import app
from twinrun.config.reading import read_settings
from twinrun.errors import InputError
from twinrun.report.report import render
from twinrun.repro.source import code_digest, describe_engine, read_engine
from twinrun.run_folder.manifest import read_manifest, read_run_settings
from twinrun.verify.verify import (
    compare_environments,
    select_members,
    verify_predictions,
    verify_training,
)

Tamper = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two members, of torchvision and of timm, with its submission."""
    folder = tmp_path_factory.mktemp("recorded")
    toml = folder / "small.toml"
    toml.write_text(SMALL.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    settings = read_settings(toml, changes=["members.a.network=resnet18"])
    started = time.perf_counter()
    prepared = prepare.prepare(settings, folder / "runs" / "full")
    train_run.train(prepared, list(settings.members), started)
    submit.blend_run(
        prepared.folder, settings, prepared.sample_path, prepared.folder / "submission.csv"
    )
    prepare.keep_record(prepared, started)
    return prepared.folder


@pytest.fixture
def run(recorded: Path, tmp_path: Path) -> Path:
    """A copy of it, to be tampered with."""
    return Path(shutil.copytree(recorded, tmp_path / "full"))


def tampered(run: Path, tamper: Tamper) -> None:
    path = run / "manifest.json"
    manifest = read_plain(path)
    tamper(manifest)
    write_sealed(path, manifest)


@pytest.mark.slow
def test_a_setting_that_a_manifest_leaves_out_did_nothing(run: Path) -> None:
    def older(manifest: dict[str, Any]) -> None:
        del manifest["content"]["settings"]["data"]["duplicates"]

    assert read_run_settings(run, None).data.duplicates == "group"
    tampered(run, older)
    assert read_run_settings(run, None).data.duplicates == "keep"


def test_a_run_comes_out_the_same_from_its_manifest_alone(run: Path, tmp_path: Path) -> None:
    # The settings file is not needed: the manifest holds what it said.
    settings = read_run_settings(run, None)
    assert compare_environments(run, settings) == []
    names = select_members(run, [])
    assert names == ["a", "b"]
    found = verify_training(run, settings, names, tmp_path / "again")
    assert found.same
    assert found.submission is found.blend is True
    assert [row.file for row in found.comparisons] == [
        *("valid.csv", "test.csv", "weights.safetensors"),
        *("valid.csv", "test.csv", "weights.safetensors"),
    ]
    assert json.loads((tmp_path / "again" / "verify.json").read_text())["same"]
    # A second verification starts over instead of finding the first one's files.
    before = (tmp_path / "again" / "members" / "a" / "member.json").stat().st_mtime_ns
    assert verify_training(run, settings, ["a"], tmp_path / "again").same
    assert (tmp_path / "again" / "members" / "a" / "member.json").stat().st_mtime_ns > before


def test_data_that_is_gone_is_told_with_the_record_or_the_option_that_names_it(
    run: Path, tmp_path: Path
) -> None:
    edited(run / "local.json", "data_folder", value=str(tmp_path / "gone"))
    for data, words in (
        (None, f"no data folder: {tmp_path / 'gone'} (recorded in {run / 'local.json'})"),
        (tmp_path / "given", f"no data folder: {tmp_path / 'given'} (--data)"),
    ):
        with pytest.raises(InputError) as caught:
            verify_training(run, read_run_settings(run, data), ["a"], tmp_path / "again")
        assert caught.value.what == words
        assert "--data" in str(caught.value)


@pytest.mark.slow
def test_a_run_of_another_seed_is_not_the_same(run: Path, tmp_path: Path) -> None:
    def reseed(manifest: dict[str, Any]) -> None:
        manifest["content"]["settings"]["run"]["seed"] = 5

    tampered(run, reseed)
    found = verify_training(run, read_run_settings(run, None), ["a"], tmp_path / "again")
    assert not found.same
    assert not any(row.same for row in found.comparisons)


@pytest.mark.slow
def test_another_blend_is_seen_in_the_submission(run: Path, tmp_path: Path) -> None:
    def reweigh(manifest: dict[str, Any]) -> None:
        manifest["content"]["settings"]["blend"]["weights"]["a"] = 3.0

    tampered(run, reweigh)
    found = verify_training(run, read_run_settings(run, None), ["a", "b"], tmp_path / "again")
    assert all(row.same for row in found.comparisons)
    assert found.submission is found.blend is False
    assert not found.same


def test_predictions_are_made_again_from_the_recorded_weights(run: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    (again / "members").mkdir(parents=True)
    (again / "members" / "old").touch()  # of an earlier verification
    found = verify_predictions(run, read_run_settings(run, None), ["a", "b"], again)
    assert found.same
    assert [row.file for row in found.comparisons] == ["valid.csv", "test.csv"] * 2
    assert found.submission is True
    assert (again / "submission.csv").read_bytes() == (run / "submission.csv").read_bytes()
    assert sorted(path.name for path in (again / "members").iterdir()) == ["a", "b"]
    assert verify_predictions(run, read_run_settings(run, None), ["a"], again).submission is None


@pytest.fixture
def lacking(run: Path) -> Path:
    """The run as if member b had failed and the settings allowed a blend without it."""

    def allow(manifest: dict[str, Any]) -> None:
        manifest["content"]["settings"]["blend"]["allow_missing"] = True

    (run / "members" / "b" / "member.json").rename(run / "b.json")
    tampered(run, allow)
    settings = read_run_settings(run, None)
    sample = settings.data_folder / settings.data.sample_submission
    submit.blend_run(run, settings, sample, run / "submission.csv")
    submit.record_blend(run, settings, read_manifest(run))

    def without_b(manifest: dict[str, Any]) -> None:
        del manifest["content"]["members"]["b"]

    tampered(run, without_b)
    return run


@pytest.mark.slow
def test_a_blend_without_a_missing_member_is_made_again_without_it(
    lacking: Path, tmp_path: Path
) -> None:
    recorded = json.loads((lacking / "manifest.json").read_text())["content"]
    assert recorded["blend"]["weights"] == {"a": 2.0}
    settings, names = read_run_settings(lacking, None), select_members(lacking, [])
    assert names == ["a"]
    found = verify_predictions(lacking, settings, names, tmp_path / "again")
    assert found.submission is found.blend is True

    # The member that is complete by now had no part in what was handed in.
    (lacking / "b.json").rename(lacking / "members" / "b" / "member.json")
    found = verify_predictions(lacking, settings, ["a"], tmp_path / "again")
    assert found.submission is found.blend is True

    def other(manifest: dict[str, Any]) -> None:
        manifest["content"]["blend"]["weights"] = {"a": 1.0, "b": 1.0}

    tampered(lacking, other)
    assert verify_predictions(lacking, settings, ["a"], tmp_path / "again").submission is None
    (lacking / "submission.csv").write_text("")
    found = verify_predictions(lacking, settings, ["a", "b"], tmp_path / "again")
    assert found.submission is found.blend is False


def test_the_page_of_a_run_says_which_member_its_blend_lacks(lacking: Path) -> None:
    page = render(lacking)
    assert "left out as blend.allow_missing allows: b." in page


@pytest.fixture
def fitted(run: Path) -> Path:
    """The run with a blend that was fitted to the images that its members held out."""
    settings = read_run_settings(run, None)
    blend = settings.blend.model_copy(update={"method": "optimised"})
    settings = settings.model_copy(update={"blend": blend})
    sample = settings.data_folder / settings.data.sample_submission
    submit.blend_run(run, settings, sample, run / "submission.csv")
    submit.record_blend(run, settings, read_manifest(run))
    return run


def test_a_fitted_blend_is_fitted_again_from_the_recorded_predictions(
    fitted: Path, tmp_path: Path
) -> None:
    recorded = json.loads((fitted / "manifest.json").read_text())["content"]["blend"]
    assert recorded["method"] == "optimised"
    # What is beside the record is not asked.
    (fitted / "blend.json").write_text("{}")
    (fitted / "submission.csv").write_text("")
    settings = read_run_settings(fitted, None)
    found = verify_predictions(fitted, settings, ["a", "b"], tmp_path / "again")
    assert found.submission is found.blend is True
    assert (fitted / "blend.json").read_text() == "{}", "and nothing is written"

    # Of one member alone there is no blend to compare.
    assert verify_predictions(fitted, settings, ["a"], tmp_path / "again").blend is None


@pytest.mark.parametrize("what", ["weights", "temperature"])
def test_a_recorded_blend_that_the_fit_does_not_give_is_seen(
    fitted: Path, tmp_path: Path, what: str
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        blend = manifest["content"]["blend"]
        if what == "weights":
            # The smallest change that there is.
            blend["weights"]["a"] = float(np.nextafter(blend["weights"]["a"], 2))
        else:
            blend["temperature"] = 1.5

    tampered(fitted, change)
    found = verify_predictions(
        fitted, read_run_settings(fitted, None), ["a", "b"], tmp_path / "again"
    )
    assert all(row.same for row in found.comparisons)
    assert found.submission is True
    assert found.blend is False
    assert not found.same


def test_another_blend_is_seen_from_the_weights_alone(run: Path, tmp_path: Path) -> None:
    def reweigh(manifest: dict[str, Any]) -> None:
        manifest["content"]["settings"]["blend"]["weights"]["a"] = 3.0

    tampered(run, reweigh)
    found = verify_predictions(run, read_run_settings(run, None), ["a", "b"], tmp_path / "again")
    assert all(row.same for row in found.comparisons)
    assert found.submission is False
    assert not found.same


class Pickled:
    """Whoever loads it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def test_foreign_weights_are_refused_and_never_loaded(run: Path, tmp_path: Path) -> None:
    trap = tmp_path / "the pickle was loaded"
    weights = run / "members" / "a" / "weights.safetensors"
    torch.save(Pickled(trap), weights)

    def record(manifest: dict[str, Any]) -> None:
        files = record_member(weights.parent)["files"]
        manifest["content"]["members"]["a"]["files"] = files

    tampered(run, record)
    assert select_members(run, ["a"]) == ["a"]
    with pytest.raises(InputError, match="not a file of the format safetensors, and is not read"):
        verify_predictions(run, read_run_settings(run, None), ["a"], tmp_path / "again")
    assert not trap.exists()
    torch.load(weights.rename(tmp_path / "a.pth"), weights_only=False)
    assert trap.exists()  # the trap works
    save_file({"x": torch.zeros(1)}, weights)
    with pytest.raises(InputError, match="holds the weights of a different network"):
        verify_predictions(run, read_run_settings(run, None), ["a"], tmp_path / "again")


def test_weights_with_one_bit_changed_do_not_give_the_predictions(
    run: Path, tmp_path: Path
) -> None:
    path = run / "members" / "a" / "weights.safetensors"
    weights = load_file(path)
    # The last layer's: after a batch norm, a body's bit may be rounded away.
    name = [name for name in weights if weights[name].dim() == 2][-1]
    weights[name].view(torch.int32)[0, 0] ^= 1 << 22
    save_file(weights, path)
    found = verify_predictions(run, read_run_settings(run, None), ["a"], tmp_path / "again")
    assert [row.file for row in found.comparisons if not row.same] == ["valid.csv", "test.csv"]


def test_a_prediction_that_the_weights_do_not_give_is_seen(run: Path, tmp_path: Path) -> None:
    path = run / "members" / "a" / "test.csv"
    table = read_exact(path, dtype={"id": str})
    names = list(table.columns)
    table.columns = pd.Index([names[0], names[2], names[1], *names[3:]])  # two classes swapped
    table[names].to_csv(path, index=False)

    def record(manifest: dict[str, Any]) -> None:
        manifest["content"]["members"]["a"]["files"] = record_member(path.parent)["files"]

    tampered(run, record)
    assert select_members(run, ["a"]) == ["a"]
    found = verify_predictions(run, read_run_settings(run, None), ["a"], tmp_path / "again")
    assert [row.file for row in found.comparisons if not row.same] == ["test.csv"]


def test_a_file_that_was_changed_since_is_refused(run: Path) -> None:
    with (run / "members" / "b" / "valid.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(InputError, match="is not the file that was written"):
        select_members(run, [])
    assert select_members(run, ["a"]) == ["a"]


def test_unknown_members_and_folders_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no complete member c"):
        select_members(run, ["c"])
    with pytest.raises(InputError, match="is not a run: it has no manifest"):
        read_run_settings(tmp_path / "nothing", None)
    (run / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        read_run_settings(run, None)


def test_differences_of_environment_come_first(run: Path) -> None:
    def elsewhere(manifest: dict[str, Any]) -> None:
        manifest["content"]["environment"]["packages"]["torch"] = "1.0"
        manifest["content"]["environment"]["instruction_set"] = "VSX"
        manifest["beside"]["environment"]["driver"] = "570.1"

    tampered(run, elsewhere)
    found = {
        what: then for what, then, _ in compare_environments(run, read_run_settings(run, None))
    }
    assert found == {"packages.torch": "1.0", "instruction_set": "VSX", "driver": "570.1"}


def test_a_different_engine_is_told_with_its_version_and_commit(run: Path) -> None:
    def older(manifest: dict[str, Any]) -> None:
        manifest["beside"]["environment"]["code"] = "c" * 64
        manifest["beside"]["engine"] = {"version": "0.1.0", "commit": None}

    tampered(run, older)
    found = {
        what: (then, now)
        for what, then, now in compare_environments(run, read_run_settings(run, None))
    }
    assert found == {
        "code": ("c" * 64, code_digest()),
        "engine": ("0.1.0, commit unknown", describe_engine(read_engine())),
    }


def test_the_environments_of_members_that_were_trained_elsewhere_are_told_too(run: Path) -> None:
    def mixed(manifest: dict[str, Any]) -> None:
        own = {**manifest["content"]["environment"], "machine": "riscv"}
        manifest["content"]["members"]["a"]["environment"] = own
        manifest["content"]["members"]["b"]["environments"] = {"fold-2": {**own, "threads": 9}}

    tampered(run, mixed)
    found = {
        what: then for what, then, _ in compare_environments(run, read_run_settings(run, None))
    }
    assert found == {
        "a: machine": "riscv",
        "b/fold-2: machine": "riscv",
        "b/fold-2: threads": 9,
    }


@pytest.mark.slow  # three processes that each import for ten seconds
def test_the_command_verifies_shows_the_environment_and_names_what_differs(
    run: Path, twinrun: Command, tmp_path: Path
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["content"]["environment"]["packages"]["torch"] = "1.0"
        manifest["content"]["settings"]["members"]["a"]["mixup"] = 0.3

    good = twinrun("verify", run, "--predict-only", "b")
    assert good.returncode == 0, good.stderr
    assert "environment as recorded" in good.stdout
    assert "same bits: the predictions of 1 member" in good.stdout

    tampered(run, change)
    bad = twinrun("verify", run, "a")
    assert bad.returncode == 1
    assert "Traceback" not in bad.stderr
    assert "came out with different bits" in bad.stderr
    printed = " ".join(bad.stdout.split())
    assert printed.index("packages.torch") < printed.index("Verification")
    assert "members.a.mixup 0.4 0.3" in printed
    assert "first difference: mix, epoch 1, step 1 of 4" in printed
    assert (tmp_path / "runs" / "verify" / "full" / "verify.json").is_file()


@pytest.fixture
def command(run: Path, recorded: Path) -> Callable[..., str]:
    """A command of twinrun about the copied run; what it printed, in one line."""
    toml = recorded.parents[1] / "small.toml"
    network = "members.a.network=resnet18"

    def call(name: str, *words: object) -> str:
        options = ["--config", toml, "--out", run.parent, "--set", network, *words]
        done = CliRunner().invoke(app, [name, *map(str, options)])
        assert done.exit_code == 0, done.output
        return " ".join(done.output.split())

    return call


@pytest.mark.slow
def test_a_blend_that_a_command_chose_is_kept_by_run(
    command: Callable[..., str], run: Path
) -> None:
    by_settings = (run / "submission.csv").read_bytes()
    said = command("blend", "--method", "geometric")
    assert 'small.toml, [blend]: method = "geometric"' in said
    chosen = (run / "submission.csv").read_bytes()
    assert chosen != by_settings
    content = read_manifest(run)["content"]

    said = command("run")
    assert 'kept the blend that a command chose (method = "geometric"); back to that of' in said
    assert said.count("kept") == 1
    assert (run / "submission.csv").read_bytes() == chosen
    assert command("train").count("is complete already") == 2
    # Neither has put the settings' blend into the record of the one that is there.
    assert read_manifest(run)["content"] == content
    assert content["settings"]["blend"]["method"] == "geometric"


@pytest.mark.slow  # 2 s of one core
def test_a_blend_that_is_kept_is_verified_shown_and_taken_back_as_it_was_said(
    command: Callable[..., str], run: Path, tmp_path: Path
) -> None:
    by_settings = (run / "submission.csv").read_bytes()
    command("blend", "--method", "geometric")
    said = command("run")
    settings = read_run_settings(run, None)
    found = verify_predictions(run, settings, ["a", "b"], tmp_path / "again")
    assert found.submission is found.blend is True
    assert "method = &#34;geometric&#34;" in render(run)

    # As it said: back to the settings, and it stays so.
    back = said.partition("settings: ")[2].partition(" submission ")[0]
    words = shlex.split(back)
    assert words[:2] == ["twinrun", "blend"]
    assert CliRunner().invoke(app, words[1:]).exit_code == 0
    assert (run / "submission.csv").read_bytes() == by_settings
    assert read_manifest(run)["content"]["settings"]["blend"]["method"] == "arithmetic"
    assert "chose" not in command("run")
    assert (run / "submission.csv").read_bytes() == by_settings
    assert "chose" not in render(run)


@pytest.mark.slow  # 2 s of one core
def test_a_choice_that_is_dropped_is_said_with_the_reason(
    command: Callable[..., str], run: Path, tmp_path: Path
) -> None:
    by_settings = (run / "submission.csv").read_bytes()
    command("blend", "--set", "blend.calibrate=true", "--set", "blend.method=geometric")
    said = command("run", "--set", "blend.clamp=[0.0, 1.0]")
    assert 'dropped the blend that a command chose (method = "geometric", calibrate = true)' in said
    assert "this command chooses clamp = [0.0, 1.0]" in said
    assert (run / "submission.csv").read_bytes() == by_settings
    # That was a choice too.
    assert "kept the blend that a command chose (clamp = [0.0, 1.0])" in command("run")
