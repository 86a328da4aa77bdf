"""Bring the engine into the project, and the test images under its own class names."""

import json
import sys
from pathlib import Path

sys.path.insert(0, r"{{ template_folder }}")

from generation import FIXTURE, complete, fixture_of
from relabel import relabel

answers = json.loads(r"""{{ cookiecutter | tojson }}""")
complete(Path.cwd(), answers)
relabel(FIXTURE, Path.cwd() / "tests" / "fixture", **fixture_of(answers))
