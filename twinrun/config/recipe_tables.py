"""The tables within a recipe: epochs, validation, test-time augmentation, losses and others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from twinrun.config.choices import name_in
from twinrun.losses import CROSS_ENTROPY, LOSSES
from twinrun.metrics import METRICS
from twinrun.neutral import Beside, Neutral

Share = Annotated[float, Field(gt=0, lt=1)]
# The largest numbers are beyond all that is trained; libraries fail beyond these.
MOST = 1_000_000


class Table(BaseModel):
    """A table of competition.toml: no unknown key, no silent conversion, no later change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @classmethod
    def known_keys(cls) -> dict[str, FieldInfo]:
        """The keys that it may hold, in their order."""
        return cls.model_fields

    def value(self, key: str) -> Any:
        """The value of one of `known_keys`."""
        return getattr(self, key)


class Epochs(Table):
    """Lengths of the two one-cycle phases: the body frozen, then all layers trained."""

    frozen: Annotated[int, Field(ge=0, le=MOST)]
    unfrozen: Annotated[int, Field(ge=0, le=MOST)]

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if self.frozen + self.unfrozen == 0:
            raise ValueError("at least one epoch, frozen or unfrozen")
        return self


class Validation(Table):
    """What is held out of the training images: a share, or each of so many folds in turn."""

    share: Annotated[Share | None, Neutral(None)] = None
    folds: Annotated[Annotated[int, Field(ge=2, le=1000)] | None, Neutral(None)] = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.share is None) == (self.folds is None):
            raise ValueError(
                "either a share or a number of folds, { share = 0.1 } or { folds = 5 }"
            )
        return self


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


class Take(Table):
    """The epoch whose weights are taken: the last one, or the best by a value of history.csv."""

    epoch: Literal["last", "best"] = "last"
    by: Annotated[
        str,
        name_in(METRICS),
        Field(description="a metric that history.csv has: the least loss, say"),
    ] = "log_loss"
    patience: Annotated[
        Annotated[
            int,
            Field(
                ge=1,
                le=MOST,
                description="unfrozen epochs without a better one after which a training ends",
            ),
        ]
        | None,
        Neutral(None),
    ] = None

    @model_validator(mode="after")
    def _of_the_best(self) -> Self:
        if self.epoch == "last" and (self.patience is not None or self.by != "log_loss"):
            raise ValueError('by and patience: only with epoch = "best"')
        return self


def _sha256(value: str) -> str:
    if re.fullmatch("[0-9a-f]{64}", value) is None:
        raise ValueError("64 digits from 0 to f")
    return value


class Begin(Table):
    """The weights of a file that a member begins with, in place of pretrained ones.

    Attributes:
        file: A file, or the folder of a complete training; a relative one starts at the settings
            file's folder. Where it lies decides nothing.
        sha256: Of the file; found as the settings are read. None: the member begins with none.
    """

    file: Annotated[str | None, Beside()] = None
    sha256: Annotated[Annotated[str, AfterValidator(_sha256)] | None, Neutral(None)] = None


class Ema(Table):
    """The exponential moving average of the weights, in place of those after the last step."""

    use: Literal["ema", "last"] = Field(
        "ema", description="which weights predict and are saved: their average, or the last"
    )
    decay: Annotated[
        float, Field(gt=0, lt=1, description="what is kept of the average at each step")
    ] = 0.99


def _written_out(given: Any, key: str, usual: Mapping[str, float]) -> Any:
    """A choice of a method as a table: from its name, its number, or both.

    Args:
        given: A name, or a table; anything else is for pydantic to refuse.
        key: Of the number that some methods have.
        usual: By the name of each such method its number, where none is given. The first one is
            meant where there is a number and no name.
    """
    found = {"method": given} if isinstance(given, str) else given
    if not isinstance(found, Mapping):
        return found
    if "method" not in found and found.get(key) is not None:
        return {"method": next(iter(usual)), **found}
    if found.get(key) is None and found.get("method") in usual:
        return {**found, key: usual[found["method"]]}
    return found


class LossChoice(Table):
    """What a training makes small; a name alone stands for a table with that `method`."""

    method: Annotated[
        str,
        name_in(LOSSES),
        Field(description="; ".join(f"{each.name}: {each.description}" for each in LOSSES)),
    ] = CROSS_ENTROPY.name
    gamma: Annotated[
        Annotated[float, Field(gt=0, le=100)] | None,
        Neutral(None),
        Field(description="of focal: how much less an image counts that the network is sure of"),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _write_out(cls, given: Any) -> Any:
        usual = {each.name: each.gamma for each in LOSSES if each.gamma is not None}
        return _written_out(given, "gamma", usual)

    @model_validator(mode="after")
    def _gamma_is_its_own(self) -> Self:
        if self.gamma is not None and LOSSES.get(self.method).gamma is None:
            having = ", ".join(each.name for each in LOSSES if each.gamma is not None)
            raise ValueError(f'gamma: method = "{self.method}" has none, only: {having}')
        return self


class Sample(Table):
    """How often images of each class are taken; a name alone stands for a table with that `method`.

    With "balanced" a class of n images has a share of each epoch of n to the power of 1 - `power`.
    """

    method: Literal["all", "balanced"] = "all"
    power: Annotated[
        Annotated[float, Field(gt=0, le=1)] | None,
        Neutral(None),
        Field(description="of balanced: from 0, as classes are, to 1, all alike"),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _write_out(cls, given: Any) -> Any:
        return _written_out(given, "power", {"balanced": 1.0})

    @model_validator(mode="after")
    def _power_is_of_balanced(self) -> Self:
        if self.power is not None and self.method == "all":
            raise ValueError('power: only with method = "balanced"')
        return self
