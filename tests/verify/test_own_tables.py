"""Whoever verifies a run names its tables wherever they lie: nothing is written beside the data."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.found import settings_of
from tests.layouts import draw, lay_out
from tests.run_folder.documents import whole_manifest, write_sealed
from twinrun.cli.app import app
from twinrun.config.identity import identity_settings
from twinrun.data.index import build_index
from twinrun.errors import InputError
from twinrun.run_folder.manifest import guard_digests, read_run_settings
from twinrun.scaffold.inspect import inspect
from twinrun.verify.own_tables import with_tables
from twinrun.verify.recipe import settle
from twinrun.verify.same_inputs import refuse_other_data


def recorded(layout: str, tmp_path: Path) -> Path:
    """A run of drawn images, as a package holds it: with its index and settings, without places."""
    laid = lay_out(layout, tmp_path / "data", *draw(tmp_path / "drawn"))
    settings = settings_of(inspect(laid.folder))
    run = tmp_path / "unpacked" / "run"
    run.mkdir(parents=True)
    build_index(settings).to_parquet(run / "index.parquet", index=False)
    content = whole_manifest(settings=identity_settings(settings))
    content["guards"] = guard_digests(run)
    write_sealed(run / "manifest.json", content)
    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Such a run, whose tables no longer lie in the data folder, nor under their names."""
    made = recorded("table over one folder", tmp_path)
    (tmp_path / "tables").mkdir()
    for name in ("train.csv", "sample_submission.csv"):
        (tmp_path / "data" / name).rename(tmp_path / "tables" / f"my {name}")
    return made


def test_a_packages_tables_may_lie_anywhere_under_any_name(run: Path, tmp_path: Path) -> None:
    data, tables = tmp_path / "data", tmp_path / "tables"
    before = sorted(data.rglob("*"))
    settle(run, data=data, work=tmp_path / "work")
    with pytest.raises(InputError, match="no table of labels"):
        refuse_other_data(run, read_run_settings(run, data))
    named = {
        "labels": tables / "my train.csv",
        "sample_submission": tables / "my sample_submission.csv",
    }
    settle(run, data=data, work=tmp_path / "work", tables=named)
    settings = read_run_settings(run, data)
    refuse_other_data(run, settings)
    assert settings.sample_path().read_bytes() == named["sample_submission"].read_bytes()
    assert (settings.data.labels, settings.data.sample_submission) == (
        "train.csv",
        "sample_submission.csv",
    )
    assert sorted(data.rglob("*")) == before


def test_a_runs_tables_may_lie_anywhere_under_their_names(run: Path, tmp_path: Path) -> None:
    data, table = tmp_path / "data", tmp_path / "tables" / "my train.csv"
    settings = read_run_settings(run, data)
    with pytest.raises(InputError, match=r"--labels .*: the run's table is called train\.csv"):
        with_tables(settings, {"labels": table})
    there = table.rename(tmp_path / "train.csv")
    refuse_other_data(run, with_tables(settings, {"labels": there}))
    with pytest.raises(InputError, match=r"--sample .*: the run's table is called sample_subm"):
        with_tables(settings, {"sample_submission": tmp_path})


def test_a_table_that_cannot_be_read_or_is_not_asked_for_is_told(tmp_path: Path) -> None:
    run = recorded("class folders", tmp_path)
    asked = {"data": tmp_path / "data", "work": tmp_path / "work"}
    with pytest.raises(InputError, match="labels from the names of folders"):
        settle(run, **asked, tables={"labels": tmp_path / "data" / "sample_submission.csv"})
    with pytest.raises(InputError, match=r"--sample .*No such file"):
        settle(run, **asked, tables={"sample_submission": tmp_path / "nowhere.csv"})
    given = ["verify", str(run), "--data", str(tmp_path / "data"), "--labels", "labels.csv"]
    ended = CliRunner().invoke(app, given)
    assert ended.exit_code == 2
    assert "labels from the names of folders" in " ".join(ended.output.split())
