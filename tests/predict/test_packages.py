"""Packages predict new images: by this engine where it is theirs, and by no other unasked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import FIXTURE, ROOT, SMALL, Command
from tests.package.packing import committed_source, repacked
from tests.predict.test_predict import SAMPLE, TEST, refused
from tests.run_folder.documents import edited
from twinrun.hooks.own_code import read_own_code
from twinrun.package.hosts import HOSTS
from twinrun.package.package import make_package


@pytest.fixture(scope="module")
def package(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    package = folder / "full-kaggle.zip"
    source = committed_source(folder / "source")
    make_package(recorded, HOSTS.get("kaggle"), package, force=False, project=source)
    return package


def test_a_package_predicts_what_its_run_did(
    recorded: Path, package: Path, invoke: Command, tmp_path: Path
) -> None:
    done = invoke("predict", package, "--images", TEST, "--sample", SAMPLE)
    assert done.returncode == 0, done.stderr
    assert "its engine is this one, no code of it runs" in done.stdout
    assert (tmp_path / "submission.csv").read_bytes() == (recorded / "submission.csv").read_bytes()
    command = ("verify", "submission.predictions.json", "--of", package, "--images", TEST)
    assert invoke(*command, "--sample", SAMPLE).returncode == 0


def test_a_package_of_another_engine_is_refused_and_none_of_its_code_runs(
    package: Path, invoke: Command, tmp_path: Path
) -> None:
    main = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    changes = {f"code/twinrun/{name}.py": main.encode() for name in ("__init__", "__main__")}
    other = repacked(package, tmp_path / "other.zip", changes)
    done = invoke("predict", other, "--images", TEST)
    refused(done, "the package's own code was not run: nobody agreed to it")
    assert "engine twinrun/, source " in done.stdout
    assert not (tmp_path / "ran").exists()
    (tmp_path / "no.zip").write_bytes(b"no zip")
    refused(invoke("predict", "no.zip", "--images", TEST), "not a whole zip file")
    refused(invoke("predict", "gone.zip", "--images", TEST), "no such run or package")


def test_no_hooks_are_imported_for_a_package(
    recorded: Path, package: Path, invoke: Command, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w')\n\ndef read_image(path):\n    return None\n"
    for folder in (tmp_path, tmp_path / "competition"):
        folder.mkdir(exist_ok=True)
        (folder / "hooks.py").write_text(code)
        shutil.copy(ROOT / "competition" / "competition.toml", folder)
    # What lies in the working folder is no part of the run.
    done = invoke("predict", package, "--images", TEST, "--sample", SAMPLE)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "submission.csv").read_bytes() == (recorded / "submission.csv").read_bytes()
    # Nor is the package's own run, though it is what the run was made with.
    (tmp_path / "competition.toml").write_text(SMALL.format(folder=FIXTURE.as_posix()))
    run = Path(shutil.copytree(recorded, tmp_path / "runs" / "full"))
    digests = read_own_code(tmp_path / "competition.toml").digests("pixels", {})
    edited(run / "manifest.json", "content", "hooks", value=digests)
    changes = {
        "run/manifest.json": (run / "manifest.json").read_bytes(),
        "code/competition/hooks.py": code.encode(),
    }
    own = repacked(package, tmp_path / "own.zip", changes)
    refusal = invoke("predict", own, "--images", TEST, "--output", "other.csv")
    refused(refusal, "the package's own code was not run: nobody agreed to it")
    assert "- competition/hooks.py" in refusal.stdout
    assert not ran.exists()
    assert not (tmp_path / "other.csv").exists()


@pytest.mark.slow
def test_kaggles_script_predicts_a_new_test_set(
    recorded: Path, package: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    settings = json.loads((folder / "SETTINGS.json").read_text())
    assert settings["TEST_DATA_DIRS"] == ["data/test"]
    settings |= {"TEST_DATA_DIRS": [str(TEST)], "SAMPLE_SUBMISSION": str(SAMPLE)}
    (folder / "SETTINGS.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "predict.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    output = folder / "output" / "submission.csv"
    assert output.read_bytes() == (recorded / "submission.csv").read_bytes()
    assert str(ROOT) not in done.stdout
