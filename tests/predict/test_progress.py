"""How far a prediction is, in a pipe: a line each half minute."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from twinrun.predict import progress


def test_in_a_pipe_a_line_each_half_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: now))
    with progress.show_progress(2000, 2) as shown:
        for _ in range(20):
            now += 5
            shown.advance(100)
    assert capsys.readouterr().out.splitlines() == [
        "predicting  600 of 2,000 images, 20.0 images/s, 1 min 10 s left",
        "predicting  1,200 of 2,000 images, 20.0 images/s, 40 s left",
        "predicting  1,800 of 2,000 images, 20.0 images/s, 10 s left",
    ]
