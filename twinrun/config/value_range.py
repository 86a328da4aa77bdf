"""What the settings may say of the range of values that images are seen in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from twinrun.intervals import check_ascending

# Of float32, which no format here goes beyond.
_MOST = 3.4e38


def _pair_or_how(value: Any) -> str | None:
    if isinstance(value, str):
        return "[how]"
    return "[pair]" if isinstance(value, list) else None


def _wide_enough(pair: list[float]) -> list[float]:
    # Of a much narrower one no float64 is between: what is divided by it is no number.
    if pair[1] - pair[0] < 1e-300:
        raise ValueError("two numbers, the smaller one first")
    return pair


AskedRange = Annotated[
    Annotated[
        list[Annotated[float, Field(ge=-_MOST, le=_MOST)]],
        AfterValidator(check_ascending),
        AfterValidator(_wide_enough),
        Tag("[pair]"),
    ]
    | Annotated[Literal["auto"], Tag("[how]")],
    Discriminator(
        _pair_or_how,
        custom_error_type="range",
        custom_error_message='"auto", or two numbers, the smaller one first',
    ),
]
