"""Twinrun's engine: trains image-classification competitions to the same bits every time.

From Python and notebooks, with the same names as the commands:

    import twinrun

    project = twinrun.open_project()                # the one that the working folder is in
    project.audit().findings                        # a DataFrame
    run = project.run(profile="fixture")            # trains in a process of its own
    run.members                                     # a DataFrame of scores
    run.predict("new-photos")                       # a DataFrame of probabilities
    run.learner("first").show_results()             # a fastai Learner with its weights
    twinrun.diff_runs("runs/full", "runs/again")    # the first difference

docs/notebooks.md tells of each.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twinrun.api.audited import AuditedData as AuditedData
    from twinrun.api.blended import BlendedRun as BlendedRun
    from twinrun.api.difference import RunDifference as RunDifference
    from twinrun.api.difference import diff_runs as diff_runs
    from twinrun.api.project import Project as Project
    from twinrun.api.project import open_project as open_project
    from twinrun.api.run import Run as Run
    from twinrun.api.run import open_run as open_run
    from twinrun.errors import InputError as InputError
    from twinrun.errors import NegativeVerdict as NegativeVerdict
    from twinrun.errors import TwinrunError as TwinrunError

# The names and their modules, which are imported when a name is asked for: a command, and a process
# that has to be started over, begins with this module.
_PLACES = {
    "AuditedData": "twinrun.api.audited",
    "BlendedRun": "twinrun.api.blended",
    "InputError": "twinrun.errors",
    "NegativeVerdict": "twinrun.errors",
    "Project": "twinrun.api.project",
    "Run": "twinrun.api.run",
    "RunDifference": "twinrun.api.difference",
    "TwinrunError": "twinrun.errors",
    "diff_runs": "twinrun.api.difference",
    "open_project": "twinrun.api.project",
    "open_run": "twinrun.api.run",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
