"""What tests of all commands share: a project with a run that has every file."""

from __future__ import annotations

from tests.run_folder.conftest import project, whole

__all__ = ["project", "whole"]
