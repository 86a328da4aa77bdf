"""What is to be predicted, and with what: checked before an image is decoded."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinrun.errors import InputError, shorten
from twinrun.files import is_there, unwritable
from twinrun.hooks.own_code import SCORING
from twinrun.predict.images import NewImages, find_images
from twinrun.predict.networks import Trained, find_trained
from twinrun.predict.record import is_record, read_record_of, record_path
from twinrun.predict.recorded_blend import RecordedBlend, find_blend
from twinrun.run_folder.manifest import read_manifest, read_run_settings

if TYPE_CHECKING:
    from twinrun.config.settings import Settings

# Of a competitor's hooks those that a network is built with, and those that a prediction calls.
_BUILD = frozenset({"backbone", "head"})
AFTER = "after_predictions"
_CALLED = _BUILD | {"read_image", AFTER}
# What an image's id is, by data.ids.
_IDS = {
    "stem": "its file's name without extension",
    "name": "its file's name",
    "path": "its path in the data folder",
}
_ELSEWHERE = "Choose a different place with --output."


@dataclass(frozen=True)
class Asked:
    """What is to be predicted, everything checked that can be before an image is decoded.

    Attributes:
        run: runs/<run>.
        settings: Of its manifest.
        manifest: Its content.
        blend: That it recorded.
        trained: By member of the blend, its trainings.
        images: That are predicted.
        sample: The host's sample submission; None: predictions are asked for.
        output: The file to write.
    """

    run: Path
    settings: Settings
    manifest: Mapping[str, Any]
    blend: RecordedBlend
    trained: Mapping[str, Sequence[Trained]]
    images: NewImages
    sample: Path | None
    output: Path

    @property
    def trainings(self) -> list[Trained]:
        """Of all members."""
        return [each for own in self.trained.values() for each in own]

    @property
    def hooks(self) -> dict[str, str]:
        """Of the competitor's own functions that are called, the digests by name."""
        digests = self.settings.all_hook_digests()
        return {name: digest for name, digest in digests.items() if name in _CALLED}

    @property
    def averages_copies(self) -> bool:
        """Whether images with the same pixels get one answer: in a submission, if it says so."""
        return self.sample is not None and self.settings.submission.copies == "mean"

    @property
    def record(self) -> Path:
        """Where is written what the predictions are made of."""
        return record_path(self.output)


def ask(run: Path, places: Sequence[Path], sample: Path | None, output: Path) -> Asked:
    """Check all that can be checked before an image is decoded.

    Args:
        run: runs/<run>, or the folder of a run in a package. Nothing is written there.
        places: The images, as for `find_images`.
        sample: The host's sample submission; None: predictions are asked for.
        output: The file to write.

    Raises:
        NegativeVerdict: hooks.py is not what the run was made with; what only scores may be.
        InputError: It is no run, lacks members or weights; there are no images, or not those that
            the sample asks for; the file cannot be written, or would replace what is read.
    """
    manifest = read_manifest(run)
    settings = read_run_settings(run, None, but=SCORING)
    settings.code.refuse_edited()
    blend = find_blend(run, settings, manifest)
    trained = find_trained(run, settings, manifest, list(blend.weights))
    _refuse_hooks(run, settings, manifest, trained)
    images = find_images(places, settings.data)
    if sample is not None:
        images = _asked_by(sample, images, settings)
    given = [*places, *images.paths, *([] if sample is None else [sample])]
    refuse_output(output, given, run)
    return Asked(run, settings, manifest, blend, trained, images, sample, output)


def _refuse_hooks(
    run: Path,
    settings: Settings,
    manifest: Mapping[str, Any],
    trained: Mapping[str, Sequence[Trained]],
) -> None:
    """Check that a competitor's own code is recorded, and is what the members were made with."""
    if manifest["content"]["blend"] is None and AFTER in settings.code.hooks:
        raise InputError(
            f"hooks.py has {AFTER}, and {run} has no blend that records it",
            fix="Blend the run first (twinrun blend).",
        )
    there = settings.hook_digests("training")
    made_with = {(n, d) for own in trained.values() for each in own for n, d in each.hooks.items()}
    names = sorted({n for n, digest in made_with if n in _BUILD and there.get(n) != digest})
    if names:
        raise InputError(
            f"{run} was made with code of its own (hooks.py: {', '.join(names)}), which is not "
            "there, or has been changed since",
            fix="Predict where the run was made, with the hooks.py that it was made with.",
        )


def _asked_by(path: Path, images: NewImages, settings: Settings) -> NewImages:
    """The images that a sample asks for; all of them must be there."""
    from twinrun.blend.submission import read_sample
    from twinrun.submission_forms import FORMS

    columns, classes = settings.submission.columns, settings.asked_classes
    sample = read_sample(path, classes, columns, known=images.ids)
    asked = set(FORMS.get(columns).images(sample, classes, set(images.ids))[0])
    if lacking := sorted(asked - set(images.ids)):
        raise InputError(
            f"{path} asks for images that are not there, {len(lacking):,} of {len(asked):,}:",
            details=shorten(lacking),
            fix=[
                "Name the folder that holds them with --images.",
                f"An image's id is {_IDS[settings.data.ids]} (data.ids = "
                f'"{settings.data.ids}"). There is, for example, {images.ids[0]}.',
            ],
        )
    return images.asked(asked)


def refuse_output(output: Path, given: Sequence[Path], run: Path) -> None:
    """Check that the two files can be written, and that nothing which is given is lost by that."""
    record = record_path(output)
    if is_record(output):
        raise InputError(
            f"{output} is a name for a record of predictions, not for predictions", fix=_ELSEWHERE
        )
    if output.is_dir():
        raise InputError(f"{output} is a folder", fix="Name a file with --output.")
    read, folder = {path.resolve() for path in given}, run.resolve()
    for path in (output, record):
        if path.resolve() in read:
            raise InputError(f"{path} is read, and would be overwritten", fix=_ELSEWHERE)
        if folder in path.resolve().parents:
            raise InputError(f"{path} would lie in the run, which is only read", fix=_ELSEWHERE)
    _refuse_other_record(record, output)
    there = next(each for each in output.absolute().parents if each.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise unwritable(output, error, fix=_ELSEWHERE) from error


def _refuse_other_record(record: Path, output: Path) -> None:
    """Check that what lies where the record is written is the file's own, if anything is."""
    if not is_there(record, fix=_ELSEWHERE):
        return
    try:
        of = read_record_of(record)["output"]["file"]
    except InputError:
        of = "something else"
    if of != output.name:
        raise InputError(f"{record} is of {of}, and would be overwritten", fix=_ELSEWHERE)
