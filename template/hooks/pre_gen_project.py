"""Refuse answers that would give a broken project, before anything is written."""

import json
import sys

sys.path.insert(0, r"{{ template_folder }}")

from generation import mistakes

found = mistakes(json.loads(r"""{{ cookiecutter | tojson }}"""))
if found:
    sys.exit("\n  ".join(["These answers cannot be used:", *found]))
