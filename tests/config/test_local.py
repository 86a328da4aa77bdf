"""local.toml: where the data lies on this machine, between competition.toml and a profile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.config.test_reading import append, assert_names, refusal
from tests.conftest import FIXTURE
from twinrun.config.reading import read_settings
from twinrun.data.index import build_index
from twinrun.errors import InputError

Write = Callable[[str], Path]


@pytest.fixture
def write(small_toml: Path) -> Write:
    """Write local.toml beside the small competition's settings."""

    def writes(text: str) -> Path:
        path = small_toml.with_name("local.toml")
        path.write_text(text, encoding="utf-8")
        return path

    return writes


def no_data(config: Path, **options: object) -> InputError:
    """The error of a run whose data folder is not there."""
    with pytest.raises(InputError, match=r"^no data folder: ") as caught:
        build_index(read_settings(config, **options))  # type: ignore[arg-type]
    return caught.value


def test_local_toml_goes_over_competition_toml_and_below_all_else(
    small_toml: Path, write: Write, tmp_path: Path
) -> None:
    append(small_toml, '[profiles.p.data]\nfolder = "profile"\n[profiles.q.run]\nseed = 3\n')
    write(f'[data]\nfolder = "{tmp_path / "mine"}"\n')
    assert read_settings(small_toml).data_folder == tmp_path / "mine"
    assert read_settings(small_toml, profile="q").data_folder == tmp_path / "mine"
    assert read_settings(small_toml, profile="p").data_folder == tmp_path / "profile"
    assert read_settings(small_toml, changes=["data.folder=set"]).data_folder == tmp_path / "set"
    assert read_settings(small_toml, data=tmp_path / "d").data_folder == tmp_path / "d"


def test_a_relative_folder_of_local_toml_starts_beside_it(
    small_toml: Path, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write('[data]\nfolder = "photos"\n')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert read_settings(small_toml).data_folder == tmp_path / "photos"


def test_a_home_folder_may_be_written_as_a_shell_has_it(small_toml: Path, write: Write) -> None:
    write('[data]\nfolder = "~/photos"\n')
    assert read_settings(small_toml).data_folder == Path.home() / "photos"


def test_local_toml_of_another_folder_is_not_read(
    small_toml: Path, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "wheat.toml"
    other.parent.mkdir()
    other.write_bytes(small_toml.read_bytes())
    expected = read_settings(other).data_folder
    write('[data]\nfolder = "photos"\n')
    monkeypatch.chdir(tmp_path)
    assert read_settings(other).data_folder == expected


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "[data]\n"])
def test_a_local_toml_that_names_no_folder_changes_nothing(
    small_toml: Path, write: Write, text: str
) -> None:
    before = read_settings(small_toml)
    write(text)
    assert read_settings(small_toml) == before


def test_the_folder_may_stand_in_local_toml_alone(small_toml: Path, write: Write) -> None:
    folder = read_settings(small_toml).data_folder
    lines = small_toml.read_text(encoding="utf-8").splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("folder = ")]
    del lines[at]
    small_toml.write_text("\n".join([*lines, "[profiles.p.run]\nseed = 3\n"]), encoding="utf-8")
    assert_names(refusal(small_toml), "data.folder: missing")
    write(f'[data]\nfolder = "{folder}"\n')
    assert read_settings(small_toml, profile="p").data_folder == folder


def test_classes_are_read_from_the_folder_that_local_toml_names(
    small_toml: Path, write: Write, tmp_path: Path
) -> None:
    for name in ("b", "a"):
        (tmp_path / "mine" / "train" / name).mkdir(parents=True)
        (tmp_path / "mine" / "train" / name / "1.jpg").touch()
    write('[data]\nfolder = "mine"\n')
    settings = read_settings(small_toml, changes=["competition.classes=auto"])
    assert settings.classes == ["a", "b"]


def test_whatever_else_stands_in_local_toml_is_refused_at_once(
    small_toml: Path, write: Write
) -> None:
    path = write(
        'seed = 1\n[data]\nfolder = "x"\ntrain = "t"\n'
        "[run]\nthreads = 4\n[profiles.p.run]\nseed = 2\n"
    )
    error = refusal(small_toml)
    assert error.what == f"{path}: 4 mistakes"
    assert [line.partition(":")[0] for line in error.details] == [
        "seed",
        "data.train",
        "run",
        "profiles",
    ]
    assert_names(error, "only data.folder", f"belongs in {small_toml.name}", str(small_toml))


def test_a_slip_of_the_pen_in_local_toml_is_told(small_toml: Path, write: Write) -> None:
    write('[data]\nfoldre = "x"\n')
    assert_names(refusal(small_toml), "data.foldre: ", "did you mean 'folder'?")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[data]\nfolder = 3\n", ("1 mistake", "data.folder: got 3 (int), allowed: string")),
        ("data = 3\n", ("1 mistake", "data: got 3 (int), allowed: a table")),
        ('[data]\nfolder = "a\\u0000b"\n', ("1 mistake", "data.folder: got", "allowed: a path")),
        ("[data\n", ("is not valid TOML", "line 1")),
        ('[data]\nfolder = "a"\nfolder = "b"\n', ("is not valid TOML", "line 3")),
    ],
)
def test_a_mistake_in_local_toml_is_named_with_file_and_key(
    small_toml: Path, write: Write, text: str, words: tuple[str, ...]
) -> None:
    path = write(text)
    error = refusal(small_toml)
    assert error.what.startswith(str(path))
    assert_names(error, *words)


def test_a_local_toml_that_cannot_be_read_is_named(small_toml: Path, write: Write) -> None:
    path = write("")
    path.write_bytes(b"\xff")
    assert_names(refusal(small_toml), f"{path} is not text in UTF-8")
    path.unlink()
    path.mkdir()
    assert_names(refusal(small_toml), f"cannot read {path}")
    path.rmdir()
    path.symlink_to("nowhere.toml")
    assert_names(refusal(small_toml), f"cannot read {path}")


# Where a data folder that is not there was named


def test_a_missing_folder_is_told_with_the_file_that_names_it(
    small_toml: Path, write: Write, tmp_path: Path
) -> None:
    text = small_toml.read_text(encoding="utf-8")
    lines = ['folder = "absent"' if "folder = " in line else line for line in text.splitlines()]
    small_toml.write_text("\n".join(lines) + '\n[profiles.p.data]\nfolder = "x"\n')
    local = small_toml.with_name("local.toml")
    error = no_data(small_toml)
    assert error.what == f"no data folder: {tmp_path / 'absent'} (data.folder in {small_toml})"
    assert_names(error, "--data", str(local), "git ignores", '[data]\n  folder = "')
    error = no_data(small_toml, profile="p")
    assert_names(error, str(tmp_path / "x"), f"(profiles.p.data.folder in {small_toml})", "--data")
    write('[data]\nfolder = "gone"\n')
    error = no_data(small_toml)
    assert error.what == f"no data folder: {tmp_path / 'gone'} (data.folder in {local})"
    assert_names(error, "--data", "Correct it")
    assert str(small_toml) not in str(error)


def test_a_missing_folder_of_an_option_is_told_with_the_option(
    small_toml: Path, write: Write, tmp_path: Path
) -> None:
    write('[data]\nfolder = "gone"\n')
    for options, words in (
        ({"changes": ["data.folder=set"]}, "(--set data.folder)"),
        ({"data": tmp_path / "given"}, "(--data)"),
    ):
        error = no_data(small_toml, **options)
        assert_names(error, words)
        assert "local.toml" not in str(error)


def test_the_sample_of_a_missing_folder_is_no_missing_sample(
    small_toml: Path, write: Write
) -> None:
    assert read_settings(small_toml).sample_path() == FIXTURE / "sample_submission.csv"
    local = write('[data]\nfolder = "gone"\n')
    with pytest.raises(InputError, match=r"^no data folder") as caught:
        read_settings(small_toml).sample_path()
    assert_names(caught.value, str(local))


def test_where_the_folder_was_named_is_no_setting(small_toml: Path, write: Write) -> None:
    before = read_settings(small_toml)
    write(f'[data]\nfolder = "{before.data_folder}"\n')
    after = read_settings(small_toml)
    assert before.folder_origin != after.folder_origin
    assert before.model_dump() == after.model_dump()
    assert_names(refusal(small_toml, changes=["folder_origin=x"]), "folder_origin: unknown key")


def test_a_table_of_this_machine_may_stand_in_local_toml(
    small_toml: Path, write: Write, tmp_path: Path
) -> None:
    write('[data]\nlabels = "/elsewhere/mine.csv"\nsample_submission = "~/asked.csv"\n')
    settings = read_settings(small_toml)
    assert settings.data.labels_path(settings.data_folder) == Path("/elsewhere/mine.csv")
    assert settings.sample_path() == Path.home() / "asked.csv"
    # A profile with data of its own has the table there.
    append(small_toml, f'[profiles.p.data]\nfolder = "{FIXTURE}"\nlabels = "labels.csv"\n')
    other = read_settings(small_toml, profile="p")
    assert other.data.labels_path(other.data_folder) == FIXTURE / "labels.csv"
    relative = read_settings(small_toml, changes=["data.labels='../tables/x.csv'"])
    assert relative.data.labels_path(tmp_path / "data") == tmp_path / "data/../tables/x.csv"


@pytest.mark.parametrize("key", ["labels", "sample_submission"])
def test_a_full_path_in_a_file_that_git_keeps_is_refused(small_toml: Path, key: str) -> None:
    append(small_toml, f'[profiles.p.data]\n{key} = "/elsewhere/mine.csv"\n')
    assert_names(refusal(small_toml), f"profiles.p.data.{key}", "local.toml, which git ignores")


@pytest.mark.parametrize(
    ("key", "right"),
    [("labels_folder", "data.labels"), ("sample_folder", "data.sample_submission")],
)
def test_the_folder_of_a_table_is_no_key_of_its_own(small_toml: Path, key: str, right: str) -> None:
    change = f'data.{key}="/home/me/x"'
    said = f"data.{key}: unknown key. {right} names the table with its folder"
    assert_names(refusal(small_toml, changes=[change]), f"--set {said}")
    kept = small_toml.read_text(encoding="utf-8")
    append(small_toml, f"[profiles.p]\n{change}\n")
    assert_names(refusal(small_toml), f"profiles.p.{said}")
    small_toml.write_text(kept.replace("[data]\n", f'[data]\n{key} = "x"\n'), encoding="utf-8")
    assert_names(refusal(small_toml), said)


def test_the_folder_of_a_table_is_not_among_the_known_keys(small_toml: Path) -> None:
    told = str(refusal(small_toml, changes=["data.labels_foldr=x"]))
    assert "labels_folder" not in told
    assert "sample_folder" not in told
