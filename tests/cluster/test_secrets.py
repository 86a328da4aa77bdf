"""Addresses with a login in them: refused, looked up by nobody, and told to nobody."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import Command
from twinrun.cluster.connect import connect
from twinrun.cluster.driver import _Driver
from twinrun.cluster.storage_errors import refusal
from twinrun.cluster.tasks import Outcome
from twinrun.errors import InputError

SECRET = "hunter2Zq9"


@pytest.mark.parametrize(
    "address",
    [f"user:{SECRET}@host:6379", f"ray://user:{SECRET}@host:10001", f"user:{SECRET}@host"],
)
def test_a_cluster_with_a_login_is_refused_without_a_look_for_such_a_host(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: Any, **__: Any) -> None:
        raise AssertionError("looked up")

    monkeypatch.setattr(socket, "create_connection", resolve)
    with (
        pytest.raises(InputError, match="not the address of a Ray cluster") as caught,
        connect(address),
    ):
        pass
    assert SECRET not in str(caught.value)
    assert "***@host" in str(caught.value)


@pytest.mark.parametrize("key", ["cluster.storage", "competition.address"])
@pytest.mark.parametrize(
    "address", [f"s3://KEY:{SECRET}@bucket/runs", f"https://bucket/runs?X-Amz-Signature={SECRET}"]
)
def test_settings_hold_no_secret(invoke: Command, small_toml: Path, key: str, address: str) -> None:
    done = invoke("audit", "--config", small_toml, "--set", f"{key}={address}")
    assert done.returncode == 2
    assert f"{key}: got 's3://***@" in done.stderr or "X-Amz-Signature=***" in done.stderr
    assert "an address without a login, a key or a token" in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_what_a_storage_and_its_package_say_is_masked() -> None:
    error = OSError(f"403 for https://bucket.example.org/x?X-Amz-Signature={SECRET}&a=1")
    told = str(refusal(f"s3://KEY:{SECRET}@bucket", "read", error))
    assert SECRET not in told
    assert "X-Amz-Signature=***&a=1" in told


def test_the_log_of_a_training_that_failed_is_masked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = SimpleNamespace(folder=tmp_path / "full", member_folder=lambda name: tmp_path / name)
    job: Any = SimpleNamespace(
        work=SimpleNamespace(run=run), training=SimpleNamespace(name="a", title="a")
    )
    driver: Any = SimpleNamespace(done=0, failures=[])
    problem = f"ConnectionError: s3://KEY:{SECRET}@bucket"
    _Driver._fail(driver, job, Outcome(None, problem, f"token={SECRET}"))
    assert (tmp_path / "a" / "log.txt").read_text() == (
        "token=***\nConnectionError: s3://***@bucket\n"
    )
    assert SECRET not in capsys.readouterr().out
