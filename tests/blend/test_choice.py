"""A blend that a command chose: kept while all is as it was, dropped for a reason that is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.predictions import settings_for
from tests.run_folder.documents import whole_blend, whole_record
from twinrun.blend.choice import describe_origin, resolve_blend, setting_lines
from twinrun.config.identity import identity_settings
from twinrun.config.reading import read_settings
from twinrun.config.sections import Blend
from twinrun.config.settings import Settings
from twinrun.run_folder.manifest import write_blend
from twinrun.run_folder.records import write_record


def record(run: Path, name: str, digest: str) -> None:
    files = {"valid.csv": digest * 64, "test.csv": digest * 64, "weights.safetensors": "0" * 64}
    write_record(run / "members" / name, whole_record(files=files))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of the members a and b; of c the folder only."""
    folder = tmp_path / "runs" / "full"
    for name in ("a", "b"):
        record(folder, name, "1")
    return folder


def settings_of(folder: Path, **blend: Any) -> Settings:
    return settings_for(folder, ["a", "b", "c"], weights={"a": 2.0, "b": 1.0}, **blend)


def blended(run: Path, used: Settings, written: Blend | None = None) -> None:
    origin = describe_origin(run, used, ["a", "b"], written)
    write_blend(run, whole_blend(origin=origin))


def test_what_a_command_chose_is_kept_while_all_is_as_it_was(run: Path, tmp_path: Path) -> None:
    settings, chosen = settings_of(tmp_path), settings_of(tmp_path, method="auto")
    assert resolve_blend(run, settings, settings.blend).settings == settings  # nothing to keep
    blended(run, chosen, settings.blend)
    found = resolve_blend(run, settings, settings.blend)
    assert found.settings.blend == chosen.blend
    assert (found.choice, found.dropped) == (('method = "auto"',), ())
    # Made again, it is still a choice.
    blended(run, found.settings, settings.blend)
    assert resolve_blend(run, settings, settings.blend) == found
    # And back: blended as the settings say.
    blended(run, settings)
    assert resolve_blend(run, settings, settings.blend).settings == settings
    assert resolve_blend(run, settings, settings.blend).choice == ()


def test_a_setting_that_says_the_same_by_now_is_nothing_to_keep(run: Path, tmp_path: Path) -> None:
    chosen = settings_of(tmp_path, method="auto")
    blended(run, chosen, settings_of(tmp_path).blend)
    found = resolve_blend(run, chosen, chosen.blend)
    assert (found.settings, found.choice, found.dropped) == (chosen, (), ())


def test_a_changed_blend_of_the_settings_drops_it_and_says_so(run: Path, tmp_path: Path) -> None:
    blended(run, settings_of(tmp_path, method="auto"), settings_of(tmp_path).blend)
    changed = settings_of(tmp_path, method="geometric")
    found = resolve_blend(run, changed, changed.blend)
    assert found.settings == changed
    assert found.choice == ('method = "auto"',)
    assert found.dropped == ("[blend] was changed: method: 'arithmetic' then, 'geometric' now",)


def test_a_command_that_chooses_itself_is_followed(run: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    blended(run, settings_of(tmp_path, method="auto"), settings.blend)
    own = settings_of(tmp_path, calibrate=True)
    found = resolve_blend(run, own, settings.blend)
    assert found.settings == own
    assert found.dropped == ("this command chooses calibrate = true",)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda run: record(run, "b", "2"), "member b has other predictions now"),
        (lambda run: (run / "members/b/member.json").unlink(), "member b takes no part any more"),
        (lambda run: record(run, "c", "1"), ""),  # it has no weight
    ],
)
def test_other_members_drop_it_and_are_named(
    run: Path, tmp_path: Path, change: Any, reason: str
) -> None:
    settings = settings_of(tmp_path)
    blended(run, settings_of(tmp_path, method="auto"), settings.blend)
    change(run)
    found = resolve_blend(run, settings, settings.blend)
    assert found.dropped == ((reason,) if reason else ())
    assert (found.settings == settings) == bool(reason)


def test_a_member_that_was_missing_and_is_complete_by_now_drops_it(
    run: Path, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path, ["a", "b", "c"])
    used = settings_for(tmp_path, ["a", "b", "c"], allow_missing=True)
    blended(run, used, settings.blend)
    record(run, "c", "1")
    found = resolve_blend(run, settings, settings.blend)
    assert found.dropped == ("member c took no part then",)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "auto"},
        {"calibrate": True, "renormalise": False},
        {"clamp": [0.01, 0.99]},
        {"weights": {"a": 0.5, "b": 1.0}},
        {"allow_missing": True},
    ],
)
def test_the_lines_make_of_the_settings_what_was_chosen(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    settings = settings_of(tmp_path)
    wanted = settings.blend.model_copy(update=change)
    lines = setting_lines(identity_settings(wanted), identity_settings(settings.blend))
    assert len(lines) == len(change)
    path = tmp_path / "made-up.toml"
    there = setting_lines(identity_settings(settings.blend), identity_settings(Blend()))
    kept = [line for line in there if line.partition(" ")[0] not in change]
    path.write_text(path.read_text() + "\n".join(["[blend]", *kept, *lines]) + "\n")
    assert read_settings(path).blend == wanted
