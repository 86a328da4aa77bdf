"""What a recipe of competition.toml says: how one member is trained, validated and predicted."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from twinrun.names import ClassWeights
from twinrun.networks import NetworkName

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


def _ascending(pair: list[float]) -> list[float]:
    if len(pair) != 2 or pair[0] > pair[1]:
        raise ValueError("two numbers, the smaller one first")
    return pair


def ascending_or_off(pair: list[float]) -> list[float]:
    """An empty list, or two numbers, the smaller one first; raises ValueError."""
    return _ascending(pair) if pair else pair


Rates = Annotated[list[Annotated[float, Field(gt=0)]], AfterValidator(_ascending)]
Scales = Annotated[list[Annotated[float, Field(gt=0)]], AfterValidator(ascending_or_off)]


class Table(BaseModel):
    """A table of competition.toml: no unknown key, no silent conversion, no later change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Epochs(Table):
    """Lengths of the two one-cycle phases: the body frozen, then all layers trained."""

    frozen: Annotated[int, Field(ge=0)]
    unfrozen: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if self.frozen + self.unfrozen == 0:
            raise ValueError("at least one epoch, frozen or unfrozen")
        return self


class Validation(Table):
    """What is held out of the training images: a share of them, or each of so many folds in turn.

    Only the one that is given is written down, so that what was recorded of a member before there
    were folds stays equal.
    """

    share: Share | None = None
    folds: Annotated[int, Field(ge=2)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.share is None) == (self.folds is None):
            raise ValueError(
                "either a share or a number of folds, { share = 0.1 } or { folds = 5 }"
            )
        return self

    @model_serializer(mode="wrap")
    def _given(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {way: value for way, value in serialise(self).items() if value is not None}


class TestTime(Table):
    """Test-time augmentation: an image is predicted in several passes, and their mean taken."""

    # pytest takes a class of this name for tests of its own.
    __test__: ClassVar[bool] = False

    method: Literal["none", "flips", "crops", "train"] = "none"
    times: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="passes of the method train; the others have a number of their own",
        ),
    ] = 4
    mean: Literal["arithmetic", "geometric"] = "arithmetic"


class Member(Table):
    """One trained model of the ensemble: the shared recipe with the member's own values."""

    network: NetworkName
    batch_size: Annotated[int, Field(ge=2)]
    epochs: Epochs
    validation: Validation
    image_size: Annotated[int, Field(ge=32, le=4096)] = 224
    pretrained: bool = True
    mixup: Annotated[float, Field(ge=0)] = 0.4
    flip_vertical: bool = False
    lighting: Annotated[float, Field(ge=0, lt=1)] = 0.2
    rotate: Annotated[float, Field(ge=0, le=180)] = 10.0
    warp: Annotated[float, Field(ge=0, lt=1)] = 0.2
    zoom: Annotated[float, Field(ge=1)] = 1.1
    zoom_crop: Scales = []
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    class_weights: ClassWeights = "none"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Literal["fp32", "bf16"] = "fp32"
    frozen_rates: Rates = [1e-3, 1e-2]
    unfrozen_rates: Rates = [1e-6, 1e-5]
    prediction_batch_size: Count = 64
    test_time: TestTime = TestTime()
    public_score: Annotated[float, Field(ge=0)] | None = None

    @property
    def cached_size(self) -> int:
        """Pixels of the shorter side that images are decoded to for this member.

        Half as many again as `image_size`: a warp blurs pixels that lie as far apart as its own.
        More where the recipe zooms in further, but at most twice as many: where nothing is zoomed,
        the bilinear warp would pass over pixels in between.
        """
        largest = self.zoom * max(self.zoom_crop, default=1.0)
        return math.ceil(self.image_size * min(max(largest, 1.5), 2.0))
