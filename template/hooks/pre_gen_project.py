"""Refuse answers that would give a broken project, before anything is written."""

import json
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - it is the Python of cookiecutter that runs this
    sys.exit("Making a project needs Python 3.11 or newer; this one is " + sys.version.split()[0])

sys.path.insert(0, r"{{ template_folder }}")

import generation
import relabel

layouts = generation.settings_of("layout").values()
forms = generation.settings_of("submission_columns").values()
found = [*generation.lacking(generation.OFFERED), *relabel.lacking(layouts, forms)]
if found:
    sys.exit("\n  ".join(["The template offers what its own tables lack:", *found]))
found = generation.mistakes(json.loads(r"""{{ cookiecutter | tojson }}"""))
if found:
    sys.exit("\n  ".join(["These answers cannot be used:", *found]))
