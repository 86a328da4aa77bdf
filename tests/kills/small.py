"""A run that is as short as one can be and has everything that an interruption may fall into."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.conftest import FIXTURE, SMALL

EPOCHS = {"frozen": 2, "unfrozen": 2}
# Training steps and validation batches of an epoch.
STEPS, BATCHES = 4, 2
CHANGES = (
    f"recipe.epochs.frozen={EPOCHS['frozen']}",
    f"recipe.epochs.unfrozen={EPOCHS['unfrozen']}",
    "recipe.batch_size=4",
    "recipe.prediction_batch_size=4",
)
# A checkpoint after each step; only at the epochs.
OFTEN, SELDOM = "run.checkpoint_seconds=1e-9", "run.checkpoint_seconds=1e9"


def write_competition(folder: Path) -> Path:
    """A competition.toml beside its data: 24 training images, of which 6 are held out, 6 test.

    Two of the 18 images that are trained on are left over in every epoch.
    """
    for part in sorted(path for path in FIXTURE.rglob("*") if path.is_dir()):
        images = sorted(path for path in part.iterdir() if path.is_file())
        (folder / "data" / part.relative_to(FIXTURE)).mkdir(parents=True)
        for image in images[:8] if "train" in part.parts else images[:6]:
            shutil.copyfile(image, folder / "data" / image.relative_to(FIXTURE))
    kept = {path.stem for path in (folder / "data" / "test").iterdir()}
    header, *rows = (FIXTURE / "sample_submission.csv").read_text(encoding="utf-8").splitlines()
    sample = [header, *(row for row in rows if row.partition(",")[0] in kept)]
    (folder / "data" / "sample_submission.csv").write_text("\n".join(sample) + "\n")
    path = folder / "small.toml"
    path.write_text(SMALL.format(folder=(folder / "data").as_posix()), encoding="utf-8")
    return path
