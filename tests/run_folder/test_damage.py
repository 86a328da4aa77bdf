"""Every file of a run, damaged in every way, under every command that reads it.

Each ends with exit code 2 (a package that lists faults: 1) and one message that names the file,
without a traceback, and nothing is written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from safetensors.numpy import save_file
from typer.testing import CliRunner, Result

from tests.report.made_run import (
    ENVIRONMENT,
    make_run,
    write_audit,
    write_blend,
    write_twins,
    write_verify,
)
from twinrun.cli.app import app
from twinrun.config.reading import read_settings
from twinrun.errors import InputError
from twinrun.files import sha256_file
from twinrun.prepare import Prepared
from twinrun.repro.ledger import Ledger
from twinrun.run_folder.manifest import read_manifest, write_manifest
from twinrun.run_folder.paths import RunFolder, RunsFolder
from twinrun.run_folder.records import read_record, write_record
from twinrun.run_folder.tables import read_index
from twinrun.train_run import begin_trainings

RUN = RunFolder(Path("runs/full"))
MEMBER = RUN.training("a")
TWINS, VERIFY, PREDICTIONS = (
    RunsFolder(Path("runs")).twins.verdict,
    RunsFolder(Path("runs")).verification("full").verdict,
    RunsFolder(Path("runs")).verification("full").predictions_verdict,
)

COMMANDS = {
    "report": ["report", "runs/full"],
    "blend": ["blend", "--config", "competition.toml", "--out", "runs", "--run", "full"],
    "package": ["package", "runs/full", "--for", "zindi", "--force"],
    "diff": ["diff", "runs/full", "runs/other"],
    "verify": ["verify", "runs/full", "--predict-only", "--out", "runs"],
}
READERS = {
    RUN.manifest: ("report", "blend", "package", "diff", "verify"),
    RUN.index: ("report", "blend", "verify"),
    RUN.audit: ("report", "package"),
    RUN.blend: ("report", "package"),
    MEMBER.record: ("report", "package", "diff"),
    MEMBER.history: ("report", "package"),
    MEMBER.valid: ("report", "blend", "verify"),
    MEMBER.test: ("blend", "verify"),
    MEMBER.weights: ("package", "verify"),
    MEMBER.ledger: ("diff",),
    TWINS: ("report", "package"),
    VERIFY: ("report", "package"),
    PREDICTIONS: ("report", "package"),
}
# What is not there is a section that a page leaves out, or a run that is not finished.
NEEDED = {
    RUN.manifest: ("report", "package", "verify"),
    RUN.index: ("verify",),
    MEMBER.valid: ("blend", "verify"),
    MEMBER.test: ("blend", "verify"),
    MEMBER.weights: ("verify",),
}
# Files whose digest a record gives, and who compares it; the package lists them as faults.
DIGESTS = dict.fromkeys((MEMBER.valid, MEMBER.test, MEMBER.weights), ("verify",))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run that has every file."""
    folder = tmp_path_factory.mktemp("whole")
    run = RunFolder(make_run(folder))
    write_audit(run.path)
    write_blend(run.path, {"a": 0.5, "b": 0.5})
    write_verify(run.path)
    write_verify(run.path, "predictions.json")
    write_twins(run.path)
    manifest = read_manifest(run.path)
    for name in manifest["content"]["members"]:
        member = run.training(name)
        save_file({"x": np.zeros(1, np.float32)}, member.weights)
        settings = {"member": {"name": name}}
        about = {"level": "step", "settings": settings, "environment": {}, "code": "", "steps": 1}
        Ledger(about).write(member.ledger)
        record = read_record(member.path)
        assert record is not None
        record["files"] = {file: sha256_file(member.path / file) for file in record["files"]}
        write_record(member.path, record)
        manifest["content"]["members"][name]["files"] = record["files"]
    write_manifest(run.path, manifest)
    index = read_index(run.path)
    sample = pd.DataFrame({"ID": index["id"], "leaf_rust": 0, "stem_rust": 0, "healthy_wheat": 0})
    sample.to_csv(folder / "data" / "sample_submission.csv", index=False)
    shutil.copytree(run.path, folder / "runs" / "other")
    (folder / "competition").mkdir()
    shutil.copy(folder / "competition.toml", folder / "competition")
    (folder / "twinrun").mkdir()
    (folder / "twinrun" / "__init__.py").touch()
    (folder / "requirements.lock").touch()
    return folder


@pytest.fixture
def project(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(whole, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def missing(path: Path) -> None:
    path.unlink()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def of_no_such_kind(path: Path) -> None:
    path.write_bytes(b"\x00\xff\xfe what is this, it is neither\n\x80\x81")


def of_a_different_shape(path: Path) -> None:
    """JSON without one of its keys, a table without one of its columns."""
    if path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        content.pop(sorted(content)[-1] if "beside" not in content else "beside")
        path.write_text(json.dumps(content), encoding="utf-8")
    elif path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str)
        table.drop(columns=table.columns[-1]).to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table = parquet.read_table(path)
        name = "group" if "group" in table.column_names else "digest"
        table = table.drop_columns([name, *(["sha256"] if "sha256" in table.column_names else [])])
        parquet.write_table(table, path)
    else:
        save_file({"other": np.zeros((2, 2), np.float32)}, path)


def of_different_values(path: Path) -> None:
    """The right columns and keys, with text where there should be a number, or the other way."""
    if path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        content[sorted(content)[0]] = [["?"]]
        path.write_text(json.dumps(content), encoding="utf-8")
    elif path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str)
        table[table.columns[-1]] = "much"
        table.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table = parquet.read_table(path)
        column = table.column_names.index("id" if "id" in table.column_names else "epoch")
        numbers = pa.array([1.5] * len(table))
        name = table.column_names[column]
        parquet.write_table(table.set_column(column, name, numbers), path)


DAMAGES: tuple[Callable[[Path], None], ...] = (
    missing,
    truncated,
    empty,
    of_no_such_kind,
    of_a_different_shape,
    of_different_values,
)


def cases() -> Iterator[tuple[Path, Callable[[Path], None], str]]:
    for path, readers in READERS.items():
        for damage in DAMAGES:
            for command in readers:
                if damage is missing and command not in NEEDED.get(path, ()):
                    continue
                # Whole weights of a different network are a fault that a package lists.
                listed = (damage, command) == (of_a_different_shape, "package")
                if path.suffix == ".safetensors" and (listed or damage is of_different_values):
                    continue
                yield path, damage, command


def contents(folder: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "cache" not in path.relative_to(folder).parts
    }


def invoke(command: str) -> Result:
    return CliRunner().invoke(app, COMMANDS[command])


@pytest.mark.parametrize("command", ["report", "blend", "package", "diff"])
def test_the_whole_run_is_read(project: Path, command: str) -> None:
    result = invoke(command)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("path", "damage", "command"),
    [
        pytest.param(*case, id=f"{case[0].relative_to('runs')}-{case[1].__name__}-{case[2]}")
        for case in cases()
    ],
)
def test_a_damaged_file_is_one_message_that_names_it_and_nothing_is_written(
    project: Path, path: Path, damage: Callable[[Path], None], command: str
) -> None:
    damage(path)
    before = contents(project)
    result = invoke(command)
    text = " ".join(result.output.split())
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert path.name in text
    assert str(path.parent) in text or path.parent.name in text
    assert "Traceback" not in text
    assert contents(project) == before


@pytest.mark.parametrize("path", DIGESTS, ids=lambda path: path.name)
def test_a_file_that_is_not_the_recorded_one_is_named(project: Path, path: Path) -> None:
    other = RUN.training("b").path / path.name
    if path.suffix == ".safetensors":
        save_file({"x": np.ones(1, np.float32)}, other)
    shutil.copy(other, path)
    before = contents(project)
    result = invoke("verify")
    assert result.exit_code == 2
    assert f"{path} is not the file that was written" in " ".join(result.output.split())
    # Without --force a package is refused, and lists it.
    result = CliRunner().invoke(app, COMMANDS["package"][:-1])
    assert result.exit_code == 1
    place = path.relative_to(RUN.path)
    assert f"{place}: not the file that was written" in " ".join(result.output.split())
    assert contents(project) == before


@pytest.mark.parametrize("damage", [truncated, empty, of_no_such_kind, of_a_different_shape])
@pytest.mark.parametrize("path", [MEMBER.record, RUN.blend], ids=lambda path: path.name)
def test_a_training_reads_first_what_the_run_s_record_is_made_from(
    project: Path, path: Path, damage: Callable[[Path], None]
) -> None:
    settings = read_settings(Path("competition.toml"))
    index = read_index(RUN.path)
    pixels = SimpleNamespace(column="sha256")
    prepared = Prepared(
        settings=settings,
        folder=RUN.path,
        index=index,
        pixels={each.cached_size: pixels for each in settings.members.values()},  # type: ignore[misc]
        sample_path=Path("data/sample_submission.csv"),
        environment=ENVIRONMENT,
        data="",
        audit=None,  # type: ignore[arg-type]
    )
    shutil.rmtree(RUN.training("b").path)
    damage(path)
    before = contents(project)
    with (
        pytest.raises(InputError, match=r"is damaged") as caught,
        begin_trainings(prepared, settings.select_trainings(["b"]), 0.0),
    ):
        pass
    assert str(path) in caught.value.what
    assert caught.value.fix
    assert contents(project) == before
