"""Every file of a run, damaged in every way, under every command that reads it.

Each ends with exit code 2 (a package that lists faults: 1) and one message that names the file,
without a traceback, and nothing is written.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from safetensors.numpy import save_file
from typer.testing import CliRunner

from tests.exact import read_exact
from tests.report.made_run import (
    ENVIRONMENT,
)
from tests.run_folder.documents import edited, read_plain, record_member, record_run, write_sealed
from tests.run_folder.whole_run import (
    COMMANDS,
    MEMBER,
    PREDICTIONS,
    RUN,
    TWINS,
    VERIFY,
    contents,
    invoke,
)
from twinrun.cli.app import app
from twinrun.config.reading import read_settings
from twinrun.errors import InputError
from twinrun.prepare import Prepared
from twinrun.repro.ledger import Ledger
from twinrun.run_folder.tables import read_index
from twinrun.train_run import begin_trainings

READERS = {
    RUN.manifest: ("report", "blend", "package", "diff", "verify"),
    RUN.place: ("report", "package", "verify"),
    RUN.index: ("report", "blend", "verify"),
    RUN.audit: ("report", "package"),
    RUN.blend: ("report", "package"),
    MEMBER.record: ("report", "blend", "package", "diff", "verify"),
    MEMBER.history: ("report", "package", "verify"),
    MEMBER.valid: ("report", "blend", "verify"),
    MEMBER.test: ("blend", "verify"),
    MEMBER.weights: ("package", "verify"),
    MEMBER.ledger: ("diff", "verify"),
    TWINS: ("report", "package"),
    VERIFY: ("report", "package"),
    PREDICTIONS: ("report", "package"),
}
# What no record names and is not there is a section that a page leaves out, or a run that is not
# finished; what a record names was lost. A package lists its lost weights.
NEEDED = {
    **READERS,
    RUN.manifest: ("report", "package", "verify"),
    RUN.place: ("package", "verify"),
    MEMBER.record: ("verify",),
    MEMBER.weights: ("verify",),
    TWINS: (),
    VERIFY: (),
    PREDICTIONS: (),
}
# Files that another one of their kind may have replaced, and who must notice; where it is no
# package that lists it.
RECORDED = {
    RUN.index: ("report", "blend", "verify"),
    RUN.audit: ("report", "package"),
    RUN.blend: ("report", "package"),
    MEMBER.record: ("verify",),
    MEMBER.history: ("report", "package", "verify"),
    MEMBER.valid: ("report", "blend", "verify"),
    MEMBER.test: ("blend", "verify"),
    MEMBER.weights: ("verify",),
    MEMBER.ledger: ("verify",),
}


def missing(path: Path) -> None:
    path.unlink()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def of_no_such_kind(path: Path) -> None:
    path.write_bytes(b"\x00\xff\xfe what is this, it is neither\n\x80\x81")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def of_nothing(path: Path) -> None:
    path.write_text("{}")


def of_a_different_shape(path: Path) -> None:
    """JSON without one of its keys, a table without one of its columns."""
    if path.suffix == ".json":
        content = read_plain(path)
        content.pop(sorted(content)[-1] if "beside" not in content else "beside")
        write_sealed(path, content)
    elif path.suffix == ".csv":
        table = read_exact(path, dtype=str)
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
        content = read_plain(path)
        content[sorted(content)[0]] = [["?"]]
        write_sealed(path, content)
    elif path.suffix == ".csv":
        table = read_exact(path, dtype=str)
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
    a_folder,
    a_link_to_nothing,
    a_pipe,
    a_device,
    of_nothing,
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


def is_like_another(path: Path, damage: Callable[[Path], None], command: str) -> bool:
    """Whether a case is met by a reader that all of the file's commands share."""
    alike = (a_folder, a_link_to_nothing, a_pipe, a_device, of_nothing)
    return damage in alike and command != READERS[path][0]


@pytest.mark.parametrize("command", ["report", "blend", "package", "diff"])
def test_the_whole_run_is_read(project: Path, command: str) -> None:
    result = invoke(command)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("path", "damage", "command"),
    [
        pytest.param(
            *case,
            id=f"{case[0].relative_to('runs')}-{case[1].__name__}-{case[2]}",
            marks=[pytest.mark.slow] if is_like_another(*case) else [],
        )
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


def another(path: Path) -> None:
    """A whole file of its kind, with a different content."""
    if path.suffix == ".json":
        content = read_plain(path)
        if path == MEMBER.record:
            content["files"]["test.csv"] = "0" * 64
        elif path == RUN.blend:
            content["why"] += " again"
        else:
            content["images"]["train"] += 1
        write_sealed(path, content)
    elif path.suffix == ".csv":
        table = read_exact(path, dtype=str)
        table.iloc[[1, 0, *range(2, len(table))]].to_csv(path, index=False)
    elif path.suffix == ".parquet":
        parquet.write_table(parquet.read_table(path), path, compression="gzip")
    else:
        save_file({"x": np.ones(1, np.float32)}, path)


@pytest.mark.parametrize(
    ("path", "command"),
    [(path, command) for path, commands in RECORDED.items() for command in commands],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_whole_file_that_is_not_the_recorded_one_is_named(
    project: Path, path: Path, command: str
) -> None:
    another(path)
    before = contents(project)
    result = invoke(command)
    assert result.exit_code == 2, result.output
    assert f"{path} is not the " in " ".join(result.output.split())
    assert contents(project) == before


@pytest.mark.parametrize("path", [*RECORDED, RUN.submission], ids=lambda path: path.name)
def test_a_package_lists_each_file_that_is_not_the_recorded_one(project: Path, path: Path) -> None:
    if path == RUN.submission:
        path.write_text("ID,x\n1,0.75\n")
    else:
        another(path)
    before = contents(project)
    # Without --force a package is refused, and lists it.
    result = CliRunner().invoke(app, COMMANDS["package"][:-1])
    assert result.exit_code == 1
    place = path.relative_to(RUN.path)
    assert f"{place}: not " in " ".join(result.output.split())
    assert contents(project) == before


def test_a_file_of_a_member_that_is_blended_by_its_name_is_compared_too(project: Path) -> None:
    another(MEMBER.test)
    command = ["blend", f"{MEMBER.test}=1", "--output", "o.csv", "--config", "competition.toml"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert f"{MEMBER.test} is not the file that was written" in " ".join(result.output.split())
    shutil.copy(MEMBER.test, "t.csv")
    command[1] = "t.csv=1"
    assert CliRunner().invoke(app, command).exit_code == 0


def test_what_was_written_wrong_and_recorded_so_is_no_table_of_its_kind(project: Path) -> None:
    """The digest agrees, and columns are checked all the same."""
    for path, command in ((MEMBER.valid, "blend"), (MEMBER.history, "report")):
        old = path.read_bytes()
        for damage in (of_a_different_shape, of_different_values):
            damage(path)
            record_member(MEMBER.path)
            record_run(RUN.path)
            result = invoke(command)
            assert result.exit_code == 2
            assert str(path) in " ".join(result.output.split())
            path.write_bytes(old)
    record_member(MEMBER.path)
    record_run(RUN.path)
    assert invoke("report").exit_code == 0


@pytest.mark.parametrize(
    "damage", [truncated, empty, of_no_such_kind, of_a_different_shape, of_nothing, a_folder]
)
@pytest.mark.parametrize("path", [MEMBER.record, RUN.blend], ids=lambda path: path.name)
def test_a_training_reads_first_what_the_run_s_record_is_made_from(
    project: Path, path: Path, damage: Callable[[Path], None]
) -> None:
    settings = read_settings(Path("competition.toml"))
    index = read_index(RUN.path)
    pixels = SimpleNamespace(column="sha256", scale=None)
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
        pytest.raises(InputError, match=r"is damaged|is a folder") as caught,
        begin_trainings(prepared, settings.select_trainings(["b"]), 0.0),
    ):
        pass
    assert str(path) in caught.value.what
    assert caught.value.fix
    assert contents(project) == before


@pytest.mark.parametrize(
    ("path", "keys", "value", "told"),
    [
        (RUN.manifest, ("beside", "written"), "once upon a time", "beside.written"),
        (RUN.manifest, ("beside", "seconds", "members"), {"a": 1.0}, "no seconds of b"),
        (RUN.manifest, ("content", "settings", "members"), {"a": 5, "b": 5}, "is damaged"),
        (MEMBER.record, ("identity", "settings"), {"member": 5}, "member: must be a table"),
        (MEMBER.record, ("identity", "settings"), 5, "identity.settings"),
    ],
)
@pytest.mark.parametrize("command", ["report", "package"])
def test_a_value_that_means_nothing_is_named(
    project: Path, path: Path, keys: tuple[str, ...], value: object, told: str, command: str
) -> None:
    edited(path, *keys, value=value)
    before = contents(project)
    result = invoke(command)
    text = " ".join(result.output.split())
    assert result.exit_code == 2, result.output
    assert path.name in text
    assert told in text
    assert contents(project) == before


@pytest.mark.parametrize("about", [{}, {"level": "step"}, {"settings": {"member": {}}}])
def test_a_ledger_without_a_heading_is_named(project: Path, about: dict[str, object]) -> None:
    Ledger(about).write(MEMBER.ledger)
    before = contents(project)
    result = invoke("diff")
    assert result.exit_code == 2, result.output
    text = " ".join(result.output.split())
    assert f"{MEMBER.ledger} is damaged: its heading does not say what it is of" in text
    assert contents(project) == before


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize(
    ("path", "command"),
    [
        (Path("competition/competition.toml"), ["blend", "--run", "full"]),
        (Path("competition/local.toml"), ["blend", "--run", "full"]),
        (Path("requirements.lock"), COMMANDS["package"][:-1]),
        (Path("requirements.lock"), [*COMMANDS["package"][:3], "kaggle", "--force"]),
        (Path("data/sample_submission.csv"), COMMANDS["blend"]),
    ],
)
def test_a_text_in_a_different_encoding_is_named(
    project: Path, path: Path, command: list[str], encoding: str
) -> None:
    text = path.read_text() if path.is_file() else '[data]\nfolder = "data"\n'
    path.write_text(text or "numpy==1\n", encoding=encoding)
    before = contents(project)
    result = CliRunner().invoke(app, command)
    assert result.exit_code in (1, 2), result.output
    assert isinstance(result.exception, SystemExit)
    assert path.name in " ".join(result.output.split())
    assert "UTF-8" in result.output
    assert contents(project) == before


@pytest.mark.usefixtures("project")
def test_what_a_kill_left_before_the_manifest_is_mended_by_the_same_command() -> None:
    """blend.json is written before manifest.json: a newer one beside an older manifest."""
    content = read_plain(RUN.blend)
    write_sealed(RUN.blend, {**content, "why": "Written just before a kill."})
    result = invoke("report")
    assert result.exit_code == 2
    assert "Write it again with `twinrun blend`" in " ".join(result.output.split())
    assert invoke("blend").exit_code == 0
    assert invoke("report").exit_code == 0
    # Before the first manifest nothing is compared but what has a digest of its own.
    RUN.manifest.unlink()
    another(RUN.index)
    assert invoke("blend").exit_code == 0
