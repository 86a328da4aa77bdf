"""A recorded run, as Python and notebooks have it. Nothing here changes a file of the run."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from twinrun.errors import InputError, nearest

if TYPE_CHECKING:
    import pandas as pd
    from fastai.learner import Learner

    from twinrun.api.blended import BlendedRun
    from twinrun.config.settings import Settings

_HEIGHT = 640


@dataclass(frozen=True)
class Run:
    """A recorded run; the last line of a cell, it shows the run's report.

    Attributes:
        folder: runs/<run>.
        data: The data folder, where it has been moved; None: the one that the run recorded.
    """

    folder: Path
    data: Path | None = None

    @property
    def name(self) -> str:
        """The run's name, that of its folder.

        Example:
            >>> twinrun.open_run("runs/full").name
            'full'
        """
        return self.folder.resolve().name

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The content of manifest.json: data, settings, environment, members, blend, submission.

        Example:
            >>> run.manifest["content"]["environment"]["device"]
            'cpu'
        """
        from twinrun.run_folder.manifest import read_manifest

        return read_manifest(self.folder)

    @cached_property
    def settings(self) -> Settings:
        """The settings that it was made with.

        Example:
            >>> run.settings.members["first"].image_size
            224
        """
        from twinrun.run_folder.manifest import read_run_settings

        return read_run_settings(self.folder, self.data)

    @cached_property
    def members(self) -> pd.DataFrame:
        """A row a member, by name: network, complete, weight in the blend, seconds, its scores.

        Members that are not complete have no scores.

        Example:
            >>> run.members.sort_values("valid_loss")
        """
        import pandas as pd

        from twinrun.run_folder.paths import RunFolder
        from twinrun.run_folder.records import read_record

        weights = (self.manifest["content"]["blend"] or {"weights": {}})["weights"]
        rows = {}
        for name, member in self.settings.members.items():
            record = read_record(RunFolder(self.folder).training(name).path)
            found: dict[str, Any] = record or {"scores": {}, "seconds": float("nan")}
            rows[name] = {
                "network": member.network,
                "complete": record is not None,
                "weight": weights.get(name, 0.0),
                "seconds": found["seconds"],
                **found["scores"],
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("member")

    def history(self, name: str) -> pd.DataFrame:
        """A row an epoch of a training: losses in nats, scores, seconds.

        Args:
            name: A member's, or that of a fold: `first/fold-1`.

        Raises:
            InputError: There is no such training, or it has no epoch behind it.

        Example:
            >>> run.history("first").plot(x="epoch", y=["train_loss", "valid_loss"])
        """
        from twinrun.run_folder.paths import RunFolder
        from twinrun.run_folder.tables import read_history

        self._check(name)
        return read_history(RunFolder(self.folder).training(name).history)

    def predictions(self, name: str, part: Literal["test", "valid"] = "test") -> pd.DataFrame:
        """What a member predicted, as its file has it.

        Args:
            name: A member's, or that of a fold.
            part: "test", the test images; or "valid", those that it held out: of a member with
                folds its out-of-fold predictions.

        Returns:
            id (text), for "valid" label (text), and a float64 column of probabilities per class.

        Raises:
            InputError: There is no such member, it is not complete, or its file was changed.

        Example:
            >>> run.predictions("first", "valid").set_index("id")
        """
        from twinrun.run_folder.paths import RunFolder
        from twinrun.run_folder.records import read_record
        from twinrun.run_folder.tables import read_predictions

        self._check(name)
        files = ("test", "valid")
        if part not in files:
            raise InputError(f"there is no part {part!r}", fix=f"Known: {', '.join(files)}.")
        folder = RunFolder(self.folder).training(name).path
        if read_record(folder) is None:
            raise InputError(
                f"{name} is not complete in {self.folder}", fix="Train it first: project.train()."
            )
        return read_predictions(folder, f"{part}.csv")

    def blend(self, method: str | None = None) -> BlendedRun:
        """The members' predictions of the test images as one. No submission is written.

        Args:
            method: As `blend.method` in the settings, or "auto"; None: that of the settings.

        Raises:
            InputError: Members are missing, or there is no such method.

        Example:
            >>> run.blend("auto").candidates
        """
        from twinrun.api.blended import BlendedRun
        from twinrun.blend_methods.methods import AUTO, BLEND_METHODS
        from twinrun.submit import blended_predictions, choose_run_blend

        settings = self.settings
        if method is not None:
            if method != AUTO:
                BLEND_METHODS.get(method)
            blend = settings.blend.model_copy(update={"method": method})
            settings = settings.model_copy(update={"blend": blend})
        chosen = choose_run_blend(self.folder, settings)
        return BlendedRun(chosen, blended_predictions(self.folder, settings, chosen))

    def predict(
        self,
        images: Path | str | Sequence[Path | str],
        *,
        sample: Path | str | None = None,
        output: Path | str | None = None,
    ) -> pd.DataFrame:
        """Predict new images with every member and fold, and the recorded blend.

        Args:
            images: A folder, nested or not, or a CSV with a column `path`; or several of them.
            sample: The host's sample submission: a submission is made, and checked.
            output: The file to write, and its record beside it; None: neither is kept.

        Returns:
            What the file holds: probabilities of each image, or a submission.

        Raises:
            NegativeVerdict: What came out is no valid submission.
            InputError: The run lacks members or weights, there are no images, or a file cannot be
                written.

        Example:
            >>> run.predict("new-photos")
        """
        from twinrun.files import read_csv
        from twinrun.predict.asked import ask
        from twinrun.predict.predict import predict_images

        given = [images] if isinstance(images, str | Path) else images
        with TemporaryDirectory(prefix="twinrun-") as temporary:
            target = Path(temporary, "predictions.csv") if output is None else Path(output)
            places = [Path(each) for each in given]
            asked = ask(self.folder, places, None if sample is None else Path(sample), target)
            predict_images(asked)
            return read_csv(target)

    def learner(self, name: str) -> Learner:
        """A fastai Learner of a training, with its weights, and its training and validation images.

        `show_results`, interpretation and `lr_find` work. Whatever is done with it changes no file
        of the run; what is saved goes into a temporary folder.

        Args:
            name: A member's, or that of a fold: `first/fold-1`.

        Raises:
            InputError: There is no such training, it is not complete, or the data is not there.

        Example:
            >>> learner = run.learner("first")
            >>> ClassificationInterpretation.from_learner(learner).plot_confusion_matrix()
        """
        from twinrun.api.learner import learner_of

        self._check(name)
        return learner_of(self.folder, name, self.data)

    def _check(self, name: str) -> None:
        """Check that the run has a training of this name, or a member of it."""
        known = [each.name for each in self.settings.select_trainings([])]
        known = list(dict.fromkeys([*self.settings.members, *known]))
        if name not in known:
            raise InputError(
                f"{self.folder} has no member {name!r}",
                fix=nearest(name, known) or f"It has {', '.join(known)}.",
            )

    def __repr__(self) -> str:
        complete = int(self.members["complete"].sum())
        return f"<Run {self.folder}: {complete} of {len(self.members)} members complete>"

    def _repr_html_(self) -> str:
        from twinrun.report.report import render

        page = html.escape(render(self.folder, self.data))
        # A page of its own: its style would change the notebook's, and the notebook's change it.
        frame = f'style="width: 100%; height: {_HEIGHT}px; border: 0" title="{self.name}"'
        return f'<iframe srcdoc="{page}" {frame}></iframe>'


def open_run(folder: Path | str, data: Path | str | None = None) -> Run:
    """Open a recorded run.

    Args:
        folder: Of the run, such as runs/full.
        data: The data folder, where it has been moved; None: the one that the run recorded.

    Raises:
        InputError: It is no run, or its record is damaged.

    Example:
        >>> twinrun.open_run("runs/full").members
    """
    run = Run(Path(folder), None if data is None else Path(data))
    run.manifest  # noqa: B018  (read now, so that what is no run is said at once)
    return run
