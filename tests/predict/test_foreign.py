"""A package's own code predicts new images: who agrees, what it sees, what is taken of it.

Its engine is a folder of a few lines, and its run is one that nobody trained.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.conftest import Command
from tests.package.packing import thin_package, with_engine
from tests.predict.test_predict import SAMPLE, TEST, refused
from twinrun.cli import consent
from twinrun.verify.confine import find_way

pytestmark = pytest.mark.skipif(find_way() is None, reason="nothing confines a process here")

PREDICTS = """
import os, pathlib, sys
words = sys.argv[1:]
given = {word: words[place + 1] for place, word in enumerate(words) if word.startswith("--")}
output = pathlib.Path(given["--output"])
images = pathlib.Path(given["--images"])
print("sees", len(list(images.parent.rglob("*.*"))), "and", os.listdir(os.path.expanduser("~")))
output.write_text("id,x\\n1,0.5\\n")
name = output.with_suffix(".predictions.json").name
record = output.with_name(name.replace("predictions.predictions", "predictions"))
record.write_text("{}")
"""


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return thin_package(tmp_path_factory.mktemp("honest"))


@pytest.fixture
def predict(honest: Path, invoke: Command, tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    def carry_out(main: str, *options: object, images: Path = TEST) -> CompletedProcess[str]:
        package = with_engine(honest, tmp_path / "theirs.zip", "", main)
        words = ("predict", package, "--images", images, "--this-environment", *options)
        return invoke(*words, COLUMNS="200")

    return carry_out


def test_it_predicts_where_somebody_agreed_and_sees_the_images_alone(
    predict: Callable[..., CompletedProcess[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.txt").touch()
    photos = Path(shutil.copytree(TEST, tmp_path / "photos"))
    refused(predict(PREDICTS), "the package's own code was not run: nobody agreed to it")
    monkeypatch.setattr(consent, "is_anyone_there", lambda: True)
    monkeypatch.setattr(consent, "confirm", lambda _: False)
    refused(predict(PREDICTS), "you did not agree to it")
    assert not (tmp_path / "predictions.csv").exists()

    done = predict(PREDICTS, "--trust", images=photos)
    assert done.returncode == 0, done.stderr
    count = len(list(photos.iterdir()))
    assert f"its code: sees {count} and []" in done.stdout
    told = " ".join(done.stdout.replace("│", "").split())
    assert "no network, an empty HOME, none of your variables; of your files only the" in told
    assert "by the package's own code, which this verifier did not read" in told
    assert (tmp_path / "predictions.csv").read_text() == "id,x\n1,0.5\n"
    assert (tmp_path / "predictions.json").read_text() == "{}"

    table = tmp_path / "photos.csv"
    table.write_text(f"path\nphotos/{next(photos.iterdir()).name}\n")
    done = predict(PREDICTS, "--trust", "--sample", SAMPLE, images=table)
    assert done.returncode == 0, done.stderr
    # The table, and the folder of what it names.
    assert f"its code: sees {count + 1} and []" in done.stdout
    assert (tmp_path / "submission.csv").exists()


@pytest.mark.parametrize(
    ("trick", "words"),
    [
        ("raise SystemExit(7)", "its code ended with exit code 7 before it had predicted:"),
        ("output.unlink()", "its code has not made predictions.csv as plain files:"),
        ("output.unlink(); output.symlink_to('/etc/hostname')", "has not made predictions.csv"),
        ("record.unlink()", "has not made predictions.json"),
    ],
)
def test_what_it_leaves_is_taken_whole_or_not_at_all(
    predict: Callable[..., CompletedProcess[str]], tmp_path: Path, trick: str, words: str
) -> None:
    refused(predict(f"{PREDICTS}\n{trick}\n", "--trust"), words)
    assert not list(tmp_path.glob("*.csv"))


def test_what_is_given_is_looked_at_before_its_code_runs(
    predict: Callable[..., CompletedProcess[str]],
    recorded: Path,
    invoke: Command,
    tmp_path: Path,
) -> None:
    photos = Path(shutil.copytree(TEST, tmp_path / "photos"))
    refused(predict(PREDICTS, "--trust", images=tmp_path / "gone"), "no such file or folder")
    shutil.copy(SAMPLE, tmp_path / "submission.csv")
    done = predict(PREDICTS, "--trust", "--sample", tmp_path / "submission.csv", images=photos)
    refused(done, "submission.csv is read, and would be overwritten")
    words = ("predict", recorded, "--images", TEST)
    refused(invoke(*words, "--trust"), "--trust is for a package; a run is predicted with here")


def test_it_sees_no_folder_in_which_the_home_lies_and_no_links(
    predict: Callable[..., CompletedProcess[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (home := tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(home))
    image = next(TEST.iterdir())
    shutil.copy(image, home / image.name)
    (table := tmp_path / "photos.csv").write_text(f"path\nhome/{image.name}\n")
    for images in (home, table):
        refused(predict(PREDICTS, "--trust", images=images), f"{home} holds your own files")
    for row, words in (("/gone.png", "no such file: /gone.png"), ("../..", "leads to")):
        table.write_text(f"path\n{row}\n")
        answer = predict(PREDICTS, "--trust", images=table)
        assert answer.returncode == 2, words
    (photos := tmp_path / "photos").mkdir()
    (photos / "a.png").symlink_to(image)
    refused(predict(PREDICTS, "--trust", images=photos), "the package's code sees no links")
    shutil.copy(image, photos / "b.png")
    (photos / "a.png").unlink()
    done = predict(PREDICTS, "--trust", "--output", photos / "b.png", images=photos)
    refused(done, "b.png is read, and would be overwritten")
    assert (photos / "b.png").read_bytes() == image.read_bytes()
