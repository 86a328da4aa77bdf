"""What a recipe may say of the weights of classes in the training loss."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from twinrun.names import ClassName


def _weights_or_how(value: Any) -> str | None:
    if isinstance(value, str):
        return "[how]"
    return "[weights]" if isinstance(value, dict) else None


ClassWeights = Annotated[
    Annotated[
        dict[ClassName, Annotated[float, Field(ge=1e-6, le=1e6)]],
        Field(min_length=1),
        Tag("[weights]"),
    ]
    | Annotated[Literal["none", "balanced"], Tag("[how]")],
    Discriminator(
        _weights_or_how,
        custom_error_type="class_weights",
        custom_error_message='"none", "balanced", or a table with a weight for each class',
    ),
]
