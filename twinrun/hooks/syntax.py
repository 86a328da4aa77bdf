"""Syntax trees of a competitor's code: what stands in them, and what of them an import runs."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def shape(node: ast.AST) -> Any:
    """A syntax tree as JSON values: without places, comments, docstrings and what is empty.

    It is the same in each version of Python that reads the same tree.
    """
    told = docstring(node)
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


def function_of(node: ast.expr) -> ast.expr:
    """What is called, of a call; the expression itself where it is none."""
    return node.func if isinstance(node, ast.Call) else node


def last_word(node: ast.expr) -> str:
    """The last of the names of what is called: "add" of `METRICS.add(1)`."""
    called = function_of(node)
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


def root_of(node: ast.expr) -> str:
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


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is within it, but for the bodies of functions and classes."""
    yield node
    if isinstance(node, (*DEFINITIONS, *_FUNCTIONS)):
        return
    for each in ast.iter_child_nodes(node):
        yield from run_at_import(each)


def definitions(node: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """The functions and classes that a node makes when the file is imported."""
    return [each for each in run_at_import(node) if isinstance(each, DEFINITIONS)]


def names_in(nodes: Iterable[ast.AST]) -> set[str]:
    """All names that stand in nodes."""
    return {each.id for node in nodes for each in ast.walk(node) if isinstance(each, ast.Name)}


def is_text(node: ast.AST) -> bool:
    """Whether a statement is a constant and nothing else."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_main(node: ast.stmt) -> bool:
    """Whether it is `if __name__ == "__main__":`, which no import runs."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def docstring(node: ast.AST) -> ast.expr | None:
    """The text that says what a module, function or class is; None where there is none."""
    if isinstance(node, (ast.Module, *DEFINITIONS)) and node.body:
        first = node.body[0]
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            return first.value
    return None
