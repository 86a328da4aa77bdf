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
from tests.run_folder.documents import DIGEST
from twinrun.cli import consent
from twinrun.files import sha256_file
from twinrun.predict.record import write_predictions
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


ANSWERS = "id,x,y\n1AXIPJ,0.25,0.75\n2VXT82,0.5,0.5\n"
# Predicts what it was told, under the name that it was told; and says which images it was given.
PREDICTS_AGAIN = """
import csv, pathlib, sys
words = sys.argv[1:]
given = {{word: words[place + 1] for place, word in enumerate(words) if word.startswith("--")}}
output, images = pathlib.Path(given["--output"]), pathlib.Path(given["--images"])
if images.is_dir():
    print("of", sorted(each.name for each in images.iterdir()))
else:
    print("only", [row["id"] for row in csv.DictReader(images.open())])
output.write_text({answers!r})
output.with_name("out.predictions.json").write_text({record!r})
"""


@pytest.fixture
def predicted_then(tmp_path: Path) -> str:
    """The text of a record of two predictions, which lie in a folder of their own."""
    (then := tmp_path / "then").mkdir()
    (then / "out.csv").write_text(ANSWERS)
    output = {"file": "out.csv", "kind": "predictions", "sha256": sha256_file(then / "out.csv")}
    content = {
        "version": 1,
        "output": output,
        "images": {name: sha256_file(TEST / f"{name}.jpg") for name in ("1AXIPJ", "2VXT82")},
        "unread": {},
        "parts": {},
        "weights": {"a": DIGEST},
        "blend": {
            "method": "arithmetic",
            "weights": {"a": 1.0},
            "temperature": 1.0,
            "missing": [],
            "partial": False,
        },
        "hooks": {},
        "settings": DIGEST,
        "sample": None,
        "environment": {},
        "code": DIGEST,
        "engine": {"version": "0", "commit": None},
    }
    write_predictions(then / "out.predictions.json", content)
    return (then / "out.predictions.json").read_text()


@pytest.fixture
def verify(
    honest: Path, invoke: Command, tmp_path: Path, predicted_then: str
) -> Callable[..., CompletedProcess[str]]:
    def carry_out(
        *options: object, answers: str = ANSWERS, then: Path = tmp_path / "then"
    ) -> CompletedProcess[str]:
        main = PREDICTS_AGAIN.format(answers=answers, record=predicted_then)
        package = with_engine(honest, tmp_path / "theirs.zip", "", main)
        images = tmp_path / "photos"
        if not images.exists():
            images.mkdir()
            for name in ("1AXIPJ.jpg", "2VXT82.jpg"):
                shutil.copy(TEST / name, images)
        words = ("verify", then / "out.predictions.json", "--of", package, "--images", images)
        return invoke(*words, "--this-environment", *options, COLUMNS="200")

    return carry_out


def test_its_predictions_are_made_again_where_somebody_agreed(
    verify: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    refused(verify(), "the package's own code was not run: nobody agreed to it")
    done = verify("--trust")
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.replace("│", "").split())
    assert "To make these predictions again, code has to run" in told
    assert "its code: of ['1AXIPJ.jpg', '2VXT82.jpg']" in told
    assert "same bits:" in told
    assert "by the package's own code, which this verifier did not read" in told
    # What was not predicted then has no part in it.
    shutil.copy(TEST / "643083.jpg", tmp_path / "photos")
    done = verify("--trust")
    assert done.returncode == 0, done.stderr
    assert "its code: only ['1AXIPJ', '2VXT82']" in done.stdout


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        (ANSWERS.replace("0.25,0.75", "0.250000001,0.749999999"), 3),
        (ANSWERS.replace("0.25,0.75", "0.75,0.25"), 1),
        (ANSWERS.replace("2VXT82", "643083"), 1),
    ],
)
def test_other_answers_are_graded_by_their_bits_whatever_its_record_says(
    verify: Callable[..., CompletedProcess[str]], answers: str, code: int
) -> None:
    done = verify("--trust", answers=answers)
    assert done.returncode == code, done.stdout + done.stderr
    assert "same bits:" not in done.stdout


def test_it_does_not_see_what_was_predicted(
    verify: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    assert verify("--trust").returncode == 0
    for each in (tmp_path / "then").iterdir():
        shutil.copy(each, tmp_path / "photos")
    done = verify("--trust", then=tmp_path / "photos")
    refused(done, "lies where the package's own code would see it, and what it is to make")
