"""A competitor's transforms that keep something between calls: found by the twins, and named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutations.harness import Bench, place

CODE = """
class Brighter:
    def __init__(self):
        self.seen = 0

    def __call__(self, image):
        self.seen += 1
        return image // 2 + image.dtype.type(self.seen % 50)


def item_transforms():
    return [Brighter()]
"""


def own_bench(bench: Bench, folder: Path, code: str) -> Bench:
    """As the bench, with a hooks.py."""
    folder.mkdir()
    config = folder / "small.toml"
    config.write_text(bench.config.read_text())
    config.with_name("hooks.py").write_text(code)
    return replace(bench, config=config, store=folder / "store", stored={})


@pytest.mark.slow
def test_an_item_transform_that_counts_is_named(bench: Bench, tmp_path: Path) -> None:
    own = own_bench(bench, tmp_path / "own", CODE)
    # The training's own process would refuse it: what a loader's process keeps it does not see.
    one = ["run.workers=1"]
    own.twins(both=one).assert_same()  # one process sees the images in their order
    found = own.twins(both=one, changes=["run.workers=2"])
    # The second process has the second batch, and has seen no image before it.
    assert place(found.first()) == ("item", 1, 2)
    assert [gap.name for gap in found.report.beside] == ["workers"]
    assert (
        "The numbers of workers differ, and a function of `item_transforms` in hooks.py keeps "
        "something from one image to the next (a counter, a cache" in found.cause
    )
