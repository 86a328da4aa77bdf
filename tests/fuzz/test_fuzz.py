"""A share of the cases of `python -m tests.fuzz`; and that it finds a fault."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz import images
from tests.fuzz.cases import KINDS, carry_out
from tests.fuzz.settings import SettingsCase
from twinrun.data.decoding import DecodedImage, decode_to


def test_some_cases_are_accepted_and_the_others_refused_with_a_message(tmp_path: Path) -> None:
    gave = carry_out(range(60), seed=1, folder=tmp_path, kinds=KINDS)
    assert gave.unexpected == {}
    assert all(gave.counts[kind, end] > 0 for kind in KINDS for end in ("accepted", "refused"))
    assert len(gave.messages) > 10


def test_a_planted_fault_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(case: SettingsCase) -> None:
        raise KeyError(case.config)

    monkeypatch.setattr(SettingsCase, "carry_out", fails)
    gave = carry_out(range(2), seed=1, folder=tmp_path, kinds=("settings",))
    assert list(gave.unexpected) == [("settings", 0), ("settings", 1)]
    assert "KeyError" in gave.unexpected["settings", 0]


def test_damaged_images_are_decoded_or_refused_with_a_reason(tmp_path: Path) -> None:
    gave = images.carry_out(range(400), seed=1, folder=tmp_path)
    assert gave.unexpected == {}
    assert gave.printed == ""
    assert all(gave.counts[end] > 0 for end in images.ENDS)
    assert len(gave.reasons) > 5


def test_a_part_that_is_another_one_each_time_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, count = decode_to, iter(range(10_000))

    def decode(*arguments: Any, part: bool = False, **options: Any) -> DecodedImage:
        found = real(*arguments, part=part, **options)
        if part:
            found.image.putpixel((0, 0), (next(count) % 256, 0, 0))
        return found

    monkeypatch.setattr(images, "decode_to", decode)
    gave = images.carry_out(range(60), seed=1, folder=tmp_path)
    assert gave.unexpected
    assert all("another one each time" in text for text in gave.unexpected.values())


def test_a_fault_that_is_planted_in_decoding_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        os.write(2, b"a library speaks")
        raise KeyError("planted")

    monkeypatch.setattr(images, "decode_to", fails)
    gave = images.carry_out(range(2), seed=1, folder=tmp_path)
    assert list(gave.unexpected) == [0, 1]
    assert "planted" in gave.unexpected[0]
    assert "a library speaks" in gave.printed
