"""How image files are decoded, as far as the settings decide it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from twinrun.config.settings import Settings
from twinrun.data.opening import MOST_PIXELS
from twinrun.data.own_reader import OwnReader
from twinrun.data.wide_values import ValueRange


@dataclass(frozen=True)
class DecodeSettings:
    """How image files are decoded.

    Attributes:
        max_pixels: Of an image's file; one that has more is not decoded.
        scale: The range that images of more than 8 bits a value are seen in; "auto": what the
            training images among those reach.
        part: Of a file that is cut short what is there is decoded.
        reader: The competitor's own, in place of all of these; None: the engine reads.
        own: SHA-256 by name of the competitor's own code that decides pixels.
    """

    max_pixels: int = MOST_PIXELS
    scale: ValueRange | Literal["auto"] = "auto"
    part: bool = False
    reader: OwnReader | None = None
    own: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, recorded: list[float] | None = None) -> Self:
        """As the settings say, or with the range that a run recorded.

        Args:
            settings: Of the run.
            recorded: From `recorded_range`.

        Raises:
            InputError: The competitor's code cannot be imported.
        """
        data, hook = settings.data, settings.hook("read_image")
        asked = recorded or data.range
        return cls(
            max_pixels=data.max_pixels,
            scale="auto" if isinstance(asked, str) else ValueRange(*asked),
            part=data.unreadable == "partial",
            reader=None if hook is None else OwnReader(hook),
            own=settings.hook_digests("pixels"),
        )
