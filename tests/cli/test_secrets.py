"""No command prints a secret that it is given, whatever the option or argument is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.carrying import COMMAND, carry_out

SECRET = "hunter2Zq9"
GIVEN = (f"user:{SECRET}@host:6379", f"s3://KEY:{SECRET}@bucket/x", f"x.y=https://h/?sig={SECRET}")


def all_uses() -> Iterator[list[str]]:
    """Every command with a secret in each of its options and arguments, and in one too many."""
    for name, command in COMMAND.commands.items():
        for given in GIVEN:
            yield [name, f"--nothing={given}"]
            for parameter in command.params:
                if parameter.param_type_name == "argument":
                    yield [name, given]
                elif not parameter.is_flag:
                    yield [name, f"{parameter.opts[0]}={given}"]


@pytest.mark.parametrize("use", [*all_uses()], ids=lambda use: " ".join(use)[:40])
def test_no_command_tells_a_secret(
    use: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, told = carry_out(use)
    assert code
    assert told.strip()
    assert SECRET not in told
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_that_lets_it_through_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for room in ("foreign", "errors"):
        monkeypatch.setattr(f"twinrun.{room}.mask", lambda text: text)
    assert any(SECRET in carry_out(use)[1] for use in all_uses())
