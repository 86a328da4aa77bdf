"""A blend that a command chose in place of the settings' one: recorded, and kept or dropped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinrun.config.identity import identity_settings, with_neutral
from twinrun.config.sections import Blend
from twinrun.config.settings import Settings
from twinrun.errors import InputError, differences
from twinrun.files import is_there
from twinrun.run_folder.manifest import read_written_blend
from twinrun.run_folder.paths import PREDICTION_FILES, RunFolder
from twinrun.run_folder.records import read_record


@dataclass(frozen=True)
class ResolvedBlend:
    """With which [blend] a run's submission is made again.

    Attributes:
        settings: Of the run, with that [blend].
        choice: What a command chose earlier, as lines of competition.toml; none where none did.
        dropped: Why it is not kept, a reason each; none where it is kept.
    """

    settings: Settings
    choice: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def describe_origin(
    run: Path, settings: Settings, members: Sequence[str], written: Blend | None
) -> dict[str, Any]:
    """What a submission was asked for with: `shapes.BlendOrigin`, as JSON values.

    Args:
        run: runs/<run>.
        settings: That it was made with.
        members: That take part.
        written: [blend] of the settings themselves, without what the command changed; None where
            it changed nothing.
    """
    return {
        "blend": identity_settings(settings.blend),
        "settings": identity_settings(settings.blend if written is None else written),
        "submission": identity_settings(settings.submission),
        "predictions": _predictions(run, members),
    }


def resolve_blend(run: Path, settings: Settings, written: Blend) -> ResolvedBlend:
    """Keep what a command chose, while members and [blend] are what they were then.

    Args:
        run: runs/<run>, its members complete.
        settings: Of the run.
        written: [blend] of the settings themselves, without what this command changed.

    Raises:
        InputError: blend.json or a member's record is damaged.
    """
    found = read_written_blend(run)
    if found is None:
        return ResolvedBlend(settings)
    origin = found["origin"]
    chosen, asked = origin["blend"], identity_settings(settings.blend)
    if chosen in (origin["settings"], asked):
        return ResolvedBlend(settings)
    choice = tuple(setting_lines(chosen, origin["settings"]))
    blend = Blend.model_validate(with_neutral(Blend, chosen))
    kept = settings.model_copy(update={"blend": blend})
    dropped: list[str] = []
    if identity_settings(written) != asked:
        lines = setting_lines(asked, identity_settings(written))
        dropped.append(f"this command chooses {', '.join(lines)}")
    elif origin["settings"] != asked:
        then, now = (with_neutral(Blend, each) for each in (origin["settings"], asked))
        dropped += [f"[blend] was changed: {line}" for line in differences(then, now)]
    weighted = [name for name in settings.members if kept.weight(name)]
    dropped += _changed(origin["predictions"], _predictions(run, weighted))
    if dropped:
        return ResolvedBlend(settings, choice, tuple(dropped))
    return ResolvedBlend(kept, choice)


def is_blended(run: Path, settings: Settings) -> bool:
    """Whether a run has its whole submission: of all members with a weight, as they are now.

    Args:
        run: runs/<run>.
        settings: Of the run.

    Raises:
        InputError: blend.json or a member's record is damaged.
    """
    found = read_written_blend(run)
    if found is None or found.get("partial") or not is_there(RunFolder(run).submission):
        return False
    weighted = [name for name in settings.members if settings.weight(name)]
    now = _predictions(run, weighted)
    return len(now) == len(weighted) and bool(found["origin"]["predictions"] == now)


def with_seed_of(settings: Settings, manifest: dict[str, Any] | None) -> Settings:
    """Settings with the seed of the run that is blended, whatever seed is set by now.

    It decides the parts of a nested validation: those of the command that trained the members.

    Args:
        settings: Of the blend.
        manifest: The content of the run's manifest.json; None where there is none.

    Raises:
        InputError: It names no seed.
    """
    if manifest is None:
        return settings
    seed = (manifest["content"]["settings"].get("run") or {}).get("seed")
    if not isinstance(seed, int):
        raise InputError(
            "the run's manifest.json is damaged: it names no seed",
            fix="Rerun the command that made the run to have a new one.",
        )
    return settings.model_copy(update={"run": settings.run.model_copy(update={"seed": seed})})


def setting_lines(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """The lines of a [blend] that make one of another, such as `method = "auto"`.

    Args:
        wanted: From `identity_settings`: what the lines shall give.
        there: Likewise: what the settings have without them.
    """
    full, base = (with_neutral(Blend, each) for each in (wanted, there))
    return [
        f"{name} = {_toml(full[name])}" for name in Blend.known_keys() if full[name] != base[name]
    ]


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{json.dumps(name)} = {_toml(each)}" for name, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return json.dumps(value, ensure_ascii=False)


def _predictions(run: Path, members: Sequence[str]) -> dict[str, dict[str, str]]:
    """SHA-256 of predictions by file, by member; of the members that are complete."""
    found = {}
    for name in sorted(members):
        record = read_record(RunFolder(run).training(name).path)
        if record is not None:
            files = record["files"]
            found[name] = {file: files[file] for file in PREDICTION_FILES if file in files}
    return found


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    gone = [f"member {name} takes no part any more" for name in then if name not in now]
    new = [f"member {name} took no part then" for name in now if name not in then]
    other = [
        f"member {name} has other predictions now"
        for name in then
        if name in now and then[name] != now[name]
    ]
    return gone + new + other
