"""Cases of settings: a file that is damaged or says odd things, and odd options over it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

from tests.conftest import FIXTURE, SMALL
from tests.fuzz.draw import NUMBERS, STRANGE, WORDS, damaged, pick, toml_key, toml_text, toml_value
from twinrun.cli.options import RunOptions
from twinrun.config.identity import identity_settings
from twinrun.config.recipe import Member
from twinrun.config.settings import Settings
from twinrun.data.augment import batch_changes
from twinrun.repro.keys import Key

WHOLE = (
    SMALL.format(folder=FIXTURE.as_posix())
    + """
[profiles.quick]
run.threads = 2
[profiles.quick.recipe]
epochs = { frozen = 1, unfrozen = 0 }
[profiles.other.members.a]
validation = { folds = 3 }
[cluster]
num_cpus = 2
[submission]
columns = "classes"
"""
)
# Every key that there is, and where it may stand.
_SECTIONS = {
    name: list(getattr(field.annotation, "model_fields"))  # noqa: B009  (of a type, for mypy)
    for name, field in Settings.model_fields.items()
    if hasattr(field.annotation, "model_fields")
}
KEYS = [f"{section}.{key}" for section, keys in _SECTIONS.items() for key in keys]
KEYS += [f"{place}.{key}" for key in Member.known_keys() for place in ("recipe", "members.a")]
KEYS += [
    f"{place}.{key}"
    for place in ("recipe", "members.b")
    for key in (
        *("epochs.frozen", "epochs.unfrozen", "validation.share", "validation.folds"),
        *("test_time.method", "test_time.times", "test_time.mean", "class_weights.leaf_rust"),
    )
]
KEYS += [*_SECTIONS, "recipe", "members", "members.c", "profiles", "profiles.quick", "config"]


class SettingsCase:
    """A settings file, a local.toml beside it, and options.

    Args:
        draw: Of this case alone.
        place: An empty folder.
    """

    def __init__(self, draw: Random, place: Path) -> None:
        self.config = place / "competition.toml"
        self.config.write_bytes(_file(draw))
        if draw.random() < 0.1:
            key = draw.choice(("folder", "folder", toml_key(draw)))
            local = f"[data]\n{key} = {toml_value(draw)}\n"
            (place / "local.toml").write_bytes(damaged(draw, local))
        changes = [_change(draw) for _ in range(draw.choice((0, 0, 1, 1, 2, 3)))]
        profile = draw.choice((None,) * 6 + ("quick", "other", pick(draw, WORDS, STRANGE)))
        data = draw.choice((None,) * 6 + (FIXTURE, Path(_argument(pick(draw, STRANGE)))))
        run = draw.choice((None,) * 6 + (_argument(pick(draw, WORDS, STRANGE, NUMBERS)),))
        self.options = RunOptions(self.config, profile, data, changes, place / "runs", run)

    def carry_out(self) -> None:
        """Read the settings, and ask of them what commands ask before they train."""
        settings = self.options.read()
        folder = self.options.folder
        self.options.written_blend(settings)
        json.dumps(identity_settings(settings), ensure_ascii=False).encode()
        again = {"config": settings.config, "folder_origin": settings.folder_origin}
        again |= json.loads(settings.model_dump_json())
        assert Settings.model_validate(again).model_dump() == settings.model_dump()
        str(settings.no_data_folder())
        settings.cache_folder(folder.parent).exists()
        if settings.data_folder.is_dir():
            settings.sample_path().exists()
        keys = [Key((settings.run.seed, "a", epoch)) for epoch in range(2)]
        for name, member in settings.members.items():
            settings.weight(name)
            assert 32 <= member.cached_size <= 2 * 4096
            batch_changes(member, keys)
            for training in settings.trainings(name):
                if settings.competition.classes != "auto":
                    json.dumps(settings.training_content(training.name)).encode()


def _argument(text: str) -> str:
    """As a command line can hold it: neither a NUL, nor halves of characters but raw bytes."""
    return text.replace("\0", "")


def _file(draw: Random) -> bytes:
    text = WHOLE
    for _ in range(draw.choice((0, 1, 1, 2))):
        text = draw.choice((_other_value, _other_value, _other_line, _more, _more))(draw, text)
    # Most of what is damaged is no TOML any more.
    return damaged(draw, text) if draw.random() < 0.3 else text.encode("utf-8", "surrogateescape")


def _other_value(draw: Random, text: str) -> str:
    """Another value of a key that is there."""
    found = draw.choice(list(re.finditer(r"(?m)^([\w.]+) = (.*)$", text)))
    return text[: found.start(2)] + toml_value(draw) + text[found.end(2) :]


def _other_line(draw: Random, text: str) -> str:
    """A line away, twice or in another place."""
    lines = text.splitlines(keepends=True)
    line = lines.pop(draw.randrange(len(lines)))
    for _ in range(draw.randrange(3)):
        lines.insert(draw.randrange(len(lines)), line)
    return "".join(lines)


def _more(draw: Random, text: str) -> str:
    """A key more, known or not, in a table or at the end."""
    key = draw.choice((draw.choice(KEYS), draw.choice(KEYS), toml_key(draw)))
    line = draw.choice((f"{key} = {toml_value(draw)}\n", f"[{key}]\n", f"[[{key}]]\n"))
    lines = text.splitlines(keepends=True)
    at = draw.choice((0, len(lines), draw.randrange(len(lines))))
    return "".join([*lines[:at], line, *lines[at:]])


def _change(draw: Random) -> str:
    """A value of --set."""
    key = draw.choice((draw.choice(KEYS), draw.choice(KEYS), draw.choice(KEYS), toml_key(draw)))
    if draw.random() < 0.15:
        key += "." + draw.choice((toml_key(draw), *_SECTIONS, ".".join("a" * draw.randrange(60))))
    value = draw.choice((toml_value(draw), toml_text(draw, pick(draw, WORDS)), pick(draw, NUMBERS)))
    change = draw.choice((f"{key}={value}",) * 9 + (f"{key}{value}", f" {key} = {value} ", value))
    return _argument(change)
