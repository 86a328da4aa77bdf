"""A project, as Python and notebooks have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinrun.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from twinrun.api.audited import AuditedData
    from twinrun.api.run import Run
    from twinrun.config.settings import Settings


@dataclass(frozen=True)
class Project:
    """A project: settings, data and runs of a competition.

    Attributes:
        folder: Holds competition/competition.toml.
        profile: The profile that is laid over the settings; None: none.
        data: The data folder, in place of the settings' one.
        changes: Changed settings, by their key with dots: {"run.seed": 7}.
    """

    folder: Path
    profile: str | None = None
    data: Path | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def settings(self) -> Settings:
        """The settings, with the profile and the changes laid over them.

        Raises:
            InputError: They are missing or wrong.

        Example:
            >>> twinrun.open_project().settings.members["first"].network
            'resnet18'
        """
        from twinrun.config.project import SETTINGS
        from twinrun.config.reading import read_settings

        return read_settings(
            self.folder / SETTINGS,
            profile=self.profile,
            data=self.data,
            changes=list(self._changes()),
        )

    @property
    def runs(self) -> list[str]:
        """The names of the runs that are there.

        Example:
            >>> project.runs
            ['fixture', 'full']
        """
        from twinrun.run_folder.paths import RunFolder

        folders = sorted((self.folder / "runs").glob("*"))
        return [each.name for each in folders if RunFolder(each).manifest.is_file()]

    def audit(self) -> AuditedData:
        """Look for what is wrong with the data.

        Raises:
            InputError: The data cannot be read.

        Example:
            >>> project.audit().findings
        """
        from twinrun.api.audited import AuditedData
        from twinrun.audit.audit import audit_folder

        settings = self.settings
        return AuditedData(audit_folder(settings, settings.cache_folder(self.folder / "runs")))

    def run(self, name: str | None = None, *, hours: float | None = None) -> Run:
        """Train every member, blend them, and write and validate the submission: `twinrun run`.

        It works in a process of its own and prints its progress here. Stopped, it keeps a
        checkpoint; called again, it resumes.

        Args:
            name: Of the run; None: the profile's, or `full`.
            hours: End within this time, with a submission of what is complete by then.

        Raises:
            InputError: Wrong settings or data.
            NegativeVerdict: The audit or the checks of the submission say no.
            KeyboardInterrupt: It was stopped; everything that is needed to resume is written.

        Example:
            >>> run = twinrun.open_project(profile="fixture").run()
        """
        more = [] if hours is None else ["--hours", str(hours)]
        return self._command("run", name, more)

    def train(self, *members: str, name: str | None = None) -> Run:
        """Train members, or folds of them; those that are complete are skipped: `twinrun train`.

        Args:
            members: Names such as `first` or `first/fold-1`; none: all.
            name: As for `run`.

        Raises:
            As `run`.

        Example:
            >>> project.train("first")
        """
        return self._command("train", name, members)

    def predict(
        self,
        images: Path | str | Sequence[Path | str],
        *,
        name: str | None = None,
        sample: Path | str | None = None,
        output: Path | str | None = None,
    ) -> pd.DataFrame:
        """Predict new images with a run of the project: `Run.predict`.

        Args:
            images: As for `Run.predict`.
            name: Of the run; None: the profile's, or `full`.
            sample: As for `Run.predict`.
            output: As for `Run.predict`.

        Raises:
            As `Run.predict`.

        Example:
            >>> project.predict("new-photos", sample="sample_submission.csv")
        """
        return self.open_run(name).predict(images, sample=sample, output=output)

    def open_run(self, name: str | None = None) -> Run:
        """Open a run of the project.

        Args:
            name: Its name; None: the profile's, or `full`.

        Raises:
            InputError: There is no such run, or its record is damaged.

        Example:
            >>> project.open_run("full").members
        """
        from twinrun.api.run import open_run

        return open_run(self.folder / "runs" / self._name(name), self.data)

    def _command(self, command: str, name: str | None, more: Sequence[str]) -> Run:
        from twinrun.api.command import run_command

        run = self._name(name)
        words = [command, *more, "--run", run]
        words += [] if self.profile is None else ["--profile", self.profile]
        words += [] if self.data is None else ["--data", str(self.data.absolute())]
        words += [word for change in self._changes() for word in ("--set", change)]
        run_command(words, self.folder)
        return self.open_run(run)

    def _name(self, name: str | None) -> str:
        from twinrun.names import run_name_problem

        chosen = name or self.profile or "full"
        if problem := run_name_problem(chosen):
            raise InputError(f"{chosen!r}: {problem}")
        return chosen

    def _changes(self) -> list[str]:
        return [f"{key}={_as_toml(value)}" for key, value in self.changes.items()]

    def __repr__(self) -> str:
        profile = "" if self.profile is None else f", profile {self.profile}"
        return f"<Project {self.settings.competition.name} in {self.folder}{profile}>"


def open_project(
    folder: Path | str | None = None,
    *,
    profile: str | None = None,
    data: Path | str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Project:
    """Open a project.

    Args:
        folder: The project's, or one within it; None: the working folder.
        profile: Lay `[profiles.NAME]` over the settings.
        data: A data folder in place of the settings' one.
        changes: Settings to change, by their key with dots: {"run.seed": 7}.

    Raises:
        InputError: There is no project, or its settings are wrong.

    Example:
        >>> project = twinrun.open_project(changes={"recipe.image_size": 160})
    """
    from twinrun.config.project import find_project

    found = find_project(None if folder is None else Path(folder)).absolute()
    project = Project(found, profile, None if data is None else Path(data), dict(changes or {}))
    project.settings  # noqa: B018  (read now, so that what is wrong is said at once)
    return project


def _as_toml(value: Any) -> str:
    """A value as `--set` takes it: TOML.

    Raises:
        InputError: It is of no kind that settings have.
    """
    import tomlkit
    from tomlkit.exceptions import ConvertError

    plain = str(value) if isinstance(value, Path) else value
    if isinstance(plain, Mapping):
        table = tomlkit.inline_table()
        table.update(plain)
        plain = table
    try:
        return tomlkit.item(plain).as_string()
    except ConvertError:
        raise InputError(
            f"{value!r} is no value of a setting", fix="Give a number, a text, a list or a dict."
        ) from None
