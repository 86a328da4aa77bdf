"""A package verified: by its own code from its weights, and each tampering named."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from tests.conftest import FIXTURE, ROOT, SMALL, Command
from tests.package.packing import (
    committed_source,
    drawn_run,
    engine_that_tells,
    thin_project,
)
from tests.run_folder.documents import edited
from twinrun import prepare, submit, train_run
from twinrun.cli.app import app
from twinrun.config.reading import read_settings
from twinrun.errors import InputError, NegativeVerdict
from twinrun.files import sha256_file
from twinrun.package.hosts import HOSTS
from twinrun.package.package import make_package
from twinrun.package.worktree import read_work_tree
from twinrun.repro.source import code_digest
from twinrun.verify import packages
from twinrun.verify.packages import (
    build_environment,
    refuse_other_versions,
    unpack_package,
    verify_package,
)

ONE = SMALL.replace("[members.b]\nmixup = 0.0\n", "").replace(", b = 1.0", "")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return committed_source(tmp_path_factory.mktemp("source"))


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


def repacked(
    package: Path, output: Path, changes: Mapping[str, bytes], *, listed: bool = True
) -> Path:
    """The package with other files; `listed`: with their digests in package.json, too."""
    with zipfile.ZipFile(package) as before, zipfile.ZipFile(output, "w") as after:
        files = {name: before.read(name) for name in before.namelist()} | dict(changes)
        contents = json.loads(files.pop("package.json"))
        for name, data in changes.items():
            if listed:
                path = output.with_suffix(".part")
                path.write_bytes(data)
                contents["files"][name] = {"bytes": len(data), "sha256": sha256_file(path)}
        for name, data in files.items():
            after.writestr(name, data)
        after.writestr("package.json", json.dumps(contents))
    return output


def with_manifest(
    package: Path, output: Path, edit: Callable[[dict[str, Any]], None], **files: bytes
) -> Path:
    """The package with another manifest and files, everything else in agreement with them."""
    with zipfile.ZipFile(package) as archive:
        manifest = json.loads(archive.read("run/manifest.json"))
    edit(manifest)
    changes = {"run/manifest.json": json.dumps(manifest).encode()}
    changes |= {name.replace("__", "/").replace("_csv", ".csv"): x for name, x in files.items()}
    return repacked(package, output, changes)


def verify(package: Path, tmp_path: Path, data: Path = FIXTURE, *, retrain: bool = False) -> None:
    with unpack_package(package) as found:
        python = Path(sys.executable)
        verify_package(found, python, [], data=data, out=tmp_path / "out", retrain=retrain)


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
        table = pd.read_csv(archive.open("run/members/a/test.csv"), dtype={"id": str})
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
    forged = repacked(
        forged, tmp_path / "b.zip", {"run/members/a/member.json": json.dumps(record).encode()}
    )
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
def test_code_that_does_not_come_to_a_verdict_is_no_verdict(
    drawn: Path, tmp_path: Path, code: int
) -> None:
    with unpack_package(drawn) as found:
        main = f"import sys\nsys.exit({code})\n"
        (found.folder / "code" / "twinrun" / "__main__.py").write_text(main)
        with pytest.raises(InputError, match=f"ended with exit code {code}") as caught:
            verify_package(
                found, Path(sys.executable), [], data=FIXTURE, out=tmp_path, retrain=False
            )
    assert not isinstance(caught.value, NegativeVerdict)


@pytest.mark.parametrize(
    ("inner", "accept", "code"),
    [
        (0, (), 0),
        (3, (), 3),
        (3, ("--accept", "rounding"), 0),
        (4, ("--accept", "rounding"), 4),
        (4, ("--accept", "spread"), 0),
        (1, ("--accept", "spread"), 1),
        (5, ("--accept", "spread"), 2),
    ],
)
def test_the_grade_comes_through_the_packages_own_process(
    drawn: Path,
    tmp_path: Path,
    inner: int,
    accept: tuple[str, ...],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextmanager
    def here(_: Path) -> Iterator[Path]:
        yield Path(sys.executable)

    def ends(command: Sequence[str], _: Path) -> int:
        assert "--accept" not in command, "its exit code is the grade"
        return inner

    monkeypatch.setattr(packages, "build_environment", here)
    monkeypatch.setattr(packages, "_wait_for", ends)
    arguments = ["verify", str(drawn), "--data", str(FIXTURE), "--out", str(tmp_path), *accept]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == code, done.output
    names = {0: "same bits", 3: "same to rounding", 4: "within the spread of seeds"}
    if inner in names:
        assert done.stdout.splitlines()[-1].endswith(f": {names[inner]}")
    else:
        assert "error:" in done.stderr


@pytest.mark.parametrize(("retrain", "expected"), [(True, []), (False, ["--predict-only"])])
def test_it_is_the_packages_own_code_that_is_run(
    drawn: Path, tmp_path: Path, retrain: bool, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    said = tmp_path / "said.json"
    main = (
        "import twinrun, json, os, pathlib, sys\n"
        "told = [sys.argv[1:], twinrun.__file__, os.environ.get('PYTHONPATH')]\n"
        f"pathlib.Path({str(said)!r}).write_text(json.dumps(told))\n"
    )
    with unpack_package(drawn) as found:
        engine = found.folder / "code" / "twinrun"
        (engine / "__main__.py").write_text(main)
        out = tmp_path / "out"
        verify_package(
            found, Path(sys.executable), ["a"], data=FIXTURE, out=out, retrain=retrain, quiet=True
        )
        arguments, engines, path = json.loads(said.read_text())
        assert engines == str(engine / "__init__.py")
        assert path is None
        assert arguments == [
            *("verify", str(found.folder / "run"), "a", "--data", str(FIXTURE)),
            *("--out", str(out), *expected, "--quiet"),
        ]


WHEEL = "vendor/twinrun-0.2.0-py3-none-any.whl"


def thin_package(tmp_path: Path, small_toml: Path, engine: Path) -> Path:
    """The package of a project whose engine is a wheel, and of a run that nobody trained."""
    project = thin_project(tmp_path / "thin", engine)
    run = drawn_run(small_toml, tmp_path / "thin" / "runs" / "full")
    code = read_work_tree(project).engine().code
    edited(run / "manifest.json", "content", "code", value=code)
    package = tmp_path / "thin.zip"
    make_package(run, HOSTS.get("zindi"), package, force=False, project=project)
    return package


def test_in_a_fresh_environment_the_engine_is_the_packages_wheel(
    small_toml: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    package = thin_package(tmp_path, small_toml, engine_that_tells(tmp_path / "twinrun"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)  # where no vendor/ is
    with unpack_package(package) as found, build_environment(found.lock) as python:
        assert found.engine().place == WHEEL
        verify_package(found, python, [], data=FIXTURE, out=tmp_path / "out", retrain=True)
        place, *arguments = json.loads(capfd.readouterr().out)
        assert python.parents[1] in Path(place).parents
        assert arguments[:2] == ["verify", str(found.folder / "run")]


def test_a_present_environment_with_a_different_engine_is_refused_before_it_runs(
    small_toml: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = shutil.copytree(
        ROOT / "twinrun", tmp_path / "twinrun", ignore=shutil.ignore_patterns("__pycache__")
    )
    with (engine / "names.py").open("a") as file:
        file.write("# changed; the version is the same\n")
    package = thin_package(tmp_path, small_toml, engine)
    options: dict[str, Any] = {"data": FIXTURE, "out": tmp_path / "out", "retrain": True}
    with unpack_package(package) as found:
        refuse_other_versions(found.lock)  # a version number proves nothing
        with pytest.raises(InputError, match="is not the package's") as caught:
            verify_package(found, Path(sys.executable), [], **options)
    text = str(caught.value)
    assert f"package: code/{WHEEL}, source {code_digest(engine)[:8]}" in text
    assert f"environment: {ROOT / 'twinrun'}, source {code_digest()[:8]}" in text
    assert not isinstance(caught.value, NegativeVerdict)
    assert capfd.readouterr().out == ""
    assert not (tmp_path / "out").exists()


def test_a_present_environment_with_the_packages_engine_is_taken(
    small_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = thin_package(tmp_path, small_toml, ROOT / "twinrun")
    started: list[Sequence[str]] = []

    def succeed(command: Sequence[str], folder: Path) -> int:
        started.append(command)
        return 0

    monkeypatch.setattr(packages, "_wait_for", succeed)
    with unpack_package(package) as found:
        refuse_other_versions(found.lock)
        verify_package(
            found, Path(sys.executable), [], data=FIXTURE, out=tmp_path / "out", retrain=False
        )
    assert len(started) == 1


def test_a_module_in_the_packages_folder_cannot_stand_in_for_its_wheel(
    small_toml: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    package = thin_package(tmp_path, small_toml, engine_that_tells(tmp_path / "twinrun"))
    for name in ("code/twinrun.py", "code/twinrun/__init__.py"):
        forged = repacked(package, tmp_path / "forged.zip", {name: b"print('foreign')\n"})
        with (
            unpack_package(forged) as found,
            build_environment(found.lock) as python,
            pytest.raises(InputError, match="is not the package's"),
        ):
            verify_package(found, python, [], data=FIXTURE, out=tmp_path, retrain=False)
        assert capfd.readouterr().out == ""


@pytest.mark.parametrize("change", ["wheel", "no wheel", "no engine in the lock"])
def test_a_package_whose_wheel_and_lock_do_not_go_together_is_not_verified(
    small_toml: Path, tmp_path: Path, change: str
) -> None:
    package = thin_package(tmp_path, small_toml, engine_that_tells(tmp_path / "twinrun"))
    with zipfile.ZipFile(package) as archive:
        lock = archive.read("code/requirements.lock")
    changes, told = {
        "wheel": ({f"code/{WHEEL}": b"another"}, f"{WHEEL}: its SHA-256 is not the one in"),
        "no wheel": (
            {"code/requirements.lock": lock.replace(b"0.2.0", b"0.3.0")},
            "vendor/twinrun-0.3.0-py3-none-any.whl: requirements.lock names it, and it is not",
        ),
        "no engine in the lock": ({"code/requirements.lock": b"torch==1\n"}, "no engine: there"),
    }[change]
    forged = repacked(package, tmp_path / "forged.zip", changes)
    with pytest.raises(InputError, match="cannot be verified") as caught, unpack_package(forged):
        pass
    assert told in str(caught.value)


def test_the_present_environment_is_taken_only_with_the_locks_versions(tmp_path: Path) -> None:
    refuse_other_versions(ROOT / "requirements.lock")
    lock = tmp_path / "requirements.lock"
    numpy = metadata.version("numpy")
    lock.write_text(
        f"numpy=={numpy} \\\n    --hash=sha256:00\n    # via\n"
        "Nothing_known==1.0 ; python_version < '3'\n"
        "./vendor/twinrun-0.0.0-py3-none-any.whl --hash=sha256:00\n"
        f"./vendor/numpy-{numpy}-py3-none-any.whl --hash=sha256:00\n"
    )
    refuse_other_versions(lock)
    lock.write_text(
        "numpy==1.0 \\\n    --hash=sha256:00\nnothing-known==1.0\n???\n./mylib.whl\n"
        "./vendor/mylib-1.0-py3-none-any.whl\n"
    )
    with pytest.raises(InputError) as caught:
        refuse_other_versions(lock)
    text = str(caught.value)
    assert f"numpy: ==1.0 in the lock, {numpy} here" in text
    assert "nothing-known: ==1.0 in the lock, not installed here" in text
    assert "???: not a line of a lock" in text
    assert "./mylib.whl: not a line of a lock" in text
    assert "mylib: ==1.0 in the lock, not installed here" in text
    lock.write_text("# nothing\n")
    with pytest.raises(InputError, match="the lock is empty"):
        refuse_other_versions(lock)


@pytest.mark.parametrize("tool", ["uv", pytest.param("pip", marks=pytest.mark.slow)])
def test_a_fresh_environment_has_the_lock_and_nothing_else(
    tmp_path: Path, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tool == "pip":
        monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    locked = re.search(
        r"^filelock==.*\n( +--hash.*\n)+", (ROOT / "requirements.lock").read_text(), re.M
    )
    assert locked is not None
    lock = tmp_path / "requirements.lock"
    lock.write_text(locked[0].rstrip().removesuffix("\\"))
    with build_environment(lock) as python:
        site = next(python.parents[1].glob("lib/*/site-packages"))
        found = {path.name.partition("-")[0] for path in site.glob("*.dist-info")}
        assert found - {"pip", "setuptools"} == {"filelock"}
    assert not python.exists()
    lock.write_text(re.sub("sha256:.", "sha256:f", locked[0]).rstrip().removesuffix("\\"))
    with (
        pytest.raises(InputError, match="cannot be made from the package's lock"),
        build_environment(lock),
    ):
        pass


@pytest.mark.slow  # an environment of two hundred packages, and two processes that import torch
def test_the_command_verifies_with_a_fresh_environment_and_retrains(
    winner: Path, tmp_path: Path, twinrun: Command
) -> None:
    done = twinrun("verify", winner, "--data", FIXTURE)
    assert done.returncode == 0, done.stderr
    assert f"SHA-256 {sha256_file(winner)}" in done.stdout.replace("\n", "")
    assert "<script>alert(1)</script>, for zindi, commit" in done.stdout
    assert "its code is run on this machine now" in done.stdout
    assert "fresh environment from code/requirements.lock" in done.stdout
    assert "same bits: the predictions of 1 member" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("verified: ")
    done = twinrun(
        "verify", winner, "--data", FIXTURE, "--retrain", "--this-environment", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    assert "weights.safetensors" in done.stdout
    assert "trained again by its own code" in done.stdout


def test_wrong_use_of_the_command_is_told(drawn: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "full"
    edited(run / "manifest.json", "content", "code", value="0" * 64)
    for arguments, code, text in (
        (("verify", drawn), 2, "a package holds no images"),
        (("verify", run, "--this-environment"), 2, "is for a package"),
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
