"""The shape of each JSON file of a run: it is read and written through these models alone.

What decides bits (settings, environment) stays free of shape here: its models are elsewhere.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from twinrun.intervals import check_range


def _check_moment(text: str) -> str:
    datetime.datetime.fromisoformat(text)
    return text


def _check_name(text: str) -> str:
    if text in ("", ".", "..") or any(character in text for character in "/\\\0"):
        raise ValueError("not the name of a file in its folder")
    return text


def _check_place(text: str) -> str:
    for part in text.split("/"):
        _check_name(part)
    return text


def _check_settings(settings: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(settings.get("member", {}), dict):
        raise ValueError("member: must be a table")
    return settings


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# A file or folder in the folder of the record: a stranger's record must lead to no other place.
Name = Annotated[str, AfterValidator(_check_name)]
# The same for a record of folders: of a member with folds, fold-1/valid.csv.
Place = Annotated[str, AfterValidator(_check_place)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Moment = Annotated[str, AfterValidator(_check_moment)]
ValueRange = Annotated[list[float], AfterValidator(check_range)]
TrainingSettings = Annotated[dict[str, Any], AfterValidator(_check_settings)]


class Shape(BaseModel):
    """A table of a JSON file: no key more, none less, no value of a different kind."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Scores(Shape):
    """Of a member or fold, by metric; nan where a score is not defined."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]

    valid_loss: float
    accuracy: float


class Identity(Shape):
    """What decided the bits of a training."""

    settings: TrainingSettings
    data: Digest
    environment: dict[str, Any]


class ImageCounts(Shape):
    """Images that a training used."""

    train: Count
    valid: Count
    test: Count


class PretrainedFile(Shape):
    """The file of weights that a training began with."""

    file: str
    sha256: Digest


class Hardware(Shape):
    """What is known of the machine and cannot decide bits; `repro.environment` knows all of it."""

    model_config = ConfigDict(extra="allow")

    platform: str
    cores: int | None


class TrainedOn(Hardware):
    """What a training was made on that cannot decide bits.

    Attributes:
        resumed: Where it resumed after an interruption: complete epochs, complete steps after them.
    """

    resumed: list[Annotated[list[Count], Field(min_length=2, max_length=2)]]


class MemberRecord(Shape):
    """member.json: what a member, or a fold of it, was made from, and what came out.

    Attributes:
        identity: What decided the bits.
        images: Of the training; of a member with folds, of all of them.
        scores: Of the epoch whose weights are taken; of a member with folds, of the out-of-fold
            predictions.
        files: SHA-256 by name, relative to the folder, of what is the same in every run with the
            same bits.
        guards: As `files`, of all else: against damage only, compared with no other run's.
        seconds: That the training took; of folds, their sum.
        beside: Of a training; of a member with folds, each fold's record has its own.
        pretrained: Of a training that began with pretrained weights.
        taken: The epoch whose weights are taken, from 1, where the recipe says the best one.
        node: Of a training on a cluster, its number there, which names no host; of a member with
            folds by the folds' folders.
        folds: Of a member with folds, each one's scores.
        environments: Of a member with folds, by folder those that are not the identity's.
    """

    identity: Identity
    images: ImageCounts
    scores: Scores
    files: dict[Place, Digest]
    guards: dict[Place, Digest]
    seconds: Seconds
    beside: TrainedOn | None = None
    pretrained: PretrainedFile | None = None
    taken: Count | None = None
    node: str | dict[str, str] | None = None
    folds: list[Scores] | None = None
    environments: dict[str, dict[str, Any]] | None = None


class TakenBlend(Shape):
    """What decides a submission besides its members' predictions.

    Attributes:
        weights: By member; of a partial blend of folds alone, by fold such as `first/fold-1`.
        model: SHA-256 of a stack's numbers, which blend.json holds; not there in any other blend.
        partial: The members that it is made without until they are complete; not there in a blend
            that is whole, or that is made without some because the settings allow that.
        hooks: SHA-256 by name of the competitor's own code that is part of it.
    """

    method: str
    weights: dict[Place, float]
    temperature: float
    images: Count
    model: Digest | None = None
    partial: list[Name] | None = None
    hooks: dict[str, Digest] | None = None


class BlendCandidate(Shape):
    """A blend that was tried; a score that is not defined is None."""

    method: str
    nested: float | None
    fitted: float | None
    weights: dict[Name, float]
    temperature: float


class BlendOrigin(Shape):
    """What a submission was asked for with. The settings are as `identity_settings` has them.

    Attributes:
        blend: [blend] that it was made with.
        settings: [blend] as the settings had it; where it is different, a command chose.
        submission: [submission] that it was made with.
        predictions: By member, or fold, that takes part, SHA-256 by name of its predictions.
    """

    blend: dict[str, Any]
    settings: dict[str, Any]
    submission: dict[str, Any]
    predictions: dict[str, dict[str, Digest]]


class BlendRecord(TakenBlend):
    """blend.json: the blend that the submission is, and what it was chosen from.

    Attributes:
        without_copies: How many of `images` there are with copies of one photo counted once.
        members: By member its own score.
        without: By member the score of the blend without it.
        origin: What it was asked for with.
        stack: The numbers of a stack, as `blend_methods` made them.
    """

    version: Literal[1]
    asked: str
    why: str
    missing: list[str]
    metric: str
    without_copies: Count
    candidates: list[BlendCandidate]
    members: dict[str, float | None]
    without: dict[str, float | None]
    origin: BlendOrigin
    stack: dict[str, Any] | None = None


class ManifestMember(Shape):
    """A complete member in a manifest; the environments where they are not the run's."""

    files: dict[Place, Digest]
    scores: Scores
    environment: dict[str, Any] | None = None
    environments: dict[str, dict[str, Any]] | None = None


class Environment(Shape):
    """What decides bits besides settings and data; `repro.environment` knows all of it."""

    model_config = ConfigDict(extra="allow")

    device: str
    threads: int
    instruction_set: str
    machine: str
    python: str
    packages: dict[str, str]


class ManifestContent(Shape):
    """What is the same in every run with the same bits.

    Attributes:
        range: That images of more than 8 bits a value were seen in; not there without such images.
        hooks: SHA-256 by name of the competitor's own code that decides pixels and members; not
            there without any.
    """

    settings: dict[str, Any]
    data: Digest
    code: Digest
    environment: Environment
    members: dict[Name, ManifestMember]
    submission: Digest | None
    blend: TakenBlend | None
    range: ValueRange | None = None
    hooks: dict[str, Digest] | None = None


class ManifestSeconds(Shape):
    """Wall time of the last command, and of each member's training."""

    command: Seconds
    members: dict[str, Seconds]


class EngineRecord(Shape):
    """The engine that made a run; None where it is not known."""

    version: str | None
    commit: str | None


class ManifestBeside(Shape):
    """What is not compared: clock, durations, hardware. No path, user or host: see `PlaceRecord`.

    Attributes:
        nodes: Of members that a cluster trained, as `MemberRecord.node`.
        commit: Of the project that the settings lie in; None outside git.
    """

    written: Moment
    seconds: ManifestSeconds
    nodes: dict[str, str | dict[str, str]]
    commit: str | None
    engine: EngineRecord
    environment: Hardware


class PlaceRecord(Shape):
    """local.json: what of a run holds on this machine only.

    Attributes:
        config: The settings file.
        cache: The folder of decoded images, as the setting.
        tables: The folders of tables that do not lie in the data folder, by their settings.
        nodes: The host's name by a node's number.
    """

    config: str
    data_folder: str
    cache: str
    tables: dict[Literal["labels_folder", "sample_folder"], str]
    nodes: dict[str, str]


class Manifest(Shape):
    """manifest.json: what a run was made from, on what, and what came out.

    Attributes:
        guards: SHA-256 by name of the run's other files: against damage only, compared with no
            other run's.
    """

    content: ManifestContent
    beside: ManifestBeside
    guards: dict[Name, Digest]

    @model_validator(mode="after")
    def _seconds_of_each_member(self) -> Self:
        lacking = self.content.members.keys() - self.beside.seconds.members.keys()
        if lacking:
            raise ValueError(f"no seconds of {', '.join(sorted(lacking))}")
        return self
