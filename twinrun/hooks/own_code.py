"""A competitor's code as it stands in competition/: which hooks there are, and their digests."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from twinrun.errors import InputError, NegativeVerdict
from twinrun.files import is_there, sha256_json
from twinrun.hooks.locked import find_packages, refuse_hiding
from twinrun.hooks.reach import Code, Reached
from twinrun.hooks.table import HOOKS, SETTINGS, Enters

FILE = "hooks.py"
# The class in it that checks the table [hooks].
MODEL = "Settings"
# Tables of the engine whose entries decide no bit of a member.
_OF_BLENDS = ("METRICS", "BLEND_METHODS")

# What scores predictions, and decides none of them: the hook, and entries of the table of metrics.
SCORING = ("metric", "METRICS")


@dataclass(frozen=True)
class Part:
    """A hook, or what acts as soon as the code is imported.

    Attributes:
        enters: What its digest is a part of.
        digest: SHA-256 of what it reaches.
        packages: What it imports, by the name of the package that brings it: the version.
        reads_settings: Whether it is given the table [hooks].
        line: Where it stands in hooks.py; 0 where that is not known.
    """

    enters: Enters
    digest: str
    packages: Mapping[str, str]
    reads_settings: bool = False
    line: int = 0


@dataclass(frozen=True)
class OwnCode:
    """A competitor's code, read and not run. It can be sent to a different machine.

    Attributes:
        folder: competition/.
        texts: Each file of code by its name, relative to the folder.
        files: SHA-256 by name of the files that a text in it names.
        hooks: By the names of `HOOKS`, those that are there.
        effects: By the name of what is acted on: `METRICS`, where an entry is added to that.
        has_model: Whether it has a class `Settings`.
        edited: A line for each hook that is not what a run was made with, where it is the code of
            a run. Such code is not imported.
    """

    folder: Path = field(default_factory=Path)
    texts: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    hooks: Mapping[str, Part] = field(default_factory=dict)
    effects: Mapping[str, Part] = field(default_factory=dict)
    has_model: bool = False
    edited: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """hooks.py."""
        return self.folder / FILE

    @property
    def parts(self) -> dict[str, Part]:
        """The hooks, and what acts as soon as it is imported."""
        return {**self.hooks, **self.effects}

    @property
    def acts(self) -> bool:
        """Whether settings can only be checked when it has been imported."""
        return bool(self.effects) or self.has_model

    def digests(self, enters: Enters, settings: Mapping[str, Any]) -> dict[str, str]:
        """The digests that are a part of something, by name, sorted.

        What acts on import acts on the decoding of images too. Of what is not a part of a training
        the versions of packages count here; those of a training are facts of its environment.

        Args:
            enters: Of what.
            settings: The table [hooks]; it counts for what is given it.
        """
        parts = self.parts
        chosen = {
            name
            for name, part in parts.items()
            if part.enters == enters
            or (enters == "pixels" and name in self.effects and part.enters == "training")
        }
        return {name: _whole_digest(parts[name], enters, settings) for name in sorted(chosen)}

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that decide bits of a training because its hooks import them."""
        parts = self.parts.values()
        return tuple(sorted({n for p in parts if p.enters == "training" for n in p.packages}))

    @cached_property
    def key(self) -> str:
        """The same for the same code in the same place."""
        texts = {name: text.decode("utf-8", "replace") for name, text in self.texts.items()}
        return sha256_json([str(self.folder), texts, dict(self.files), list(self.edited)])

    def refuse_edited(self) -> None:
        """Check that it is what the run that it is of was made with.

        Raises:
            NegativeVerdict: It is not; each hook that differs is named.
        """
        if self.edited:
            raise NegativeVerdict(
                f"{self.path if self.texts else FILE} is not what the run was made with:",
                details=self.edited,
                fix="Bring back the file, and those beside it, as they were."
                if self.texts
                else "Call this in the project that the run was made in. Code that a run's folder "
                "names is run nowhere else.",
            )


NO_CODE = OwnCode()


def read_own_code(config: Path) -> OwnCode:
    """The code beside a settings file. None of it is run.

    Args:
        config: A competition.toml; hooks.py stands beside it, or there is none.

    Raises:
        InputError: It cannot be read, is no Python, a hook asks for what it cannot be given, or
            something is imported that is not installed, or that the project's lock does not name.
    """
    path = config.with_name(FILE)
    if not is_there(path):
        return NO_CODE
    code = Code(config.parent.absolute(), FILE)
    refuse_hiding(code)
    reached: dict[str, Reached] = {}
    readers: set[str] = set()
    for hook in HOOKS:
        if not code.has(hook.name):
            continue
        given = _parameters(code, hook.name)
        if given is not None:
            _refuse_unknown(path, code, hook.name, given)
        # What is no plain function is given the table, as far as is known here.
        if given is None or SETTINGS in given:
            readers.add(hook.name)
        reached[hook.name] = code.reach(hook.name, *([MODEL] if hook.name in readers else []))
    effects = code.reach_effects()
    packages = find_packages(code.folder, [*reached.values(), *effects.values()])

    def brought(found: Reached) -> dict[str, str]:
        return {packages[each].name: packages[each].version for each in found.packages}

    hooks = {
        name: Part(
            HOOKS.get(name).enters,
            code.digest(found),
            brought(found),
            reads_settings=name in readers,
            line=code.source.line(name),
        )
        for name, found in reached.items()
    }
    acting = {
        name: Part(
            "blend" if name in _OF_BLENDS else "training",
            code.digest(found),
            brought(found),
        )
        for name, found in effects.items()
    }
    files = {
        k: v for found in (*reached.values(), *effects.values()) for k, v in found.files.items()
    }
    return OwnCode(code.folder, code.texts, files, hooks, acting, code.defines(MODEL))


def holds_code(config: Path) -> bool:
    """Whether hooks.py beside a settings file holds more than comments, or cannot be read."""
    path = config.with_name(FILE)
    if not is_there(path):
        return False
    try:
        code = Code(config.parent.absolute(), FILE)
    except (InputError, MemoryError, RecursionError):
        return True
    return not code.source.is_empty


def _whole_digest(part: Part, enters: Enters, settings: Mapping[str, Any]) -> str:
    beside: dict[str, Any] = {}
    if part.reads_settings and settings:
        beside["settings"] = dict(settings)
    if enters != "training" and part.packages:
        beside["packages"] = dict(part.packages)
    return sha256_json([part.digest, beside]) if beside else part.digest


def _parameters(code: Code, name: str) -> dict[str, bool] | None:
    """The names of a hook's parameters, and whether each has a value.

    Returns:
        None where it is no plain function: what a decorator makes of one may ask for more.
    """
    node = code.source.define(name)
    if not isinstance(node, ast.FunctionDef) or node.decorator_list:
        return None
    told = node.args
    if told.posonlyargs:
        names = ", ".join(each.arg for each in told.posonlyargs)
        raise InputError(
            f"{code.folder / FILE}, line {node.lineno}: `{name}` takes {names} by place alone",
            fix="It is called with names: remove the `/`.",
        )
    without = len(told.args) - len(told.defaults)
    found = {each.arg: place >= without for place, each in enumerate(told.args)}
    pairs = zip(told.kwonlyargs, told.kw_defaults, strict=True)
    return found | {each.arg: value is not None for each, value in pairs}


def _refuse_unknown(path: Path, code: Code, name: str, given: Mapping[str, bool]) -> None:
    hook = HOOKS.get(name)
    unknown = [each for each, has_value in given.items() if each not in hook.gets and not has_value]
    if unknown:
        raise InputError(
            f"{path}, line {code.source.line(name)}: `{name}` asks for {', '.join(unknown)}, which "
            "is not given",
            details=[f"{each}: {words}" for each, words in hook.gets.items()],
            fix="It may ask for these, by their names.",
        )
