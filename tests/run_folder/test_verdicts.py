"""Whose a verdict is: one rule for the report and the package."""

from __future__ import annotations

from typing import Any

import pytest

from tests.run_folder.documents import compared, whole_manifest, whole_twins, whole_verification
from twinrun.run_folder.verdicts import is_of_run

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)
SCORES = {"valid_loss": 0.5, "accuracy": 0.75}
MANIFEST = whole_manifest(
    members={
        "a": {"files": {"valid.csv": ONE, "test.csv": TWO}, "scores": SCORES},
        "f": {
            "files": {"test.csv": ONE, "fold-1/test.csv": TWO, "fold-2/test.csv": THREE},
            "scores": SCORES,
        },
    }
)


@pytest.mark.parametrize(
    ("rows", "own"),
    [
        ([compared("a", "valid.csv", ONE), compared("a", "test.csv", TWO)], True),
        ([compared("a", "valid.csv", ONE, THREE)], True),
        (
            [
                compared("f fold 1/2", "test.csv", TWO),
                compared("f fold 2/2", "test.csv", THREE),
                compared("f", "test.csv", ONE),
            ],
            True,
        ),
        # Of nothing; a digest of the run, but of a different file, member, fold or number of folds.
        ([], False),
        ([compared("a", "valid.csv", TWO)], False),
        ([compared("b", "valid.csv", ONE)], False),
        ([compared("f fold 1/2", "test.csv", THREE)], False),
        ([compared("f fold 1/3", "test.csv", TWO)], False),
        ([compared("a", "valid.csv", ONE), compared("a", "weights.safetensors", TWO)], False),
    ],
)
def test_every_file_that_was_compared_has_the_recorded_digest(
    rows: list[dict[str, Any]], own: bool
) -> None:
    assert is_of_run(whole_twins(*rows), MANIFEST) is own
    assert is_of_run(whole_verification(*rows), MANIFEST) is own
