"""The twin check: it says "same" of the same, and each break of sameness makes it say no."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.conftest import FIXTURE, Command
from tests.layouts import draw, lay_out
from tests.run_folder.documents import record_member
from twinrun.compare.member_files import compare_members
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.errors import InputError
from twinrun.repro.ledger import Ledger
from twinrun.twins import twins as twins_module
from twinrun.twins.perturbations import (
    PERTURBATIONS,
    Perturbation,
    SecondTwin,
    choose_perturbations,
    copy_data,
)
from twinrun.twins.processes import TwinProcess
from twinrun.twins.twins import TwinsVerdict, one_member_of_each_network, run_twins

# Python imports this file when it starts: the engine's generators are then seeded by the clock.
UNSEEDED = """
from twinrun.repro import keys

def unseeded(key):
    import os, random, numpy, torch
    random.seed(os.urandom(8))
    numpy.random.seed(int.from_bytes(os.urandom(4), "big"))
    torch.manual_seed(int.from_bytes(os.urandom(7), "big"))

keys.Key.seed_generators = unseeded
"""


# `nox -s reproducibility` does it for the fixture's three networks.
@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [[], ['recipe.augment="heavy"', "recipe.cutmix_probability=0.5"]]
)
def test_twins_have_the_same_bits_under_every_perturbation_and_another_seed_has_not(
    twinrun: Command, small_toml: Path, tmp_path: Path, changes: list[str]
) -> None:
    asked = [part for change in changes for part in ("--set", change)]
    answer = twinrun("twins", "a", "--config", small_toml, *asked)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    assert "same bits" in answer.stdout.splitlines()[-1]
    assert "second killed mid-epoch (SIGKILL), resumes" in answer.stdout
    assert "second run: killed mid-epoch (SIGKILL), then resumed" in answer.stdout
    folder = tmp_path / "runs" / "twins"
    verdict = json.loads((folder / "twins.json").read_text())
    assert verdict["same"]
    assert verdict["control_differs"]
    assert verdict["perturbations"] == PERTURBATIONS.names
    assert [row["file"] for row in verdict["comparisons"]] == [
        "valid.csv",
        "test.csv",
        "weights.safetensors",
    ]
    assert verdict["ledgers"]["a"]["agreed"] > 100
    # The second twin really had another life.
    first, second = (
        json.loads((folder / name / "manifest.json").read_text())["beside"]
        for name in ("first", "second")
    )
    assert first["environment"]["hash_seed"] != second["environment"]["hash_seed"]
    assert first["environment"]["workers"] != second["environment"]["workers"]
    first, second = (
        json.loads((folder / name / "local.json").read_text()) for name in ("first", "second")
    )
    assert first["data_folder"] != second["data_folder"]
    assert Path(first["cache"]) == tmp_path / "runs" / "cache"
    assert Path(second["cache"]).parent == folder
    assert not list(folder.glob(".data-*"))
    assert not list(folder.glob(".cache-*"))


@pytest.mark.slow  # seven processes that each import for ten seconds
def test_a_training_that_forgets_its_seed_is_found_out_and_the_culprit_named(
    twinrun: Command, small_toml: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(UNSEEDED)
    words = ("twins", "a", "--config", small_toml, "--set", "recipe.network=resnet18")
    answer = twinrun(*words, "--perturb", "none", PYTHONPATH=str(tmp_path))
    assert answer.returncode == 1
    assert "the twins differ" in answer.stderr
    printed = " ".join(answer.stdout.split())
    assert "numbers differ, by up to" in printed
    assert "first difference: init, before training" in printed
    assert "Body and head began with different weights" in printed
    # The replay counts the values that differ: of the convolutions, and of the last layer, all do
    # but a few, as of some ten million numbers of 24 bits one or two come out equal by chance.
    again = printed.partition("made again, differs first in init")[2]
    told = r"values ([\d,]+) of ([\d,]+) values differ, by up to .+ \(farthest: "
    values = re.search(told, again)
    assert values is not None
    differing, of = (int(number.replace(",", "")) for number in values.groups())
    assert of > 10_000_000
    assert of - differing < 20


def test_an_unknown_perturbation_is_refused_with_the_nearest_name(
    invoke: Command, small_toml: Path
) -> None:
    answer = invoke("twins", "a", "--config", small_toml, "--perturb", "worker")
    assert answer.returncode == 2
    assert "--perturb: there is no perturbation 'worker'; did you mean 'workers'?" in answer.stderr
    assert ", ".join(PERTURBATIONS.names) in answer.stderr


def test_the_copy_of_the_data_has_the_same_files_with_other_times(tmp_path: Path) -> None:
    copy_data(FIXTURE, tmp_path / "copy")
    for path in FIXTURE.rglob("*"):
        twin = tmp_path / "copy" / path.relative_to(FIXTURE)
        if path.is_file():
            assert twin.read_bytes() == path.read_bytes()
            assert twin.stat().st_mtime != path.stat().st_mtime


def test_a_copy_of_the_data_that_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = SimpleNamespace(free=1 << 20)
    monkeypatch.setattr("twinrun.twins.perturbations.shutil.disk_usage", lambda _: full)
    with pytest.raises(InputError, match="no space for a copy of the data"):
        copy_data(FIXTURE, tmp_path / "copy")


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A run folder as two members leave it, with invented numbers."""
    folder = tmp_path / "trained"
    for name in ("a", "b"):
        member = folder / "members" / name
        member.mkdir(parents=True)
        (member / "valid.csv").write_text("id,label,x,y\n1,x,0.25,0.75\n")
        (member / "test.csv").write_text("id,x,y\n2,0.5,0.5\n")
        save_file({"w": np.zeros((2, 2), np.float32)}, member / "weights.safetensors")
        settings = {"member": {"name": name}}
        about = {"level": "step", "settings": settings, "environment": {}, "code": "", "steps": 1}
        Ledger(about).write(member / "ledger.parquet")
        record_member(member)
    return folder


def copy_of(trained: Path, name: str) -> Path:
    return Path(shutil.copytree(trained, trained.with_name(name)))


def test_equal_files_are_the_same(trained: Path) -> None:
    rows = compare_members(trained, copy_of(trained, "other"), ["a", "b"])
    assert len(rows) == 6
    assert all(row.same and not row.difference for row in rows)


def test_a_flipped_bit_of_the_weights_is_seen(trained: Path) -> None:
    other = copy_of(trained, "other")
    path = other / "members" / "b" / "weights.safetensors"
    weights = load_file(path)
    weights["w"][1, 0] = -0.0  # equal as a number, another bit
    save_file(weights, path)
    rows = compare_members(trained, other, ["a", "b"])
    assert [(row.member, row.file) for row in rows if not row.same] == [
        ("b", "weights.safetensors")
    ]
    assert rows[-1].difference == "1 of 4 numbers differ, by up to 0"


@pytest.mark.parametrize(
    ("text", "difference"),
    [
        ("id,x,y\n2,0.5,0.50000006\n", "1 of 2 numbers differ, by up to 5.96e-08"),
        ("id,x,y\n3,0.5,0.5\n", "different ids or names"),
        ("id,x,y\n2,0.50,0.5\n", "the same numbers, written or ordered differently"),
    ],
)
def test_a_changed_prediction_is_seen_and_named(trained: Path, text: str, difference: str) -> None:
    other = copy_of(trained, "other")
    (other / "members" / "a" / "test.csv").write_text(text)
    rows = compare_members(trained, other, ["a"])
    assert [row.difference for row in rows if not row.same] == [difference]


def test_the_control_fails_when_another_seed_changes_nothing(
    trained: Path, small_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ignores_the_seed(trainings: Sequence[TwinProcess], *, side_by_side: int) -> bool:
        for training in trainings:
            shutil.copytree(trained, training.run)
        return False

    monkeypatch.setattr(twins_module, "train_all", ignores_the_seed)
    verdict = run_twins(read_settings(small_toml), ["a"], [], tmp_path / "twins", [])
    assert verdict.same
    assert not verdict.control_differs


class Nothing(Perturbation):
    name = "nothing"
    words = "a change that nobody makes"

    def apply(self, twin: SecondTwin) -> None:
        """Leave the twin as it is."""


class Again(Perturbation):
    name = "again"
    words = "the number of workers once more"

    def apply(self, twin: SecondTwin) -> None:
        twin.set_setting("run.workers", 1)


class Killed(Perturbation):
    name = "killed"
    words = "a SIGKILL from outside"

    def apply(self, twin: SecondTwin) -> None:
        twin.kill_mid_epoch()


class Twins:
    """`run_twins` with trainings that are copied in place of trained.

    Attributes:
        started: What was to be trained.
        killed: Whether the second twin is said to have been killed.
    """

    def __init__(self, trained: Path, settings: Settings, folder: Path) -> None:
        self.trained, self.settings, self.folder = trained, settings, folder
        self.started: list[TwinProcess] = []
        self.killed = False

    def train(self, trainings: Sequence[TwinProcess], *, side_by_side: int) -> bool:
        self.started = list(trainings)
        for training in trainings:
            shutil.copytree(self.trained, training.run, dirs_exist_ok=True)
        return self.killed

    def verdict(self, *chosen: Perturbation) -> TwinsVerdict:
        return run_twins(self.settings, ["a"], [], self.folder, chosen)

    def recorded(self) -> list[str]:
        names: list[str] = json.loads((self.folder / "twins.json").read_text())["perturbations"]
        return names


@pytest.fixture
def twins(
    trained: Path, small_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Twins:
    made = Twins(trained, read_settings(small_toml), tmp_path / "twins")
    monkeypatch.setattr(twins_module, "train_all", made.train)
    return made


def test_chosen_perturbations_and_no_others_are_applied(twins: Twins, tmp_path: Path) -> None:
    verdict = twins.verdict(*choose_perturbations(["kill", "workers", "cache", "hash-seed"]))
    # Nobody was killed, and that is reported.
    assert verdict.perturbations == ["hash-seed", "workers", "cache"] == twins.recorded()
    first, second, _ = twins.started
    assert (first.environment, second.environment) == (
        {"PYTHONHASHSEED": "1"},
        {"PYTHONHASHSEED": "2"},
    )
    # One cache for all of them, beside the runs: a warm one is no perturbation.
    warm = ["a", "--set", f"run.cache={tmp_path / 'cache'}", "--quiet"]
    *others, cold = second.arguments
    assert others == [*warm, "--set", "run.workers=2", "--set"]
    assert cold.startswith(f"run.cache={twins.folder / '.cache-'}")
    assert second.working_folder is None
    assert second.kill == twins.folder / "second" / "members"

    assert twins.verdict(*choose_perturbations(["none"])).perturbations == []
    first, untouched, _ = twins.started
    assert untouched.environment == first.environment
    assert list(untouched.arguments) == warm
    assert untouched.kill is None


@pytest.mark.parametrize("entry", PERTURBATIONS, ids=lambda entry: entry.name)
def test_each_perturbation_changes_the_second_twin_and_is_recorded(
    twins: Twins, entry: Perturbation
) -> None:
    twins.killed = True
    assert twins.verdict(entry).perturbations == [entry.name] == twins.recorded()
    first, second, _ = twins.started
    plain = TwinProcess(second.run, (*first.arguments, "--quiet"), first.environment)
    assert second != plain


def test_what_nothing_carries_out_is_refused_and_not_recorded(twins: Twins) -> None:
    with (
        PERTURBATIONS.including(Nothing()) as entry,
        pytest.raises(InputError, match="perturbation 'nothing' changes nothing"),
    ):
        twins.verdict(*choose_perturbations(["workers", entry.name]))
    assert not twins.started
    assert not (twins.folder / "twins.json").exists()


def test_two_that_change_the_same_thing_are_refused(twins: Twins) -> None:
    with pytest.raises(InputError, match=r"two perturbations change run\.workers"):
        twins.verdict(PERTURBATIONS.get("workers"), Again())
    assert not twins.started


@pytest.mark.parametrize("killed", [True, False])
def test_whoever_asks_for_the_kill_is_recorded_when_there_was_one(
    twins: Twins, killed: bool
) -> None:
    twins.killed = killed
    recorded = ["workers", "killed"] if killed else ["workers"]
    assert twins.verdict(PERTURBATIONS.get("workers"), Killed()).perturbations == recorded


def test_twins_without_data_are_refused_before_anything_starts(
    invoke: Command, small_toml: Path, tmp_path: Path
) -> None:
    verdict = tmp_path / "runs" / "twins" / "twins.json"
    verdict.parent.mkdir(parents=True)
    verdict.touch()
    answer = invoke("twins", "--config", small_toml, "--data", tmp_path / "nowhere")
    assert answer.returncode == 2
    assert f"no data folder: {tmp_path / 'nowhere'} (--data)" in answer.stderr
    assert verdict.is_file(), "an earlier verdict is not lost by a mistake"


@pytest.mark.slow  # two processes that each import for seconds
def test_a_twin_that_fails_is_an_error_and_no_verdict(
    twinrun: Command, small_toml: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    answer = twinrun("twins", "--config", small_toml, "--data", tmp_path / "empty")
    assert answer.returncode == 2
    assert f"no folder {tmp_path / 'empty' / 'train'}" in answer.stderr
    assert "ended with exit code 2 before there was anything to compare" in answer.stderr
    assert not (tmp_path / "runs" / "twins" / "twins.json").exists()


def test_one_member_of_each_network_is_taken() -> None:
    settings = read_settings(profile="fixture")
    assert one_member_of_each_network(settings) == ["M27g", "M26c", "M27a"]


def test_an_unknown_member_is_refused_before_anything_is_trained(small_toml: Path) -> None:
    with pytest.raises(InputError, match="there is no member 'c'"):
        read_settings(small_toml).refuse_unknown_members(["a", "c"])


def test_a_table_beside_the_data_is_not_looked_for_beside_the_copy(
    small_toml: Path, tmp_path: Path
) -> None:
    laid = lay_out("table elsewhere", tmp_path / "data", *draw(tmp_path / "set"))
    changes = ["data.layout=table", "data.labels='../data tables/mine.csv'"]
    settings = read_settings(small_toml, data=laid.folder, changes=changes)
    assert settings.table_folders() == {"labels_folder": str(tmp_path / "data tables")}
    with ExitStack() as stack:
        twin = SecondTwin(settings, [], tmp_path / "runs" / "second", stack)
        twin.run.parent.mkdir()
        PERTURBATIONS.get("data").apply(twin)
        options = dict(zip(*[iter(twin.process().arguments)] * 2, strict=True))
        assert options["--set"] == f"data.labels={laid.labels}"
        second = read_settings(
            small_toml, data=Path(options["--data"]), changes=[*changes, options["--set"]]
        )
    assert second.data.labels_path(second.data_folder) == laid.labels
