"""A package of a run that was made with own code: it holds the code, and verifies with consent."""

from __future__ import annotations

import shutil
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from tests.conftest import FIXTURE, SMALL, Command
from tests.package.packing import commit, committed_source, repacked
from tests.run_folder.documents import edited
from twinrun import prepare, submit, train_run
from twinrun.config.reading import read_settings
from twinrun.errors import NegativeVerdict
from twinrun.package.hosts import HOSTS
from twinrun.package.package import make_package
from twinrun.verify.confine import find_way

HOOKS = """
from pathlib import Path

import numpy as np
from channels import alone

SHARE = float((Path(__file__).parent / "share.txt").read_text())


def after_predictions(table):
    table.iloc[:, 1:] = (1 - SHARE) * table.iloc[:, 1:] + SHARE / 3
    return table


def read_image(path):
    return alone(path, 1)
"""
CHANNELS = """
import numpy as np
from PIL import Image


def alone(path, channel):
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return np.repeat(pixels[..., channel, None], 3, axis=2)
"""
ONE = SMALL.replace("[members.b]\nmixup = 0.0\n", "").replace(", b = 1.0", "")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with own code, and a run of it in runs/full."""
    folder = committed_source(tmp_path_factory.mktemp("own") / "project")
    own = folder / "competition"
    (own / "hooks.py").write_text(HOOKS)
    (own / "channels.py").write_text(CHANNELS)
    (own / "share.txt").write_text("0.25\n")
    (own / "local.toml").write_text(f"[data]\nfolder = {FIXTURE.as_posix()!r}\n")
    (own / "competition.toml").write_text(ONE.format(folder="../data"))
    commit(folder)
    settings = read_settings(own / "competition.toml")
    started = time.perf_counter()
    prepared = prepare.prepare(settings, folder / "runs" / "full")
    train_run.train(prepared, ["a"], started)
    submit.blend_run(
        prepared.folder, settings, prepared.sample_path, prepared.folder / "submission.csv"
    )
    prepare.keep_record(prepared, started)
    return folder


@pytest.fixture
def package(project: Path, tmp_path: Path) -> Path:
    made = tmp_path / "own.zip"
    make_package(project / "runs" / "full", HOSTS.get("kaggle"), made, force=False, project=project)
    return made


@pytest.mark.skipif(find_way() is None, reason="nothing confines a process here")
def test_it_holds_the_code_and_runs_it_with_consent_alone(
    package: Path, tmp_path: Path, invoke: Command
) -> None:
    with zipfile.ZipFile(package) as archive:
        names = set(archive.namelist())
    assert {f"code/competition/{name}" for name in ("hooks.py", "channels.py", "share.txt")} < names
    assert "code/competition/local.toml" not in names
    options = ("--data", FIXTURE, "--out", tmp_path / "out", "--this-environment")
    refused = invoke("verify", package, *options)
    assert refused.returncode == 2
    assert "- competition/hooks.py" in refused.stdout
    assert "nobody agreed to it" in refused.stderr
    done = invoke("verify", package, *options, "--trust")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("same bits: ")
    # The check can fail: with another share the submission is another one.
    other = {"code/competition/share.txt": b"0.5\n"}
    changed = invoke("verify", repacked(package, tmp_path / "x.zip", other), *options, "--trust")
    assert changed.returncode == 1
    assert "does not come out the same" in changed.stderr


def test_code_that_was_edited_since_or_is_not_known_to_git_is_not_packaged(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(project, tmp_path / "project"))
    monkeypatch.chdir(folder)
    hooks = folder / "competition" / "hooks.py"
    run = Path(shutil.copytree(folder / "runs" / "full", tmp_path / "runs" / "full"))
    edited(run / "local.json", "config", value=str(hooks.with_name("competition.toml")))
    hooks.write_text(HOOKS.replace("SHARE / 3", "SHARE / 3.0"))
    (folder / ".gitignore").write_text("/runs/\n/competition/local.toml\n/competition/share.txt\n")
    commit(folder)
    subprocess.run(["git", "rm", "-q", "--cached", "competition/share.txt"], cwd=folder, check=True)
    commit(folder)
    with pytest.raises(NegativeVerdict) as refused:
        make_package(run, HOSTS.get("kaggle"), tmp_path / "y.zip", force=False, project=folder)
    told = "is not what the run was made with: bring it back, or run again"
    assert refused.value.details == (
        f"hooks.py: after_predictions {told}",
        "competition/share.txt: hooks.py reaches it, and git does not know it",
    )
