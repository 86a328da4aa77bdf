"""The answer `members = 13th place`: the crop-disease competition's GPU pipeline, in a project."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.template.conftest import Make, Run
from twinrun.config.identity import identity_settings
from twinrun.config.reading import read_settings

pytestmark = pytest.mark.template

SETTINGS = Path("competition", "competition.toml")

# Network, frozen and unfrozen epochs, share of the validation, weight: as the 13th place had them.
MEMBERS = {
    "M27g": ("densenet201", 50, 10, 0.01, 69.0),
    "M26c": ("resnet152", 70, 5, 0.01, 57.3),
    "M24f": ("densenet201", 40, 10, 0.1, 51.5),
    "M26d": ("resnet152", 70, 5, 0.01, 31.3),
    "M27h": ("densenet201", 45, 15, 0.01, 1.7),
    "M23k": ("densenet201", 50, 1, 0.1, 1.2),
    "M23f": ("densenet201", 50, 10, 0.1, 1.1),
    "M27a": ("densenet161", 60, 1, 0.1, 0.7),
    "M27f": ("densenet201", 45, 10, 0.01, 0.5),
    "M26f": ("resnet152", 75, 5, 0.01, 0.3),
}


@pytest.fixture
def project(make: Make) -> Path:
    return make(
        project_name="Wheat rust",
        classes="leaf_rust,stem_rust,healthy_wheat",
        members="13th place",
    )


def of_competition(settings: dict[str, Any]) -> dict[str, Any]:
    """What the answer brings: members and blend, each with all that decides its bits."""
    return {name: settings[name] for name in ("members", "blend", "recipe") if name in settings}


@pytest.mark.parametrize("profile", [None, "fixture"])
def test_the_project_has_the_members_and_the_blend_of_the_repository(
    profile: str | None, project: Path
) -> None:
    made = read_settings(project / SETTINGS, profile=profile)
    known = read_settings(ROOT / SETTINGS, profile=profile)
    assert of_competition(identity_settings(made)) == of_competition(identity_settings(known))
    assert not made.submission.rows_sum_to_one
    assert made.classes == known.classes
    assert made.competition.metric == known.competition.metric


def test_the_members_and_the_blend_are_those_of_the_13th_place(project: Path) -> None:
    written = tomllib.loads((project / SETTINGS).read_text())
    assert list(written["members"]) == list(MEMBERS)
    found = {
        name: (
            member["network"],
            member["epochs"]["frozen"],
            member["epochs"]["unfrozen"],
            member["validation"]["share"],
            written["blend"]["weights"][name],
        )
        for name, member in written["members"].items()
    }
    assert found == MEMBERS
    assert {name: member["batch_size"] for name, member in written["members"].items()} == {
        name: 16 if network == "densenet161" else 32 for name, (network, *_) in MEMBERS.items()
    }
    blend = written["blend"]
    assert (blend["method"], blend["clamp"]) == ("arithmetic", [0.001, 0.999])
    assert blend["renormalise"] is False
    recipe = written["recipe"]
    assert recipe["frozen_rates"] == [1e-3, 1e-2]
    assert recipe["unfrozen_rates"] == [1e-6, 1e-5]
    assert (recipe["image_size"], recipe["mixup"], recipe["pretrained"]) == (224, 0.4, True)


def test_a_different_weight_or_epoch_would_be_seen(project: Path) -> None:
    known = of_competition(identity_settings(read_settings(ROOT / SETTINGS)))
    for change in ("blend.weights.M27g=68.0", "members.M26f.epochs.frozen=74"):
        made = read_settings(project / SETTINGS, changes=[change])
        assert of_competition(identity_settings(made)) != known


@pytest.mark.slow  # thirteen trainings of the largest networks, half an hour on one core
def test_its_sessions_train_the_ten_recipes_and_blend_them_with_the_ten_weights(
    project: Path, run: Run
) -> None:
    twins = run("nox", "-s", "reproducibility", cwd=project)
    assert "same bits: 3 members trained twice" in twins.stdout
    (project / ".nox" / "full_train").symlink_to(project / ".nox" / "reproducibility")
    trained = run("nox", "-R", "-s", "full_train", cwd=project)
    assert re.search(r"submission .*checked against the sample: valid", trained.stdout)
    folder = project / "runs" / "fixture"
    content = json.loads((folder / "manifest.json").read_text())["content"]
    known = identity_settings(read_settings(ROOT / SETTINGS, profile="fixture"))
    assert of_competition(content["settings"]) == of_competition(known)
    assert content["members"].keys() == MEMBERS.keys()
    assert {name: member["network"] for name, member in content["settings"]["members"].items()} == {
        name: network for name, (network, *_) in MEMBERS.items()
    }
    assert content["blend"]["method"] == "arithmetic"
    assert content["blend"]["weights"] == {name: weight for name, (*_, weight) in MEMBERS.items()}
    assert content["settings"]["blend"]["clamp"] == [0.001, 0.999]
    assert not read_settings(project / SETTINGS).blend.renormalise
