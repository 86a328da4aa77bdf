"""Which address a project is told to take its updates from."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinrun.scaffold import render


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A clone whose pyproject.toml declares no address, and whose remote has its commit."""
    monkeypatch.setattr(render, "read_origin", lambda: {"repository": None, "commit": None})
    return monkeypatch


def with_remote(patch: pytest.MonkeyPatch, address: str) -> str | None:
    patch.setattr(render, "_git", lambda *words: address if "get-url" in words else "origin/main")
    return render._published_address()


@pytest.mark.parametrize(
    "remote", ["https://example.org/twinrun.git", "git@example.org:twinrun.git"]
)
def test_a_remote_that_others_reach_is_the_address(
    remote: str, address: pytest.MonkeyPatch
) -> None:
    assert with_remote(address, remote) == remote


def test_a_remote_that_is_a_folder_of_this_machine_is_none(
    address: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert with_remote(address, str(tmp_path)) is None
    assert with_remote(address, tmp_path.as_uri()) is None
