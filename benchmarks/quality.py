"""Whether speed costs quality: test log loss of Twinrun's pipeline and of stock fastai's.

`python -m benchmarks.quality FOLDER`, where FOLDER holds train/<class>/, test/,
sample_submission.csv and solution.csv (id, label). The same network, epochs, sizes, batches and
learning rates, from nothing: Twinrun in bf16, from its cache, with its transforms; fastai in fp32
with `Resize(460)` and `aug_transforms(size=...)`. A seed decides all that is drawn, the split
included.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from twinrun.process import restart_process
from twinrun.repro.environment import set_up

SETTINGS = """
[competition]
name = "quality"
classes = "auto"
[data]
folder = {folder!r}
[run]
seed = {seed}
threads = {threads}
cache = {cache!r}
[recipe]
network = {network!r}
image_size = {size}
batch_size = {batch}
pretrained = false
precision = "bf16"
mixup = 0.0
validation = {{ share = 0.1 }}
epochs = {{ frozen = 0, unfrozen = {epochs} }}
unfrozen_rates = [{rate}, {rate}]
[members.m]
"""


def main() -> None:
    """Train with each seed, in turns; print the losses, their means and spread."""
    restart_process()
    from twinrun.console import console, ignore_known_warnings, say
    from twinrun.files import write_json

    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--output", type=Path, default=Path("runs/quality.json"))
    given = parser.parse_args()
    ignore_known_warnings()
    set_up(threads=given.threads)
    contestants: dict[str, Callable[[int], float]] = {
        "Twinrun, bf16": lambda seed: ours(given, seed),
        "stock fastai, fp32": lambda seed: stock(given, seed),
    }
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for seed in range(given.seeds):
        for name, train in contestants.items():
            found[name].append(train(seed))
            say(f"seed {seed}: {name}, test log loss {found[name][-1]:.4f}")
            write_json(given.output, found)
    console.print(f"{given.network}, {given.size} px, {given.epochs} epochs, {given.seeds} seeds")
    for name, losses in found.items():
        spread = statistics.stdev(losses) if len(losses) > 1 else 0.0
        console.print(
            f"{name:20} mean test log loss {statistics.mean(losses):.4f}, standard deviation "
            f"{spread:.4f}"
        )


def ours(given: argparse.Namespace, seed: int) -> float:
    """Test log loss of a member, in nats."""
    from twinrun.config.reading import read_settings
    from twinrun.console import console
    from twinrun.data.cache import cache_pixels, with_pixels
    from twinrun.data.index import build_index
    from twinrun.repro.ledger import Ledger
    from twinrun.train.fit import fit_phases
    from twinrun.train.members import set_up_training
    from twinrun.train.recorder import Recorder

    config = given.output.parent / "quality.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    values = vars(given) | {"folder": str(given.folder.absolute())}
    values |= {"cache": str(given.cache.absolute()), "seed": seed}
    config.write_text(SETTINGS.format(**values), encoding="utf-8")
    settings = read_settings(config)
    index = build_index(settings)
    console.quiet = True
    pixels = cache_pixels(index, settings.data_folder, settings.cached_sizes(), given.cache)
    console.quiet = False
    environment = set_up(threads=given.threads)
    workshop = set_up_training("m", settings, with_pixels(index, pixels), pixels, environment)
    recorder = Recorder(Ledger({}), "epoch")
    fit_phases(workshop.learner, workshop.member, recorder, None, lambda *_: [])
    return _loss(workshop.predictions()["test.csv"], given.folder)


def stock(given: argparse.Namespace, seed: int) -> float:
    """Test log loss of fastai's pipeline as its documentation writes it, in nats."""
    import torchvision
    from fastai.callback.progress import ProgressCallback
    from fastai.data.transforms import get_image_files
    from fastai.torch_core import set_seed
    from fastai.vision.augment import Resize, aug_transforms
    from fastai.vision.data import ImageDataLoaders
    from fastai.vision.learner import vision_learner

    from benchmarks.contestants import not_deterministic

    with not_deterministic():
        set_seed(seed)
        loaders = ImageDataLoaders.from_folder(
            given.folder / "train",
            valid_pct=0.1,
            seed=seed,
            item_tfms=Resize(460),
            batch_tfms=aug_transforms(size=given.size),
            bs=given.batch,
            num_workers=given.threads,
        )
        network = getattr(torchvision.models, given.network)
        learner = vision_learner(loaders, network, pretrained=False)
        learner.remove_cb(ProgressCallback)
        files = sorted(get_image_files(given.folder / "test"))
        with learner.no_logging(), learner.no_bar():
            learner.fit_one_cycle(given.epochs, lr_max=slice(given.rate, given.rate))
            predictions, _ = learner.get_preds(dl=loaders.test_dl(files))
    table = pd.DataFrame(predictions.numpy(), columns=list(loaders.vocab))
    table.insert(0, "id", [file.stem for file in files])
    return _loss(table, given.folder)


def _loss(table: pd.DataFrame, folder: Path) -> float:
    from twinrun.files import read_csv
    from twinrun.metrics import score

    solution = read_csv(folder / "solution.csv", all_text=True)
    labels = dict(zip(solution.iloc[:, 0], solution.iloc[:, 1], strict=True))
    return score(table, pd.Series([labels[image] for image in table["id"]]), "log_loss")


if __name__ == "__main__":
    main()
