"""A package verified by the verifier's own engine: from its weights, and each tampering named."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tests.conftest import FIXTURE, ROOT, SMALL, Command
from tests.exact import read_exact
from tests.package.packing import (
    committed_source,
    drawn_run,
    engine_that_tells,
    engine_wheel,
    lock_wheels,
    repacked,
    thin_package,
)
from tests.run_folder.documents import edited
from twinrun import prepare, submit, train_run
from twinrun.cli.app import app
from twinrun.config.reading import read_settings
from twinrun.errors import InputError, NegativeVerdict
from twinrun.files import json_text, sha256_file
from twinrun.package.hosts import HOSTS
from twinrun.package.lock import parse_lock, read_lock
from twinrun.package.package import make_package
from twinrun.repro.source import code_digest
from twinrun.run_folder.documents import SEAL, sealed
from twinrun.run_folder.manifest import read_manifest
from twinrun.run_folder.place import read_place
from twinrun.verify import environments, own_engine, remake
from twinrun.verify.confine import find_way
from twinrun.verify.environments import build_environment, refuse_other_versions
from twinrun.verify.foreign import make_recipe
from twinrun.verify.own_engine import verify_by_own_engine
from twinrun.verify.packages import foreign_code, read_own_lock, unpack_package
from twinrun.verify.recipe import Recipe, write_recipe

WHEEL = "vendor/twinrun-0.2.0-py3-none-any.whl"
ONE = SMALL.replace("[members.b]\nmixup = 0.0\n", "").replace(", b = 1.0", "")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return committed_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of a project whose engine is a wheel, and of a run that nobody trained."""
    return thin_package(tmp_path_factory.mktemp("thin"))


@pytest.fixture(scope="module")
def winner(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of a run of one member, trained for two epochs."""
    folder = tmp_path_factory.mktemp("winner")
    toml = folder / "small.toml"
    text = ONE.replace('"small"', '"<script>alert(1)</script>"')
    toml.write_text(text.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    settings = read_settings(toml)
    started = time.perf_counter()
    prepared = prepare.prepare(settings, folder / "runs" / "full")
    train_run.train(prepared, list(settings.members), started)
    output = prepared.folder / "submission.csv"
    submit.blend_run(prepared.folder, settings, prepared.sample_path, output)
    prepare.keep_record(prepared, started)
    package = folder / "full-zindi.zip"
    make_package(prepared.folder, HOSTS.get("zindi"), package, force=False, project=source)
    shutil.rmtree(folder / "runs")  # nothing of the run is needed
    return package


@pytest.fixture
def drawn(source: Path, small_toml: Path, tmp_path: Path) -> Path:
    """The package of a run that nobody trained, to be spoilt."""
    run = drawn_run(small_toml, tmp_path / "runs" / "full")
    make_package(run, HOSTS.get("zindi"), tmp_path / "drawn.zip", force=False, project=source)
    return tmp_path / "drawn.zip"


def with_manifest(
    package: Path, output: Path, edit: Callable[[dict[str, Any]], None], **files: bytes
) -> Path:
    """The package with another manifest and files, everything else in agreement with them."""
    with zipfile.ZipFile(package) as archive:
        manifest = json.loads(archive.read("run/manifest.json"))
    del manifest[SEAL]
    edit(manifest)
    changes = {"run/manifest.json": json_text(sealed(manifest)).encode()}
    changes |= {name.replace("__", "/").replace("_csv", ".csv"): x for name, x in files.items()}
    return repacked(package, output, changes)


def verify(package: Path, tmp_path: Path, data: Path = FIXTURE, *, retrain: bool = False) -> None:
    with unpack_package(package) as found:
        assert foreign_code(found, installed=True) == []
        python = Path(sys.executable)
        verify_by_own_engine(found, python, [], data=data, out=tmp_path / "out", retrain=retrain)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_package_comes_out_the_same_from_its_weights_on_another_folder(
    winner: Path, tmp_path: Path, temporary: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(FIXTURE, tmp_path / "elsewhere")
    verify(winner, tmp_path, tmp_path / "elsewhere")
    printed = capfd.readouterr()
    assert printed.err == ""
    assert re.search(r"a +│ test.csv +│ [0-9a-f]{8} │ [0-9a-f]{8} │ same bits", printed.out)
    assert re.search(r"blend +│ submission.csv +│ +│ +│ same bits", printed.out)
    assert "environment as recorded" in printed.out
    again = tmp_path / "out" / "verify" / "run" / "predictions"
    with zipfile.ZipFile(winner) as archive:
        assert (again / "submission.csv").read_bytes() == archive.read("run/submission.csv")
    assert list(temporary.iterdir()) == []


def test_a_run_is_made_again_from_a_recipe_that_holds_no_answers(
    winner: Path, tmp_path: Path
) -> None:
    recipe, made = tmp_path / "recipe", tmp_path / "made"
    with unpack_package(winner) as found:
        run = found.run
        answers = {sha256_file(path) for path in run.rglob("*.csv")}
        assert len(answers) == 4  # valid, test, history, submission
        asked = make_recipe(found, [], retrain=False)
        assert asked == Recipe(("a",), ("a",), retrain=False)
        write_recipe(run, asked, recipe, data=FIXTURE, work=made)
        names = {path.relative_to(recipe).as_posix() for path in recipe.rglob("*")}
        assert names == {
            *("recipe.json", "run", "run/manifest.json", "run/index.parquet", "run/audit.json"),
            "run/local.json",
            *("run/members", "run/members/a", "run/members/a/member.json"),
            "run/members/a/weights.safetensors",
        }
        scores = read_manifest(run)["content"]["members"]["a"]["scores"]
        hidden = [*answers, *(repr(value) for value in scores.values() if value not in (0, 1))]
        for path in recipe.rglob("*.json"):
            assert [each for each in hidden if each in path.read_text()] == []
        # No place of the machine that it was recorded on either.
        assert str(winner.parent) not in (recipe / "run" / "manifest.json").read_text()

        assert remake.main(str(recipe), str(FIXTURE), str(made / "run")) == 0
        for name in ("members/a/valid.csv", "members/a/test.csv", "submission.csv"):
            assert (made / "run" / name).read_bytes() == (run / name).read_bytes(), name


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "holds no recipe"),
        ('{"format": 2, "members": [], "blended": null, "retrain": false}', "different format"),
        ('{"format": 1, "members": ["a"], "retrain": false}', "holds no recipe"),
        ("[]", "holds no recipe"),
    ],
)
def test_a_recipe_that_is_none_is_refused(
    tmp_path: Path, content: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.json").write_text(content)
    assert remake.main(str(tmp_path), str(FIXTURE), str(tmp_path / "out")) == 2
    assert told in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow  # two environments' imports of torch, confined
@pytest.mark.skipif(find_way() is None, reason="nothing confines a process here")
@pytest.mark.parametrize("retrain", [False, True])
def test_an_engine_with_a_comment_more_makes_its_run_again_confined(
    winner: Path, tmp_path: Path, retrain: bool
) -> None:
    with zipfile.ZipFile(winner) as archive:
        names = archive.read("code/twinrun/names.py")
    forged = repacked(
        winner, tmp_path / "a.zip", {"code/twinrun/names.py": names + b"# a comment more\n"}
    )
    arguments = ["verify", str(forged), "--data", str(FIXTURE), "--out", str(tmp_path / "out")]
    arguments += ["--this-environment", "--trust", *(["--retrain"] if retrain else [])]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    last = done.stdout.splitlines()[-1]
    assert last.startswith("same bits: ")
    assert last.endswith("made again by the package's own code, which this verifier did not read")
    assert ("weights.safetensors" in done.stdout) == retrain
    assert re.search(r"blend +│ submission.csv +│ +│ +│ same bits", done.stdout)


@pytest.mark.slow  # its own processes; what they do is tested in test_origins and test_verify
def test_a_changed_image_and_a_changed_prediction_are_named(
    winner: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(FIXTURE, tmp_path / "data")
    with (tmp_path / "data" / "test" / "643083.jpg").open("ab") as image:
        image.write(b"\0")
    with pytest.raises(NegativeVerdict, match="does not come out the same"):
        verify(winner, tmp_path, tmp_path / "data")
    assert "test/643083: changed" in capfd.readouterr().err

    # Consistent in itself: only to predict again tells.
    with zipfile.ZipFile(winner) as archive:
        table = read_exact(archive.open("run/members/a/test.csv"), dtype={"id": str})
        record = json.loads(archive.read("run/members/a/member.json"))
    table.iloc[0, 1:] = [0.1, 0.2, 0.7]
    path = tmp_path / "test.csv"
    table.to_csv(path, index=False)
    record["files"]["test.csv"] = sha256_file(path)

    def record_it(manifest: dict[str, Any]) -> None:
        manifest["content"]["members"]["a"]["files"]["test.csv"] = sha256_file(path)

    forged = with_manifest(
        winner, tmp_path / "a.zip", record_it, run__members__a__test_csv=path.read_bytes()
    )
    del record[SEAL]
    changed = {"run/members/a/member.json": json_text(sealed(record)).encode()}
    forged = repacked(forged, tmp_path / "b.zip", changed)
    with pytest.raises(NegativeVerdict, match="does not come out the same"):
        verify(forged, tmp_path)
    printed = capfd.readouterr().out
    assert re.search(r"a +│ valid.csv .* same bits", printed)
    assert re.search(r"a +│ test.csv .* differ: 3 of 72 numbers", printed)


@pytest.mark.slow  # its own processes; what they do is tested in test_origins and test_verify
def test_changed_settings_are_named(
    winner: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def weaken(manifest: dict[str, Any]) -> None:
        manifest["content"]["settings"]["members"]["a"]["mixup"] = 0.1

    forged = with_manifest(winner, tmp_path / "a.zip", weaken)
    with pytest.raises(NegativeVerdict, match="does not come out the same"):
        verify(forged, tmp_path)
    assert "a, member.mixup: 0.4 then, 0.1 in the manifest" in capfd.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        *("run/members/a/test.csv", "run/members/a/weights.safetensors", "run/manifest.json"),
        *("run/index.parquet", "run/submission.csv", "code/twinrun/names.py"),
        *("code/requirements.lock", "README.md"),
    ],
)
def test_one_byte_anywhere_is_named(drawn: Path, tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(drawn) as archive:
        data = bytearray(archive.read(name))
    data[len(data) // 2] ^= 1
    forged = repacked(drawn, tmp_path / "forged.zip", {name: bytes(data)}, listed=False)
    with (
        pytest.raises(NegativeVerdict, match="is not as it was made") as caught,
        unpack_package(forged),
    ):
        pass
    assert f"{name}: changed since the package was made" in str(caught.value)


def test_a_byte_of_the_zip_itself_is_named(drawn: Path) -> None:
    with zipfile.ZipFile(drawn) as archive:
        place = archive.getinfo("run/submission.csv").header_offset + 30 + len("run/submission.csv")
    data = bytearray(drawn.read_bytes())
    data[place] ^= 1
    drawn.write_bytes(data)
    with (
        pytest.raises(NegativeVerdict, match=r"run/submission\.csv: changed"),
        unpack_package(drawn),
    ):
        pass


class Pickled:
    """Whoever loads it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "weights"])
def test_foreign_weights_are_refused_and_never_loaded(
    drawn: Path, tmp_path: Path, temporary: Path, name: str
) -> None:
    trap = tmp_path / "the pickle was loaded"
    torch.save(Pickled(trap), tmp_path / "evil")
    evil = (tmp_path / "evil").read_bytes()
    forged = repacked(drawn, tmp_path / "forged.zip", {f"run/members/a/{name}": evil})
    with pytest.raises(InputError) as caught, unpack_package(forged):
        pass
    assert not isinstance(caught.value, NegativeVerdict)
    assert f"run/members/a/{name}" in str(caught.value)
    assert not trap.exists()
    assert list(temporary.iterdir()) == []
    torch.load(tmp_path / "evil", weights_only=False)
    assert trap.exists()  # the trap works


@pytest.mark.parametrize("code", [2, 5])
def test_a_process_that_does_not_come_to_a_verdict_is_no_verdict(
    drawn: Path, tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_engine, "_wait_for", lambda *_: code)
    with pytest.raises(InputError, match=f"exit code {code} before") as caught:
        verify(drawn, tmp_path)
    assert not isinstance(caught.value, NegativeVerdict)


@pytest.mark.parametrize(
    ("inner", "accept", "code"),
    [
        (0, (), 0),
        (3, (), 3),
        pytest.param(3, ("--accept", "rounding"), 0, marks=pytest.mark.slow),
        pytest.param(4, ("--accept", "rounding"), 4, marks=pytest.mark.slow),
        (4, ("--accept", "spread"), 0),
        pytest.param(1, ("--accept", "spread"), 1, marks=pytest.mark.slow),
        pytest.param(5, ("--accept", "spread"), 2, marks=pytest.mark.slow),
    ],
)
def test_the_grade_comes_through_the_process_of_the_own_engine(
    drawn: Path,
    tmp_path: Path,
    inner: int,
    accept: tuple[str, ...],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextmanager
    def here(*_: object) -> Iterator[Path]:
        yield Path(sys.executable)

    def ends(command: Sequence[str], *_: Path) -> int:
        assert "--accept" not in command, "its exit code is the grade"
        return inner

    monkeypatch.setattr(environments, "build_environment", here)
    monkeypatch.setattr(own_engine, "_wait_for", ends)
    arguments = ["verify", str(drawn), "--data", str(FIXTURE), "--out", str(tmp_path), *accept]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == code, done.output
    names = {0: "same bits", 3: "same to rounding", 4: "within the spread of seeds"}
    if inner in names:
        assert done.stdout.splitlines()[-1].endswith(f": {names[inner]}")
    else:
        assert "error:" in done.stderr


@pytest.mark.parametrize(("retrain", "expected"), [(True, []), (False, ["--predict-only"])])
def test_where_the_engine_is_the_own_one_no_code_of_the_package_is_run(
    thin: Path, tmp_path: Path, retrain: bool, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[Sequence[str], Path, Path]] = []

    def look(command: Sequence[str], folder: Path, engine: Path) -> int:
        started.append((command, folder, engine))
        assert [path.name for path in engine.iterdir()] == ["twinrun"]
        assert code_digest(engine / "twinrun") == code_digest()
        assert [path.name for path in folder.rglob("*")] == ["cache"]
        place = read_place(Path(command[5]))
        assert place is not None
        assert Path(place["config"]).parent == folder
        assert (place["cache"], place["data_folder"]) == ("cache", str(FIXTURE))
        return 0

    monkeypatch.setattr(own_engine, "_wait_for", look)
    # What stands where a process might look for modules, settings, images, a repository.
    forged = repacked(
        thin,
        tmp_path / "forged.zip",
        {
            **dict.fromkeys(("code/twinrun.py", "code/torch.py", "code/sitecustomize.py"), b"1/0"),
            "code/competition/hooks.py": b"print('verified: same bits')\n",
            "code/.git/config": b"[core]\nfsmonitor = touch /tmp/evil\n",
            "cache/96px-0/pixels.u8": b"",
        },
    )
    with unpack_package(forged) as found:
        assert foreign_code(found, installed=False) == []
        assert found.has_hooks
        python, out = Path(sys.executable), tmp_path / "out"
        verify_by_own_engine(
            found, python, ["a"], data=FIXTURE, out=out, retrain=retrain, quiet=True
        )
        ((command, folder, _),) = started
        assert not folder.is_relative_to(found.folder)
        assert command == [
            *(sys.executable, "-P", "-m", "twinrun", "verify", str(found.run), "a"),
            *("--data", str(FIXTURE), "--out", str(out), *expected, "--quiet"),
        ]


def test_its_process_takes_no_code_from_the_users_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    (tmp_path / "work").mkdir()
    code = (
        "import os, sys; sys.exit(3 if os.environ['PYTHONPATH'] == 'engine'"
        " and 'PYTHONSAFEPATH' not in os.environ else 1)"
    )
    command = [sys.executable, "-P", "-c", code]
    assert own_engine._wait_for(command, tmp_path / "work", Path("engine")) == 3


def test_what_is_run_is_foreign_unless_its_files_are_the_own_ones(
    thin: Path, drawn: Path, tmp_path: Path
) -> None:
    with unpack_package(thin) as found:
        assert foreign_code(found, installed=True) == []
    with unpack_package(drawn) as found:
        assert len(found.lock) > 100
        assert foreign_code(found, installed=True) == []
    # The same version and a comment more.
    engine = shutil.copytree(
        ROOT / "twinrun", tmp_path / "twinrun", ignore=shutil.ignore_patterns("__pycache__")
    )
    with (engine / "names.py").open("a") as file:
        file.write("# changed; the version is the same\n")
    wheel = engine_wheel(tmp_path / "vendor", engine)
    lock = lock_wheels(tmp_path, wheel).read_bytes()
    forged = repacked(
        thin,
        tmp_path / "engine.zip",
        {f"code/{WHEEL}": wheel.read_bytes(), "code/requirements.lock": lock},
    )
    with unpack_package(forged) as found:
        (line,) = foreign_code(found, installed=False)
        assert line == (
            f"engine {WHEEL}, source {code_digest(engine)[:8]}; this verifier's is "
            f"{code_digest()[:8]}"
        )
    # A package more, or another file of a known one.
    with zipfile.ZipFile(thin) as archive:
        lock = archive.read("code/requirements.lock")
    numpy = next(each for each in read_own_lock() if each.name == "numpy")
    for name in ("evil==1.0", str(numpy)):
        more = f"{name} --hash=sha256:{'0' * 64}\n".encode()
        forged = repacked(thin, tmp_path / "lock.zip", {"code/requirements.lock": lock + more})
        with unpack_package(forged) as found:
            assert foreign_code(found, installed=True) == [
                f"lock: 1 of it are not in this verifier's lock: {name}"
            ]
            assert foreign_code(found, installed=False) == []


@pytest.mark.parametrize(
    "lie",
    [
        *("--index-url https://evil.example/simple", "-e ./twinrun", "filelock==3.30.0"),
        f"https://evil.example/x-1-py3-none-any.whl --hash=sha256:{'0' * 64}",
        f"x @ file:///x-1-py3-none-any.whl --hash=sha256:{'0' * 64}",
    ],
)
def test_a_lock_that_says_more_than_versions_and_hashes_is_refused(
    thin: Path, tmp_path: Path, lie: str
) -> None:
    with zipfile.ZipFile(thin) as archive:
        lock = archive.read("code/requirements.lock")
    changes = {"code/requirements.lock": lock + f"{lie}\n".encode()}
    forged = repacked(thin, tmp_path / "forged.zip", changes)
    with pytest.raises(InputError, match="cannot be verified") as caught, unpack_package(forged):
        pass
    assert "requirements.lock holds what no lock may hold" in str(caught.value)
    assert lie in str(caught.value)


def test_a_submission_that_is_not_the_recorded_one_is_named(drawn: Path, tmp_path: Path) -> None:
    forged = repacked(drawn, tmp_path / "forged.zip", {"run/submission.csv": b"ID,x\n1,0.9\n"})
    with (
        pytest.raises(NegativeVerdict, match="not as its run was") as caught,
        unpack_package(forged),
    ):
        pass
    assert "run/submission.csv: " in str(caught.value)


@pytest.mark.parametrize("change", ["wheel", "no wheel", "no engine in the lock"])
def test_a_package_whose_wheel_and_lock_do_not_go_together_is_not_verified(
    thin: Path, tmp_path: Path, change: str
) -> None:
    with zipfile.ZipFile(thin) as archive:
        lock = archive.read("code/requirements.lock")
    changes, told = {
        "wheel": ({f"code/{WHEEL}": b"another"}, f"{WHEEL}: its SHA-256 is not the one in"),
        "no wheel": (
            {"code/requirements.lock": lock.replace(b"0.2.0", b"0.3.0")},
            "vendor/twinrun-0.3.0-py3-none-any.whl: requirements.lock names it, and it is not",
        ),
        "no engine in the lock": ({"code/requirements.lock": b""}, "no engine: there"),
    }[change]
    forged = repacked(thin, tmp_path / "forged.zip", changes)
    with pytest.raises(InputError, match="cannot be verified") as caught, unpack_package(forged):
        pass
    assert told in str(caught.value)


def test_the_present_environment_is_taken_only_with_the_locks_versions() -> None:
    refuse_other_versions(read_lock(ROOT / "requirements.lock"))
    zeros, numpy = f"--hash=sha256:{'0' * 64}", metadata.version("numpy")

    def refuse(*lines: str) -> None:
        refuse_other_versions(parse_lock("".join(f"{x} {zeros}\n" for x in lines), "lock"))

    refuse(
        f"numpy=={numpy}",
        "Nothing_known==1.0 ; python_version < '3'",
        "./vendor/twinrun-0.0.0-py3-none-any.whl",
        f"./vendor/numpy-{numpy}-py3-none-any.whl",
    )
    with pytest.raises(InputError) as caught:
        refuse("numpy==1.0", "nothing-known==1.0", "./vendor/mylib-1.0-py3-none-any.whl")
    text = str(caught.value)
    assert f"numpy: ==1.0 in the lock, {numpy} here" in text
    assert "nothing-known: ==1.0 in the lock, not installed here" in text
    assert "mylib: ==1.0 in the lock, not installed here" in text
    with pytest.raises(InputError, match="the lock is empty"):
        refuse()


@pytest.mark.parametrize("tool", ["uv", pytest.param("pip", marks=pytest.mark.slow)])
def test_a_fresh_environment_has_the_lock_and_nothing_else(
    tmp_path: Path, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tool == "pip":
        monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    (locked,) = (each for each in read_own_lock() if each.name == "filelock")
    wheel = engine_wheel(tmp_path / "vendor", engine_that_tells(tmp_path / "twinrun"))
    lock = [locked, *read_lock(lock_wheels(tmp_path, wheel))]
    with build_environment(lock, tmp_path) as python:
        site = next(python.parents[1].glob("lib/*/site-packages"))
        found = {path.name.partition("-")[0] for path in site.glob("*.dist-info")}
        assert found - {"pip", "setuptools"} == {"filelock", "twinrun"}
    assert not python.exists()
    other = replace(locked, hashes=("f" * 64,))
    with (
        pytest.raises(InputError, match="cannot be made from the package's lock"),
        build_environment([other], tmp_path),
    ):
        pass


@pytest.mark.parametrize("tool", ["uv", pytest.param("pip", marks=pytest.mark.slow)])
def test_nothing_is_built_for_an_environment(
    tmp_path: Path, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source distribution runs its own code to be built; here it is the only file there is."""
    if tool == "pip":
        monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    trap, index = tmp_path / "it was built", tmp_path / "index"
    project = tmp_path / "evil-1.0"
    project.mkdir()
    index.mkdir()
    (project / "setup.py").write_text(f"import pathlib\npathlib.Path({str(trap)!r}).touch()\n1/0\n")
    (project / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    archive = index / "evil-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(project, "evil-1.0")
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.setenv(name, str(index))
    lock = parse_lock(f"evil==1.0 --hash=sha256:{sha256_file(archive)}\n", "lock")
    with (
        pytest.raises(InputError, match="cannot be made from the package's lock"),
        build_environment(lock, tmp_path),
    ):
        pass
    assert not trap.exists()


@pytest.mark.slow  # an environment of two hundred packages, and two processes that import torch
def test_the_command_verifies_with_a_fresh_environment_and_retrains(
    winner: Path, tmp_path: Path, twinrun: Command
) -> None:
    done = twinrun("verify", winner, "--data", FIXTURE)
    assert done.returncode == 0, done.stderr
    assert f"SHA-256 {sha256_file(winner)}" in done.stdout.replace("\n", "")
    assert "<script>alert(1)</script>, for zindi, commit" in done.stdout
    assert "no code of the package runs" in done.stdout
    assert "fresh environment from code/requirements.lock" in done.stdout
    assert "same bits: the predictions of 1 member" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("verified: ")
    done = twinrun(
        "verify", winner, "--data", FIXTURE, "--retrain", "--this-environment", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    assert "weights.safetensors" in done.stdout
    assert ", trained again, " in done.stdout


def test_wrong_use_of_the_command_is_told(drawn: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "full"
    edited(run / "manifest.json", "content", "code", value="0" * 64)
    for arguments, code, text in (
        (("verify", drawn), 2, "a package holds no images"),
        (("verify", run, "--this-environment"), 2, "--this-environment is for a package"),
        (("verify", run, "--trust"), 2, "--trust is for a package"),
        (("verify", run, "--predict-only", "--retrain"), 2, "exclude each other"),
        (("verify", tmp_path / "nothing"), 2, "no such run or package"),
        (("package", run, "--for", "kagle"), 2, "did you mean 'kaggle'?"),
        (("package", tmp_path, "--for", "kaggle"), 2, "is not a run: it has no manifest.json"),
        (("package", run, "--for", "zindi"), 1, "cannot be packaged"),
    ):
        done = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})
        assert done.exit_code == code, done.output
        assert text in done.stderr
        assert sum("error:" in line for line in done.stderr.splitlines()) == 1
