"""What made a file that is kept from run to run: its name follows the code and the libraries."""

from __future__ import annotations

import ast
import hashlib
import threading
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from twinrun.plain_files import read_bytes
from twinrun.repro.source import ENGINE

# Python 3.11 counts the depth of a tree that it builds for all threads together: of two that parse
# at once, one may end with SystemError.
_PARSING = threading.Lock()


@dataclass(frozen=True)
class Maker:
    """The code that decides what a kept file holds.

    Attributes:
        modules: Files of the engine, relative to it: "data/decoding.py". All that decide, and none
            that does not: a change of one of them makes everything anew. They import nothing of the
            engine but each other.
        libraries: The packages that they call, by the names of their imports.
    """

    modules: tuple[str, ...]
    libraries: tuple[str, ...]

    def facts(self, engine: Path = ENGINE) -> dict[str, Any]:
        """The digest of the code, and the libraries' versions as they are imported: JSON values.

        Of the code its syntax tree is digested, without docstrings: a comment makes nothing anew.

        Args:
            engine: The folder twinrun/; this process's own by default.
        """
        return {
            "code": _code_digest(tuple(read_bytes(engine / name) for name in self.modules)),
            "libraries": {name: _version(name) for name in self.libraries},
        }


@lru_cache
def _code_digest(sources: tuple[bytes, ...]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        with _PARSING:
            tree = ast.parse(source.decode())
        digest.update(ast.dump(_without_docstrings(tree)).encode())
    return digest.hexdigest()


def _version(library: str) -> str:
    module = import_module(library)
    return str(module.VERSION if library == "xxhash" else module.__version__)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return tree
