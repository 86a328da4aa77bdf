"""A run as a folder of ONNX files: exported, compared with the run, and recorded."""

from __future__ import annotations

import io
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

from twinrun.blend_methods.methods import BLEND_METHODS
from twinrun.compare.grade import ROUNDING_BOUND, Evidence, GradedVerdict, judge
from twinrun.compare.grade_words import grade_record
from twinrun.compare.prediction_gaps import compare_predictions
from twinrun.config.extras import how_to_install_extra
from twinrun.config.settings import Settings
from twinrun.data.pixels import Pixels
from twinrun.data.recorded import recorded_images
from twinrun.errors import InputError, shorten
from twinrun.export.graph import METHODS, ExportedNetwork
from twinrun.files import sha256_file, unwritable, write_csv, write_json
from twinrun.predict.networks import Networks, Trained, find_trained
from twinrun.predict.recorded_blend import RecordedBlend, find_blend
from twinrun.run_folder.manifest import read_manifest, read_run_settings, recorded_range
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.records import checked_file
from twinrun.run_folder.tables import read_predictions

OPSET = 20
RECORD, SCRIPT = "export.json", "predict.py"
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_MEANS = ("arithmetic", "geometric")
# Images of a batch that is timed, and of one that is compared.
_BATCH = 16


@dataclass(frozen=True)
class ExportedTraining:
    """A training that was exported.

    Attributes:
        name: The training's.
        file: Its ONNX file.
        verdict: Of its predictions of the images that the training held out, beside the recorded.
        rates: Images a second, of onnxruntime and of torch, with the threads of the settings.
    """

    name: str
    file: Path
    verdict: GradedVerdict
    rates: tuple[float, float]


def export_run(run: Path, output: Path, data: Path | None = None) -> list[ExportedTraining]:
    """Export every training that a run's blend is made of; write them with a script that predicts.

    Args:
        run: runs/<run>. Nothing is written there.
        output: A folder that is not there yet, or is empty.
        data: The data folder; None for the one that is recorded.

    Returns:
        In the order of the members.

    Raises:
        InputError: A package is missing; the run lacks members, weights or data; its networks, its
            passes or its blend cannot be exported: all of them are named. Nothing is written then.
    """
    _refuse_missing_packages()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output} is there already", fix="Name a new folder with --output.")
    manifest, settings = read_manifest(run), read_run_settings(run, data)
    settings.code.refuse_edited()
    blend = find_blend(run, settings, manifest)
    trained = find_trained(run, settings, manifest, list(blend.weights))
    _refuse(run, settings, blend, trained)
    trainings = [each for own in trained.values() for each in own]
    sizes = sorted({each.member.cached_size for each in trainings})
    held_out = _HeldOut(run, settings, *recorded_images(run, settings, sizes))
    networks = Networks(trainings, settings, torch.device("cpu"))
    with TemporaryDirectory(prefix="twinrun-") as temporary:
        folder = Path(temporary)
        _export(folder, trainings, networks)
        found = [_compare(folder, each, networks, held_out) for each in trainings]
        write_json(folder / RECORD, _record(run, settings, blend, trained, found))
        shutil.copyfile(Path(__file__).with_name("standalone.py"), folder / SCRIPT)
        _publish(folder, output)
    return [replace(each, file=output / each.file.name) for each in found]


def _publish(folder: Path, output: Path) -> None:
    """Copy what was written beside the place of the output, and give it its name when it is whole.

    Raises:
        InputError: It cannot be written.
    """
    part = output.with_name(f".{output.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for path in sorted(folder.iterdir()):
            if path.suffix in (".onnx", ".json", ".py"):
                shutil.copyfile(path, part / path.name)
        if output.exists():
            output.rmdir()  # an empty one, as was checked
        part.rename(output)
    except OSError as error:
        raise unwritable(output, error, fix="Choose a different place with --output.") from error


def _refuse_missing_packages() -> None:
    for name in _PACKAGES:
        try:
            import_module(name)
        except ImportError:
            raise InputError(
                f"an export needs the package {name}, which is not installed",
                fix=f"Install the extra `export`: {how_to_install_extra('export')}.",
            ) from None


def _refuse(
    run: Path,
    settings: Settings,
    blend: RecordedBlend,
    trained: Mapping[str, Sequence[Trained]],
) -> None:
    """Check that what an export predicts is what the run does, as far as the settings tell.

    Raises:
        InputError: Something of it cannot be exported; all of it is named.
    """
    problems = []
    for name, own in trained.items():
        passes = own[0].member.test_time.method
        if passes not in METHODS:
            problems.append(
                f"{name}: test_time.method = {passes!r}: its passes draw, or cut out other parts"
            )
    method = BLEND_METHODS.get(blend.method)
    if method.stack is not None or method.mean.name not in _MEANS:
        problems.append(f"the blend: {method.name}; of means there are {' and '.join(_MEANS)}")
    if recorded_range(run) is not None:
        problems.append("images of more than 8 bits a value, seen in a range (data.range)")
    called = sorted({"read_image", "after_predictions"} & settings.all_hook_digests().keys())
    problems += [f"hooks.py: {name} is code, which an export does not hold" for name in called]
    if problems:
        raise InputError(
            f"{run} cannot be exported:",
            details=problems,
            fix="Train or blend without these, or predict with `twinrun predict`.",
        )


def _export(folder: Path, trainings: Sequence[Trained], networks: Networks) -> None:
    """Write each training's file.

    Raises:
        InputError: Networks cannot be exported: all of them are named, each with torch's reason.
    """
    problems = []
    for each in trainings:
        try:
            _export_one(folder / _file(each.name), ExportedNetwork(networks.of(each), each.member))  # type: ignore[arg-type]
        except Exception as error:  # whatever torch's exporter meets in a network
            reason = " ".join(str(error.__cause__ or error).split())[:300]
            problems.append(f"{each.name} ({each.member.network}): {reason}")
    if problems:
        raise InputError(
            "networks cannot be exported:",
            details=shorten(problems),
            fix="Nothing was written. `twinrun predict` predicts with them.",
        )


def _export_one(path: Path, network: ExportedNetwork) -> None:
    size = network.resize.shape[1]
    example = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.eval(),
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("count", min=1)},),
            opset_version=OPSET,
        )
        assert program is not None
        program.save(str(path), external_data=False)


def _file(name: str) -> str:
    # A fold's has two points: no member's name has one at such a place.
    return f"{name.replace('/', '.')}.onnx"


class _HeldOut:
    """The images that trainings held out, and what the run predicted of them."""

    def __init__(
        self, run: Path, settings: Settings, index: pd.DataFrame, pixels: Mapping[int, Pixels]
    ) -> None:
        self.run, self.settings, self.pixels = run, settings, pixels
        files = index[index["part"] == "train"]
        self.files = dict(zip(files["id"], files["sha256"], strict=True))

    def recorded(self, name: str) -> pd.DataFrame:
        """valid.csv of a training."""
        return read_predictions(RunFolder(self.run).training(name).path, "valid.csv")

    def squares(self, training: Trained, ids: Sequence[str]) -> Iterator[np.ndarray]:
        """Batches of the images as an export is given them."""
        rows = self.pixels[training.member.cached_size].rows([self.files[each] for each in ids])
        for first in range(0, len(ids), _BATCH):
            places = range(first, min(first + _BATCH, len(ids)))
            yield rows.crops(rows.windows(places, 0.5)).contiguous().numpy()


def _compare(
    folder: Path, training: Trained, networks: Networks, held_out: _HeldOut
) -> ExportedTraining:
    """Predict by onnxruntime what the training held out, and grade that beside the recorded."""
    import onnxruntime

    settings, path = held_out.settings, folder / _file(training.name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.run.threads
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    recorded = held_out.recorded(training.name)
    batches = list(held_out.squares(training, recorded["id"].tolist()))
    values = np.concatenate([session.run(None, {"images": each})[0] for each in batches])
    found = recorded[["id", "label"]].join(pd.DataFrame(values, columns=settings.classes))
    table = folder / "found.csv"
    write_csv(table, found)
    of_run = checked_file(RunFolder(held_out.run).training(training.name).path, "valid.csv")
    metric = settings.competition.metric
    gap = compare_predictions(training.name, of_run, table, metric, bound=ROUNDING_BOUND)
    verdict = judge(Evidence(same_bits=gap.largest == 0, gaps=(gap,), metric=metric))
    with torch.no_grad():
        network = ExportedNetwork(networks.of(training), training.member)  # type: ignore[arg-type]
        rates = (
            _rate(batches, lambda each: session.run(None, {"images": each})),
            _rate(batches, lambda each: network(torch.from_numpy(each))),
        )
    return ExportedTraining(training.name, path, verdict, rates)


def _rate(batches: Sequence[np.ndarray], predict: Any) -> float:
    """Images a second, by the quickest of three passes."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        for each in batches:
            predict(each)
        best = min(best, time.perf_counter() - began)
    return sum(map(len, batches)) / best


def _record(
    run: Path,
    settings: Settings,
    blend: RecordedBlend,
    trained: Mapping[str, Sequence[Trained]],
    found: Sequence[ExportedTraining],
) -> dict[str, Any]:
    """What export.json holds: for predict.py, and for whoever wants to know what it is."""
    of_blend = settings.blend
    return {
        "version": 1,
        "run": run.resolve().name,
        "manifest": sha256_file(RunFolder(run).manifest),
        "classes": settings.classes,
        "ids": settings.data.ids,
        "threads": settings.run.threads,
        "opset": OPSET,
        "members": {
            name: {
                "size": own[0].member.cached_size,
                "files": [_file(each.name) for each in own],
            }
            for name, own in trained.items()
        },
        "blend": {
            "mean": BLEND_METHODS.get(blend.method).mean.name,
            "weights": dict(blend.weights),
            "clamp": list(of_blend.clamp or ()),
            "renormalise": of_blend.renormalise,
            "temperature": blend.temperature,
        },
        "files": {
            each.file.name: {
                "sha256": sha256_file(each.file),
                "bytes": each.file.stat().st_size,
                "grade": grade_record(each.verdict),
                "images_per_second": {"onnxruntime": each.rates[0], "torch": each.rates[1]},
            }
            for each in found
        },
    }
