"""How image files are decoded, as far as the settings decide it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from twinrun.config.sections import Data
from twinrun.data.opening import MOST_PIXELS
from twinrun.data.wide_values import ValueRange


@dataclass(frozen=True)
class DecodeSettings:
    """How image files are decoded.

    Attributes:
        max_pixels: Of an image's file; one that has more is not decoded.
        scale: The range that images of more than 8 bits a value are seen in; "auto": what the
            training images among those reach.
        part: Of a file that is cut short what is there is decoded.
    """

    max_pixels: int = MOST_PIXELS
    scale: ValueRange | Literal["auto"] = "auto"
    part: bool = False

    @classmethod
    def of(cls, data: Data, recorded: list[float] | None = None) -> Self:
        """As the settings say, or with the range that a run recorded.

        Args:
            data: The settings.
            recorded: From `recorded_range`.
        """
        asked = recorded or data.range
        return cls(
            max_pixels=data.max_pixels,
            scale="auto" if isinstance(asked, str) else ValueRange(*asked),
            part=data.unreadable == "partial",
        )
