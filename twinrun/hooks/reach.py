"""What a competitor's functions reach: statements, files and packages, found without running any.

Of a function it is the function itself, the names of its file that it uses and what these use, the
same in the files beside it that it imports from, and the files that a text in any of this names.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from twinrun.errors import InputError
from twinrun.files import is_there, sha256_json
from twinrun.hooks.statements import Import, Source, Statement, take_apart
from twinrun.hooks.syntax import shape
from twinrun.plain_files import read_bytes

_ENGINE = "twinrun"
# Of a file's name; longer texts are none.
_LONGEST = 255


@dataclass
class Reached:
    """What some names of a file reach.

    Attributes:
        statements: By file, the positions of statements.
        aliases: Names that imports bind: file, name, what it is.
        files: SHA-256 by name, relative to competition/, of files that a text names.
        packages: By the name of an import, where it stands: file and line.
    """

    statements: dict[str, set[int]] = field(default_factory=dict)
    aliases: set[tuple[str, str, str]] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=dict)
    packages: dict[str, tuple[str, int]] = field(default_factory=dict)


class Code:
    """The files of a competitor's code that its entry reaches, read once.

    Args:
        folder: competition/.
        entry: The name of the file that it begins with.
        given: The content of files by their names, where they are not to be read.

    Attributes:
        texts: The content of each file of code by its name, relative to the folder.

    Raises:
        InputError: A file cannot be read, or is no Python.
    """

    def __init__(self, folder: Path, entry: str, given: Mapping[str, bytes] | None = None) -> None:
        self.folder, self.entry = folder, entry
        self.texts: dict[str, bytes] = {}
        self._given = given
        self._sources: dict[str, Source] = {}
        self._digests: dict[str, str] = {}
        self.source = self._read(entry, "")
        # All that may be imported, also within functions.
        waiting = [self.source]
        while waiting:
            source = waiting.pop()
            before = set(self._sources)
            for each in _all_imports(source):
                self._load(each)
            waiting += [self._sources[name] for name in self._sources.keys() - before]
        # What is made by others at import, by the file and name of what these may change by it.
        self.makers: dict[tuple[str, str], list[tuple[Source, int]]] = {}
        self.makers = self._find_makers()

    @property
    def sources(self) -> list[Source]:
        """All files, by name."""
        return [self._sources[name] for name in sorted(self._sources)]

    def _find_makers(self) -> dict[tuple[str, str], list[tuple[Source, int]]]:
        """A decorator may put a function into a table; a base class is told of its classes."""
        found: dict[tuple[str, str], list[tuple[Source, int]]] = {}
        for source in self.sources:
            for position, statement in enumerate(source.statements):
                reached = self._touched(source, statement.decorators)
                bases = self._touched(source, statement.bases)
                if any(each.hears_of_classes for _, each in bases):
                    reached += bases
                for place, each in reached:
                    for name in each.binds:
                        found.setdefault((place, name), []).append((source, position))
        return found

    def _touched(self, source: Source, names: Iterable[str]) -> list[tuple[str, Statement]]:
        """The statements, with their files, that names reach."""
        found = Reached()
        walk = _Walk(self, found)
        for name in sorted(names):
            walk.visit(source, name)
        return [
            (place, self._sources[place].statements[at])
            for place, positions in found.statements.items()
            for at in positions
        ]

    def has(self, name: str) -> bool:
        """Whether the entry binds a name: itself, or by taking all names of a file beside it."""
        return self._binds(self.source, name, set())

    def defines(self, name: str) -> bool:
        """Whether what a name of the entry is stands in one of the files."""
        locals_ = (each for each in self.source.imports.get(name, []) if self.local(each.module))
        return any(locals_) or (name not in self.source.imports and self.has(name))

    def _binds(self, source: Source, name: str, seen: set[str]) -> bool:
        if source.place in seen:
            return False
        seen.add(source.place)
        others = (self.local(star.module) for star in source.stars)
        return source.has(name) or any(self._binds(o, name, seen) for o in others if o is not None)

    def reach(self, *names: str) -> Reached:
        """What names of the entry reach."""
        found = Reached()
        walk = _Walk(self, found)
        for name in names:
            walk.visit(self.source, name)
        return found

    def reach_effects(self) -> dict[str, Reached]:
        """What acts as soon as the code is imported, by the name of what it acts on."""
        effects: dict[str, Reached] = {}
        for source in self.sources:
            for position, statement in enumerate(source.statements):
                for name in sorted(statement.effects):
                    found = effects.setdefault(name, Reached())
                    _Walk(self, found).add(source, position)
        return effects

    def digest(self, reached: Reached) -> str:
        """SHA-256 of what was reached, in hexadecimal; comments and places do not count."""
        return sha256_json(
            {
                "code": {
                    place: [shape(self._sources[place].statements[at].node) for at in sorted(found)]
                    for place, found in reached.statements.items()
                },
                "imports": sorted(map(list, reached.aliases)),
                "files": reached.files,
            }
        )

    def local(self, module: str) -> Source | None:
        """The file beside the entry that a module is; None where it is none."""
        place = module.replace(".", "/")
        if not module or module == _ENGINE or module.startswith(f"{_ENGINE}."):
            return None
        for name, package in (
            (f"{place}/__init__.py", module),
            (f"{place}.py", module.rpartition(".")[0]),
        ):
            if name in self._sources:
                return self._sources[name]
            if self._has(name):
                return self._read(name, package)
        return None

    def file_digest(self, text: str) -> tuple[str, str] | None:
        """Name and SHA-256 of the file that a text names, if it does."""
        if not 0 < len(text) <= _LONGEST or "\0" in text or "\n" in text:
            return None
        path = self.folder / text
        try:
            name = path.resolve().relative_to(self.folder.resolve()).as_posix()
            if name not in self._digests:
                if not path.is_file():
                    return None
                self._digests[name] = hashlib.sha256(read_bytes(path)).hexdigest()
        except (OSError, ValueError, RuntimeError):
            return None
        return name, self._digests[name]

    def _load(self, found: Import) -> None:
        """Read the files that an import runs."""
        names = found.module.split(".")
        parts = [self.local(".".join(names[: length + 1])) for length in range(len(names))]
        if parts[-1] is not None and found.name and found.name != "*":
            self.local(f"{found.module}.{found.name}")

    def _has(self, name: str) -> bool:
        if self._given is not None:
            return name in self._given
        return is_there(self.folder / name)

    def _read(self, name: str, package: str) -> Source:
        path = self.folder / name
        try:
            content = self._given[name] if self._given is not None else read_bytes(path)
            tree = ast.parse(content, str(path))
        except SyntaxError as error:
            where = f", line {error.lineno}" if error.lineno else ""
            raise InputError(f"{path}{where}: {error.msg}", fix="It is no Python.") from None
        except (OSError, ValueError, RecursionError, MemoryError) as error:
            raise InputError(f"{path} cannot be read: {error}") from None
        self.texts[name] = content
        self._sources[name] = source = take_apart(tree, name, package)
        return source


class _Walk:
    """Follows names."""

    def __init__(self, code: Code, found: Reached) -> None:
        self.code, self.found = code, found
        self._seen: set[tuple[str, str]] = set()

    def visit(self, source: Source, name: str) -> None:
        if (source.place, name) in self._seen:
            return
        self._seen.add((source.place, name))
        for position in source.binding(name):
            self.add(source, position)
        for maker, position in self.code.makers.get((source.place, name), []):
            self.add(maker, position)
        for each in source.imports.get(name, []):
            self.follow(source, name, each)
        for star in source.stars:
            other = self.code.local(star.module)
            if other is not None:
                self.visit(other, name)
            elif not source.has(name):
                self.package(source, star)

    def add(self, source: Source, position: int) -> None:
        own = self.found.statements.setdefault(source.place, set())
        if position in own:
            return
        own.add(position)
        statement = source.statements[position]
        for name in statement.uses:
            self.visit(source, name)
        for each in source.inner[position]:
            self.follow(source, "", each)
        for text in statement.texts:
            if named := self.code.file_digest(text):
                self.found.files[named[0]] = named[1]
        if source.is_dynamic(position):
            self.whole(source)

    def follow(self, source: Source, name: str, found: Import) -> None:
        if name:
            self.found.aliases.add((source.place, name, f"{found.module}:{found.name or ''}"))
        other = self.code.local(found.module)
        if other is None:
            self.package(source, found)
            return
        if found.name is None:
            # `import a.b` binds a, and runs both.
            parts = found.module.split(".")
            for length in range(1, len(parts) + 1):
                if part := self.code.local(".".join(parts[:length])):
                    self.whole(part)
        elif found.name == "*":
            self.whole(other)
        else:
            self.visit(other, found.name)
            inner = self.code.local(f"{found.module}.{found.name}")
            # `from . import losses` binds what lies within the package, and nothing else does.
            if inner is not None and (other is source or not other.has(found.name)):
                self.whole(inner)

    def whole(self, source: Source) -> None:
        if (source.place, "*") in self._seen:
            return
        self._seen.add((source.place, "*"))
        for position in range(len(source.statements)):
            self.add(source, position)
        for name in source.imports:
            self.visit(source, name)
        for star in source.stars:
            self.follow(source, "", star)

    def package(self, source: Source, found: Import) -> None:
        name = found.module.partition(".")[0]
        if name and name != _ENGINE and name not in sys.stdlib_module_names:
            self.found.packages.setdefault(name, (source.place, found.line))


def _all_imports(source: Source) -> list[Import]:
    inner = [each for found in source.inner.values() for each in found]
    return [*(each for found in source.imports.values() for each in found), *source.stars, *inner]
