"""Tells the template where it lies: cookiecutter and cruft import this as a local extension.

It is kept to the bare minimum, because `cruft update` renders two versions of the template in one
process, and only the first version's module is imported. What the versions may differ in stands in
generation.py, which is read anew each time.
"""

from __future__ import annotations

import runpy
from pathlib import Path

from jinja2 import Environment
from jinja2.ext import Extension


class Twinrun(Extension):
    """Gives the template the variable `template_folder` and the names of generation.py."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        folder = Path(__file__).resolve().parent
        generation = runpy.run_path(str(folder / "generation.py"))
        environment.globals.update(generation["TEMPLATE_NAMES"], template_folder=str(folder))
