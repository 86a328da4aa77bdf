"""What the settings may say of the range of values that images are seen in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from twinrun.intervals import check_range

# Of float32, which no format here goes beyond.
_MOST = 3.4e38


def _pair_or_how(value: Any) -> str | None:
    if isinstance(value, str):
        return "[how]"
    return "[pair]" if isinstance(value, list) else None


AskedRange = Annotated[
    Annotated[
        list[Annotated[float, Field(ge=-_MOST, le=_MOST)]],
        AfterValidator(check_range),
        Tag("[pair]"),
    ]
    | Annotated[Literal["auto"], Tag("[how]")],
    Discriminator(
        _pair_or_how,
        custom_error_type="range",
        custom_error_message='"auto", or two numbers, the smaller one first',
    ),
]
