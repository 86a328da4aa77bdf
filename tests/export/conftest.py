"""A run that can be exported: folds, flips at test time, two families. Not to be written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.predict.conftest import make_run


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As it says above."""
    return make_run(tmp_path_factory.mktemp("exported"), "members.b.test_time={method='none'}")
