"""Which address a project is told to take its updates from."""

from __future__ import annotations

import json
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


@pytest.mark.parametrize("user", ["me:secret@", "token@"])
def test_a_password_in_an_address_is_not_handed_on(user: str, address: pytest.MonkeyPatch) -> None:
    remote = f"https://{user}example.org:8443/twinrun.git"
    assert with_remote(address, remote) == "https://example.org:8443/twinrun.git"


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("https://me:secret@example.org/twinrun", "https://example.org/twinrun"),
        ("file:///home/me/twinrun", None),
        ("ssh://git@example.org/twinrun", "ssh://git@example.org/twinrun"),
    ],
)
def test_an_engine_installed_from_a_repository_knows_its_public_address(
    url: str, known: str | None, address: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Installed:
        def read_text(self, name: str) -> str:
            assert name == "direct_url.json"
            return json.dumps({"url": url, "vcs_info": {"vcs": "git", "commit_id": "0" * 40}})

    address.setattr("importlib.metadata.distribution", lambda _: Installed())
    address.chdir(tmp_path)
    assert render._installed_address(tmp_path / "new") == known
