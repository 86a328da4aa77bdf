"""Where each file of a run lies. Nobody else joins these names to a path.

    runs/<run>/
        index.parquet  audit.json  blend.json  submission.csv  report.html  manifest.json
        spread.json  local.json
        tracking/
        members/<member>/            or members/<member>/fold-<number>/, one for each fold
            history.csv  ledger.parquet  valid.csv  test.csv  weights.safetensors  member.json
            checkpoint/
    runs/twins/twins.json            the last twins
    runs/verify/<run>/               verify.json, predictions.json, predictions/

Light on purpose: a path costs no import.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from twinrun.config.trainings import WEIGHTS, fold_number

_CHECKPOINT = re.compile(r"epoch-(\d+)-step-(\d+)-([0-9a-f]{32})\.safetensors")

# A training's predictions: of the images that it held out, and of the test images. What a member
# with folds has in its own folder, besides its record, is these.
PREDICTION_FILES = ("valid.csv", "test.csv")
# The files of a training whose bytes are the same in every run with the same bits.
RESULT_FILES = (*PREDICTION_FILES, WEIGHTS)
# What a training keeps up to date while it trains. Their bytes may differ where bits do not (a
# clock, the pages of a resumed ledger): member.json has their digests as `guards`, apart from those
# of the results, and no run's are compared with another's.
PROGRESS_FILES = ("history.csv", "ledger.parquet")
# All that a complete training leaves, in the order in which it is published: the record says that
# the others are whole.
TRAINING_FILES = (*PROGRESS_FILES, *RESULT_FILES, "member.json")
# All that a run leaves besides its members and may be handed on: not local.json, which holds on
# this machine only.
RUN_FILES = (
    "index.parquet",
    "audit.json",
    "blend.json",
    "spread.json",
    "submission.csv",
    "report.html",
    "manifest.json",
)
# Those whose digests stand as `guards` in manifest.json, which is written after them.
GUARDED_FILES = ("index.parquet", "audit.json", "blend.json")


@dataclass(frozen=True)
class TrainingFolder:
    """The folder of a member, or of one fold of it.

    Attributes:
        path: runs/<run>/members/<member>, or its fold-<number>.
    """

    path: Path

    @property
    def valid(self) -> Path:
        """Predictions of the images that were held out; of a member with folds, out-of-fold."""
        return self.path / "valid.csv"

    @property
    def test(self) -> Path:
        """Predictions of the test images; of a member with folds, the mean of the folds'."""
        return self.path / "test.csv"

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS

    @property
    def history(self) -> Path:
        """A row an epoch: losses and scores."""
        return self.path / "history.csv"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.parquet"

    @property
    def record(self) -> Path:
        """member.json, the last file that is written: with it the training is complete."""
        return self.path / "member.json"

    @property
    def checkpoint(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoint"

    @property
    def log(self) -> Path:
        """What a training on a cluster printed before it failed."""
        return self.path / "log.txt"

    def folds(self) -> list[TrainingFolder]:
        """The folders of folds that are there and in which one was begun, by the folds' numbers."""
        begun = {path.parent for path in self.path.glob("fold-*/[!.]*")}
        folds = {fold_number(path.name): path for path in begun}
        return [TrainingFolder(folds[number]) for number in sorted(folds) if number]

    def all_trainings(self) -> list[TrainingFolder]:
        """The member's own folder, then its folds'."""
        return [self, *self.folds()]


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, and what is kept beside it.

    Attributes:
        path: runs/<run>.
    """

    path: Path

    @property
    def manifest(self) -> Path:
        """What the run was made from, on what, and what came out."""
        return self.path / "manifest.json"

    @property
    def index(self) -> Path:
        """The images, as the audit's policy leaves them."""
        return self.path / "index.parquet"

    @property
    def audit(self) -> Path:
        """What is wrong with the data."""
        return self.path / "audit.json"

    @property
    def blend(self) -> Path:
        """The blend that the submission is."""
        return self.path / "blend.json"

    @property
    def spread(self) -> Path:
        """How far the runs of several seeds are apart, of which this is one."""
        return self.path / "spread.json"

    @property
    def place(self) -> Path:
        """What holds on this machine only: where settings, data and decoded images lie."""
        return self.path / "local.json"

    @property
    def submission(self) -> Path:
        return self.path / "submission.csv"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def tracking(self) -> Path:
        """The folder that trackers write to."""
        return self.path / "tracking"

    @property
    def members(self) -> Path:
        """The folder of the members' folders."""
        return self.path / "members"

    def training(self, name: str) -> TrainingFolder:
        """The folder of a member, `first`, or of a fold, `first/fold-1`."""
        return TrainingFolder(self.members / name)

    def trainings(self) -> list[TrainingFolder]:
        """The folders of all members and folds that are there, by name."""
        members = sorted(path for path in self.members.glob("*") if path.is_dir())
        return [each for path in members for each in TrainingFolder(path).all_trainings()]

    @property
    def verdicts(self) -> tuple[Path, Path, Path]:
        """Where the last twins, verification and verification of predictions are written down.

        None of them need be there, or be of this run's files.
        """
        path = self.path.resolve()
        runs = RunsFolder(path.parent)
        again = runs.verification(path.name)
        return runs.twins.verdict, again.verdict, again.predictions_verdict


@dataclass(frozen=True)
class TwinsFolder:
    """What a check of the twins leaves.

    Attributes:
        path: runs/twins.
    """

    path: Path

    @property
    def verdict(self) -> Path:
        return self.path / "twins.json"

    @property
    def runs(self) -> tuple[Path, Path, Path]:
        """The folders of the first run, of the second, and of the one with a different seed."""
        return self.path / "first", self.path / "second", self.path / "other-seed"


@dataclass(frozen=True)
class VerificationFolder:
    """What the verification of a run leaves; it is the folder of the run that was made again.

    Attributes:
        path: runs/verify/<run>.
    """

    path: Path

    @property
    def verdict(self) -> Path:
        """Of the last one that trained."""
        return self.path / "verify.json"

    @property
    def predictions(self) -> Path:
        """The folder of what was only predicted again."""
        return self.path / "predictions"

    @property
    def predictions_verdict(self) -> Path:
        """Of the last one that only predicted."""
        return self.path / "predictions.json"


@dataclass(frozen=True)
class RunsFolder:
    """The folder of all runs.

    Attributes:
        path: runs/, or what --out names.
    """

    path: Path

    @property
    def twins(self) -> TwinsFolder:
        return TwinsFolder(self.path / "twins")

    def verification(self, name: str) -> VerificationFolder:
        """Of a run, or of a package, of this name."""
        return VerificationFolder(self.path / "verify" / name)


def checkpoint_name(epoch: int, step: int, digest: str = "") -> str:
    """The file name of a checkpoint.

    Args:
        epoch: Epochs that are complete.
        step: Training steps that are complete in the epoch after them.
        digest: XXH3-128 of its bytes, in hexadecimal; empty for a file that has none yet.
    """
    return f"epoch-{epoch:04d}-step-{step:06d}{'-' * bool(digest)}{digest}.safetensors"


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints in `TrainingFolder.checkpoint`, damaged ones too, the last one first."""
    found = [path for path in folder.glob("*") if _CHECKPOINT.fullmatch(path.name)]
    return sorted(found, key=checkpoint_place, reverse=True)


def checkpoint_place(path: Path) -> tuple[int, int]:
    """(epoch, step) of a checkpoint, from its file name."""
    _, epoch, _, step, _ = path.stem.split("-")
    return int(epoch), int(step)
