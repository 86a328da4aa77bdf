"""What `init` finds in a data folder, as the settings of a run."""

from __future__ import annotations

from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.scaffold.inspect import Findings


def settings_of(found: Findings, *more: str) -> Settings:
    """The settings that a data folder shows."""
    changes = {
        "competition.name": "x",
        "competition.classes": found.classes,
        "data.folder": str(found.folder),
        "data.layout": found.layout,
        "data.train": found.train,
        "data.test": found.test,
        "data.sample_submission": found.sample_submission,
        "data.labels": found.labels or "labels.csv",
        "data.id_column": found.id_column,
        "data.label_column": found.label_column,
        "data.ids": found.ids,
        "data.contradictions": found.contradictions,
        "submission.columns": found.columns,
        "submission.unseen": found.unseen,
    }
    listed = [f"{key}={value!r}" for key, value in changes.items()]
    return read_settings(changes=[*listed, *more])
