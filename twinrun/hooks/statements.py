"""The top-level statements of a file of a competitor's: what each binds, and what it reaches."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

# Who looks names up by itself may reach anything of its file.
_DYNAMIC = frozenset(
    {"globals", "locals", "vars", "eval", "exec", "compile", "__import__", "__dict__"}
    | {"importlib", "import_module", "inspect", "getattr_static", "runpy", "builtins"}
)
# As attributes: a module of torch has `eval` too.
_LOOKING = frozenset({"__dict__", "__globals__", "import_module", "getattr_static"})
_SYS = "sys"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


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
        return {each.id for each in ast.walk(self.node) if isinstance(each, ast.Name)}

    @cached_property
    def texts(self) -> set[str]:
        """All texts within it, but for those that say what a function is."""
        told = {id(each) for each in map(_docstring, ast.walk(self.node)) if each is not None}
        return {
            each.value
            for each in ast.walk(self.node)
            if isinstance(each, ast.Constant)
            and isinstance(each.value, str)
            and id(each) not in told
        }

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
        for each in _run_at_import(node):
            if isinstance(each, ast.Import | ast.ImportFrom):
                imported |= {name for name, _ in _imports_of(each, package)}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            _bind(source, _imports_of(node, package))
        elif not _is_text(node) and not _is_main(node):
            statement = Statement(node)
            _look(node, statement, imported)
            found = _imports_in(ast.walk(node), package)
            # `try: import a` and `if ...: import a` bind a, and say by their conditions which.
            statement.binds |= {name for name, _ in _imports_in(_run_at_import(node), package)}
            source.stars += [each for _, each in found if each.name == "*"]
            source.inner[len(source.statements)] = [each for _, each in found]
            source.statements.append(statement)
    return source


def shape(node: ast.AST) -> Any:
    """A syntax tree as JSON values: without places, comments, docstrings and what is empty.

    It is the same in each version of Python that reads the same tree.
    """
    told = _docstring(node)
    found: dict[str, Any] = {}
    for name, value in ast.iter_fields(node):
        if name in ("ctx", "kind", "type_comment") or value is None or value == []:
            continue
        if isinstance(value, list):
            found[name] = [
                shape(each) if isinstance(each, ast.AST) else each
                for each in value
                if not (isinstance(each, ast.Expr) and told is not None and each.value is told)
            ]
        elif isinstance(value, ast.AST):
            found[name] = shape(value)
        else:
            found[name] = f"{type(value).__name__} {value!r}"
    if isinstance(node, ast.Constant) and node.value is None:
        found["value"] = "None"
    return [type(node).__name__, found]


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
    if isinstance(node, _DEFINITIONS):
        statement.binds.add(node.name)
        return
    for each in _run_at_import(node):
        if isinstance(each, _DEFINITIONS):
            statement.binds.add(each.name)
        elif isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load):
            statement.binds.add(each.id)
        elif isinstance(each, ast.Attribute | ast.Subscript) and not isinstance(each.ctx, ast.Load):
            _touch(_root(each), statement, imported)
        elif isinstance(each, ast.Expr) and not _is_text(each):
            _touch(_root(each.value), statement, imported)
        elif (
            isinstance(each, ast.Call)
            and isinstance(each.func, ast.Attribute)
            and each.func.attr == "add"
            and (name := _root(each.func)) in imported
        ):
            _touch(name, statement, imported)


def _touch(name: str, statement: Statement, imported: set[str]) -> None:
    # A method of what the file binds belongs to that; all else acts for no name's sake.
    if name in imported or not name:
        statement.effects.add(name or "top level")
    else:
        statement.binds.add(name)


def _root(node: ast.expr) -> str:
    """The name that an expression begins with; empty for a bare call or anything else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return ""
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Attribute | ast.Subscript | ast.Await):
            node = node.value
        else:
            return ""
    return node.id


def _run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is within it, but for the bodies of functions and classes."""
    yield node
    if isinstance(node, (*_DEFINITIONS, *_FUNCTIONS)):
        return
    for each in ast.iter_child_nodes(node):
        yield from _run_at_import(each)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_main(node: ast.stmt) -> bool:
    """Whether it is `if __name__ == "__main__":`, which no import runs."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def _docstring(node: ast.AST) -> ast.expr | None:
    if isinstance(node, (ast.Module, *_DEFINITIONS)) and node.body:
        first = node.body[0]
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            return first.value
    return None
