"""What a recipe of competition.toml says: how one member is trained, validated and predicted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from twinrun.config.choices import name_in
from twinrun.config.class_weights import ClassWeights
from twinrun.config.recipe_tables import (
    MOST,
    Begin,
    Ema,
    Epochs,
    LossChoice,
    Sample,
    Table,
    Take,
    TestTime,
    Validation,
)
from twinrun.intervals import check_ascending
from twinrun.losses import CROSS_ENTROPY
from twinrun.networks.table import FAMILIES, network_forms
from twinrun.neutral import Beside, Neutral
from twinrun.optimizers.table import OPTIMIZERS
from twinrun.transforms.sets import AUGMENT_SETS
from twinrun.transforms.table import TRANSFORMS
from twinrun.transforms.transform import NEVER_NEUTRAL, Transform


def _network(name: str) -> str:
    # Whether the family has it is asked before the first training: the import takes seconds.
    if any(family.owns(name) for family in FAMILIES):
        return name
    raise PydanticCustomError(
        "literal_error", "a network", {"expected": ", ".join(network_forms())}
    )


NetworkName = Annotated[str, AfterValidator(_network)]
Rates = Annotated[list[Annotated[float, Field(ge=1e-12, le=1e30)]], AfterValidator(check_ascending)]


def _mixup(value: float) -> float:
    # From a smaller one torch draws 0.5 always, the strongest mix, or fails.
    if 0 < value < 0.001:
        raise ValueError("0, or from 0.001 to 1000")
    return value


def _augment(name: str) -> str:
    if name in AUGMENT_SETS.names:
        return name
    raise PydanticCustomError(
        "literal_error", "a set of changes", {"expected": ", ".join(AUGMENT_SETS.names)}
    )


# Under which a member holds the settings of its transforms; no key of the file can be meant by it.
_TRANSFORMS = "[transforms]"


def _epochs(sizes: dict[str, int]) -> dict[str, int]:
    wrong = [name for name in sizes if re.fullmatch("[1-9][0-9]*", name) is None]
    if wrong:
        raise ValueError(
            f"a size by the number of an epoch, {{ 1 = 128 }}, and not by {wrong[0]!r}"
        )
    return dict(sorted(sizes.items(), key=lambda each: int(each[0])))


def _begin(given: Any) -> Any:
    return {"file": given or None} if isinstance(given, str) else given


@cache
def _transforms_table(transforms: tuple[Transform, ...]) -> type[Table]:
    """The settings of these transforms, as a table of their own."""
    taken = [each.name for each in transforms if each.name in Member.model_fields]
    if taken:
        raise TypeError(f"a recipe has settings of its own called {', '.join(taken)}")
    fields: dict[str, Any] = {
        each.name: (_annotation_of(each), Field(each.default, description=each.help))
        for each in transforms
    }
    return create_model("Transforms", __base__=Table, **fields)


def _annotation_of(transform: Transform) -> Any:
    if transform.neutral is NEVER_NEUTRAL:
        return transform.annotation
    return Annotated[transform.annotation, Neutral(transform.neutral)]


def _transforms() -> type[Table]:
    return _transforms_table(tuple(TRANSFORMS))


def _check_transforms(given: Any) -> dict[str, Any]:
    return dict(_transforms().model_validate(given))


class Member(Table):
    """One trained model of the ensemble: the shared recipe with the member's own values.

    Attributes:
        transforms: The settings of the random changes of its training images, by name. In the file,
            in messages and in what is written they stand among the others.
    """

    network: NetworkName
    batch_size: Annotated[int, Field(ge=2, le=MOST)]
    epochs: Epochs
    validation: Validation
    image_size: Annotated[int, Field(ge=32, le=4096)] = 224
    sizes: Annotated[
        dict[str, Annotated[int, Field(ge=32, le=4096)]], AfterValidator(_epochs), Neutral({})
    ] = Field(default={})
    pretrained: bool = True
    begin: Annotated[Begin, BeforeValidator(_begin), Neutral({"file": None, "sha256": None})] = (
        Begin()
    )
    mixup: Annotated[float, Field(ge=0, le=1000), AfterValidator(_mixup), Neutral(0.0)] = 0.4
    mixup_probability: Annotated[float, Field(ge=0, le=1), Neutral(1.0)] = 1.0
    cutmix_probability: Annotated[float, Field(ge=0, le=1), Neutral(0.0)] = 0.0
    # Beside: the values that it stands for are those of the transforms.
    augment: Annotated[Annotated[str, AfterValidator(_augment)] | None, Beside()] = None
    transforms: Annotated[dict[str, Any], PlainValidator(_check_transforms)] = Field(
        default_factory=dict, alias="[transforms]"
    )
    dropout: Annotated[float, Field(ge=0, lt=1), Neutral(0.0)] = 0.5
    sample: Annotated[Sample, Neutral({"method": "all"})] = Sample()
    class_weights: Annotated[ClassWeights, Neutral("none")] = "none"
    label_smoothing: Annotated[float, Field(ge=0, lt=1), Neutral(0.0)] = 0.0
    loss: Annotated[LossChoice, Neutral({"method": CROSS_ENTROPY.name})] = LossChoice()
    ema: Annotated[Ema, Neutral({"use": "last"})] = Ema(use="last")
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    # Neutral: as it was before there were others.
    optimizer: Annotated[str, name_in(OPTIMIZERS), Neutral("adam")] = "adam"
    weight_decay: Annotated[
        Annotated[float, Field(ge=0, le=1e6)] | None,
        Field(description="of weights, not of biases and norms; the optimizer's own if not set"),
        Neutral(None),
    ] = None
    clip: Annotated[
        float,
        Field(ge=0, le=1e30, description="the most that the norm of all gradients may be; 0: any"),
        Neutral(0.0),
    ] = 0.0
    accumulate: Annotated[
        int, Field(ge=1, le=MOST, description="batches whose gradients make one step"), Neutral(1)
    ] = 1
    gradient_checkpointing: Annotated[
        bool,
        Field(description="features are computed again in the backward pass: less memory"),
        Neutral(False),
    ] = False
    # Neutral, this and the next: as it was before there were others.
    schedule: Annotated[Literal["one_cycle", "cosine", "flat_cosine"], Neutral("one_cycle")] = (
        "one_cycle"
    )
    warmup: Annotated[
        float,
        Field(ge=0, lt=1, description="the part of a phase in which the rates go up"),
        Neutral(0.25),
    ] = 0.25
    frozen_rates: Rates = Field(default=[1e-3, 1e-2])
    unfrozen_rates: Rates = Field(default=[1e-6, 1e-5])
    prediction_batch_size: Annotated[int, Field(ge=1, le=MOST)] = 64
    test_time: Annotated[TestTime, Neutral({"method": "none"})] = TestTime()
    take: Annotated[Take, Neutral({"epoch": "last"})] = Take()
    public_score: Annotated[Annotated[float, Field(ge=0)] | None, Beside()] = None

    @classmethod
    def known_keys(cls) -> dict[str, FieldInfo]:
        found: dict[str, FieldInfo] = {}
        for name, field in cls.model_fields.items():
            found |= _transforms().model_fields if name == "transforms" else {name: field}
        return found

    def value(self, key: str) -> Any:
        return self.transforms[key] if key in self.transforms else getattr(self, key)

    @model_validator(mode="before")
    @classmethod
    def _gather_transforms(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        own = {key: value for key, value in given.items() if key in TRANSFORMS}
        rest = {key: value for key, value in given.items() if key not in TRANSFORMS}
        if _TRANSFORMS in rest:  # someone's own: an unknown key
            rest["transforms"] = rest[_TRANSFORMS]
        if rest.get("augment") in AUGMENT_SETS.names:
            own = {**AUGMENT_SETS.get(rest["augment"]).values, **own}
        return rest | {_TRANSFORMS: own}

    def size_at(self, epoch: int) -> int:
        """The side at which training images are seen, in pixels.

        Args:
            epoch: Of the whole training, from 0.
        """
        begun = [size for at, size in self.sizes.items() if int(at) <= epoch + 1]
        return begun[-1] if begun else self.image_size

    @model_serializer(mode="wrap")
    def _among_the_others(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in serialise(self).items():
            found |= value if name == "transforms" else {name: value}
        return found

    @property
    def fetches_weights(self) -> bool:
        """Whether it begins with the pretrained weights of its network's family."""
        return self.pretrained and self.begin.sha256 is None

    def from_nothing(self) -> Member:
        """The same recipe with no weights to begin with: none has to be on this machine."""
        return self.model_copy(update={"pretrained": False, "begin": Begin()})

    @property
    def cached_size(self) -> int:
        """Pixels of the shorter side that images are decoded to for this member.

        Half as many again as `image_size`: a warp blurs pixels that lie as far apart as its own.
        More where the recipe zooms in further, but at most twice as many: where nothing is zoomed,
        the bilinear warp would pass over pixels in between.
        """
        largest = math.prod(
            TRANSFORMS.get(name).magnification(value) for name, value in self.transforms.items()
        )
        return math.ceil(self.image_size * min(max(largest, 1.5), 2.0))
