"""A member's identity: all that decides its bits, without what is declared to do nothing."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from tests.config.test_reading import BESIDE, OTHER_RECIPE
from twinrun.config import recipe
from twinrun.config import settings as settings_module
from twinrun.config.identity import identity_settings, with_neutral, write_out_settings
from twinrun.config.reading import read_settings
from twinrun.config.recipe import Member
from twinrun.config.recipe_tables import (
    Begin,
    Ema,
    LossChoice,
    Sample,
    Table,
    Take,
    TestTime,
    Validation,
)
from twinrun.config.settings import Settings, write_out_content
from twinrun.errors import differences
from twinrun.neutral import Beside, Neutral, without_neutral
from twinrun.repro import environment, facts, in_force, ranks
from twinrun.run_folder.records import member_identity, same_origin
from twinrun.transforms.table import TRANSFORMS

ENVIRONMENT = {"decides": {"device": "cpu", "threads": 1}, "beside": {}}
NEEDED = {"network", "batch_size", "epochs", "validation"}


def neutral_of(field: FieldInfo) -> Neutral | None:
    return next((each for each in field.metadata if isinstance(each, Neutral)), None)


@pytest.fixture
def settings(small_toml: Path) -> Settings:
    return read_settings(small_toml)


def identity(settings: Settings) -> dict[str, Any]:
    return member_identity("a", settings, "data", ENVIRONMENT)


def member(model: type[Member], **values: Any) -> Member:
    given = {name: getattr(MEMBER, name).model_dump() for name in ("epochs", "validation")}
    return model.model_validate({"network": "resnet18", "batch_size": 8, **given, **values})


MEMBER = Member.model_validate(
    {
        "network": "resnet18",
        "batch_size": 8,
        "epochs": {"frozen": 1, "unfrozen": 0},
        "validation": {"share": 0.5},
    }
)


def with_default(
    model: type[Table], name: str, default: Any, annotation: type[Any] | None = None
) -> type[Any]:
    """The same table of settings, in a version of the engine in which this default is different."""
    field = copy(model.model_fields[name])
    field.default = default
    field.annotation = annotation or field.annotation
    # mypy cannot see which keywords a dictionary holds.
    create: Any = create_model
    made: type[Any] = create(model.__name__, __base__=model, **{name: (field.annotation, field)})
    return made


def other_value(name: str) -> Any:
    """A value that is not the default."""
    if name == "pretrained":
        return False
    values = read_settings(
        changes=[f"recipe.{name}={OTHER_RECIPE[name]}", "competition.classes=auto"]
    )
    return values.members["M27g"].value(name)


def plain(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v.model_dump() if isinstance(v, Table) else v for k, v in values.items()}


@pytest.mark.parametrize(
    "name",
    [n for n, f in Member.known_keys().items() if not f.is_required() and n not in BESIDE],
)
def test_a_default_that_changes_is_a_change_of_the_identity(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in TRANSFORMS:
        monkeypatch.setattr(TRANSFORMS.get(name), "default", other_value(name))
        # The table of their settings is kept by the transforms themselves.
        fresh = recipe._transforms_table.__wrapped__
        monkeypatch.setattr(recipe, "_transforms_table", fresh)
        changed = member(Member)
    else:
        changed = member(with_default(Member, name, other_value(name)))
    assert identity_settings(changed) != identity_settings(MEMBER)
    assert identity_settings(changed).get(name) != identity_settings(MEMBER).get(name)


@pytest.mark.parametrize(("name", "other"), [("times", 9), ("mean", "geometric")])
def test_a_default_of_a_table_in_it_that_changes_is_a_change(name: str, other: Any) -> None:
    times = with_default(TestTime, name, other)
    now = with_default(Member, "test_time", times(), times)
    for method, same in (("train", False), ("none", True)):
        before = member(Member, test_time={"method": method})
        changed = member(now, test_time={"method": method})
        assert (identity_settings(changed) == identity_settings(before)) is same


def test_every_setting_but_the_neutral_ones_is_in_the_identity() -> None:
    other = {name: other_value(name) for name in OTHER_RECIPE if name not in NEEDED}
    found = identity_settings(member(Member, **plain(other)))
    assert found.keys() == Member.known_keys().keys() - BESIDE
    # At its default or not makes no difference: only a value that does nothing is left out.
    for name, field in Member.known_keys().items():
        neutral = neutral_of(field)
        if name not in BESIDE:
            left_out = neutral is not None and name not in identity_settings(MEMBER)
            default_does_nothing = neutral is not None and (
                field.default
                in (
                    *(neutral.value, TestTime(), Take(), Begin(), Ema(use="last")),
                    *(LossChoice(), Sample()),
                )
            )
            assert left_out == default_does_nothing, name


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        (Annotated[float, Field(ge=0), Neutral(0.0)], 0.0),
        (Annotated[str, Neutral("none")], "none"),
        (Annotated[list[float], Neutral([])], []),
        (Annotated[TestTime, Neutral({"method": "none"})], TestTime(times=9)),
    ],
)
def test_a_new_setting_at_its_neutral_value_leaves_a_complete_member_complete(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, annotation: Any, default: Any
) -> None:
    complete = identity(settings)
    newer = create_model("Member", __base__=Member, shear=(annotation, default))
    given = {name: member.model_dump() for name, member in settings.members.items()}
    members = {name: newer.model_validate(each) for name, each in given.items()}
    later = settings.model_copy(update={"members": members})
    assert same_origin(complete, identity(later), mixed=False)
    # It is the value that counts, not that the setting is new.
    doing = {"float": 0.5, "str": "some"}.get(getattr(annotation, "__origin__", float).__name__)
    if doing is not None:
        members["a"] = newer.model_validate(given["a"] | {"shear": doing})
        assert not same_origin(complete, identity(later), mixed=False)
        monkeypatch.setattr(settings_module, "Member", newer)
        shown = [write_out_content(each["settings"]) for each in (complete, identity(later))]
        assert differences(*shown) == [f"member.shear: {default!r} then, {doing!r} now"]


def test_a_new_setting_that_always_does_something_makes_a_member_stale(settings: Settings) -> None:
    complete = identity(settings)
    newer = create_model("Member", __base__=Member, optimiser=(str, "adam"))
    members = {name: newer.model_validate(m.model_dump()) for name, m in settings.members.items()}
    assert not same_origin(
        complete, identity(settings.model_copy(update={"members": members})), mixed=False
    )


@pytest.mark.parametrize("key", ["classes", "seed", "threads", "member", "fold"])
def test_what_else_is_in_the_identity_changes_it(settings: Settings, key: str) -> None:
    folds = Validation.model_validate({"folds": 3})
    members = {"a": settings.members["a"].model_copy(update={"validation": folds})}
    settings = settings.model_copy(update={"members": members})
    content = settings.training_content("a/fold-1")
    assert key in content
    changed = {
        "classes": ("competition", {"classes": settings.classes[::-1]}, "a/fold-1"),
        "seed": ("run", {"seed": settings.run.seed + 1}, "a/fold-1"),
        "threads": ("run", {"threads": settings.run.threads + 1}, "a/fold-1"),
        "fold": ("run", {}, "a/fold-2"),
        "member": ("run", {}, "b/fold-1"),
    }
    table, update, name = changed[key]
    part = getattr(settings, table).model_copy(update=update)
    other = settings.model_copy(update={table: part, "members": members | {"b": members["a"]}})
    now = other.training_content(name)
    assert [each for each in content if content[each] != now[each]] == [key]


def test_data_and_environment_are_in_the_identity(settings: Settings) -> None:
    assert identity(settings) != member_identity("a", settings, "other data", ENVIRONMENT)
    elsewhere = {"decides": {**ENVIRONMENT["decides"], "threads": 2}}
    assert identity(settings) != member_identity("a", settings, "data", elsewhere)


# Facts of the environment


def test_a_fact_that_the_environment_gains_counts_where_it_says_something() -> None:
    before = {"device": "cpu", "threads": 1}
    neutral = {"variables": {}, "portable": False}
    assert without_neutral({**before, "variables": {}, "portable": False}, neutral) == before
    assert without_neutral({**before, "portable": True}, neutral) == {**before, "portable": True}
    # What is declared nowhere is always there.
    assert without_neutral({**before, "new": None}, neutral) == {**before, "new": None}


def test_an_environment_leaves_out_the_facts_that_do_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = environment.set_up(threads=1, device="cpu")["decides"]
    assert not found.keys() & facts.neutral_facts().keys()
    assert ranks.rank_facts(cuda=False) == ranks.NEUTRAL_RANKS
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    assert environment.set_up(threads=1, device="cpu")["decides"] == {
        **found,
        "variables": {"MKL_CBWR": "COMPATIBLE"},
    }
    # What a reader compares has them.
    assert facts.write_out_environment(found)["variables"] == {}
    assert facts.write_out_environment({"mkldnn": False})["mkldnn"] is False
    neutral = {**facts.neutral_facts(), "threads": 1}
    monkeypatch.setattr(in_force, "neutral_facts", lambda: neutral)
    told = environment.set_up(threads=1, device="cpu")
    assert "threads" not in told["decides"]
    assert told["beside"]["in_force"]["threads"] == 1


# Back from a record


def test_a_record_gives_the_settings_back_whatever_the_defaults_are(settings: Settings) -> None:
    given = {name: member.model_dump() for name, member in settings.members.items()}
    quiet = {name: Member.model_validate(each | NOTHING) for name, each in given.items()}
    settings = settings.model_copy(update={"members": quiet})
    recorded = identity_settings(settings)
    assert "mixup" not in recorded["members"]["a"]
    filled = with_neutral(Settings, recorded)
    filled["data"] |= {"folder": settings.data.folder}
    beside = {"config": settings.config, "folder_origin": settings.folder_origin}
    assert Settings.model_validate(filled | beside).members == quiet


NOTHING = {
    name: neutral.value
    for name, field in Member.known_keys().items()
    if (neutral := neutral_of(field)) and not isinstance(neutral.value, dict)
}


def test_a_record_without_a_setting_that_has_no_neutral_value_is_refused(
    settings: Settings,
) -> None:
    recorded = identity_settings(settings)
    del recorded["members"]["a"]["batch_size"], recorded["competition"]["metric"]
    with pytest.raises(ValueError, match=r"competition\.metric, members\.a\.batch_size$"):
        with_neutral(Settings, recorded)
    assert "batch_size" not in write_out_settings(Settings, recorded)["members"]["a"]


def test_what_decides_nothing_is_declared_where_the_setting_is(settings: Settings) -> None:
    recorded = identity_settings(settings)
    assert "cluster" not in recorded
    assert "folder" not in recorded["data"]
    assert recorded["run"].keys() == {"seed", "threads"}
    declared = [n for n, f in Member.model_fields.items() if Beside() in f.metadata]
    assert set(declared) == BESIDE
