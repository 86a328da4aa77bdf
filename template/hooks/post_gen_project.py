"""Bring the engine into the project, and the test images under its own class names."""

import json
import sys
from pathlib import Path

sys.path.insert(0, r"{{ template_folder }}")

from generation import complete

complete(Path.cwd(), json.loads(r"""{{ cookiecutter | tojson }}"""))
