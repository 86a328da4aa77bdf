"""The top-level statements of a file of a competitor's: what each binds, and what it reaches."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from twinrun.hooks.syntax import (
    DEFINITIONS,
    definitions,
    docstring,
    function_of,
    is_main,
    is_text,
    last_word,
    names_in,
    root_of,
    run_at_import,
)

# Who looks names up by itself may reach anything of its file.
_DYNAMIC = frozenset(
    {"globals", "locals", "vars", "eval", "exec", "compile", "__import__", "__dict__"}
    | {"importlib", "import_module", "inspect", "getattr_static", "runpy", "builtins"}
)
# As attributes: a module of torch has `eval` too.
_LOOKING = frozenset({"__dict__", "__globals__", "import_module", "getattr_static"})
_SYS = "sys"
# How the names of decorators begin that put something into a table.
_ADDING = ("add", "register")


@dataclass(frozen=True)
class Import:
    """A name that an import binds.

    Attributes:
        module: Absolute, with dots.
        name: What of the module; None for the module itself, "*" for all that it binds.
        line: Where it stands.
    """

    module: str
    name: str | None
    line: int

    @property
    def root(self) -> str:
        """The module's name up to the first dot."""
        return self.module.partition(".")[0]


@dataclass
class Statement:
    """A statement at the top level, which is no import.

    Attributes:
        node: Itself.
        binds: Names that it binds or changes.
        effects: Names of which it changes something that is not the file's, or that it calls for
            no name's sake: it acts as soon as the file is imported.
    """

    node: ast.stmt
    binds: set[str] = field(default_factory=set)
    effects: set[str] = field(default_factory=set)

    @cached_property
    def uses(self) -> set[str]:
        """All names that it reads."""
        return names_in([self.node])

    @cached_property
    def texts(self) -> set[str]:
        """All texts within it, but for those that say what a function is."""
        told = {id(each) for each in map(docstring, ast.walk(self.node)) if each is not None}
        return {
            each.value
            for each in ast.walk(self.node)
            if isinstance(each, ast.Constant)
            and isinstance(each.value, str)
            and id(each) not in told
        }

    @cached_property
    def decorators(self) -> set[str]:
        """All names in what decorates its functions and classes when the file is imported."""
        return names_in(part for each in definitions(self.node) for part in each.decorator_list)

    @cached_property
    def bases(self) -> set[str]:
        """All names in what its classes are made of when the file is imported."""
        classes = [each for each in definitions(self.node) if isinstance(each, ast.ClassDef)]
        return names_in(
            part for each in classes for part in (*each.bases, *(k.value for k in each.keywords))
        )

    @cached_property
    def hears_of_classes(self) -> bool:
        """Whether a class of it is told of the classes that are made of it."""
        return any(
            (isinstance(each, ast.FunctionDef) and each.name == "__init_subclass__")
            or (
                isinstance(each, ast.ClassDef)
                and any(isinstance(base, ast.Name) and base.id == "type" for base in each.bases)
            )
            for each in ast.walk(self.node)
        )

    @cached_property
    def attributes(self) -> set[tuple[str, str]]:
        """All attributes that it names, each with the name before it; empty for anything else."""
        return {
            (each.value.id if isinstance(each.value, ast.Name) else "", each.attr)
            for each in ast.walk(self.node)
            if isinstance(each, ast.Attribute)
        }


@dataclass
class Source:
    """A file, taken apart.

    Attributes:
        place: Relative to competition/, with slashes.
        statements: In their order, without imports.
        imports: By the name that is bound, one or several of each: `import a.b` and `import a.c`.
        stars: Modules of which all names are taken.
        inner: Imports within functions and classes, by the position of the statement.
    """

    place: str
    statements: list[Statement]
    imports: dict[str, list[Import]]
    stars: list[Import]
    inner: dict[int, list[Import]]

    @property
    def is_empty(self) -> bool:
        """Whether nothing but comments and texts stand in it."""
        return not (self.statements or self.imports or self.stars)

    def binding(self, name: str) -> list[int]:
        """The positions of the statements that bind or change a name."""
        return [at for at, each in enumerate(self.statements) if name in each.binds]

    def define(self, name: str) -> ast.stmt | None:
        """The statement that binds a name, the last of several; None where there is none."""
        found = [each.node for each in self.statements if name in each.binds]
        return found[-1] if found else None

    def has(self, name: str) -> bool:
        """Whether a name is bound, by a statement or by an import."""
        return bool(self.binding(name)) or name in self.imports

    def line(self, name: str) -> int:
        """Where a name is bound; 0 where it is not."""
        if name in self.imports:
            return self.imports[name][-1].line
        node = self.define(name)
        return node.lineno if node is not None else 0

    def is_dynamic(self, position: int) -> bool:
        """Whether a statement may reach names that do not stand in it."""
        statement = self.statements[position]
        used = [each for name in statement.uses for each in self.imports.get(name, [])]
        used += self.inner[position]
        words = statement.uses | {word for each in used for word in (each.root, each.name or "")}
        if words & _DYNAMIC or {name for _, name in statement.attributes} & _LOOKING:
            return True
        # `sys.modules`, under any name; a module of torch has `modules` too.
        tables = {name for name, found in self.imports.items() if _SYS in {i.root for i in found}}
        return any(
            name == "modules" and (of in tables or of == _SYS) for of, name in statement.attributes
        ) or any(each.root == _SYS and each.name == "modules" for each in used)


def take_apart(tree: ast.Module, place: str, package: str) -> Source:
    """The statements and imports of a file.

    Args:
        tree: Of the file.
        place: Relative to competition/, with slashes.
        package: Which its relative imports start from, with dots; empty for none.
    """
    source = Source(place, [], {}, [], {})
    imported: set[str] = set()
    for node in tree.body:
        for each in run_at_import(node):
            if isinstance(each, ast.Import | ast.ImportFrom):
                imported |= {name for name, _ in _imports_of(each, package)}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            _bind(source, _imports_of(node, package))
        elif not is_text(node) and not is_main(node):
            statement = Statement(node)
            _look(node, statement, imported)
            found = _imports_in(ast.walk(node), package)
            # `try: import a` and `if ...: import a` bind a, and say by their conditions which.
            statement.binds |= {name for name, _ in _imports_in(run_at_import(node), package)}
            source.stars += [each for _, each in found if each.name == "*"]
            source.inner[len(source.statements)] = [each for _, each in found]
            source.statements.append(statement)
    return source


def _bind(source: Source, found: list[tuple[str, Import]]) -> None:
    for name, each in found:
        if each.name == "*":
            source.stars.append(each)
        else:
            source.imports.setdefault(name, []).append(each)


def _imports_in(nodes: Iterable[ast.AST], package: str) -> list[tuple[str, Import]]:
    found = (node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
    return [pair for each in found for pair in _imports_of(each, package)]


def _imports_of(node: ast.Import | ast.ImportFrom, package: str) -> list[tuple[str, Import]]:
    if isinstance(node, ast.Import):
        return [
            (each.asname or each.name.partition(".")[0], Import(each.name, None, node.lineno))
            for each in node.names
        ]
    module = node.module or ""
    if node.level:
        parents = package.split(".") if package else []
        above = parents[: len(parents) - (node.level - 1)] if node.level > 1 else parents
        module = ".".join([*above, *([module] if module else [])])
    return [
        (each.asname or each.name, Import(module, each.name, node.lineno)) for each in node.names
    ]


def _look(node: ast.stmt, statement: Statement, imported: set[str]) -> None:
    """Find out what a statement binds, and what it does when the file is imported."""
    for made in definitions(node):
        for part in made.decorator_list:
            # `@register_model` of a library: as a call of it that binds no name.
            name = root_of(function_of(part))
            if last_word(part).startswith(_ADDING) and name in imported:
                _touch(name, statement, imported)
    if isinstance(node, DEFINITIONS):
        statement.binds.add(node.name)
        return
    for each in run_at_import(node):
        if isinstance(each, DEFINITIONS):
            statement.binds.add(each.name)
        elif isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load):
            statement.binds.add(each.id)
        elif isinstance(each, ast.Attribute | ast.Subscript) and not isinstance(each.ctx, ast.Load):
            _touch(root_of(each), statement, imported)
        elif isinstance(each, ast.Expr) and not is_text(each):
            _touch(root_of(each.value), statement, imported)
        elif (
            isinstance(each, ast.Call)
            and isinstance(each.func, ast.Attribute)
            and each.func.attr == "add"
            and (name := root_of(each.func)) in imported
        ):
            _touch(name, statement, imported)


def _touch(name: str, statement: Statement, imported: set[str]) -> None:
    # A method of what the file binds belongs to that; all else acts for no name's sake.
    if name in imported or not name:
        statement.effects.add(name or "top level")
    else:
        statement.binds.add(name)
