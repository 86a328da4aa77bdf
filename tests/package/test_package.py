"""The winner's package: what goes in, the same bytes every time, and what is refused."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tests.package.packing import (
    commit,
    committed_source,
    engine_that_tells,
    git,
    thin_project,
)
from tests.run_folder.documents import (
    compared,
    edited,
    record_run,
    whole_audit,
    whole_blend,
    whole_twins,
    write_sealed,
)
from twinrun.cli.app import app
from twinrun.errors import InputError, NegativeVerdict
from twinrun.files import sha256_file
from twinrun.package.hosts import HOSTS
from twinrun.package.package import WrittenPackage, make_package
from twinrun.repro.source import code_digest, read_engine
from twinrun.run_folder.documents import seal_page

Package = Callable[..., WrittenPackage]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return committed_source(tmp_path_factory.mktemp("clean"))


@pytest.fixture
def project(clean: Path, tmp_path: Path) -> Path:
    """A source under git, to be spoilt."""
    return Path(shutil.copytree(clean, tmp_path / "project"))


@pytest.fixture
def package(run: Path, clean: Path, tmp_path: Path) -> Package:
    def make(*, host: str = "zindi", force: bool = False, project: Path = clean) -> WrittenPackage:
        return make_package(
            run, HOSTS.get(host), tmp_path / "package.zip", force=force, project=project
        )

    return make


def files_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def refused(package: Package, tmp_path: Path, **options: Any) -> str:
    with pytest.raises(NegativeVerdict, match="cannot be packaged") as caught:
        package(**options)
    assert not (tmp_path / "package.zip").exists()
    return str(caught.value)


@pytest.mark.parametrize("host", HOSTS.names)
def test_code_lock_run_and_pages_are_in_it_and_listed_with_their_digests(
    package: Package, tmp_path: Path, run: Path, host: str
) -> None:
    made = package(host=host)
    files = files_of(tmp_path / "package.zip")
    assert files["run/manifest.json"] == (run / "manifest.json").read_bytes()
    for name in ("weights.safetensors", "valid.csv", "test.csv", "ledger.parquet", "history.csv"):
        assert files[f"run/members/b/{name}"] == (run / "members" / "b" / name).read_bytes()
    for name in (
        *("code/requirements.lock", "code/twinrun/__main__.py", "README.md"),
        *("code/twinrun/package/texts/common.md", "run/index.parquet", "run/submission.csv"),
    ):
        assert name in files
    assert not [name for name in files if "/checkpoint/" in name or "__pycache__" in name]
    contents = json.loads(files.pop("package.json"))
    assert contents["host"] == host
    assert not contents["forced"]
    assert contents["files"] == {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    }
    assert (made.bytes, made.sha256) == (
        (tmp_path / "package.zip").stat().st_size,
        sha256_file(tmp_path / "package.zip"),
    )


def test_folds_audit_blend_report_and_verdicts_go_in_where_they_are(
    package: Package, tmp_path: Path, run: Path
) -> None:
    shutil.copytree(run / "members" / "a", run / "members" / "a" / "fold-1")
    write_sealed(run / "audit.json", whole_audit())
    write_sealed(run / "blend.json", whole_blend())
    record_run(run)
    (run / "report.html").write_text(seal_page("<html>"))
    (run / "stranger.pkl").touch()
    files = files_of(tmp_path / "package.zip") if package() else {}
    for name in (
        *("members/a/fold-1/weights.safetensors", "members/a/fold-1/member.json"),
        *("audit.json", "blend.json", "report.html"),
    ):
        assert f"run/{name}" in files
    assert "run/stranger.pkl" not in files
    (run / "members" / "a" / "fold-1" / "test.csv").write_text("id,x\n1,0.9\n")
    assert "members/a/fold-1/test.csv: not the file" in refused_again(package, tmp_path)


def refused_again(package: Package, tmp_path: Path) -> str:
    (tmp_path / "package.zip").unlink()
    return refused(package, tmp_path)


def test_the_same_run_gives_the_same_bytes_at_any_time_under_any_mode(
    package: Package, tmp_path: Path, run: Path
) -> None:
    first = package().sha256
    for path in run.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o755)
    with zipfile.ZipFile(tmp_path / "package.zip") as archive:
        names = archive.namelist()
    assert names == sorted(names)
    (tmp_path / "package.zip").unlink()
    old = os.umask(0o077)
    try:
        assert package().sha256 == first
    finally:
        os.umask(old)
    (run / "report.html").write_text(seal_page("another byte"))
    assert package().sha256 != first


def test_large_files_are_written_in_the_large_form(
    package: Package, tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = package()
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)  # in place of 2 GiB
    large = package()
    # Twenty bytes more before each file's content, at the least.
    assert large.bytes >= small.bytes + 20
    assert large.contents == small.contents
    files = files_of(tmp_path / "package.zip")
    assert files["run/index.parquet"] == (run / "index.parquet").read_bytes()


def test_a_work_tree_with_changes_is_refused_or_told(
    package: Package, project: Path, tmp_path: Path
) -> None:
    with (project / "twinrun" / "names.py").open("a") as file:
        file.write("# changed\n")
    (project / "twinrun" / "new.py").touch()
    text = refused(package, tmp_path, project=project)
    assert "twinrun/names.py: not as the commit" in text
    assert "twinrun/new.py: not as the commit" in text
    assert "the run was made with a different engine" in text
    made = package(project=project, force=True)
    assert made.contents.forced
    assert len(made.contents.why) == 3
    files = files_of(tmp_path / "package.zip")
    assert files["code/twinrun/names.py"].endswith(b"# changed\n")
    readme = " ".join(files["README.md"].decode().split())
    assert "This package was forced" in readme
    assert "twinrun/names.py: not as the commit" in readme
    assert json.loads(files["package.json"])["why"] == made.contents.why


def test_committed_changes_of_the_engine_are_still_not_the_runs_code(
    package: Package, project: Path, tmp_path: Path
) -> None:
    (project / "notes.md").write_text("not the engine")
    commit(project)
    assert package(project=project).contents.why == []
    (tmp_path / "package.zip").unlink()
    (project / "twinrun" / "new.py").touch()
    commit(project)
    text = refused(package, tmp_path, project=project)
    assert "the run was made with a different engine" in text
    assert "not as the commit" not in text


def test_without_git_it_is_refused_or_told(package: Package, project: Path, tmp_path: Path) -> None:
    shutil.rmtree(project / ".git")
    (project / "twinrun" / "__pycache__").mkdir()
    (project / "twinrun" / "__pycache__" / "x.pyc").touch()
    assert "git knows nothing of" in refused(package, tmp_path, project=project)
    made = package(project=project, force=True)
    assert made.contents.commit is None
    assert [line for line in made.contents.why if "git" in line] == made.contents.why
    names = set(made.contents.files)
    assert {"code/twinrun/__main__.py", "code/requirements.lock", "code/LICENSE"} <= names
    assert not any("__pycache__" in name for name in names)
    git(project, "init", "-q")
    git(project, "commit", "--allow-empty", "-q", "-m", "Nothing")
    (tmp_path / "package.zip").unlink()
    assert "is not under git's control" in refused(package, tmp_path, project=project)


WHEEL = "vendor/twinrun-0.2.0-py3-none-any.whl"


@pytest.fixture
def thin(tmp_path: Path) -> Path:
    """A project whose engine is a wheel."""
    return thin_project(tmp_path / "thin")


@pytest.mark.parametrize("host", HOSTS.names)
def test_a_thin_project_is_packed_with_its_wheel_and_both_locks(
    package: Package, tmp_path: Path, thin: Path, host: str
) -> None:
    assert package(project=thin, host=host).contents.why == []
    files = files_of(tmp_path / "package.zip")
    names = ("competition/hooks.py", "noxfile.py", "pyproject.toml", WHEEL)
    for name in (*names, "requirements.lock", "requirements-dev.lock"):
        assert files[f"code/{name}"] == (thin / name).read_bytes()
    assert not [name for name in files if name.startswith("code/twinrun")]
    readme = files["README.md"].decode()
    assert f"is the wheel `code/{WHEEL}` (Twinrun {read_engine()['version']}, commit " in " ".join(
        readme.split()
    )
    assert "`code/requirements-dev.lock` is for those who change the code" in readme
    if host == "kaggle":
        lock = (thin / "requirements.lock").read_text()
        expected = lock.replace("./vendor/", "./code/vendor/")
        assert files["requirements.txt"].decode() == expected != lock


def test_an_unpacked_engine_is_packed_when_it_is_committed(
    package: Package, tmp_path: Path, thin: Path, run: Path
) -> None:
    engine_that_tells(thin / "twinrun")
    code = code_digest(thin / "twinrun")
    edited(run / "manifest.json", "content", "code", value=code)
    # What trained the run is there, but no commit has it.
    assert refused(package, tmp_path, project=thin).count("\n") == 2
    commit(thin)
    assert package(project=thin).contents.why == []
    files = files_of(tmp_path / "package.zip")
    assert f"code/{WHEEL}" in files
    assert "code/twinrun/__main__.py" in files
    assert b"its folder `code/twinrun/`" in files["README.md"]


def test_an_engine_that_is_neither_locked_nor_committed_is_refused_or_told(
    package: Package, tmp_path: Path, thin: Path, run: Path
) -> None:
    edited(run / "manifest.json", "content", "code", value="0" * 64)
    edited(
        run / "manifest.json",
        *("beside", "engine"),
        value={"version": "0.3.0", "commit": "0123456789+changes"},
    )
    text = refused(package, tmp_path, project=thin)
    assert "a different engine (0.3.0, commit 01234567+changes, source 00000000)" in text
    assert f"than {WHEEL} of the project (source {code_digest()[:8]})" in text
    assert "train again" in text
    assert "nox -s lock" in text
    package(project=thin, force=True)
    readme = files_of(tmp_path / "package.zip")["README.md"].decode()
    assert f"(Twinrun not the run's, source {code_digest()[:8]})" in " ".join(readme.split())


def test_a_wheel_that_is_not_as_committed_or_locked_is_refused_or_told(
    package: Package, tmp_path: Path, thin: Path
) -> None:
    with (thin / WHEEL).open("ab") as file:
        file.write(b"0")
    text = refused(package, tmp_path, project=thin)
    assert f"{WHEEL}: not as the commit" in text
    assert f"{WHEEL}: its SHA-256 is not the one in requirements.lock" in text
    commit(thin)
    text = refused(package, tmp_path, project=thin)
    assert "not as the commit" not in text
    assert f"{WHEEL}: its SHA-256 is not the one in requirements.lock" in text
    made = package(project=thin, force=True)
    assert len(made.contents.why) == 1
    assert "it holds no engine that can be used" in (
        files_of(tmp_path / "package.zip")["README.md"].decode()
    )


def test_a_thin_project_without_git_keeps_what_is_of_this_machine(
    package: Package, tmp_path: Path, thin: Path
) -> None:
    shutil.rmtree(thin / ".git")
    for name in ("competition/local.toml", "competition/more.py", "runs/x/member.json", "notes"):
        (thin / name).parent.mkdir(parents=True, exist_ok=True)
        (thin / name).touch()
    made = package(project=thin, force=True)
    assert ["git knows nothing of" in line for line in made.contents.why] == [True]
    assert {name for name in made.contents.files if name.startswith("code/")} == {
        *("code/competition/competition.toml", "code/competition/hooks.py"),
        *("code/competition/more.py", "code/noxfile.py", "code/pyproject.toml", f"code/{WHEEL}"),
        *("code/requirements.lock", "code/requirements-dev.lock"),
    }


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda run: (run / "submission.csv").write_text("ID,x\n1,0.6\n"),
            "submission.csv: not the file that was written when the run was recorded",
        ),
        (lambda run: (run / "submission.csv").unlink(), "submission.csv: missing"),
        (
            lambda run: (run / "report.html").write_text(seal_page("<html>").replace("m", "l", 1)),
            "report.html: not the page that was written",
        ),
        (
            lambda run: (run / "members/a/test.csv").write_text("id,x\n1,0.9\n"),
            "members/a/test.csv: not the file that was written when the member was trained",
        ),
        (lambda run: (run / "members/a/valid.csv").unlink(), "members/a/valid.csv: missing"),
        (lambda run: (run / "members/b/member.json").unlink(), "members/b/member.json: missing"),
        (
            lambda run: edited(run / "members/b/member.json", "files", value={}),
            "members/b/member.json: not what the manifest records",
        ),
        (lambda run: (run / "index.parquet").unlink(), "index.parquet: missing"),
        (
            lambda run: (run / "index.parquet").write_text("x"),
            "index.parquet: not the file that was written when the run was recorded",
        ),
        (
            lambda run: edited(run / "manifest.json", "content", "data", value="0" * 64),
            "index.parquet: not of the data that the manifest records",
        ),
        (
            lambda run: edited(run / "manifest.json", "content", "members", value={}),
            "members/a: not complete",
        ),
        (
            lambda run: edited(run / "manifest.json", "content", "submission", value=None),
            "submission.csv: the run has not come to one",
        ),
        (
            lambda run: edited(run / "manifest.json", "content", "code", value="0" * 64),
            "the run was made with a different engine",
        ),
    ],
)
def test_a_run_that_is_not_as_recorded_is_refused_or_told(
    package: Package, tmp_path: Path, run: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    spoil(run)
    assert reason in refused(package, tmp_path)
    made = package(force=True)
    assert made.contents.forced
    assert any(reason in line for line in made.contents.why)
    shown = reason.replace("_", "\\_")
    assert shown in files_of(tmp_path / "package.zip")["README.md"].decode()


def test_force_says_nothing_where_nothing_speaks_against_it(
    package: Package, tmp_path: Path
) -> None:
    honest = package().sha256
    assert package(force=True).sha256 == honest
    assert b"forced" not in files_of(tmp_path / "package.zip")["README.md"]


def test_foreign_weights_are_refused_also_when_forced(
    package: Package, tmp_path: Path, run: Path
) -> None:
    torch.save({"x": torch.zeros(1)}, run / "members" / "a" / "weights.safetensors")
    with pytest.raises(InputError, match="not in the format safetensors") as caught:
        package(force=True)
    assert "run/members/a/weights.safetensors" in str(caught.value)
    assert not (tmp_path / "package.zip").exists()


def test_the_competitions_data_stays_out_wherever_it_lies(
    package: Package, tmp_path: Path, run: Path, project: Path
) -> None:
    for name in ("data/train/x/1.jpg", "data/test/2.jpg", "data/sample_submission.csv", "data/me"):
        (project / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "pictures" / name).touch()
    commit(project)
    folder = project / "pictures" / "data"
    edited(run / "local.json", "data_folder", value=str(folder))
    package(project=project)
    names = [name for name in files_of(tmp_path / "package.zip") if "pictures" in name]
    assert names == ["code/pictures/data/me"]


def test_local_toml_is_never_handed_on(package: Package, tmp_path: Path, project: Path) -> None:
    local = project / "competition" / "local.toml"

    def packed(*, force: bool = False) -> set[str]:
        package(project=project, force=force)
        names = files_of(tmp_path / "package.zip").keys()
        return {name for name in names if name.startswith("code/competition/")}

    kept = {"code/competition/competition.toml"}
    local.write_text('[data]\nfolder = "/home/me/rice"\n')
    assert packed() == kept, "as it should be: git ignores it"
    (project / ".gitignore").write_text("__pycache__/\n")
    git(project, "add", ".gitignore")
    git(project, "commit", "-q", "-m", "Ignore less")
    assert packed() == kept, "git would take it"
    commit(project)
    assert packed() == kept, "git has it"
    local.write_text('[data]\nfolder = "/home/me/photos"\n')
    assert packed() == kept, "it is no change of the source"
    shutil.rmtree(project / ".git")
    assert packed(force=True) == kept, "without git"


def test_the_command_writes_beside_the_run_and_names_it_as_the_user_did(
    run: Path, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twinrun.cli.package._project_of", lambda run: clean)
    for folder, named, expected in (
        (run.parents[1], "runs/full", "runs/full-zindi.zip"),
        (run, ".", str(run.parent / "full-zindi.zip")),
        (run / "members", "..", str(run.parent / "full-zindi.zip")),
    ):
        monkeypatch.chdir(folder)
        arguments = ["package", named, "--for", "zindi"]
        done = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})
        assert done.exit_code == 0, done.output
        assert f"package   {expected}, " in done.stdout
        (run.parent / "full-zindi.zip").unlink()


def test_links_in_the_source_stay_out(package: Package, tmp_path: Path, project: Path) -> None:
    (project / "passwords").symlink_to("/etc/passwd")
    commit(project)
    package(project=project)
    assert "code/passwords" not in files_of(tmp_path / "package.zip")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("notes: today.md", "not a name that every system takes"),
        ("license", "the same place as"),
    ],
)
def test_what_a_verifier_could_not_unpack_is_not_packed(
    package: Package, tmp_path: Path, project: Path, name: str, reason: str
) -> None:
    (project / name).touch()
    commit(project)
    with pytest.raises(InputError, match="a zip for any system cannot hold") as caught:
        package(project=project, force=True)
    assert reason in str(caught.value)
    assert not (tmp_path / "package.zip").exists()


def test_a_source_without_a_lock_is_refused(
    package: Package, tmp_path: Path, project: Path
) -> None:
    (project / "requirements.lock").unlink()
    commit(project)
    with pytest.raises(InputError, match=r"has no requirements\.lock"):
        package(project=project, force=True)


def test_only_verdicts_of_this_run_go_in(package: Package, tmp_path: Path, run: Path) -> None:
    twins = run.parent / "twins" / "twins.json"
    twins.parent.mkdir()
    digest = sha256_file(run / "members" / "a" / "test.csv")
    done = ["kill", "data"]
    row = compared("a", "test.csv", digest)
    write_sealed(twins, whole_twins(row, perturbations=done))
    assert package().left_out == ()
    files = files_of(tmp_path / "package.zip")
    assert files["run/twins.json"] == twins.read_bytes()
    assert b"a came out with the same bits when trained a second time" in files["README.md"]
    assert b"(kill, data)" in files["README.md"]
    # Not of this run: a different training's, a different member's file, and of nothing at all.
    for rows in ([compared("a", "test.csv", "0" * 64)], [compared("b", "test.csv", digest)], []):
        write_sealed(twins, whole_twins(*rows, perturbations=done))
        assert package().left_out == (str(twins),)
    files = files_of(tmp_path / "package.zip")
    assert "run/twins.json" not in files
    assert b"No twin training of this run is recorded" in files["README.md"]
    twins.write_text("{")
    with pytest.raises(InputError, match=r"twins\.json is damaged"):
        package()


def test_a_full_disk_leaves_the_package_of_before(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = package().sha256
    writing = zipfile._ZipWriteFile.write  # type: ignore[attr-defined]

    def full(file: Any, data: bytes) -> Any:
        if file._zinfo.filename.startswith("run/"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return writing(file, data)

    monkeypatch.setattr(zipfile._ZipWriteFile, "write", full)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="No space left on device"):
        package()
    assert sha256_file(tmp_path / "package.zip") == before
    assert not list(tmp_path.glob(".package.zip*"))


def test_a_file_that_changes_while_it_is_packed_is_noticed(
    package: Package, tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = zipfile.ZipFile.open

    def change(archive: zipfile.ZipFile, entry: Any, mode: str = "r", **options: Any) -> Any:
        if mode == "w" and entry.filename == "run/members/a/history.csv":
            (run / "members/a/history.csv").write_text("epoch,seconds\n1,9.0\n2,61.0\n")
        return writing(archive, entry, mode, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(zipfile.ZipFile, "open", change)
    with pytest.raises(InputError, match="is being changed while it is packed"):
        package()
    assert not (tmp_path / "package.zip").exists()
