"""A pipe, a socket or a device in place of a file that a command reads: refused at once.

For the files of a run see tests/run_folder/test_damage.py.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.carrying import COMMAND, carry_out
from tests.conftest import FIXTURE, SMALL
from tests.in_time import in_time
from tests.test_plain_files import endless, pipe, tied_socket

IMAGE = "data/train/leaf_rust/l0.jpg"
SAMPLE = "data/sample_submission.csv"
TOML = "competition/competition.toml"
TRAININGS = ("audit", "run", "train")
OTHERS = (tied_socket, endless)
TWINS = "twins --perturb none-such"
ONE_PROBABILITY = "submission_columns=the last class's probability"
# Each file that a command may read by its name, with the commands; {} is it.
NAMED = {
    TOML: [*TRAININGS, "blend", "validate x.csv", "cache", TWINS],
    "competition/local.toml": [*TRAININGS, "blend", "cache", TWINS],
    "competition/hooks.py": [*TRAININGS, TWINS, "check"],
    # A single probability is none of three classes, which is found after the look at the images.
    IMAGE: [*TRAININGS, f'init new --data data --yes --answer "{ONE_PROBABILITY}"'],
    SAMPLE: ["run", "train", "validate x.csv", "init new --data data --yes"],
    "data/labels.csv": [f"{each} --set data.layout=table" for each in TRAININGS],
    "given": [
        *(f"{each} --config {{}}" for each in (*TRAININGS, "blend", "cache", TWINS)),
        *(f"{each} --data {{}}" for each in TRAININGS),
        "init new --data {} --yes",
        "blend {}=1 --output x.csv",
        f"blend {SAMPLE}=1 --output x.csv --sample {{}}",
        "validate {}",
        f"validate {SAMPLE} --sample {{}}",
        "predict {} --images data/test",
        "verify {} --data data",
        "verify {}",
        "report {}",
        "export {}",
        "package {} --for zindi",
        "diff {} {}",
        *(f"{each} --out {{}}" for each in (*TRAININGS, "blend")),
        f"blend {SAMPLE}=1 --output {{}}",
    ],
    "runs/full/.lock": ["blend", "audit"],
    "runs/full/members/a/.lock": ["train a"],
    "runs/cache": ["audit"],
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two images of each class."""
    place = tmp_path_factory.mktemp("prepared")
    (place / "competition").mkdir()
    (place / TOML).write_text(SMALL.format(folder="../data"), encoding="utf-8")
    for part in ("train/leaf_rust", "train/stem_rust", "train/healthy_wheat", "test"):
        (place / "data" / part).mkdir(parents=True)
        photos = sorted(path for path in (FIXTURE / part).iterdir() if path.suffix == ".jpg")
        for photo, name in zip(photos, ("0", "1"), strict=False):
            mark = part.partition("/")[2][:1]
            shutil.copyfile(photo, place / "data" / part / f"{mark}{name}.jpg")
    rows = ["ID,leaf_rust,stem_rust,healthy_wheat", "0,0.5,0.25,0.25", "1,0.5,0.25,0.25"]
    (place / SAMPLE).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return place


@pytest.fixture
def project(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(prepared, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.mark.parametrize("make", [pipe, *(pytest.param(m, marks=pytest.mark.slow) for m in OTHERS)])
@pytest.mark.parametrize(("file", "command"), [(f, c) for f, each in NAMED.items() for c in each])
def test_it_is_refused_at_once(
    project: Path, file: str, command: str, make: Callable[[Path], None]
) -> None:
    path = project / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)
    before = sorted(project.rglob("*"))
    with in_time():
        code, told = carry_out(shlex.split(command.replace("{}", file)))
    # Of an image the audit says it as it says what else is wrong with one.
    finding = command == "audit" and file == IMAGE
    assert code == (1 if finding else 2), told
    assert Path(file).name in told or "/dev/zero" in told
    assert "Traceback" not in told
    assert not path.is_file()
    kept = {*before, *([project / "runs" / "full" / "audit.json"] if finding else [])}
    made = {each for each in project.rglob("*") if each not in kept}
    # Images are decoded before a lock or a folder is come to.
    assert not [each for each in made if each.is_file() and "cache" not in each.parts], told


def test_every_command_that_reads_files_is_tried() -> None:
    tried = {command.split()[0] for commands in NAMED.values() for command in commands}
    assert tried == set(COMMAND.commands)
