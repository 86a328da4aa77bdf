"""Members of different environments in one run: refused, unless the user wants them."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from twinrun import prepare, train_run
from twinrun.config.reading import read_settings
from twinrun.errors import InputError


@pytest.mark.slow
def test_a_run_takes_members_of_another_environment_only_when_asked_and_says_which(
    small_toml: Path, tmp_path: Path
) -> None:
    changes = ["members.b.validation.folds=2"]
    settings = read_settings(small_toml, changes=changes)
    here = prepare.prepare(settings, tmp_path / "runs" / "full")
    own = here.environment
    elsewhere = {**own, "decides": {**own["decides"], "machine": "elsewhere"}}
    train_run.train(replace(here, environment=elsewhere), ["a", "b/fold-1"], time.perf_counter())
    with pytest.raises(InputError, match="trained from something else") as refused:
        train_run.train(here, ["a"], time.perf_counter())
    assert "environment.machine: 'elsewhere' then" in refused.value.details[0]
    with pytest.raises(InputError, match="trained from something else"):
        train_run.train(here, ["b"], time.perf_counter())

    records = train_run.train(replace(here, mixed=True), [], time.perf_counter())
    assert set(records) == {"a", "b"}
    manifest = json.loads((here.folder / "manifest.json").read_bytes())["content"]
    assert manifest["environment"] == own["decides"]
    assert manifest["members"]["a"]["environment"] == elsewhere["decides"]
    assert manifest["members"]["b"]["environments"] == {"fold-1": elsewhere["decides"]}
    # Also the member whose folds were put together here.
    with pytest.raises(InputError, match="trained from something else") as refused:
        train_run.train(here, ["b"], time.perf_counter())
    assert len(refused.value.details) == 1
    assert refused.value.details[0].startswith("fold-1: machine: 'elsewhere' then, ")
    # Other settings are never mixed.
    other = read_settings(small_toml, changes=[*changes, "run.seed=1"])
    with pytest.raises(InputError, match="trained from something else"):
        train_run.train(replace(here, settings=other, mixed=True), ["a"], time.perf_counter())
