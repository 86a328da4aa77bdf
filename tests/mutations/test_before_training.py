"""Sources 1 to 9: files, split, classes, loaders and the first weights."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from fastai.callback import schedule  # noqa: F401  (gives Learner its lr_find)
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.torch_core import apply_init, set_seed

from tests.mutations.harness import Bench, place, with_learner
from twinrun import image_files
from twinrun.config.listing import Folder
from twinrun.data.loaders import member_loaders
from twinrun.file_names import suffix_of
from twinrun.networks import torchvision_models
from twinrun.repro.keys import Key
from twinrun.train import learner
from twinrun.train import members as members_module

CLASSES = ["leaf_rust", "stem_rust", "healthy_wheat"]


@pytest.fixture
def copy(bench: Bench, tmp_path: Path) -> Path:
    """A copy of the data, to be changed."""
    return Path(shutil.copytree(bench.data, tmp_path / "copy"))


def in_folder(folder: Path) -> list[str]:
    return [f"data.folder='{folder}'"]


def test_01_file_list_reversed(bench: Bench) -> None:
    listed: list[list[str]] = []
    own = vars(Folder)["own"].fget

    def reversed_list(folder: Folder) -> list[str]:
        names: list[str] = own(folder)[::-1]
        listed.append(names)
        return names

    def mutation(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(Folder, "own", property(reversed_list))

    bench.twins(mutation).assert_same()
    assert sum(len(names) for names in listed) == 56
    assert all(names == sorted(names, reverse=True) for names in listed)


def test_02_one_byte_of_one_image_changed(bench: Bench, copy: Path) -> None:
    path = copy / "train" / "leaf_rust" / "004217.jpg"
    content = bytearray(path.read_bytes())
    assert content[6:10] == b"JFIF"
    content[15] += 1  # the density in dots per inch: it decodes to the same pixels
    path.write_bytes(content)

    found = bench.twins(changes=in_folder(copy))
    assert place(found.first()) == ("files", 0, 0)
    assert found.report.evidence == (
        "changed: 004217 (train/leaf_rust/004217.jpg), but decoded to the same pixels",
    )
    assert found.report.comparison.environment is None
    # No bit of the training depends on that byte: the ledger is what saw it.
    assert found.differing_files == []
    assert "An image file was changed, added or taken away" in found.cause


def test_03_only_images_with_a_known_suffix_accepted(bench: Bench, copy: Path) -> None:
    shutil.copyfile(copy / "train/leaf_rust/0RDLO9.jpg", copy / "train/leaf_rust/X.xyz")

    def mutation(patch: pytest.MonkeyPatch) -> None:
        def known(folder: str | Path, name: str) -> bool:
            del folder
            return suffix_of(name) in image_files.suffixes()

        patch.setattr(image_files, "is_image", known)

    found = bench.twins(mutation, both=in_folder(copy))
    assert place(found.first()) == ("files", 0, 0)
    assert found.report.evidence == ("only in A: X (train/leaf_rust/X.xyz)",)
    assert len(found.differing_files) == 3


def test_04_split_drawn_without_the_seed(bench: Bench) -> None:
    def unseeded(ids: Sequence[str], *, share: float, seed: int, groups: object) -> list[str]:
        order = Key((int.from_bytes(os.urandom(8)), "split")).order(ids)
        return sorted(ids[position] for position in order[: int(share * len(ids))])

    def mutation(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(members_module, "validation_ids", unseeded)

    found = bench.twins(mutation, in_both=True)
    first = found.first()
    assert place(first) == ("split", 0, 0)
    # The images that changed sides, and no others.
    one, other = (held_out_of(run) for run in found.runs)
    assert set(first.names) == one ^ other
    assert "a split drawn without the seed" in found.cause


def held_out_of(run: Path) -> set[str]:
    rows = (run / "members" / "a" / "valid.csv").read_text().splitlines()[1:]
    return {row.split(",")[0] for row in rows}


def test_05_class_list_from_a_set_under_another_hash_seed(bench: Bench) -> None:
    code = f"print(*list(set({CLASSES!r})))"
    orders = {
        seed: subprocess.run(
            [sys.executable, "-S", "-c", code],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in range(1, 9)
    }
    others = [order for order in orders.values() if order != CLASSES]
    assert len({tuple(order) for order in orders.values()}) > 1

    def from_a_set(*arguments: Any, classes: Sequence[str], **options: Any) -> DataLoaders:
        assert sorted(others[0]) == sorted(classes)
        return member_loaders(*arguments, classes=others[0], **options)

    def mutation(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(members_module, "member_loaders", from_a_set)

    found = bench.twins(mutation)
    first = found.first()
    assert place(first) == ("split", 0, 0)
    assert first.names[0] == "classes"
    assert "their list has a different order, as one has that was made from a set" in found.cause


def test_06_data_loader_built_before_seeding(bench: Bench) -> None:
    states: list[object] = []

    def built_before_seeding(*arguments: Any, **options: Any) -> DataLoaders:
        for _ in range(2):
            random.seed(os.urandom(8))
            loaders = member_loaders(*arguments, **options)
            states.append(loaders.train.rng.getstate())
        set_seed(0)
        return loaders

    def mutation(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(members_module, "member_loaders", built_before_seeding)

    bench.twins(mutation).assert_same()
    assert states[0] != states[1]  # fastai's own generators would have given other orders


# fastai's own: it loads what lr_find saved before with a name that numpy has moved.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")
def test_07_one_batch_and_lr_find_before_fitting(bench: Bench, tmp_path: Path) -> None:
    rates: list[float] = []

    class Count(Callback):
        def after_step(self) -> None:
            rates.append(self.opt.hypers[-1]["lr"])

    def mutation(patch: pytest.MonkeyPatch) -> None:
        def look_before(learner: Learner) -> None:
            learner.path = tmp_path
            for _ in range(3):
                learner.dls.train.one_batch()
            learner.dls.valid.one_batch()
            with learner.no_logging():
                learner.add_cb(Count())
                learner.lr_find(num_it=6, show_plot=False)
                learner.remove_cb(Count)
                learner.validate()

        with_learner(patch, look_before)

    bench.twins(mutation).assert_same()
    assert len(rates) == 6
    assert rates == sorted(rates)


def test_08_head_initialised_without_the_seed(bench: Bench) -> None:
    def unseeded(module: torch.nn.Module, function: Any) -> None:
        torch.manual_seed(int.from_bytes(os.urandom(7)))
        apply_init(module, function)

    def mutation(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(learner, "apply_init", unseeded)

    found = bench.twins(mutation, in_both=True)
    first = found.first()
    assert place(first) == ("init", 0, 0)
    assert first.names == ("1.4.weight", "1.8.weight")
    assert "The head began with different weights, the body did not" in found.cause
    assert len(found.differing_files) == 3


def fake_imagenet(seed: int) -> Any:
    """Stands for a file of ImageNet weights: a whole network, drawn from a seed."""

    def model(network: str) -> torch.nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            made: torch.nn.Module = torchvision.models.get_model(network)
        return made

    return model


def pretrained(patch: pytest.MonkeyPatch) -> None:
    # Its digest is recorded.
    patch.setattr(torchvision_models, "fetch_imagenet", lambda network: Path(__file__))
    patch.setattr(torchvision_models, "imagenet_model", fake_imagenet(1))


@pytest.mark.slow
def test_09_other_pretrained_weights(bench: Bench) -> None:
    def mutation(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(torchvision_models, "imagenet_model", fake_imagenet(2))

    both = ["members.a.network=resnet18", "members.a.pretrained=true"]
    found = bench.twins(mutation, both=both, for_all=pretrained)
    first = found.first()
    assert place(first) == ("init", 0, 0)
    assert first.names[0] == "0.0.weight"
    assert all(name.startswith("0.") for name in first.names)
    assert "The body began with different weights, the head did not" in found.cause
