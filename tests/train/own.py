"""A small competition with a hooks.py of its own, and its trainings."""

from __future__ import annotations

from pathlib import Path

from tests.kills.small import write_competition
from tests.train.test_resume import Small
from twinrun.config.reading import read_settings
from twinrun.data.cache import cache_pixels, with_pixels
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.index import build_index
from twinrun.repro.environment import set_up


def own_competition(folder: Path, code: str) -> Small:
    """Write one into a folder, with its images decoded."""
    config = write_competition(folder)
    config.with_name("hooks.py").write_text(code, encoding="utf-8")
    settings = read_settings(config)
    index = build_index(settings)
    pixels = cache_pixels(
        index,
        settings.data_folder,
        settings.cached_sizes(),
        folder / "cache",
        how=DecodeSettings.of(settings),
    )
    environment = set_up(threads=1, device="cpu", packages=settings.code.packages)
    return Small(folder, config, environment, with_pixels(index, pixels), pixels)
