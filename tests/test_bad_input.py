"""Bad input through the command: one clear message, exit code 2, and nothing written half."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from twinrun import prepare, train_run
from twinrun.config.reading import read_settings
from twinrun.errors import InputError

FIXTURE = Path(__file__).with_name("fixture")
CLASSES = ("leaf_rust", "stem_rust", "healthy_wheat")
ONE_EPOCH = ("--set", "recipe.epochs.unfrozen=0")

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder of our own to spoil: three images of each class, three test images, sample."""
    folder = tmp_path / "data"
    for part in [*(f"train/{name}" for name in CLASSES), "test"]:
        (folder / part).mkdir(parents=True)
        for image in sorted((FIXTURE / part).iterdir())[:3]:
            shutil.copyfile(image, folder / part / image.name)
    write_sample(folder, ids_of_tests(folder))
    return folder


def ids_of_tests(data: Path) -> list[str]:
    return sorted(path.stem for path in (data / "test").iterdir())


def write_sample(data: Path, ids: list[str], columns: str = "ID," + ",".join(CLASSES)) -> None:
    lines = [columns, *(f"{image_id},0,0,0" for image_id in ids)]
    (data / "sample_submission.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def half_written(folder: Path) -> list[str]:
    """What must not be there after a run that did not come to its end."""
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    last = ("member.json", "submission.csv")
    return [name for name in names if name.endswith(".part") or name in last]


def assert_refused(done: subprocess.CompletedProcess[str], *expected: str) -> None:
    """Exit code 2 and exactly one message on stderr, which says all that is expected."""
    assert done.returncode == 2, done
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error: "), done.stderr
    assert sum("error:" in line for line in lines) == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "Warning" not in done.stderr + done.stdout
    for text in expected:
        assert text in done.stderr


@pytest.fixture
def refuses(invoke: Command, small_toml: Path, tmp_path: Path) -> Callable[..., None]:
    """Check that a command, by default `run` of the small competition, is refused."""

    def check(
        *expected: str,
        options: tuple[object, ...] = (),
        command: str = "run",
        decoded: bool = False,
    ) -> None:
        done = invoke(command, "--config", small_toml, *options)
        assert_refused(done, *expected)
        # All of these are found before the first file of a run is written, and all that need no
        # decoding before the first image is decoded.
        runs, cache = tmp_path / "runs", tmp_path / "runs" / "cache"
        files = [path for path in runs.rglob("*") if path.is_file()]
        assert [path for path in files if cache not in path.parents] == []
        assert any(cache in path.parents for path in files) is decoded

    return check


@pytest.fixture
def prepare_refuses(small_toml: Path, data: Path, tmp_path: Path) -> Callable[..., None]:
    """Check that a run's preparation is refused: in this process, which takes less time."""

    def check(*expected: str, changes: Sequence[str] = ()) -> None:
        settings = read_settings(small_toml, data=data, changes=changes)
        with pytest.raises(InputError) as caught:
            prepare.prepare(settings, tmp_path / "runs" / "full")
        assert caught.value.exit_code == 2
        for text in expected:
            assert text in str(caught.value)
        assert half_written(tmp_path / "runs") == []

    return check


def test_no_data_folder(refuses: Callable[..., None], tmp_path: Path) -> None:
    refuses(f"no data folder: {tmp_path / 'nowhere'}", options=("--data", "nowhere"))


def test_class_folders_that_are_empty_unknown_or_missing(
    refuses: Callable[..., None], data: Path
) -> None:
    train = data / "train"
    empty, missing, unknown = train / "stem_rust", train / "leaf_rust", train / "leafrust"
    for image in empty.iterdir():
        image.unlink()
    missing.rename(unknown)
    refuses(
        f"{unknown}: no such class in the settings, did you mean 'leaf_rust'?",
        f"{missing}: no such folder, but 'leaf_rust' is in the settings",
        f"{empty}: no image in it",
        options=("--data", data),
    )


def test_unreadable_images_are_listed_all_together(
    refuses: Callable[..., None], data: Path
) -> None:
    (data / "train" / "stem_rust" / "EMPTY0.jpg").touch()
    (data / "test" / "EMPTY1.png").touch()
    (data / "test" / "album.jpg").mkdir()
    refuses(
        f"3 of 15 images in {data}",
        "train/stem_rust/EMPTY0.jpg: the file is empty",
        "test/EMPTY1.png: the file is empty",
        "test/album.jpg: a folder, not an image",
        options=("--data", data),
    )


def test_images_that_cannot_be_decoded_are_listed_all_together(
    refuses: Callable[..., None], data: Path
) -> None:
    cut = data / "train" / "leaf_rust" / "004217.jpg"
    cut.write_bytes(cut.read_bytes()[:1500])
    # What a failed download leaves is the same in every file.
    pages = sorted((data / "test").iterdir())[:2]
    for page in pages:
        page.write_text("404 not found\n", encoding="utf-8")
    refuses(
        f"3 of 12 images in {data}",
        "train/leaf_rust/004217.jpg: damaged or cut short",
        *(f"test/{page.name}: not an image" for page in pages),
        options=("--data", data),
        decoded=True,
    )


def test_the_faults_of_all_files_stand_in_one_message_whatever_they_are(
    prepare_refuses: Callable[..., None], data: Path
) -> None:
    first, second, third = sorted((data / "test").iterdir())
    first.write_bytes(b"")
    second.write_text("404 not found\n", encoding="utf-8")
    third.unlink()
    third.mkdir()
    cut = data / "train" / "leaf_rust" / "004217.jpg"
    cut.write_bytes(cut.read_bytes()[:1500])
    large = sorted((data / "train" / "stem_rust").iterdir())[0]
    Image.new("1", (4000, 3000)).save(large, "PNG")
    prepare_refuses(
        f"5 of 12 images in {data}",
        f"test/{first.name}: the file is empty",
        f"test/{second.name}: not an image",
        f"test/{third.name}: a folder, not an image",
        "train/leaf_rust/004217.jpg: damaged or cut short",
        f"train/stem_rust/{large.name}: 12 megapixels, allowed are 11 (data.max_pixels)",
        changes=["data.max_pixels=11000000"],
    )


def test_two_test_images_with_one_id(refuses: Callable[..., None], data: Path) -> None:
    image = min((data / "test").iterdir())
    shutil.copyfile(image, image.with_suffix(".webp"))
    refuses(
        f"{image.stem}: test/{image.name}, test/{image.stem}.webp",
        "data.ids",
        options=("--data", data),
    )


def test_a_sample_submission_whose_ids_are_not_those_of_the_test_images(
    refuses: Callable[..., None], data: Path
) -> None:
    first, *others = ids_of_tests(data)
    write_sample(data, [*others, "NOIMAG"])
    refuses(
        str(data / "sample_submission.csv"),
        "NOIMAG: in the sample, but no such test image",
        f"{first}: a test image, but not in the sample",
        options=("--data", data),
    )


def test_a_sample_submission_whose_columns_are_not_the_classes(
    prepare_refuses: Callable[..., None], data: Path
) -> None:
    write_sample(data, ids_of_tests(data), columns="ID,leaf_rust,stem_rust,healthy")
    prepare_refuses(
        str(data / "sample_submission.csv"),
        "leaf_rust, stem_rust, healthy;",
        "leaf_rust, stem_rust, healthy_wheat",
    )


def test_no_sample_submission(prepare_refuses: Callable[..., None], data: Path) -> None:
    (data / "sample_submission.csv").unlink()
    prepare_refuses(str(data / "sample_submission.csv"), "data.sample_submission")


def test_a_labels_table_that_does_not_fit_is_refused_with_all_its_mistakes(
    refuses: Callable[..., None], data: Path
) -> None:
    rows = ["ID,label"]
    for image in sorted((data / "train").glob("*/*")):
        rows.append(f"{image.stem},{image.parent.name}")
        unlabelled = image.rename(data / "train" / image.name)
    rows.pop()
    rows += ["004217,stem_rust", "GHOST0,stem_rust", "GHOST1,weeds"]
    (data / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    refuses(
        str(data / "labels.csv"),
        "004217: stands in labels.csv more than once, as 'leaf_rust' and 'stem_rust'",
        "GHOST1: no class 'weeds' in the settings",
        f"{unlabelled.name}: an image without a label",
        "GHOST0: a label without an image",
        options=("--data", data, "--set", "data.layout=table"),
    )


def test_a_regular_file_where_the_output_folder_should_be(
    refuses: Callable[..., None], data: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("mine\n", encoding="utf-8")
    refuses(
        "cannot lock taken", "Not a directory", "--out", options=("--data", data, "--out", "taken")
    )
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "mine\n"


def test_a_member_name_with_a_slash(refuses: Callable[..., None], small_toml: Path) -> None:
    text = small_toml.read_text(encoding="utf-8")
    small_toml.write_text(text.replace("[members.b]", '[members."../b"]'), encoding="utf-8")
    refuses("'../b' cannot be a file name", "Allowed: letters")


def test_an_unknown_member(refuses: Callable[..., None], small_toml: Path) -> None:
    text = small_toml.read_text(encoding="utf-8")
    small_toml.write_text(
        text.replace("[members.b]", "[members.densest]").replace("b = 1.0", "densest = 1.0"),
        encoding="utf-8",
    )
    refuses(
        "no member 'denset'",
        "did you mean 'densest'?",
        "Known members: a, densest.",
        command="train",
        options=("denset",),
    )


def test_a_run_name_with_a_slash(refuses: Callable[..., None], data: Path, tmp_path: Path) -> None:
    refuses("--run '../escaped'", "--out", options=("--data", data, "--run", "../escaped"))
    assert not (tmp_path / "escaped").exists()


def test_cuda_asked_for_where_there_is_none(
    prepare_refuses: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    prepare_refuses("run.device is 'cuda'", "'auto' or 'cpu'", changes=["run.device=cuda"])


def test_debug_shows_the_traceback(twinrun: Command) -> None:
    # A command that needs no torch, whose import takes seconds.
    done = twinrun("cache", "--config", "no\x1bwhere.toml", "--debug")
    assert done.returncode != 0
    assert "Traceback (most recent call last)" in done.stderr
    assert "InputError: no such settings file" in done.stderr
    assert r"no\x1bwhere" in done.stderr
    assert "\x1b" not in done.stderr


def test_a_path_with_brackets_is_printed_as_it_is(
    invoke: Command, small_toml: Path, data: Path, tmp_path: Path
) -> None:
    # Brackets are markup to the library that prints; a closing one without its opener is an error.
    submission = Path("odd [red][", "name].csv")
    (tmp_path / submission).parent.mkdir()
    rows = [f"{image_id},1,0,0" for image_id in ids_of_tests(data)]
    header = "ID," + ",".join(CLASSES)
    (tmp_path / submission).write_text("\n".join([header, *rows]), encoding="utf-8")
    done = invoke("validate", submission, "--config", small_toml, "--data", data)
    assert done.returncode == 0, done
    assert str(submission) in done.stdout


def test_an_unknown_option_is_answered_with_the_usage(invoke: Command) -> None:
    done = invoke("train", "--outt", "elsewhere")
    assert done.returncode == 2
    assert "Usage:" in done.stderr
    assert "--outt" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of the size that the test asks for; mounting one takes rights that few users have."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None:
        pytest.skip("needs mount")
    mounted = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.slow  # a process that imports for ten seconds
@pytest.mark.parametrize("small_disk", ["8k"], indirect=True)
def test_a_disk_too_small_for_the_index(
    twinrun: Command, small_toml: Path, data: Path, small_disk: Path
) -> None:
    arguments = ("train", "a", "--config", small_toml, "--data", data, "--out", small_disk)
    done = twinrun(*arguments, "--set", "run.cache=cache")
    assert_refused(done, f"cannot write {small_disk}", "o space left", "Free some space", "--out")
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("small_disk", ["2m"], indirect=True)
def test_a_disk_that_is_full_before_the_first_checkpoint_is_written(
    small_toml: Path, data: Path, small_disk: Path
) -> None:
    # In this process, because importing torch in another one takes longer than the training.
    changes = ["run.device=cpu", "recipe.epochs.unfrozen=0", "run.cache=cache"]
    settings = read_settings(small_toml, data=data, changes=changes)
    run = prepare.prepare(settings, small_disk / "full")
    with pytest.raises(InputError, match=r"cannot write .*checkpoint.*o space left") as caught:
        train_run.train(run, ["a"], time.perf_counter())
    assert caught.value.exit_code == 2
    assert "Free some space" in caught.value.fix
    assert half_written(small_disk) == []
    assert list((run.member_folder("a") / "checkpoint").iterdir()) == []


def stopped(
    arguments: list[object], folder: Path, *, by: signal.Signals, once: Path
) -> subprocess.CompletedProcess[str]:
    """Start the command and send it a signal as soon as a file appears."""
    command = [sys.executable, "-m", "twinrun", *map(str, arguments)]
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        try:
            while not once.is_file():
                assert process.poll() is None, process.communicate()
                time.sleep(0.02)
            process.send_signal(by)
            stdout, stderr = process.communicate(timeout=120)
        finally:
            process.kill()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


unix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals to send")

# Stands in for a finger that is quick: the signal comes while torch is being imported, and inside
# of a text that is executed, as namedtuples and dataclasses do it all through an import.
QUICK_FINGER = """
import sys

class Finger:
    def find_spec(self, name, path=None, target=None):
        if name == "torch.nn":
            sys.meta_path.remove(self)
            exec("import os, signal; os.kill(os.getpid(), signal.SIGINT)")

sys.meta_path.insert(0, Finger())
"""


@unix
@pytest.mark.slow  # tests/kills stops the training alone, without the imports
def test_after_ctrl_c_the_same_command_goes_on(
    twinrun: Command, small_toml: Path, data: Path, tmp_path: Path
) -> None:
    # Python itself runs this file when it starts.
    hook = tmp_path / "hook" / "sitecustomize.py"
    hook.parent.mkdir()
    hook.write_text(QUICK_FINGER, encoding="utf-8")
    hooked = os.pathsep.join(filter(None, [str(hook.parent), os.environ.get("PYTHONPATH")]))
    arguments = ("train", "a", "--config", small_toml, "--data", data, *ONE_EPOCH)

    done = twinrun(*arguments, PYTHONPATH=hooked)
    command = shlex.join(["twinrun", *map(str, arguments)])
    assert_refused(done, "stopped before the end", f"rerun the same command:\n{command}\n")
    assert half_written(tmp_path / "runs") == []

    again = twinrun(*arguments)
    assert again.returncode == 0, again
    assert (tmp_path / "runs" / "full" / "members" / "a" / "member.json").is_file()


@unix
@pytest.mark.slow  # tests/kills stops the training alone, without the imports
def test_a_schedulers_sigterm_in_the_middle_of_the_training_is_a_ctrl_c(
    small_toml: Path, data: Path, tmp_path: Path
) -> None:
    arguments = ["train", "a", "--config", small_toml, "--data", data]
    many = ["--set", "recipe.epochs.frozen=100000"]
    first_epoch = tmp_path / "runs" / "full" / "members" / "a" / "history.csv"
    done = stopped([*arguments, *many], tmp_path, by=signal.SIGTERM, once=first_epoch)
    assert_refused(
        done,
        "stopped a ",
        " of 100001",
        "; its checkpoint is written",
        "To resume, rerun the same command:\ntwinrun train a ",
    )
    assert half_written(tmp_path / "runs") == []
