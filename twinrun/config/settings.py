"""All of competition.toml as typed settings, and what other rooms ask of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, InstanceOf, JsonValue, model_validator
from pydantic.json_schema import SkipJsonSchema

from twinrun.blend_methods.methods import AUTO, BLEND_METHODS
from twinrun.config.identity import identity_settings, write_out_settings
from twinrun.config.local import TABLE_FOLDERS, FolderOrigin
from twinrun.config.recipe import Member
from twinrun.config.recipe_tables import Table
from twinrun.config.sections import Blend, Cluster, Competition, Data, Run, Submission
from twinrun.config.trainings import WEIGHTS, Training, member_of, trainings_of
from twinrun.errors import InputError, nearest
from twinrun.hooks.calls import OwnHook, find_hook
from twinrun.hooks.own_code import NO_CODE, OwnCode
from twinrun.hooks.table import Enters
from twinrun.metrics import METRICS, additional_metric
from twinrun.names import FileName
from twinrun.networks.table import NetworkUse
from twinrun.neutral import Beside, Neutral
from twinrun.submission_forms import FORMS


class Settings(Table):
    """All of competition.toml, with the profile and the --set values applied.

    `config` is the file that it was read from, `folder_origin` says what named the data folder,
    `code` is what stands in hooks.py; none of them is part of the settings' content. `hooks` is a
    table of the competitor's own, which the code reads.
    """

    competition: Competition
    data: Data
    run: Run
    members: Annotated[dict[FileName, Member], Field(min_length=1)]
    cluster: Annotated[Cluster, Beside()] = Cluster()
    blend: Blend = Blend()
    submission: Submission = Submission()
    hooks: Annotated[dict[str, JsonValue], Neutral({})] = Field(default_factory=dict)
    config: Path = Field(exclude=True)
    folder_origin: FolderOrigin = Field(exclude=True)
    code: SkipJsonSchema[InstanceOf[OwnCode]] = Field(default=NO_CODE, exclude=True)

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        seen: dict[str, str] = {}
        for name in self.members:
            other = seen.setdefault(name.lower(), name)
            if other != name:
                raise ValueError(
                    f"members: {other!r} and {name!r} differ only in upper and lower case"
                )
        return self

    @model_validator(mode="after")
    def _columns_fit_the_classes(self) -> Self:
        classes = self.competition.classes
        if isinstance(classes, str):
            return self
        unseen, name = self.submission.unseen, self.submission.columns
        lower = {each.lower(): each for each in classes}
        if doubled := [each for each in unseen if each.lower() in lower]:
            raise ValueError(
                f"submission.unseen: {', '.join(map(repr, doubled))} in competition.classes too, "
                "which are those that training images are of"
            )
        count = len(classes) + len(unseen)
        if problem := FORMS.get(name).classes_problem(count):
            allowed = [repr(form.name) for form in FORMS if not form.classes_problem(count)]
            both = " with submission.unseen" if unseen else ""
            raise ValueError(
                f"submission.columns: {name!r} cannot be: {problem}, but competition.classes{both} "
                f"holds {count}; allowed: {', '.join(allowed)}"
            )
        return self

    @model_validator(mode="after")
    def _metric_fits_the_classes(self) -> Self:
        classes, name = self.competition.classes, self.competition.metric
        if isinstance(classes, str):
            return self
        count = len(classes)
        if problem := METRICS.get(name).classes_problem(count):
            raise ValueError(
                f"competition.metric: {name!r} cannot be: {problem}, but competition.classes holds "
                f"{count}"
            )
        return self

    @model_validator(mode="after")
    def _blend_suits_the_classes(self) -> Self:
        classes, name = self.competition.classes, self.blend.method
        if isinstance(classes, str) or name == AUTO or BLEND_METHODS.get(name).suits(len(classes)):
            return self
        allowed = [each.name for each in BLEND_METHODS if each.suits(len(classes))]
        raise ValueError(
            f"blend.method: {name!r} is for fewer classes, and competition.classes holds "
            f"{len(classes)}; allowed: {', '.join([*allowed, AUTO])}"
        )

    @model_validator(mode="after")
    def _classes_count_once(self) -> Self:
        for name, member in self.members.items():
            if member.sample.method != "all" and member.class_weights != "none":
                raise ValueError(
                    f"members.{name}: either sample or class_weights: both would make rare classes "
                    "count twice"
                )
        return self

    @model_validator(mode="after")
    def _weights_are_of_classes(self) -> Self:
        classes = self.competition.classes
        mistakes = [
            f"members.{name}.class_weights: there is no class {weighted!r}. "
            f"{nearest(weighted, classes)}".rstrip()
            for name, member in self.members.items()
            if not isinstance(classes, str) and not isinstance(member.class_weights, str)
            for weighted in member.class_weights
            if weighted not in classes
        ]
        if mistakes:
            raise ValueError(f"{'; '.join(mistakes)} Classes: {', '.join(classes)}.")
        return self

    @model_validator(mode="after")
    def _no_epoch_has_larger_images(self) -> Self:
        wrong = [
            f"members.{name}.sizes: {size} from epoch {at}, but image_size, {member.image_size}, "
            "is the largest"
            for name, member in self.members.items()
            for at, size in member.sizes.items()
            if size > member.image_size
        ]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @model_validator(mode="after")
    def _best_epochs_are_told_by_recorded_values(self) -> Self:
        own = additional_metric(self.competition.metric)
        known = [each.name for each in METRICS if each.kept_as or each is own]
        wrong = {n: each.take.by for n, each in self.members.items() if each.take.by not in known}
        if wrong:
            raise ValueError(
                "; ".join(f"members.{n}.take.by: no epoch has a {by!r}" for n, by in wrong.items())
                + f"; allowed: {', '.join(known)}"
            )
        return self

    @model_validator(mode="after")
    def _one_choice_of_weights(self) -> Self:
        both = [
            name
            for name, each in self.members.items()
            if each.take.epoch == "best" and each.ema.use == "ema"
        ]
        if both:
            raise ValueError(
                f"{', '.join(f'members.{name}' for name in both)}: take and ema choose different "
                'weights; leave take away, or set ema = { use = "last" }'
            )
        return self

    @property
    def classes(self) -> list[str]:
        """The classes, at least two, in their order.

        Raises:
            InputError: They are to be read from the data folder, and there is none.
        """
        if isinstance(self.competition.classes, str):
            raise self.no_data_folder()
        return self.competition.classes

    @property
    def asked_classes(self) -> list[str]:
        """The classes that a submission is of: the trained ones, then those without an image.

        Raises:
            InputError: As `classes`.
        """
        return [*self.classes, *self.submission.unseen]

    @property
    def data_folder(self) -> Path:
        """The data folder; a relative one starts at the settings file's folder."""
        return (self.config.parent / self.data.folder).resolve()

    def cache_folder(self, runs: Path) -> Path:
        """The folder of decoded images; a relative one starts at the settings file's folder.

        Args:
            runs: The folder of all runs.
        """
        return (self.config.parent / self.run.cache) if self.run.cache else runs / "cache"

    def cached_sizes(self) -> list[int]:
        """The sizes that images are decoded to for the members, ascending."""
        return sorted({member.cached_size for member in self.members.values()})

    def largest_size(self) -> int:
        """The largest size at which a member sees images."""
        return max(member.image_size for member in self.members.values())

    def network_uses(self) -> dict[str, NetworkUse]:
        """How each member uses its network, by the member's name."""
        return {
            name: NetworkUse(
                member.network,
                member.image_size,
                member.fetches_weights,
                tuple(sorted(set(member.sizes.values()))),
                member.gradient_checkpointing,
            )
            for name, member in self.members.items()
        }

    def sample_path(self) -> Path:
        """The host's sample submission.

        Raises:
            InputError: There is no data folder.
        """
        if not self.data_folder.is_dir():
            raise self.no_data_folder()
        return self.data.sample_path(self.data_folder)

    def table_folders(self) -> dict[str, str]:
        """The full paths of tables' folders that are not the data folder, by their settings."""
        named = {key: getattr(self.data, key) for key in TABLE_FOLDERS.values()}
        return {
            key: str((self.data_folder / name).resolve()) for key, name in named.items() if name
        }

    def no_data_folder(self) -> InputError:
        """The error for a data folder that is not there: it says what named it, and what to do."""
        address = self.competition.address
        download = (f"Download the data from {address}",) if address else ()
        return InputError(
            f"no data folder: {self.data_folder} ({self.folder_origin.words})",
            fix=download + self.folder_origin.fixes,
        )

    def begin_file(self, member: str) -> Path | None:
        """The file of weights that a member begins with, as the settings name it; None: none."""
        named = self.members[member].begin.file
        if named is None:
            return None
        path = (self.config.parent / named).resolve()
        return path / WEIGHTS if path.is_dir() else path

    def weight(self, member: str) -> float:
        """A member's weight in the blend: 1 when no weights are given, 0 when it has none."""
        return self.blend.weights.get(member, 0.0) if self.blend.weights else 1.0

    def refuse_unknown_members(self, names: Sequence[str]) -> None:
        """Raise InputError when one of the names is not a member's."""
        for name in names:
            if name not in self.members:
                raise InputError(
                    f"there is no member {name!r}. {nearest(name, self.members)}".rstrip(),
                    fix=f"Known members: {', '.join(self.members)}.",
                )

    def select_trainings(self, names: Sequence[str]) -> list[Training]:
        """The trainings that a user asks for, in the settings' order; all of them for no name.

        Args:
            names: Of members, or of trainings such as `first/fold-1`.

        Raises:
            InputError: There is no such member, or it has no such fold.
        """
        self.refuse_unknown_members([member_of(name) for name in names])
        every = [each for member in self.members for each in self.trainings(member)]
        known = {name for each in every for name in (each.member, each.name)}
        unknown = list(dict.fromkeys(name for name in names if name not in known))
        if unknown:
            ways = []
            for member in dict.fromkeys(member_of(name) for name in unknown):
                own = [each.name for each in self.trainings(member)]
                ways.append(
                    f"{member} is trained as {own[0]}"
                    + (f" to {own[-1]}." if len(own) > 1 else ", without folds.")
                )
            raise InputError(
                f"no training is called {', '.join(map(repr, unknown))}", fix=" ".join(ways)
            )
        return [each for each in every if not names or each.member in names or each.name in names]

    def from_nothing(self) -> Settings:
        """The same settings with no weights to begin with: none has to be on this machine."""
        members = {name: member.from_nothing() for name, member in self.members.items()}
        return self.model_copy(update={"members": members})

    def trainings(self, member: str) -> list[Training]:
        """The trainings of a member, in their order: one, or one for each fold."""
        return trainings_of(member, self.members[member].validation.folds)

    def training(self, name: str) -> Training:
        """The training of this name, `first` or `first/fold-1`.

        Raises:
            KeyError: The settings have no such training.
        """
        for training in self.trainings(member_of(name)):
            if training.name == name:
                return training
        raise KeyError(name)

    def hook(self, name: str) -> OwnHook | None:
        """A function of the competitor's hooks.py; None where there is none of this name.

        Args:
            name: Of `twinrun.hooks.table.HOOKS`.

        Raises:
            InputError: hooks.py cannot be imported, or what has this name is no function.
        """
        return find_hook(self.code, name, self.hooks)

    def hook_digests(self, enters: Enters) -> dict[str, str]:
        """SHA-256 by name of what the competitor's own code decides.

        Args:
            enters: Of "training", "pixels" or "blend".
        """
        return self.code.digests(enters, self.hooks)

    def all_hook_digests(self) -> dict[str, str]:
        """SHA-256 by name of all of the competitor's own code that decides anything."""
        members, blend = self.hook_digests("training"), self.hook_digests("blend")
        return {**self.hook_digests("pixels"), **members, **blend}

    def training_content(self, name: str) -> dict[str, Any]:
        """Everything in the settings that decides the bits of a training, as JSON values.

        Paths, worker counts, scores and blend weights are left out: they cannot change a bit of
        the member, so changing them does not make its training stale. So is a setting at its
        neutral value, where it does nothing.

        Args:
            name: Of a training, or of a member with folds: of all of them together.
        """
        member, _, fold = name.partition("/")
        hooks = self.hook_digests("training")
        return {
            "classes": self.classes,
            "seed": self.run.seed,
            "threads": self.run.threads,
            "member": {
                "name": member,
                **identity_settings(self.members[member]),
            },
            **({"fold": self.training(name).fold} if fold else {}),
            **({"hooks": hooks} if hooks else {}),
        }


def write_out_content(content: Mapping[str, Any]) -> dict[str, Any]:
    """A training's content for a reader to compare: with what does nothing written out.

    Args:
        content: From `Settings.training_content`, of this version or an earlier one.
    """
    return {**content, "member": write_out_settings(Member, content.get("member", {}))}
