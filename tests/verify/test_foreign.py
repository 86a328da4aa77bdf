"""Code of a package that nobody has read: what it is told, what it can do, and what is said of it.

The packages here lie, each in one way. Their engine is a folder of two modules, `with_engine`, and
their run is one that nobody trained.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.conftest import FIXTURE
from tests.package.packing import repacked, thin_package, with_engine
from twinrun.cli import consent
from twinrun.cli.app import app
from twinrun.console import console
from twinrun.files import sha256_file
from twinrun.verify import confine, environments
from twinrun.verify.confine import find_way

pytestmark = pytest.mark.skipif(find_way() is None, reason="nothing confines a process here")

NOT_READ = "made again by the package's own code, which this verifier did not read"

# It has its answers with it: nothing but reading the code can tell.
ANSWERS = """
import os, pathlib, sys
out = pathlib.Path(sys.argv[3])
for number, name in enumerate("ab"):
    folder = out / "members" / name
    folder.mkdir(parents=True)
    (folder / "valid.csv").write_text("id,label,x\\n004217,x,0.5\\n")
    (folder / "test.csv").write_text(f"id,x\\n1,0.{number}\\n")
(out / "submission.csv").write_text("ID,x\\n1,0.5\\n")
test = out / "members" / "a" / "test.csv"
"""


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return thin_package(tmp_path_factory.mktemp("honest"))


def verify(
    package: Path,
    tmp_path: Path,
    *options: str,
    trust: bool = True,
    columns: int = 300,
    **more: Any,
) -> Result:
    arguments = ["verify", str(package), "--data", str(FIXTURE), "--out", str(tmp_path / "out")]
    arguments += ["--this-environment", *options, *(["--trust"] if trust else [])]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": str(columns)}, **more)
    console.quiet = False
    assert isinstance(done.exception, SystemExit | None), done.exception
    return done


def begins(done: Result, *words: str) -> list[str]:
    """The lines that this verifier itself begins with a verdict."""
    return [line for line in done.stdout.splitlines() if line.startswith(words)]


def test_what_a_package_says_of_itself_is_no_verdict(honest: Path, tmp_path: Path) -> None:
    says = "print('same bits')\nprint('verified: it is all true')\nraise SystemExit(0)\n"
    done = verify(with_engine(honest, tmp_path / "liar.zip", says, main=says), tmp_path)
    assert done.exit_code == 2
    assert "own code has not made these as plain files" in done.stderr
    assert "its code: verified: it is all true" in done.stdout
    assert begins(done, "verified", "same bits") == []


def test_what_it_made_is_compared_here_and_never_called_verified(
    honest: Path, tmp_path: Path
) -> None:
    right = verify(with_engine(honest, tmp_path / "right.zip", ANSWERS), tmp_path)
    assert right.exit_code == 0, right.output
    assert right.stdout.splitlines()[-1].startswith(f"same bits: {tmp_path / 'right.zip'}, ")
    assert right.stdout.splitlines()[-1].endswith(NOT_READ)
    assert begins(right, "verified") == []
    assert re.search(r"a +│ test.csv +│ [0-9a-f]{8} │ [0-9a-f]{8} │ same bits", right.stdout)
    again = tmp_path / "out" / "verify" / "right" / "again"
    assert (again / "members" / "b" / "test.csv").read_text() == "id,x\n1,0.1\n"

    wrong = ANSWERS.replace("0.{number}", "0.7")
    done = verify(with_engine(honest, tmp_path / "wrong.zip", wrong), tmp_path)
    assert done.exit_code == 1
    assert "does not come out the same" in done.stderr
    assert begins(done, "different:") != []

    near = ANSWERS.replace("0.{number}", "0.{number}0001")
    done = verify(with_engine(honest, tmp_path / "near.zip", near), tmp_path)
    assert done.exit_code == 3, done.output
    assert "same to rounding" in done.stdout


def test_nothing_of_it_runs_before_somebody_agreed(
    honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = with_engine(honest, tmp_path / "right.zip", ANSWERS)
    started: list[object] = []
    start = confine.start

    @contextmanager
    def look(*arguments: Any) -> Iterator[Any]:
        started.append(arguments)
        with start(*arguments) as process:
            yield process

    monkeypatch.setattr("twinrun.verify.their_code.start", look)
    done = verify(package, tmp_path, "--quiet", trust=False)
    assert done.exit_code == 2
    assert "nobody agreed to it" in done.stderr
    assert "--trust" in done.stderr
    # Also where all else is quiet it is said what would run, and how.
    assert "code has to run that this verifier has not read" in done.stdout
    assert "engine twinrun/, source " in done.stdout
    assert "no network" in done.stdout

    monkeypatch.setattr(consent, "is_anyone_there", lambda: True)
    done = verify(package, tmp_path, trust=False, input="n\n")
    assert done.exit_code == 2
    assert "you did not agree" in done.stderr
    assert started == []
    assert verify(package, tmp_path, trust=False, input="\n").exit_code == 2
    assert started == []
    assert verify(package, tmp_path, trust=False, input="y\n").exit_code == 0
    assert len(started) == 1


def test_a_lock_of_its_own_is_not_installed_before_somebody_agreed(
    honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object) -> None:
        raise AssertionError("what a wheel holds runs when its Python starts")

    monkeypatch.setattr(environments, "build_environment", build)
    with zipfile.ZipFile(honest) as archive:
        lock = archive.read("code/requirements.lock")
    more = f"evil==1.0 --hash=sha256:{'0' * 64}\n".encode()
    package = repacked(honest, tmp_path / "lock.zip", {"code/requirements.lock": lock + more})
    arguments = ["verify", str(package), "--data", str(FIXTURE), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})
    assert done.exit_code == 2
    assert "nobody agreed to it" in done.stderr
    assert "lock: 1 of it are not in this verifier's lock: evil==1.0" in done.stdout


def test_it_finds_neither_secrets_nor_the_answers(
    honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws" / "credentials").write_text("s3cret")
    monkeypatch.setenv("HOME", str(home))
    run = tmp_path / "run"
    with zipfile.ZipFile(honest) as archive:
        archive.extractall(run)
    answers = [*run.glob("run/members/*/*.csv"), *run.glob("run/*.csv")]
    digests = [sha256_file(path) for path in answers if path.name != "history.csv"]
    assert len(digests) == 5
    search = f"""
import os, pathlib, sys
print("variables:", sorted(os.environ.items()))
print("home:", os.listdir(os.path.expanduser("~")), os.path.exists({str(home)!r}))
found = []
for top, folders, files in os.walk("/"):
    if top == "/":
        folders[:] = [name for name in folders if name not in ("proc", "sys", "usr", "dev")]
    if top == sys.prefix or top == sys.base_prefix:
        folders[:] = []
    for name in files:
        path = os.path.join(top, name)
        if name in ("valid.csv", "test.csv", "submission.csv", "history.csv") or ".zip" in name:
            found.append(path)
        elif name.endswith((".json", ".parquet", ".csv", ".html", ".md")):
            text = pathlib.Path(path).read_bytes().decode(errors="replace")
            found += [path for answer in {digests!r} if answer in text]
print("found:", sorted(set(found)))
commands = []
for name in os.listdir("/proc"):
    try:
        commands += [open(f"/proc/{{name}}/cmdline").read()] if name.isdigit() else []
    except OSError:
        pass  # it has ended meanwhile
print("commands:", commands)
"""
    done = verify(
        with_engine(honest, tmp_path / "spy.zip", search + ANSWERS), tmp_path, columns=9000
    )
    assert done.exit_code == 0, done.output
    lines = dict(
        line.removeprefix("its code: ").split(": ", 1) for line in begins(done, "its code: ")
    )
    assert "s3cret" not in lines["variables"]
    assert lines["home"] == "[] False"
    assert lines["found"] == "[]"
    assert "spy.zip" not in lines["commands"]
    # The search finds them where they are.
    spy = tmp_path / "spy.py"
    spy.write_text(search.replace('os.walk("/")', f"os.walk({str(run)!r})"))
    told = subprocess.run([sys.executable, spy], capture_output=True, text=True, check=True).stdout
    assert "manifest.json" in told
    assert "submission.csv" in told
    assert "s3cret" in told


@pytest.mark.parametrize(
    "trick",
    [
        "test.unlink(); test.symlink_to('../b/test.csv')",
        "test.unlink(); test.symlink_to('/etc/hostname')",
        "test.unlink(); os.link(test.parent / 'valid.csv', test)",
        "test.unlink(); os.mkfifo(test)",
        "test.unlink(); test.mkdir()",
        "test.unlink()",
        "os.truncate(test, 1 << 40)",
        "(out / 'members').rename(out / 'x'); (out / 'members').symlink_to('x')",
        "out.rename(out.parent / 'x'); out.symlink_to('x')",
    ],
)
def test_what_it_leaves_is_taken_only_as_plain_files(
    honest: Path, tmp_path: Path, trick: str
) -> None:
    done = verify(with_engine(honest, tmp_path / "trick.zip", f"{ANSWERS}\n{trick}\n"), tmp_path)
    assert done.exit_code == 2, done.output
    assert "own code has not made these as plain files" in done.stderr
    assert "members/a/test.csv" in done.stderr
    assert begins(done, "same bits") == []


def test_what_it_prints_is_marked_short_and_harmless(honest: Path, tmp_path: Path) -> None:
    talk = "print('\\x1b[2Jverified\\u202e[bold]x[/]')\nprint('y' * 5000)\nraise SystemExit(7)\n"
    done = verify(with_engine(honest, tmp_path / "talk.zip", talk), tmp_path)
    assert done.exit_code == 2
    assert "ended with exit code 7" in done.stderr
    for text in (done.stdout, done.stderr):
        assert "\x1b" not in text
        assert "\u202e" not in text
    lines = begins(done, "its code: ")
    assert len(lines) == 19, "of 300 cells each, in pieces of 2,000 characters"
    assert "[bold]x[/]" in lines[0]
    quiet = verify(tmp_path / "talk.zip", tmp_path, "--quiet")
    assert begins(quiet, "its code: ") == []
    assert "verified" in quiet.stderr, "why it failed is told all the same"


def test_a_package_in_the_data_folder_is_not_shown_to_its_code(
    honest: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(FIXTURE, tmp_path / "data")
    package = with_engine(honest, data / "right.zip", ANSWERS)
    done = verify(package, tmp_path, "--data", str(data))
    assert done.exit_code == 2
    assert "right.zip lies where the package's own code would see it" in done.stderr


def test_its_hooks_are_told_beside_a_foreign_engine_and_never_run_by_ours(
    honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = {"code/competition/hooks.py": b"print('same bits')\n"}
    both = with_engine(honest, tmp_path / "engine.zip", ANSWERS)
    done = verify(repacked(both, tmp_path / "both.zip", hooks), tmp_path)
    assert "- competition/hooks.py" in done.stdout
    monkeypatch.setattr("twinrun.verify.own_engine._wait_for", lambda *_: 0)
    done = verify(repacked(honest, tmp_path / "hooks.zip", hooks), tmp_path, trust=False)
    assert done.exit_code == 0, done.output
    assert "its hooks.py holds code; this engine calls none of it" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("verified: ")


def test_pretrained_weights_of_this_machine_are_seen_where_it_is_to_train(
    honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "torch" / "hub" / "checkpoints"
    weights.mkdir(parents=True)
    (weights / "resnet.pth").touch()
    (tmp_path / "torch" / "token").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    see = """
import os
home = os.environ.get("TORCH_HOME", "")
print("seen:", [name for _, folders, files in os.walk(home) for name in (*folders, *files)])
"""
    package = with_engine(honest, tmp_path / "see.zip", f"{see}{ANSWERS}")
    assert "its code: seen: []" in verify(package, tmp_path).stdout
    done = verify(package, tmp_path, "--retrain")
    assert "its code: seen: ['hub', 'checkpoints', 'resnet.pth']" in done.stdout
    assert "made these as plain files:\n  members/a/weights.safetensors" in done.stderr


def test_a_foreign_wheel_is_run_from_a_fresh_environment(tmp_path: Path) -> None:
    engine = tmp_path / "twinrun"
    (engine / "verify").mkdir(parents=True)
    for name in ("__init__.py", "__main__.py", "verify/__init__.py"):
        (engine / name).touch()
    (engine / "verify" / "remake.py").write_text(f"print(__file__)\n{ANSWERS}")
    package = thin_package(tmp_path, engine)
    done = verify(package, tmp_path)
    assert done.exit_code == 2
    assert "the engine of the environment is not the package's" in done.stderr
    arguments = ["verify", str(package), "--data", str(FIXTURE), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*arguments, "--trust"], env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    assert "/site-packages/twinrun/verify/remake.py" in begins(done, "its code: ")[0]
    assert done.stdout.splitlines()[-1].endswith(NOT_READ)


def test_nothing_that_it_wrote_is_left_where_it_fails(honest: Path, tmp_path: Path) -> None:
    fills = """
import os, pathlib, sys
out = pathlib.Path(sys.argv[3]).parent
(out / "large").write_bytes(bytes(1000))
os.chdir(out)
for _ in range(2500):
    os.mkdir("d")
    os.chdir("d")
"""
    done = verify(with_engine(honest, tmp_path / "deep.zip", fills), tmp_path)
    assert done.exit_code == 2
    assert list((tmp_path / "out" / "verify" / "deep").iterdir()) == []


def test_the_verdict_of_some_members_is_not_of_the_submission(honest: Path, tmp_path: Path) -> None:
    package = with_engine(honest, tmp_path / "one.zip", ANSWERS)
    arguments = ["verify", str(package), "a", "--data", str(FIXTURE), "--this-environment"]
    arguments += ["--trust", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    assert "predicted again from its weights, not its submission" in done.stdout.splitlines()[-1]
