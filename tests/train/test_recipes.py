"""Settings of a recipe that are off by default: the same bits after a kill, and with any loaders.

They are tried together where they share code, each in trainings of its own otherwise; folds too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kills.sameness import differing
from tests.kills.small import OFTEN
from tests.train.test_resume import Place, Small

pytestmark = pytest.mark.slow

RECIPES = {
    "changes": ['recipe.augment="heavy"', "recipe.blur=2.0", "recipe.noise=0.2"],
    "focal": ["recipe.loss=focal", "recipe.label_smoothing=0.1", "recipe.mixup=0.4"],
    "soft target": ["recipe.loss=soft_target", "recipe.class_weights={leaf_rust=3.0}"],
    "sample": ["recipe.sample=balanced", "recipe.mixup=0.0"],
    "cutmix": ["recipe.cutmix_probability=0.5", "recipe.mixup=0.4", "recipe.mixup_probability=0.5"],
    # With rates at which the first epochs are better than the last ones.
    "best epoch": ['recipe.take={epoch="best"}', "recipe.unfrozen_rates=[0.1,1.0]"],
    "cutmix alone": ["recipe.cutmix_probability=0.7", "recipe.mixup=0.0"],
    "again": ["recipe.gradient_checkpointing=true"],
    "fp16": ["recipe.precision=fp16", "recipe.accumulate=2", "recipe.clip=1.0"],
    "gradients": ["recipe.accumulate=3", "recipe.clip=0.5"],
    "cosine": ['recipe.schedule="cosine"', "recipe.warmup=0.1"],
    "lion": ['recipe.optimizer="lion"', "recipe.weight_decay=0.1"],
    "ema": ["recipe.ema.decay=0.8"],
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.of(tmp_path_factory.mktemp("recipes"))


@pytest.fixture(scope="module")
def plain(small: Small) -> Path:
    return small.train("plain")


@pytest.mark.parametrize("fold", ["", "/fold-2"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_killed_and_resumed_by_other_loaders_it_has_the_same_bits(
    small: Small, plain: Path, recipe: str, fold: str
) -> None:
    changes = [*RECIPES[recipe], *(["recipe.validation={folds=3}"] if fold else [])]
    name, member = f"{recipe}{fold}".replace("/", "-"), f"a{fold}"
    whole = small.train(f"whole {name}", *changes, member=member)
    # What is computed again is what was kept.
    assert ("weights.safetensors" in differing(plain, whole)) is (name != "again")
    small.interrupted(name, Place(3, "step", 2), OFTEN, *changes, member=member)
    resumed = small.train(name, "run.workers=2", *changes, member=member)
    assert differing(whole, resumed) == []
