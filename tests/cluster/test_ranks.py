"""One member in several processes: the same bits for the same number of them, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.cluster.forking import Ended, Forked, Interruption
from tests.conftest import ROOT
from tests.exact import read_exact
from tests.kills.sameness import differing, left_over, record
from tests.kills.small import write_competition
from twinrun.compare.runs import compare_runs
from twinrun.process import process_variables
from twinrun.repro.ledger import Ledger

# The process that forks them, and the first run, are shared by the tests of this file.
pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ranks")]

# Three steps in an epoch; seven images are no even batch to predict.
RECIPE = (
    "recipe.batch_size=6",
    "recipe.prediction_batch_size=5",
    "recipe.epochs.unfrozen=2",
    "recipe.class_weights='balanced'",
    "recipe.accumulate=2",
    "recipe.clip=1.0",
)
OFTEN = "run.checkpoint_seconds=1e-9"
MID_EPOCH = "runs/{}/members/a/checkpoint/epoch-0001-step-000001-*"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    config = write_competition(folder)
    text = config.read_text(encoding="utf-8").replace("[members.b]\nmixup = 0.0\n", "")
    config.write_text(text.replace("a = 2.0, b = 1.0", "a = 1.0"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def forked(folder: Path) -> Iterator[Forked]:
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    forked = Forked(folder)
    yield forked
    forked.close()


def options(run: str, *changes: str) -> list[str]:
    given = ["--config", "small.toml", "--run", run]
    return given + [part for change in (*RECIPE, *changes) for part in ("--set", change)]


def train(
    forked: Forked,
    run: str,
    *changes: str,
    ranks: int = 2,
    interruption: Interruption | None = None,
) -> Ended:
    return forked.run("train", "a", *options(run, *changes), ranks=ranks, interruption=interruption)


def member(folder: Path, run: str) -> Path:
    return folder / "runs" / run / "members" / "a"


@pytest.fixture(scope="module")
def two(forked: Forked, folder: Path) -> Path:
    """The member of a whole run in two ranks."""
    ended = forked.run("run", *options("two"))
    assert ended.codes == [0, 0], ended.said
    # The second one is silent.
    assert ended.output[1] == ""
    assert (folder / "runs" / "two" / "submission.csv").is_file()
    assert left_over(folder / "runs" / "two") == []
    return member(folder, "two")


def test_two_runs_of_two_ranks_have_the_same_bits(forked: Forked, folder: Path, two: Path) -> None:
    ended = train(forked, "again")
    assert ended.codes == [0, 0], ended.said
    assert differing(two, member(folder, "again")) == []


def test_another_seed_has_other_bits_and_the_finest_ledger_the_same(
    forked: Forked, folder: Path, two: Path
) -> None:
    assert train(forked, "seed", "run.seed=1").codes == [0, 0]
    found = differing(two, member(folder, "seed"))
    assert {"weights.safetensors", "valid.csv", "test.csv", "ledger", "history"} <= set(found)
    assert train(forked, "fine", "run.ledger='tensor'").codes == [0, 0]
    fine = member(folder, "fine")
    assert differing(two, fine) == ["ledger"]
    assert compare_runs(two, fine).same
    # Images and modules of the second rank are named with it.
    whats = Ledger.read(fine / "ledger.parquet").rows()["what"].unique().to_pylist()
    assert "model (Network)" in whats
    assert "rank 1: model (Network)" in whats


def test_the_scores_are_of_all_images_each_once(two: Path) -> None:
    valid = read_exact(two / "valid.csv", dtype={"id": str})
    assert len(set(valid["id"])) == len(valid) == record(two)["images"]["valid"]
    truth = [row[row["label"]] for _, row in valid.iterrows()]
    history = read_exact(two / "history.csv")
    assert -np.log(truth).mean() == pytest.approx(history["valid_loss"].iloc[-1], rel=1e-5)


def test_one_rank_differs_in_the_environment_and_its_member_is_refused_for_two(
    forked: Forked, folder: Path, two: Path
) -> None:
    assert train(forked, "one", ranks=1).codes == [0]
    told = forked.run("diff", "runs/one", "runs/two", ranks=1)
    assert told.codes == [1]
    assert "first difference: environment: ranks, ranks_backend" in told.said
    # The order is drawn as ever; what each rank works on is another part of the batch.
    assert "then      item, epoch 1, step 1" in told.said
    before = member(folder, "one").joinpath("member.json").read_bytes()
    ended = train(forked, "one")
    assert ended.codes == [2, 2]
    assert ended.said.count("error:") == 1
    assert "environment.ranks: 1 then, 2 now" in ended.said
    assert member(folder, "one").joinpath("member.json").read_bytes() == before


def test_three_ranks_that_were_killed_go_on_to_the_same_bits(forked: Forked, folder: Path) -> None:
    # Three: the sum of two numbers has no order.
    averaged = "recipe.ema.decay=0.8"
    assert train(forked, "three", averaged, ranks=3).codes == [0] * 3
    kill = Interruption(MID_EPOCH.format("killed"), signal.SIGKILL, (0, 1, 2))
    ended = train(forked, "killed", OFTEN, averaged, ranks=3, interruption=kill)
    assert ended.codes == [-9] * 3
    ended = train(forked, "killed", averaged, ranks=3)
    assert ended.codes == [0] * 3, ended.said
    assert "resumes from its checkpoint: in epoch 2 of 3, after step" in ended.said
    assert differing(member(folder, "three"), member(folder, "killed")) == []


def test_a_stop_that_one_rank_hears_is_met_by_all_after_the_same_step(
    forked: Forked, folder: Path, two: Path
) -> None:
    stop = Interruption(MID_EPOCH.format("stopped"), signal.SIGTERM, (1,))
    ended = train(forked, "stopped", OFTEN, interruption=stop)
    assert ended.codes == [2, 2], ended.said
    assert ended.said.count("error: stopped a in epoch") == ended.said.count("error:") == 1
    assert "its checkpoint is written" in ended.said
    ended = train(forked, "stopped")
    assert ended.codes == [0, 0], ended.said
    assert differing(two, member(folder, "stopped")) == []


def test_a_rank_that_is_gone_is_missed_by_the_others(forked: Forked, folder: Path) -> None:
    gone = Interruption(MID_EPOCH.format("gone"), signal.SIGKILL, (0,))
    ended = train(forked, "gone", OFTEN, interruption=gone)
    assert ended.codes == [-9, 2]
    assert "Traceback" not in ended.said
    assert ended.said.count("error:") == 1


def test_mistakes_are_said_once(forked: Forked) -> None:
    uneven = train(forked, "uneven", "recipe.batch_size=7")
    assert uneven.codes == [2, 2]
    assert uneven.said.count("error:") == 1
    assert "a: batch_size = 7; set it to 6 or 8" in uneven.said
    unknown = train(forked, "unknown", "recipe.batch_sze=6")
    assert unknown.codes == [2, 2]
    assert unknown.said.count("error:") == 1
    ray = forked.run("run", "--ray", "auto", *options("uneven"))
    assert "--ray is not for several ranks" in ray.said
    assert ray.said.count("error:") == 1
    for command in ("twins", "audit"):
        refused = forked.run(command, "--config", "small.toml")
        assert refused.codes[0] == 2  # the others may be ended before they have begun
        assert refused.said.count("error:") == 1
        assert f"twinrun {command} is not for several ranks" in refused.said


def test_torchrun_starts_them_and_its_sigterm_is_met(
    forked: Forked, folder: Path, two: Path
) -> None:
    launcher = ["-m", "tests.cluster.loopback_torchrun", "--standalone", "--local-addr=127.0.0.1"]
    command = [sys.executable, *launcher, "--nproc-per-node=2", "-m", "--", "twinrun"]
    changes = [*options("torchrun", OFTEN), "--out", str(folder / "runs")]
    changes[1] = str(folder / "small.toml")
    process = subprocess.Popen(
        [*command, "train", "a", *changes],
        cwd=ROOT,
        env={**os.environ, **process_variables(), "GLOO_SOCKET_IFNAME": "lo"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while process.poll() is None and not list(folder.glob(MID_EPOCH.format("torchrun"))):
        time.sleep(0.01)
    process.terminate()
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 1, said  # torchrun's own
    assert said.count("error: stopped a in epoch 2 of 3") == said.count("error:") == 1
    assert train(forked, "torchrun").codes == [0, 0]
    assert differing(two, member(folder, "torchrun")) == []
