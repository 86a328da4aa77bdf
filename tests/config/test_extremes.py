"""Settings at and beyond their bounds: numbers, texts, depths, tables where values should be."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from tests.config.test_reading import append, assert_names, edit, refusal
from twinrun.config.reading import read_settings
from twinrun.config.recipe import Member
from twinrun.config.settings import Settings
from twinrun.config.toml_file import MOST_LEVELS, TomlError, parse_toml

LONG = "9" * 5000


def dotted(levels: int) -> str:
    return ".".join(["a"] * levels)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"x = {LONG}", "more than 64 bits"),
        (f"x = 0x{'f' * 5000}", "more than 64 bits"),
        (f"x = -{2**63}0", "more than 64 bits"),
        (f"x = [1, [{2**63}]]", "more than 64 bits"),
        (f"x = {{ y = {2**63} }}", "more than 64 bits"),
        (f"x = {'[' * 5000}{']' * 5000}", "nested too deeply"),
        (f"x = {'[' * 50}{']' * 50}", "nested too deeply"),
        (f"x = {'{ a = ' * 500}1{'}' * 500}", "nested too deeply"),
        (f"[{dotted(3000)}]", "nested too deeply"),
        (f"{dotted(3000)} = 1", "nested too deeply"),
    ],
    ids=lambda text: text[:20],
)
def test_a_file_with_a_number_or_a_depth_beyond_all_use_is_refused(
    small_toml: Path, text: str, what: str
) -> None:
    append(small_toml, f"\n[extra]\n{text}\n" if not text.startswith("[") else f"\n{text}\n")
    assert_names(refusal(small_toml), f"{small_toml} is not valid TOML", what)


def test_what_is_just_within_is_read() -> None:
    deep = f"x = {'[' * (MOST_LEVELS - 1)}{']' * (MOST_LEVELS - 1)}"
    assert parse_toml(f"{deep}\ny = {2**63 - 1}\nz = -{2**63 - 1}")["y"] == 2**63 - 1
    with pytest.raises(TomlError, match="nested"):
        parse_toml(f"x = {'[' * (MOST_LEVELS + 1)}{']' * (MOST_LEVELS + 1)}")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (f"run.seed={LONG}", "more than 64 bits"),
        (f"run.seed=0x{'f' * 5000}", "more than 64 bits"),
        (f"run.seed={'[' * 5000}{']' * 5000}", "nested too deeply"),
        (f"{dotted(3000)}=1", f"more than {MOST_LEVELS} parts"),
        (f"{dotted(MOST_LEVELS)}={{ a = 1 }}", "unknown key"),
        (f"run.{LONG}=1", "unknown key"),
        (f"recipe.network={'x' * 9000}", "is not known"),
        ("recipe.prediction_batch_size=1e32", "allowed: integer"),
        (f"recipe.prediction_batch_size={10**32}", "more than 64 bits"),
        (f"recipe.prediction_batch_size={2**62}", "less than or equal to 1000000"),
        ("recipe.mixup=5e-324", "0, or from 0.001 to 1000"),
        ("recipe.mixup=1e308", "less than or equal to 1000"),
        ("recipe.mixup=1e400", "finite number"),
        ("recipe.zoom_crop=[5e-324, 1.0]", "greater than or equal to 0.01"),
        ("recipe.frozen_rates=[5e-324, 1e308]", "equal to 0.000000000001"),
        ("recipe.validation.folds=9223372036854775807", "less than or equal to 1000"),
        ("run.seed=1979-05-27", "allowed: integer"),
        ("cluster.memory=1e308", "less than or equal to"),
        ("blend.clamp=[0.0, 0.0]", "the second number from 0.000001"),
        ("blend.clamp=[0.0, 1e-60]", "the second number from 0.000001"),
        ("blend.weights={ a = 5e-324, b = 1.0 }", "0, or from 0.000000001 to 1000000000"),
    ],
    ids=lambda text: text[:40],
)
def test_a_set_with_a_number_or_a_depth_beyond_all_use_is_refused_in_a_short_message(
    small_toml: Path, change: str, what: str
) -> None:
    text = str(refusal(small_toml, changes=[change]))
    assert what in text
    assert "--set" in text
    assert max(map(len, text.splitlines())) < 12_000  # the key itself stands in it as it is


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\x85", "\u2028", "\n"])
@pytest.mark.parametrize(
    "key",
    [
        "competition.name",
        "competition.address",
        "data.train",
        "data.test",
        "data.sample_submission",
        "data.labels",
        "data.id_column",
        "data.label_column",
        "cluster.storage",
    ],
)
def test_a_text_with_a_control_character_is_refused(
    small_toml: Path, key: str, character: str
) -> None:
    escaped = f"\\u{ord(character):04x}"
    error = refusal(small_toml, changes=[f'{key}="a{escaped}b"'])
    assert_names(error, f"--set {key}: got 'a", "allowed: text without control characters")
    assert "\x1b" not in str(error)


@pytest.mark.parametrize("key", ["data.folder", "run.cache"])
def test_a_folder_may_have_any_name_that_a_record_can_hold(small_toml: Path, key: str) -> None:
    for unusable in ("\\u0000", os.fsdecode(b"\xff")):
        error = refusal(small_toml, changes=[f'{key}="a{unusable}b"'])
        assert_names(error, f"--set {key}: got 'a", "allowed: a path in UTF-8 without NUL")
    table, _, name = key.partition(".")
    settings = read_settings(small_toml, changes=[f'{key}="a\\tb"'])
    assert getattr(getattr(settings, table), name) == "a\tb"


def texts_of(model: type[BaseModel], *path: str) -> Iterator[str]:
    """The dotted keys of settings that are any text at all."""
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        if field.annotation is str and not field.metadata:
            yield ".".join((*path, name))
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from texts_of(kind, *path, name)


def test_no_setting_is_just_any_text() -> None:
    assert list(texts_of(Settings)) == []
    assert list(texts_of(Member)) == []


def numbers_of(schema: Any, *path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each number in a JSON schema, with its dotted key."""
    if isinstance(schema, list):
        for each in schema:
            yield from numbers_of(each, *path)
    elif isinstance(schema, dict):
        if schema.get("type") in ("integer", "number"):
            yield ".".join(path), schema
        for key, value in schema.items():
            if key in ("properties", "$defs"):
                for name, each in value.items():
                    yield from numbers_of(each, *path, name)
            elif isinstance(value, (dict, list)):
                yield from numbers_of(value, *path)


def test_every_number_has_bounds() -> None:
    # Of what decides bits; of these three every number does what it says.
    unbounded = {"Member.public_score", "Run.checkpoint_seconds", "Cluster.num_cpus"}
    found = dict(numbers_of(Settings.model_json_schema())) | dict(
        numbers_of({"properties": {"Member": Member.model_json_schema()}})
    )
    lacking = {
        key
        for key, schema in found.items()
        if not {"maximum", "exclusiveMaximum"} & schema.keys()
        or not {"minimum", "exclusiveMinimum"} & schema.keys()
    }
    assert len(found) > 25
    assert lacking <= unbounded, lacking


@pytest.mark.parametrize(
    "changes",
    [
        ["run.seed.x=7", "run.seed=7"],
        ["run.seed=7", "run.seed.x=7"],
        ["run={seed=7}", "run.seed.x=7"],
        ["run=7", "run.seed=7"],
        ["recipe.class_weights=balanced", "recipe.class_weights.leaf_rust=2.0"],
    ],
)
def test_sets_that_contradict_each_other_are_refused(small_toml: Path, changes: list[str]) -> None:
    error = refusal(small_toml, changes=changes)
    assert_names(error, f"--set {changes[1]}: ", "an earlier --set", "Leave one of them out.")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("data.folder={}", "data.folder"),
        ("run.seed={}", "run.seed"),
        ("blend={}", "blend"),
        ("blend.weights={}", "blend.weights"),
        ("blend={weights={}}", "blend.weights"),
        ("recipe.epochs={}", "recipe.epochs"),
        ("members.a.epochs={}", "members.a.epochs"),
        ("members={}", "members"),
    ],
)
def test_a_set_that_would_change_nothing_is_refused(
    small_toml: Path, change: str, key: str
) -> None:
    assert_names(refusal(small_toml, changes=[change]), f"--set {change}: {key} is an empty table")


def test_a_new_member_may_be_an_empty_table(small_toml: Path) -> None:
    assert list(read_settings(small_toml, changes=["members.c={}"]).members) == ["a", "b", "c"]


def test_a_table_of_the_file_over_a_value_of_it_is_refused(small_toml: Path) -> None:
    edit(small_toml, "seed = 0", "seed = { x = 7 }")
    assert_names(refusal(small_toml), "run.seed: got a table, allowed: integer")
    append(small_toml, "\n[profiles.p.data.folder]\nx = 1\n")
    assert_names(refusal(small_toml), "profiles.p.data.folder: got a table, allowed: string")


def test_a_long_value_is_told_in_short(small_toml: Path) -> None:
    text = str(refusal(small_toml, changes=[f'run.device="{"x" * 100_000}"']))
    assert len(text) < 800
    assert re.search(r"'x+ \.\.\. x+' is not known", text)
