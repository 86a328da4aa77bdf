"""Where a new project finds its data: no file that git keeps names a folder of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import copytree

import pytest

from tests.conftest import FIXTURE, ROOT
from tests.layouts import draw, lay_out
from twinrun.config.identity import identity_settings
from twinrun.config.reading import read_settings
from twinrun.data.index import build_index
from twinrun.errors import InputError
from twinrun.scaffold import project
from twinrun.scaffold.inspect import inspect

SHIPPED = (ROOT / "competition" / "competition.toml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of rendering the template, which takes seconds: what `make` does with its files."""

    def render(parent: Path, folder: Path, answers: object) -> Path:
        made = parent / "made"
        (made / "competition").mkdir(parents=True)
        (made / "competition" / "competition.toml").write_text(SHIPPED, encoding="utf-8")
        (made / "README.md").write_text("Mine\n")
        (made / ".gitignore").write_bytes((ROOT / ".gitignore").read_bytes())
        return made

    monkeypatch.setattr(project, "render", render)


def unpacked(folder: Path) -> Path:
    copytree(FIXTURE, folder)
    return folder


def make(folder: Path, data: Path) -> Path:
    project.make(folder, {}, inspect(data))
    return folder


def kept_by_git(folder: Path) -> list[str]:
    """The names of the files that `git add -A` takes."""
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    listed = ["git", "ls-files", "--others", "--exclude-standard", "-z"]
    found = subprocess.run(listed, cwd=folder, check=True, capture_output=True, text=True).stdout
    return [name for name in found.split("\0") if name]


def test_a_folder_elsewhere_stands_in_a_file_that_git_ignores(tmp_path: Path) -> None:
    data = unpacked(tmp_path / "Downloads" / "rice")
    made = make(tmp_path / "project", data)
    settings = read_settings(made / "competition" / "competition.toml")
    assert settings.data_folder == data
    kept = kept_by_git(made)
    assert sorted(kept) == [".gitignore", "README.md", "competition/competition.toml"]
    assert not [name for name in kept if str(tmp_path) in (made / name).read_text()]
    assert str(data) in (made / "competition" / "local.toml").read_text()


def test_another_clone_looks_for_the_data_where_the_template_says(tmp_path: Path) -> None:
    made = make(tmp_path / "project", unpacked(tmp_path / "rice"))
    (made / "competition" / "local.toml").unlink()
    settings = read_settings(made / "competition" / "competition.toml")
    assert settings.data_folder == made / "data"


@pytest.mark.parametrize("name", ['a "quoted" one', "back\\slash", "天", "tab\there", "# no"])
def test_a_folder_of_any_name_is_read_back(tmp_path: Path, name: str) -> None:
    data = unpacked(tmp_path / name)
    made = make(tmp_path / "project", data)
    assert read_settings(made / "competition" / "competition.toml").data_folder == data
    text = (made / "competition" / "local.toml").read_text(encoding="utf-8")
    assert text.startswith("# What holds on this machine only; git ignores this file.\n[data]\n")


@pytest.mark.parametrize("below", ["data", "data/Rice"])
def test_data_that_lies_in_the_project_is_named_from_there(tmp_path: Path, below: str) -> None:
    folder = tmp_path / "project"
    data = unpacked(folder / below)
    made = make(folder, data)
    settings = read_settings(made / "competition" / "competition.toml")
    assert settings.data.folder == f"../{below}"
    assert settings.data_folder == data
    assert not (made / "competition" / "local.toml").exists()
    assert sorted(kept_by_git(made)) == [
        ".gitignore",
        "README.md",
        "competition/competition.toml",
    ]
    assert not list(tmp_path.glob(".twinrun-init-*"))


def test_a_link_in_the_project_to_data_elsewhere_is_data_in_the_project(tmp_path: Path) -> None:
    unpacked(tmp_path / "disk")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "data").symlink_to(tmp_path / "disk")
    made = make(folder, folder / "data")
    settings = read_settings(made / "competition" / "competition.toml")
    assert settings.data.folder == "../data"
    assert not (made / "competition" / "local.toml").exists()
    assert "data" not in kept_by_git(made), "the link holds a path of this machine"


def test_data_of_a_project_whose_path_goes_through_a_link_lies_in_it(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    unpacked(tmp_path / "disk" / "project" / "data")
    made = make(tmp_path / "home" / "project", tmp_path / "disk" / "project" / "data")
    assert read_settings(made / "competition" / "competition.toml").data.folder == "../data"


@pytest.mark.parametrize(("names", "data"), [(["photos"], "photos"), (["data", "mine"], "data")])
def test_a_project_folder_may_hold_its_data_and_nothing_else(
    tmp_path: Path, names: list[str], data: str
) -> None:
    folder = tmp_path / "project"
    for name in names:
        unpacked(folder / name)
    before = sorted(folder.rglob("*"))
    with pytest.raises(InputError, match="is not empty") as caught:
        make(folder, folder / data)
    assert str(folder / "data") in str(caught.value)
    assert sorted(folder.rglob("*")) == before


def test_data_of_another_project_is_no_reason_to_make_one_around_it(tmp_path: Path) -> None:
    unpacked(tmp_path / "project" / "data")
    data = unpacked(tmp_path / "rice")
    with pytest.raises(InputError, match="is not empty"):
        make(tmp_path / "project", data)


def test_nothing_is_left_beside_the_data_when_the_project_cannot_be_put_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project"
    data = unpacked(folder / "data")
    before = sorted(folder.rglob("*"))
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if path.name == "competition":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="No space"):
        make(folder, data)
    assert sorted(folder.rglob("*")) == before


def test_a_folder_whose_name_cannot_be_written_is_refused_before_anything_is(
    tmp_path: Path,
) -> None:
    strange = Path(f"{tmp_path}/caf\udce9")
    data = unpacked(strange / "rice")
    with pytest.raises(InputError, match="not UTF-8"):
        make(tmp_path / "project", data)
    assert not (tmp_path / "project").exists()


def test_tables_elsewhere_stand_in_the_file_that_git_ignores(tmp_path: Path) -> None:
    laid = lay_out("table elsewhere", tmp_path / "data", *draw(tmp_path / "set"))
    (tmp_path / "mine").mkdir()
    sample = (laid.folder / "sample_submission.csv").rename(tmp_path / "mine" / "asked.csv")
    found = inspect(laid.folder, labels=str(laid.labels), sample=str(sample))
    for what in ("table of labels", "sample submission"):
        assert f"the {what} lies outside the data folder, which is only read" in found.notes
    folder = tmp_path / "project"
    project.make(folder, {}, found)
    assert not [
        name for name in kept_by_git(folder) if str(tmp_path) in (folder / name).read_text()
    ]
    config = folder / "competition" / "competition.toml"
    listed = [f"data.layout={found.layout}", f"competition.classes={found.classes}"]
    columns = [f"data.id_column={found.id_column}", f"data.label_column={found.label_column}"]
    settings = read_settings(config, changes=[*listed, *columns])
    assert settings.data.labels_path(settings.data_folder) == laid.labels
    assert settings.sample_path() == sample
    index = build_index(settings)
    assert (index["part"] == "train").sum() == len(laid.truth)
    # What is recorded of it is its name.
    recorded = identity_settings(settings)["data"]
    assert (recorded["labels"], recorded["sample_submission"]) == ("mine.csv", "asked.csv")
    assert str(tmp_path) not in str(recorded)


def test_the_users_answer_to_a_disagreement_is_kept(tmp_path: Path) -> None:
    laid = lay_out(
        "class folders and a table that agrees", tmp_path / "data", *draw(tmp_path / "set")
    )
    table = laid.folder / "labels.csv"
    table.write_text(table.read_text().replace("004217,rust", "004217,smut"), encoding="utf-8")
    folder = tmp_path / "project"
    project.make(folder, {}, inspect(laid.folder, layout="folders"))
    settings = read_settings(folder / "competition" / "competition.toml")
    assert settings.data.contradictions == "ignore"
