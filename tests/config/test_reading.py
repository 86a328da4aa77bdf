"""competition.toml: what the shipped one says, what wins over what, and how mistakes are told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FIXTURE
from tests.exact import read_exact
from twinrun.config.identity import identity_settings
from twinrun.config.project import project_settings
from twinrun.config.reading import read_settings
from twinrun.config.recipe import Member
from twinrun.config.recipe_tables import Validation
from twinrun.config.settings import Settings
from twinrun.errors import InputError
from twinrun.files import sha256_json
from twinrun.networks.table import network_forms

# The 13th place's members as its author published them, the strongest first:
# network, batch size, validation share, epochs frozen and unfrozen, public score, weight.
THIRTEENTH_PLACE = {
    "M27g": ("densenet201", 32, 0.01, 50, 10, 0.246061, 69.0),
    "M26c": ("resnet152", 32, 0.01, 70, 5, 0.24963, 57.3),
    "M24f": ("densenet201", 32, 0.1, 40, 10, 0.25993, 51.5),
    "M26d": ("resnet152", 32, 0.01, 70, 5, 0.26277, 31.3),
    "M27h": ("densenet201", 32, 0.01, 45, 15, 0.26742, 1.7),
    "M23k": ("densenet201", 32, 0.1, 50, 1, 0.27098, 1.2),
    "M23f": ("densenet201", 32, 0.1, 50, 10, 0.27310, 1.1),
    "M27a": ("densenet161", 16, 0.1, 60, 1, 0.27592, 0.7),
    "M27f": ("densenet201", 32, 0.01, 45, 10, 0.27814, 0.5),
    "M26f": ("resnet152", 32, 0.01, 75, 5, 0.27974, 0.3),
}

# What of a recipe decides no bit by itself.
BESIDE = {"augment", "public_score"}

# A value other than small.toml's for everything in a recipe that decides a member's bits.
OTHER_RECIPE = {
    "network": '"resnet34"',
    "batch_size": "8",
    "epochs": "{ frozen = 2, unfrozen = 1 }",
    "validation": "{ share = 0.5 }",
    "image_size": "64",
    "sizes": "{ 3 = 32 }",
    "pretrained": "true",
    "begin": f'{{ sha256 = "{"0" * 64}" }}',
    "mixup": "0.25",
    "mixup_probability": "0.5",
    "cutmix_probability": "0.5",
    "flip_vertical": "true",
    "blur": "1.0",
    "erasing": "0.1",
    "grayscale": "0.1",
    "lighting": "0.3",
    "noise": "0.05",
    "rand_augment": "9.0",
    "rotate": "5.0",
    "warp": "0.1",
    "zoom": "1.2",
    "zoom_crop": "[0.5, 1.5]",
    "dropout": "0.25",
    "sample": '"balanced"',
    "class_weights": '"balanced"',
    "label_smoothing": "0.1",
    "ema": '{ use = "ema", decay = 0.9 }',
    "loss": '"focal"',
    "precision": '"bf16"',
    "optimizer": '"sgd"',
    "weight_decay": "0.02",
    "clip": "1.0",
    "accumulate": "2",
    "gradient_checkpointing": "true",
    "schedule": '"cosine"',
    "warmup": "0.1",
    "frozen_rates": "[1e-4, 1e-2]",
    "unfrozen_rates": "[1e-7, 1e-5]",
    "prediction_batch_size": "32",
    "take": '{ epoch = "best", by = "accuracy", patience = 3 }',
    "test_time": '{ method = "train", times = 2, mean = "geometric" }',
}


def table_of(settings: Settings) -> dict[str, tuple[object, ...]]:
    """The members in their order, each as a row of THIRTEENTH_PLACE."""
    return {
        name: (
            member.network,
            member.batch_size,
            member.validation.share,
            member.epochs.frozen,
            member.epochs.unfrozen,
            member.public_score,
            settings.weight(name),
        )
        for name, member in settings.members.items()
    }


def edit(path: Path, old: str, new: str) -> None:
    """Replace the one place where `old` stands in the file."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} must stand once in {path.name}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def refusal(config: Path, **options: Any) -> InputError:
    """The error with which the settings are refused: one of the user's, exit code 2."""
    with pytest.raises(InputError) as caught:
        read_settings(config, **options)
    assert caught.value.exit_code == 2
    return caught.value


def assert_names(error: InputError, *parts: str) -> None:
    """Every part stands in the message."""
    missing = [part for part in parts if part not in str(error)]
    assert not missing, f"{missing} not in:\n{error}"


# What the shipped file says


def test_shipped_members_are_the_thirteenth_places_in_the_order_of_its_blend() -> None:
    members = table_of(read_settings())
    assert members == THIRTEENTH_PLACE
    assert list(members) == list(THIRTEENTH_PLACE)


def test_shipped_members_agree_with_the_authors_records(shared_data: Path) -> None:
    records = read_exact(shared_data / "zindi-13th-place" / "recipes.csv", dtype={"id": str})
    expected = {
        f"M{row['id']}": (
            row["arch"],
            row["bs"],
            row["valid_pct"],
            row["frozen_epochs"],
            row["unfrozen_epochs"],
            row["public_log_loss"],
            row["blend_weight"],
        )
        for row in records.to_dict("records")
    }
    assert table_of(read_settings()) == expected


def test_every_shipped_member_is_trained_as_the_author_did() -> None:
    for name, member in read_settings().members.items():
        own = {"network", "batch_size", "epochs", "validation"} | BESIDE
        assert member.model_dump(exclude=own) == {
            "image_size": 224,
            "pretrained": True,
            "mixup": 0.4,
            "mixup_probability": 1.0,
            "cutmix_probability": 0.0,
            "blur": 0.0,
            "erasing": 0.0,
            "flip_vertical": True,
            "grayscale": 0.0,
            "lighting": 0.4,
            "noise": 0.0,
            "rand_augment": 0.0,
            "rotate": 10.0,
            "warp": 0.2,
            "zoom": 1.1,
            "zoom_crop": [0.75, 1.5],
            "dropout": 0.5,
            "sample": {"method": "all", "power": None},
            "class_weights": "none",
            "label_smoothing": 0.0,
            "ema": {"use": "last", "decay": 0.99},
            "loss": {"method": "cross_entropy", "gamma": None},
            "precision": "fp32",
            "optimizer": "adam",
            "weight_decay": None,
            "clip": 0.0,
            "accumulate": 1,
            "gradient_checkpointing": False,
            "schedule": "one_cycle",
            "warmup": 0.25,
            "frozen_rates": [1e-3, 1e-2],
            "unfrozen_rates": [1e-6, 1e-5],
            # The author's fastai predicted with the training's batch size; ours is one for all.
            "prediction_batch_size": 64,
            "test_time": {"method": "none", "times": 4, "mean": "arithmetic"},
            "sizes": {},
            "begin": {"file": None, "sha256": None},
            "take": {"epoch": "last", "by": "log_loss", "patience": None},
        }, name


def test_shipped_blend_is_clamped_and_not_renormalised() -> None:
    settings = read_settings()
    assert settings.blend.method == "arithmetic"
    assert settings.blend.clamp == [0.001, 0.999]
    assert not settings.blend.renormalise
    assert not settings.submission.rows_sum_to_one
    assert settings.classes == ["leaf_rust", "stem_rust", "healthy_wheat"]


def test_fixture_profile_shrinks_every_member_and_points_at_the_fixture() -> None:
    settings = read_settings(profile="fixture")
    assert list(settings.members) == list(THIRTEENTH_PLACE)
    for name, member in settings.members.items():
        assert member.image_size == 64, name
        assert (member.epochs.frozen, member.epochs.unfrozen) == (2, 1), name
        assert not member.pretrained, name
        # What the profile does not shrink stays the member's own.
        assert member.network == THIRTEENTH_PLACE[name][0], name
        assert settings.weight(name) == THIRTEENTH_PLACE[name][-1], name
    assert settings.data_folder == FIXTURE


# What is refused, and in which words


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            "[competition]\n",
            "blendd = 17\n[competition]\n",
            ("blendd", "17", "did you mean 'blend'", "competition, data, run, members"),
            id="top level",
        ),
        pytest.param(
            "threads = 1",
            "threadz = 17",
            ("run.threadz", "17", "did you mean 'threads'", "seed, threads, workers, device"),
            id="table",
        ),
        pytest.param(
            "image_size = 32",
            "image_siz = 17",
            ("recipe.image_siz", "17", "did you mean 'image_size'", "network, batch_size"),
            id="recipe",
        ),
        pytest.param(
            "mixup = 0.0",
            "mixupp = 0.17",
            ("members.b.mixupp", "0.17", "did you mean 'mixup'", "network, batch_size"),
            id="member",
        ),
        pytest.param(
            "share = 0.25",
            "share = 0.25, shair = 17",
            ("recipe.validation.shair", "17", "did you mean 'share'"),
            id="table in a table",
        ),
        pytest.param(
            "[blend]",
            "[profiles.spare.recipe]\nzoon = 17.0\n[blend]",
            ("profiles.spare.recipe.zoon", "17.0", "did you mean 'zoom'", "network, batch_size"),
            id="recipe of a profile that was not asked for",
        ),
        pytest.param(
            "[blend]",
            "[profiles.spare.members.a]\nzoon = 17.0\n[blend]",
            ("profiles.spare.members.a.zoon", "17.0", "did you mean 'zoom'", "network, batch_size"),
            id="member of a profile that was not asked for",
        ),
        pytest.param(
            "mixup = 0.0",
            "transforms = { rotate = 17.0 }",
            ("members.b.transforms", "network, batch_size", "rotate, warp, zoom"),
            id="what a member calls its transforms",
        ),
        pytest.param(
            "mixup = 0.0",
            '"[transforms]" = { rotate = 17.0 }',
            ("members.b.transforms", "network, batch_size"),
            id="and what pydantic calls them",
        ),
        # The settings' own record of where they were read is no key of the file.
        pytest.param(
            "[competition]\n", 'config = "x"\n[competition]\n', ("config", "'x'"), id="config"
        ),
    ],
)
def test_unknown_key_is_refused_with_file_place_value_and_known_keys(
    small_toml: Path, old: str, new: str, expected: tuple[str, ...]
) -> None:
    edit(small_toml, old, new)
    assert_names(refusal(small_toml), str(small_toml), "unknown key", "Known keys", *expected)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("blendd=17", ("blendd", "17", "did you mean 'blend'")),
        ("run.threadz=17", ("run.threadz", "17", "did you mean 'threads'")),
        ("recipe.image_siz=17", ("recipe.image_siz", "17", "did you mean 'image_size'")),
        ("members.b.mixupp=17", ("members.b.mixupp", "17", "did you mean 'mixup'")),
        ("config=17", ("config", "17")),
    ],
)
def test_unknown_key_of_a_set_is_refused_and_traced_to_the_set(
    small_toml: Path, change: str, expected: tuple[str, ...]
) -> None:
    error = refusal(small_toml, changes=[change])
    assert_names(error, str(small_toml), "--set", "unknown key", "Known keys", *expected)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("seed = 0", 'seed = "seven"', ("run.seed", "'seven'", "integer")),
        ("seed = 0", "seed = 0.5", ("run.seed", "0.5", "integer")),
        ("seed = 0", "seed = true", ("run.seed", "True", "integer")),
        ("seed = 0", "seed = -3", ("run.seed", "-3", "greater than or equal to 0")),
        ("pretrained = false", "pretrained = 0", ("recipe.pretrained", "0 (int)", "boolean")),
        ("mixup = 0.0", 'mixup = "0.4"', ("members.b.mixup", "'0.4'", "number")),
        ("mixup = 0.0", "mixup = nan", ("members.b.mixup", "nan", "a finite number")),
        ("batch_size = 16", "batch_size = 1", ("recipe.batch_size", "1 (int)", "equal to 2")),
        ("share = 0.25", "share = 1.0", ("recipe.validation.share", "1.0", "less than 1")),
        ("mixup = 0.0", "zoom_crop = 2.0", ("members.b.zoom_crop", "2.0", "list")),
        ("mixup = 0.0", "zoom_crop = [2.0, 1.0]", ("members.b.zoom_crop", "[2.0, 1.0]", "two num")),
        ("frozen = 1, unfrozen = 1", "frozen = 0, unfrozen = 0", ("recipe.epochs", "one epoch")),
        ("[run]\nseed = 0\nthreads = 1", "[[run]]\nseed = 17", ("run", "17", "(list)")),
        ("[members.a]", "[members]\na = 17\n", ("members.a", "17 (int)")),
        (
            'classes = ["leaf_rust", "stem_rust", "healthy_wheat"]',
            'classes = ["leaf_rust", "Leaf_Rust", "healthy_wheat"]',
            ("competition", "Leaf_Rust", "each class once"),
        ),
        (
            "{ a = 2.0, b = 1.0 }",
            "{ a = -2.0, b = 1.0 }",
            ("blend.weights.a", "-2.0", "equal to 0"),
        ),
        ("{ a = 2.0, b = 1.0 }", "{ a = 0.0, b = 0.0 }", ("blend", "weights", "one above 0")),
        ("mixup = 0.0", "class_weights = 2", ("members.b.class_weights", "2 (int)", "balanced")),
        (
            "mixup = 0.0",
            "class_weights = { leaf_rust = 0.0 }",
            ("members.b.class_weights.leaf_rust", "0.0", "equal to 0.000001"),
        ),
        ("mixup = 0.0", "label_smoothing = 1.0", ("label_smoothing", "1.0", "less than 1")),
        ("mixup = 0.0", "loss = 8", ("members.b.loss", "8 (int)", "a table")),
        ("mixup = 0.0", "loss.gamma = 0.0", ("members.b.loss.gamma", "0.0", "greater than 0")),
        (
            "mixup = 0.0",
            'loss = { method = "soft_target", gamma = 1.0 }',
            ("members.b.loss", "gamma", "only: focal"),
        ),
        ("mixup = 0.0", "sample.power = 1.5", ("members.b.sample.power", "1.5", "equal to 1")),
        (
            "mixup = 0.0",
            'sample = { method = "all", power = 1.0 }',
            ("members.b.sample", "power", "balanced"),
        ),
        ("mixup = 0.0", "test_time = 8", ("members.b.test_time", "8 (int)", "a table")),
        ("mixup = 0.0", "test_time.times = 0", ("test_time.times", "0 (int)", "equal to 1")),
        ("threads = 1", 'threads = 1\ntracking = ["wandb", "wandb"]', ("run.tracking", "once")),
    ],
)
def test_wrong_type_or_range_is_refused_with_file_key_value_and_what_is_allowed(
    small_toml: Path, old: str, new: str, expected: tuple[str, ...]
) -> None:
    edit(small_toml, old, new)
    assert_names(refusal(small_toml), str(small_toml), "allowed", *expected)


@pytest.mark.parametrize(
    ("table", "change"), [("run", "run.seed=7"), ("blend", 'blend.method="geometric"')]
)
def test_a_set_does_not_hide_that_the_file_has_no_table_there(
    small_toml: Path, table: str, change: str
) -> None:
    text = small_toml.read_text(encoding="utf-8")
    start = text.index(f"[{table}]")
    end = text.find("\n\n", start)
    without = text[:start] + (text[end:] if end > 0 else "")
    small_toml.write_text(f"{table} = 17\n{without}", encoding="utf-8")
    assert_names(refusal(small_toml, changes=[change]), str(small_toml), table, "17 (int)")


def test_a_profile_does_not_hide_that_a_member_is_no_table(small_toml: Path) -> None:
    edit(small_toml, "[members.a]", "[members]\na = 17\n")
    append(small_toml, '[profiles.all.recipe]\nnetwork = "resnet18"\nbatch_size = 4\n')
    append(small_toml, "validation.share = 0.5\nepochs = { frozen = 1, unfrozen = 1 }\n")
    error = refusal(small_toml, profile="all")
    assert_names(error, str(small_toml), "members.a", "17 (int)")


def test_unknown_network_is_refused_with_the_known_ones(small_toml: Path) -> None:
    edit(small_toml, 'network = "timm/test_resnet"', 'network = "resnet_152"')
    error = refusal(small_toml)
    assert_names(error, str(small_toml), "recipe.network", "'resnet_152'", *network_forms())
    assert_names(error, "did you mean 'resnet152'")


def test_any_network_of_timm_may_be_named_and_is_looked_up_later(small_toml: Path) -> None:
    settings = read_settings(small_toml, changes=["recipe.network=timm/convnext_tiny.fb_in1k"])
    assert settings.members["a"].network == "timm/convnext_tiny.fb_in1k"
    for wrong in ("timm/", "timm/../x", "timm/a b", "Timm/resnet18"):
        error = refusal(small_toml, changes=[f"recipe.network={wrong}"])
        assert_names(error, "recipe.network", repr(wrong), "timm/NAME")


def test_weights_of_unknown_classes_are_all_named(small_toml: Path) -> None:
    edit(small_toml, "mixup = 0.0", "class_weights = { leaf_rusd = 2.0, b = 1.0, leaf_rust = 3.0 }")
    error = refusal(small_toml)
    assert_names(error, "members.b.class_weights", "'leaf_rusd'", "did you mean 'leaf_rust'", "'b'")


def test_a_table_of_class_weights_takes_the_place_of_a_word_and_the_other_way_round(
    small_toml: Path,
) -> None:
    edit(small_toml, "mixup = 0.0", "class_weights = { leaf_rust = 2.0 }")
    weights = read_settings(small_toml, changes=['recipe.class_weights="balanced"'])
    assert weights.members["a"].class_weights == "balanced"
    edit(small_toml, "[recipe]", '[recipe]\nclass_weights = "balanced"')
    assert read_settings(small_toml).members["b"].class_weights == {"leaf_rust": 2.0}


def test_what_a_word_cannot_be_is_refused_with_the_words_that_there_are(small_toml: Path) -> None:
    error = refusal(
        small_toml,
        changes=["recipe.class_weights=ballanced", "recipe.test_time.method=flip"],
    )
    assert_names(error, "recipe.class_weights", "did you mean 'balanced'")
    assert_names(error, "recipe.test_time.method", "did you mean 'flips'")
    error = refusal(small_toml, changes=['run.tracking=["tensorbord"]'])
    assert_names(error, "run.tracking", "did you mean 'tensorboard'")


def test_missing_key_is_named(small_toml: Path) -> None:
    edit(small_toml, "seed = 0", "")
    assert_names(refusal(small_toml), str(small_toml), "run.seed: missing")


def test_weight_for_an_unknown_member_is_refused_with_its_value_and_the_nearest(
    small_toml: Path,
) -> None:
    edit(small_toml, "{ a = 2.0, b = 1.0 }", "{ a = 2.0, bb = 1.25 }")
    error = refusal(small_toml)
    assert_names(error, str(small_toml), "blend.weights.bb", "did you mean 'b'", "a, b")
    assert_names(error, "1.25")


def test_weight_for_an_unknown_member_in_a_set_is_traced_to_the_set(small_toml: Path) -> None:
    error = refusal(small_toml, changes=["blend.weights.bb=1.25"])
    assert_names(error, str(small_toml), "blend.weights.bb", "did you mean 'b'", "--set", "1.25")


def test_all_weights_for_unknown_members_are_listed_at_once(small_toml: Path) -> None:
    edit(small_toml, "{ a = 2.0, b = 1.0 }", "{ a = 2.0, bb = 1.25, cc = 1.5 }")
    assert_names(refusal(small_toml), "blend.weights.bb", "blend.weights.cc")


@pytest.mark.parametrize("name", ["b/c", "b\\\\c", "..", ".b", "b c", "ü", ""])
def test_member_name_that_cannot_be_a_file_name_is_refused(small_toml: Path, name: str) -> None:
    edit(small_toml, "[members.b]", f'[members."{name}"]')
    edit(small_toml, ", b = 1.0", "")
    error = refusal(small_toml)
    assert_names(error, str(small_toml), "members", name.replace("\\\\", "\\"), "Allowed: letters")


def test_member_names_that_differ_only_in_case_are_refused_by_name(small_toml: Path) -> None:
    # Their folders would be one and the same on Windows and macOS.
    edit(small_toml, "[members.b]", "[members.A]")
    edit(small_toml, ", b = 1.0", "")
    error = refusal(small_toml)
    assert_names(error, str(small_toml), "members", "only in upper and lower case", "'a'", "'A'")
    assert "--set" not in str(error), "nothing was set"


def test_unknown_profile_is_refused_with_the_known_ones(small_toml: Path) -> None:
    append(small_toml, "[profiles.tiny.run]\nworkers = 1\n[profiles.large.run]\nworkers = 2\n")
    error = refusal(small_toml, profile="tinny")
    assert_names(error, str(small_toml), "'tinny'", "did you mean 'tiny'", "tiny, large")


def test_unknown_profile_of_a_file_without_profiles_is_refused(small_toml: Path) -> None:
    assert_names(refusal(small_toml, profile="tiny"), str(small_toml), "'tiny'", "none")


def test_profile_that_is_no_table_is_refused(small_toml: Path) -> None:
    append(small_toml, "[profiles]\ntiny = 17\n")
    assert_names(refusal(small_toml), str(small_toml), "profiles.tiny", "17 (int)", "a table")


def test_profiles_that_are_no_tables_are_refused(small_toml: Path) -> None:
    edit(small_toml, "[competition]\n", "profiles = 17\n[competition]\n")
    assert_names(refusal(small_toml), str(small_toml), "profiles", "[profiles.NAME]")


def test_toml_syntax_error_is_refused_with_its_line(small_toml: Path) -> None:
    edit(small_toml, "seed = 0", "seed = = 0")
    line = small_toml.read_text(encoding="utf-8").splitlines().index("seed = = 0") + 1
    assert_names(refusal(small_toml), str(small_toml), "not valid TOML", f"line {line}")


def test_missing_settings_file_is_refused(tmp_path: Path) -> None:
    assert_names(refusal(tmp_path / "none.toml"), str(tmp_path / "none.toml"), "--config")


def test_folder_or_binary_file_in_place_of_the_settings_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\x89PNG\r\n\x1a\n")
    assert_names(refusal(binary), str(binary))
    assert_names(refusal(tmp_path), str(tmp_path))


def test_settings_file_with_byte_order_mark_and_windows_line_ends_is_read(small_toml: Path) -> None:
    expected = read_settings(small_toml).model_dump()
    text = small_toml.read_text(encoding="utf-8")
    small_toml.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert read_settings(small_toml).model_dump() == expected


@pytest.mark.parametrize("change", ["run.seed", "=7", "run.=7", ".seed=7", "run..seed=7", ""])
def test_malformed_set_is_refused_with_an_example(small_toml: Path, change: str) -> None:
    assert_names(
        refusal(small_toml, changes=[change]), f"--set {change}", "key=value", "run.seed=7"
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("run.seed=", ("run.seed", "''", "integer")),
        ("run.seed=seven", ("run.seed", "'seven'", "integer")),
        ("run=7", ("run", "7 (int)")),
        ("recipe=7", ("recipe", "7 (int)", "table")),
        ("members.a=7", ("members.a", "7 (int)")),
        ("recipe.network=resnet_152", ("recipe.network", "did you mean 'resnet152'")),
    ],
)
def test_wrong_value_of_a_set_is_refused_and_traced_to_the_set(
    small_toml: Path, change: str, expected: tuple[str, ...]
) -> None:
    assert_names(refusal(small_toml, changes=[change]), str(small_toml), "--set", *expected)


def test_several_mistakes_are_listed_at_once(small_toml: Path) -> None:
    edit(small_toml, "seed = 0", 'seed = "seven"')
    edit(small_toml, "threads = 1", "threads = 0")
    edit(small_toml, "mixup = 0.0", "mixupp = 0.0")
    error = refusal(small_toml, changes=["run.workers=-1"])
    assert len(error.details) == 4
    assert_names(error, "4 mistakes", "run.seed", "run.threads", "members.b.mixupp", "run.workers")


def test_mistakes_of_file_profiles_and_set_are_listed_at_once(small_toml: Path) -> None:
    edit(small_toml, "seed = 0", 'seed = "seven"')
    append(small_toml, "[profiles.one.run]\nwork = 1\n[profiles.two.run]\ndevise = 2\n")
    error = refusal(small_toml, profile="one", changes=["blend.methot=1"])
    assert_names(error, "run.seed", "profiles.one.run.work", "profiles.two.run.devise")
    assert_names(error, "blend.methot")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("mixup = 0.4  ", 'mixup = "much"', "recipe.mixup"),
        ("dropout = 0.5 ", "dropuot = 0.5 ", "recipe.dropuot"),
        ("zoom_crop = [0.75, 1.5] ", "zoom_crop = [0.75] ", "recipe.zoom_crop"),
    ],
)
def test_mistake_in_the_shared_recipe_is_listed_once_for_ten_members(
    tmp_path: Path, old: str, new: str, key: str
) -> None:
    config = tmp_path / "competition.toml"
    config.write_bytes(project_settings().read_bytes())
    edit(config, old, new)
    error = refusal(config)
    assert len(error.details) == 1
    assert error.details[0].startswith(f"{key}:")


def test_mistake_of_a_member_is_traced_to_it_and_not_to_the_recipe(small_toml: Path) -> None:
    edit(small_toml, "mixup = 0.0", "image_size = 17")
    assert [line.split(":")[0] for line in refusal(small_toml).details] == ["members.b.image_size"]


# What wins over what

LAYERED = """
[profiles.strong.recipe]
lighting = 0.3
rotate = 3.0
warp = 0.3
dropout = 0.3

[profiles.strong.members.b]
dropout = 0.35
"""


def mild(settings: Settings, name: str) -> tuple[float, ...]:
    member = settings.members[name]
    own = [member.transforms[name] for name in ("zoom", "lighting", "rotate", "warp")]
    return (member.mixup, *own, member.dropout)


@pytest.fixture
def layered_toml(small_toml: Path) -> Path:
    """small.toml where each layer says less than the one below: what is left shows who won."""
    recipe = "zoom = 1.1\nlighting = 0.1\nrotate = 1.0\nwarp = 0.1\ndropout = 0.1"
    edit(small_toml, "image_size = 32", f"image_size = 32\nmixup = 0.1\n{recipe}")
    own = "zoom = 1.2\nlighting = 0.2\nrotate = 2.0\nwarp = 0.2\ndropout = 0.2"
    edit(small_toml, "mixup = 0.0", own)
    append(small_toml, LAYERED)
    return small_toml


def test_member_wins_over_recipe(layered_toml: Path) -> None:
    settings = read_settings(layered_toml)
    assert mild(settings, "a") == (0.1, 1.1, 0.1, 1.0, 0.1, 0.1)
    assert mild(settings, "b") == (0.1, 1.2, 0.2, 2.0, 0.2, 0.2)


def test_profiles_recipe_wins_over_members_and_its_member_over_its_recipe(
    layered_toml: Path,
) -> None:
    settings = read_settings(layered_toml, profile="strong")
    assert mild(settings, "a") == (0.1, 1.1, 0.3, 3.0, 0.3, 0.3)
    assert mild(settings, "b") == (0.1, 1.2, 0.3, 3.0, 0.3, 0.35)


@pytest.mark.parametrize("turn", [1, -1])
def test_set_wins_over_the_profile_and_a_members_set_over_the_recipes(
    layered_toml: Path, turn: int
) -> None:
    # In either order: a member's own value is the nearer one.
    changes = ["recipe.rotate=4", "recipe.dropout=0.4", "recipe.warp=0.4", "members.b.warp=0.45"]
    settings = read_settings(layered_toml, profile="strong", changes=changes[::turn])
    assert mild(settings, "a") == (0.1, 1.1, 0.3, 4.0, 0.4, 0.4)
    assert mild(settings, "b") == (0.1, 1.2, 0.3, 4.0, 0.45, 0.4)


def test_the_last_of_two_sets_of_one_key_wins(small_toml: Path) -> None:
    assert read_settings(small_toml, changes=["run.seed=7", "run.seed=8"]).run.seed == 8


def test_a_layer_changes_single_keys_of_a_nested_table(small_toml: Path) -> None:
    append(small_toml, "[profiles.long.recipe]\nepochs = { frozen = 5 }\n")
    changes = ["members.b.epochs.unfrozen=9"]
    members = read_settings(small_toml, profile="long", changes=changes).members
    epochs = {name: (m.epochs.frozen, m.epochs.unfrozen) for name, m in members.items()}
    assert epochs == {"a": (5, 1), "b": (5, 9)}


def test_profiles_are_laid_over_tables_other_than_recipes_too(small_toml: Path) -> None:
    append(small_toml, "[profiles.p]\nrun.seed = 5\nblend.weights.a = 4.0\n")
    settings = read_settings(small_toml, profile="p")
    assert (settings.run.seed, settings.run.threads) == (5, 1)
    assert (settings.weight("a"), settings.weight("b")) == (4.0, 1.0)
    assert read_settings(small_toml).run.seed == 0


def test_a_new_member_of_a_set_has_the_shared_recipe(small_toml: Path) -> None:
    settings = read_settings(small_toml, changes=["members.c.mixup=0.3"])
    assert settings.members["c"].network == "timm/test_resnet"
    assert settings.members["c"].mixup == 0.3


def test_a_bare_word_of_a_set_is_text(small_toml: Path) -> None:
    settings = read_settings(small_toml, changes=["recipe.network=resnet34", "run.device = cpu"])
    assert settings.members["a"].network == "resnet34"
    assert settings.run.device == "cpu"


def test_a_member_without_a_weight_counts_nothing_and_without_weights_all_count_one(
    small_toml: Path,
) -> None:
    edit(small_toml, "{ a = 2.0, b = 1.0 }", "{ a = 2.0 }")
    assert read_settings(small_toml).weight("b") == 0.0
    edit(small_toml, "{ a = 2.0 }", "{}")
    settings = read_settings(small_toml)
    assert (settings.weight("a"), settings.weight("b")) == (1.0, 1.0)


# Where the data is


def test_relative_data_folder_starts_at_the_files_folder(
    small_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "settings" / "wheat.toml"
    config.parent.mkdir()
    config.write_text(small_toml.read_text(encoding="utf-8"), encoding="utf-8")
    edit(config, f"'{FIXTURE.as_posix()}'", '"../photos"')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    # The settings file itself is named relative to the working folder of that moment.
    settings = read_settings(Path("settings/wheat.toml"))
    monkeypatch.chdir(elsewhere)
    assert settings.data_folder == (tmp_path / "photos").resolve()


def test_the_cache_lies_beside_the_runs_or_starts_at_the_files_folder(
    small_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    runs = tmp_path / "runs"
    for change, expected in (
        ("run.cache=", runs / "cache"),
        ("run.cache=pixels", small_toml.parent / "pixels"),
        (f"run.cache={tmp_path / 'scratch'}", tmp_path / "scratch"),
    ):
        settings = read_settings(small_toml, changes=[change])
        assert settings.cache_folder(runs) == expected


def test_data_option_starts_at_the_working_folder(
    small_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    settings = read_settings(small_toml, data=Path("photos"))
    monkeypatch.chdir(tmp_path)
    assert settings.data_folder == (elsewhere / "photos").resolve()


def test_data_option_wins_over_profile_and_set(small_toml: Path, tmp_path: Path) -> None:
    append(small_toml, '[profiles.p.data]\nfolder = "profile"\n')
    options: Mapping[str, Any] = {"profile": "p", "changes": ["data.folder=set"]}
    assert read_settings(small_toml, **options).data_folder == (tmp_path / "set").resolve()
    settings = read_settings(small_toml, **options, data=tmp_path / "option")
    assert settings.data_folder == (tmp_path / "option").resolve()


# What decides a member's bits


def training_digest(settings: Settings) -> str:
    return sha256_json(settings.training_content("a"))


@pytest.mark.parametrize(
    "change",
    [
        "run.workers=3",
        "run.cache=elsewhere",
        "blend.weights.a=9.0",
        "blend.method=geometric",
        "blend.clamp=[0.1, 0.9]",
        "submission.rows_sum_to_one=false",
        "submission.columns=label",
        "competition.metric=auc",
        "members.a.public_score=0.2",
        "data.folder=elsewhere",
        "data.train=elsewhere",
        "data.sample_submission=elsewhere.csv",
        "competition.name=other",
        "members.b.mixup=0.3",
        "members.c.mixup=0.3",
    ],
)
def test_what_cannot_change_a_members_bits_is_not_in_its_training_content(
    small_toml: Path, change: str
) -> None:
    before, after = read_settings(small_toml), read_settings(small_toml, changes=[change])
    assert after.model_dump() != before.model_dump(), "the change must change something"
    assert training_digest(after) == training_digest(before)


def test_where_the_settings_file_lies_is_not_in_the_training_content(
    small_toml: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere" / "other.toml"
    other.parent.mkdir()
    other.write_bytes(small_toml.read_bytes())
    assert training_digest(read_settings(other)) == training_digest(read_settings(small_toml))


@pytest.mark.parametrize(
    "change",
    [
        "run.seed=1",
        "run.threads=2",
        'competition.classes=["stem_rust", "leaf_rust", "healthy_wheat"]',
        *(f"recipe.{key}={value}" for key, value in OTHER_RECIPE.items()),
        *(f"members.a.{key}={value}" for key, value in OTHER_RECIPE.items()),
    ],
)
def test_what_decides_a_members_bits_is_in_its_training_content(
    small_toml: Path, change: str
) -> None:
    before, after = read_settings(small_toml), read_settings(small_toml, changes=[change])
    assert training_digest(after) != training_digest(before)


def test_every_value_of_a_recipe_is_tried_above() -> None:
    assert OTHER_RECIPE.keys() == Member.known_keys().keys() - BESIDE


def test_two_members_of_one_recipe_have_different_training_contents(small_toml: Path) -> None:
    # Their random draws are keyed by their names.
    settings = read_settings(small_toml, changes=["members.b.mixup=0.4"])
    assert settings.members["a"] == settings.members["b"]
    assert settings.training_content("a") != settings.training_content("b")


def test_the_way_a_number_is_written_is_not_in_the_training_content(small_toml: Path) -> None:
    whole = read_settings(small_toml, changes=["recipe.rotate=5", "recipe.mixup=0"])
    point = read_settings(small_toml, changes=["recipe.rotate=5.0", "recipe.mixup=0e0"])
    assert training_digest(whole) == training_digest(point)


# What is held out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("recipe.validation={share=0.1,folds=5}", ("recipe.validation", "either a share or")),
        ("recipe.validation={folds=1}", ("recipe.validation.folds", "1", "greater than or equal")),
        ("recipe.validation={folds=2.5}", ("recipe.validation.folds", "2.5", "integer")),
        ("recipe.validation.fold=5", ("recipe.validation.fold", "did you mean 'folds'")),
    ],
)
def test_validation_is_either_a_share_or_a_number_of_folds(
    small_toml: Path, change: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as error:
        read_settings(small_toml, changes=[change])
    assert_names(error.value, *words)


def test_neither_a_share_nor_folds_is_refused(small_toml: Path) -> None:
    edit(small_toml, "{ share = 0.25 }", "{}")
    assert_names(refusal(small_toml), "recipe.validation", "{ share = 0.1 } or { folds = 5 }")


def test_the_way_of_validation_that_is_laid_over_takes_the_others_place(small_toml: Path) -> None:
    append(small_toml, "\n[profiles.p.recipe]\nvalidation = { share = 0.5 }\n")
    folds = read_settings(small_toml, changes=["members.a.validation.folds=3"])
    assert folds.members["a"].validation == Validation(folds=3)
    assert folds.members["b"].validation == Validation(share=0.25)
    edit(small_toml, "[members.b]\n", "[members.b]\nvalidation = { folds = 4 }\n")
    assert read_settings(small_toml).members["b"].validation == Validation(folds=4)
    profile = read_settings(small_toml, profile="p")
    assert {each.validation.share for each in profile.members.values()} == {0.5}
    both = ["recipe.validation.folds=2", "recipe.validation.share=0.1"]
    last = read_settings(small_toml, changes=both)
    assert last.members["a"].validation == Validation(share=0.1)


def test_a_share_is_recorded_as_it_was_before_there_were_folds(small_toml: Path) -> None:
    settings = read_settings(small_toml, changes=["members.b.validation.folds=3"])
    members = {name: settings.training_content(name)["member"] for name in settings.members}
    assert members["a"]["validation"] == {"share": 0.25}
    assert members["b"]["validation"] == {"folds": 3}


def test_a_member_may_be_called_validation(small_toml: Path) -> None:
    changes = ["members.validation.mixup=0.1", "members.validation.rotate=3.0"]
    member = read_settings(small_toml, changes=changes).members["validation"]
    assert (member.mixup, member.transforms["rotate"]) == (0.1, 3.0)


# What a class may be called


def with_classes(config: Path, *names: str) -> Path:
    edit(config, '"leaf_rust", "stem_rust", "healthy_wheat"', json.dumps(names)[1:-1])
    return config


@pytest.mark.parametrize(
    "name",
    [
        "Bacterial leaf blight",
        "Tomato___Late_blight",
        "Rouille jaune \u00e9",
        "\u7a32\u71b1\u75c5",
        "0",
        "01",
        "NA",
        "nan",
        "a, b & c; 100%",
        "rust [early]",
        "(x) = y",
        "-",
        "Phoma sp.",
        "x" * 100,
    ],
)
def test_class_may_be_called_as_any_folder_is(small_toml: Path, name: str) -> None:
    assert read_settings(with_classes(small_toml, "leaf", name)).classes == ["leaf", name]


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "a/b", "a\\b", "a:b", "a*b", "a?b", 'a"b', "a<b", "a>b", "a|b"),
        *(".rust", "..", " rust", "rust ", "rust\t", "a\tb", "a\nb", "a\u0000b", "a\u2028b"),
        *("x" * 101, "id", "label"),
    ],
)
def test_class_that_names_no_folder_is_refused_with_what_is_allowed(
    small_toml: Path, name: str
) -> None:
    error = refusal(with_classes(small_toml, "leaf", name))
    assert len(error.details) == 1
    assert_names(error, str(small_toml), "competition.classes.1: got", repr(name), "allowed: 1 to")
    assert_names(error, '/ \\ : * ? " < > |', "no dot", "no blank")


def test_class_is_spelled_in_one_form_of_unicode(small_toml: Path) -> None:
    settings = read_settings(with_classes(small_toml, "leaf", "jaune\u0301"))
    assert settings.classes == ["leaf", "jaun\u00e9"]
    error = refusal(small_toml, changes=['competition.classes=["\u00e9", "e\u0301"]'])
    assert_names(error, "each class once")


@pytest.mark.parametrize("value", ['"automatic"', '"leaf"', "17", "{ a = 1 }"])
def test_classes_that_are_neither_names_nor_auto_are_refused(small_toml: Path, value: str) -> None:
    edit(small_toml, '["leaf_rust", "stem_rust", "healthy_wheat"]', value)
    error = refusal(small_toml)
    assert len(error.details) == 1
    assert_names(error, "competition.classes: got", 'allowed: a list of names, or "auto"')


def test_a_single_class_is_refused(small_toml: Path) -> None:
    assert_names(refusal(with_classes(small_toml, "leaf")), "competition.classes: got 1", "least 2")


# Classes that are read from the data folder

AUTO = "competition.classes=auto"


def folders_of(folder: Path, *names: str) -> Path:
    """A data folder with a class folder and an image in it for each name."""
    for number, name in enumerate(names):
        (folder / "train" / name).mkdir(parents=True)
        (folder / "train" / name / f"{number}.jpg").touch()
    return folder


def table_of_labels(folder: Path, *rows: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "labels.csv").write_text("\n".join(["ID,label", *rows]) + "\n", encoding="utf-8")
    return folder


def test_auto_is_the_class_folders_with_an_image_in_them(small_toml: Path, tmp_path: Path) -> None:
    data = folders_of(tmp_path / "data", "stem rust", "10", "9", "Z", "jaune\u0301")
    (data / "train" / "empty").mkdir()
    (data / "train" / "notes").mkdir()
    (data / "train" / "notes" / "readme.txt").touch()
    (data / "train" / ".hidden").mkdir()
    (data / "train" / ".hidden" / "x.jpg").touch()
    (data / "train" / "x.jpg").touch()
    settings = read_settings(small_toml, data=data, changes=[AUTO])
    assert settings.classes == ["10", "9", "Z", "jaun\u00e9", "stem rust"]
    # What is recorded of a run needs no data folder to be understood.
    assert settings.model_dump()["competition"]["classes"] == settings.classes


def test_auto_is_the_distinct_labels_of_the_table(small_toml: Path, tmp_path: Path) -> None:
    data = table_of_labels(tmp_path / "data", "1,01", "2,NA", "3,0", "4,01", "5,", "6,jaune\u0301")
    settings = read_settings(small_toml, data=data, changes=[AUTO, "data.layout=table"])
    assert settings.classes == ["0", "01", "NA", "jaun\u00e9"]


def test_auto_and_the_list_written_out_are_the_same_training(small_toml: Path) -> None:
    written = 'competition.classes=["healthy_wheat", "leaf_rust", "stem_rust"]'
    auto, listed = (read_settings(small_toml, changes=[change]) for change in (AUTO, written))
    assert auto.model_dump(mode="json") == listed.model_dump(mode="json")
    assert training_digest(auto) == training_digest(listed)


def test_auto_waits_for_a_data_folder_until_the_classes_are_needed(
    small_toml: Path, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    changes = [AUTO, "competition.address=https://example.org/wheat"]
    settings = read_settings(small_toml, data=missing, changes=changes)
    assert settings.competition.classes == "auto"
    with pytest.raises(InputError, match="no data folder") as caught:
        _ = settings.classes
    assert_names(caught.value, str(missing), "--data", "https://example.org/wheat")


def test_auto_of_a_profile_looks_into_its_folder(small_toml: Path, tmp_path: Path) -> None:
    folders_of(tmp_path / "other", "b", "a")
    append(small_toml, '[profiles.p]\ncompetition.classes = "auto"\ndata.folder = "other"\n')
    assert read_settings(small_toml, profile="p").classes == ["a", "b"]
    assert len(read_settings(small_toml).classes) == 3


@pytest.mark.parametrize(("names", "words"), [((), "finds none"), (("rust",), "one, 'rust'")])
def test_auto_with_fewer_than_two_class_folders_is_refused_with_the_place(
    small_toml: Path, tmp_path: Path, names: tuple[str, ...], words: str
) -> None:
    data = folders_of(tmp_path / "data", *names)
    (data / "train").mkdir(exist_ok=True, parents=True)
    error = refusal(small_toml, data=data, changes=[AUTO])
    assert_names(error, '"auto"', words, str(data / "train"), "folder per class", "data.layout")


def test_auto_with_fewer_than_two_labels_is_refused_with_file_and_column(
    small_toml: Path, tmp_path: Path
) -> None:
    data = table_of_labels(tmp_path / "data", "1,rust", "2,", "3,rust")
    error = refusal(small_toml, data=data, changes=[AUTO, "data.layout=table"])
    assert_names(error, "one, 'rust'", str(data / "labels.csv"), "'label'", "data.label_column")


def test_auto_without_training_folder_or_table_is_refused(small_toml: Path, tmp_path: Path) -> None:
    error = refusal(small_toml, data=tmp_path, changes=[AUTO])
    assert_names(error, str(tmp_path / "train"), "data.train")
    error = refusal(small_toml, data=tmp_path, changes=[AUTO, "data.layout=table"])
    assert_names(error, str(tmp_path / "labels.csv"))


def test_auto_that_finds_a_name_that_is_not_allowed_says_so(
    small_toml: Path, tmp_path: Path
) -> None:
    data = table_of_labels(tmp_path / "data", "1,leaf", "2,stem/leaf")
    error = refusal(small_toml, data=data, changes=[AUTO, "data.layout=table"])
    assert_names(error, 'found by "auto": competition.classes.1', "'stem/leaf'", "allowed: 1 to")


def test_auto_with_folders_that_differ_in_case_is_refused(small_toml: Path, tmp_path: Path) -> None:
    data = folders_of(tmp_path / "data", "leaf", "stem")
    if not (data / "train" / "LEAF").exists():
        folders_of(data, "LEAF")
        assert_names(refusal(small_toml, data=data, changes=[AUTO]), "each class once", "LEAF")


def test_folders_that_only_look_the_same_are_refused(small_toml: Path, tmp_path: Path) -> None:
    data = folders_of(tmp_path / "data", "\u00e9", "stem")
    if not (data / "train" / "e\u0301").exists():
        folders_of(data, "e\u0301")
        error = refusal(small_toml, data=data, changes=[AUTO])
        assert_names(error, str(data / "train"), "two folders", "'\u00e9'")


# What a submission holds


def test_a_probability_is_for_two_classes_alone(small_toml: Path, tmp_path: Path) -> None:
    change = "submission.columns=probability"
    error = refusal(small_toml, changes=[change])
    assert_names(error, "submission.columns", "exactly two classes", "holds 3", "'label'")
    two = read_settings(small_toml, changes=[change, 'competition.classes=["no", "yes"]'])
    assert two.classes == ["no", "yes"]
    assert_names(refusal(small_toml, changes=[change, AUTO]), "submission.columns", "holds 3")
    data = folders_of(tmp_path / "data", "yes", "no")
    assert read_settings(small_toml, data=data, changes=[change, AUTO]).classes == ["no", "yes"]


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ("submission.columns=labels", ("classes", "label", "probability")),
        ("competition.metric=f3", ("log_loss", "macro_f1", "quadratic_kappa", "auc")),
    ],
)
def test_unknown_columns_and_metrics_are_refused_with_the_known_ones(
    small_toml: Path, change: str, known: tuple[str, ...]
) -> None:
    assert_names(refusal(small_toml, changes=[change]), "--set", "is not known", *known)


def test_without_a_word_the_metric_is_the_log_loss_and_the_columns_are_the_classes(
    small_toml: Path,
) -> None:
    for settings in (read_settings(small_toml), read_settings()):
        assert settings.competition.metric == "log_loss"
        assert settings.submission.columns == "classes"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("run.seed={a=1}", "run.seed"),
        ("run.seed.x=1", "run.seed"),
        ("recipe.rotate={a=1}", "recipe.rotate"),
        ("recipe.network={a=1}", "recipe.network"),
    ],
)
def test_a_table_over_a_value_is_refused_and_not_passed_over(
    small_toml: Path, change: str, key: str
) -> None:
    assert_names(refusal(small_toml, changes=[change]), f"{key}: got")


def test_the_value_of_a_key_that_is_called_a_secret_is_shown_nowhere(small_toml: Path) -> None:
    for change in (
        'cluster.secret_key="hunter2 hunter2"',
        "cluster.secret_key=hunter2 hunter2",
        "cluster.api_key=['hunter2']",
        "cluster.password={ x = 'hunter2' }",
        "cluster.password=72e99",
    ):
        error = refusal(small_toml, changes=[change])
        assert "hunter2" not in str(error)
        assert_names(error, "unknown key (value ***)", "Known keys")
    error = refusal(small_toml, changes=["run.secret_key=hunter2", "run.secret_key.hunter=hunter2"])
    assert "hunter2" not in str(error)
    append(small_toml, '[cluster]\nsecret_key = "hunter2 hunter2"\n')
    error = refusal(small_toml)
    assert "hunter2" not in str(error)
    assert_names(error, "cluster.secret_key: unknown key (value ***)")


def test_the_best_epochs_weights_and_an_average_are_not_both_taken(small_toml: Path) -> None:
    take = 'members.a.take={ epoch = "best" }'
    with pytest.raises(InputError) as refused:
        read_settings(small_toml, changes=[take, "recipe.ema.decay=0.9"])
    assert_names(refused.value, "members.a: take and ema choose different weights")
    read_settings(small_toml, changes=[take, "members.a.ema.use=last", "recipe.ema.decay=0.9"])


def test_sampling_and_weights_of_classes_are_not_both_taken(small_toml: Path) -> None:
    changes = ["members.b.sample=balanced", "members.b.class_weights=balanced"]
    assert_names(
        refusal(small_toml, changes=changes), "members.b", "either sample or class_weights"
    )


def test_a_name_alone_and_a_number_alone_stand_for_the_whole_table(small_toml: Path) -> None:
    for loss in ('loss="focal"', "loss={gamma=2.0}", 'loss={method="focal", gamma=2.0}'):
        found = read_settings(small_toml, changes=[f"recipe.{loss}"]).members["b"].loss
        assert (found.method, found.gamma) == ("focal", 2.0)
    for sample in ('sample="balanced"', "sample={power=1.0}"):
        found_sample = read_settings(small_toml, changes=[f"recipe.{sample}"]).members["b"].sample
        assert (found_sample.method, found_sample.power) == ("balanced", 1.0)
    member = read_settings(small_toml, changes=["members.b.loss=soft_target"]).members["b"]
    assert identity_settings(member)["loss"] == {"method": "soft_target"}
    plain = identity_settings(read_settings(small_toml).members["b"])
    assert "loss" not in plain
    assert "sample" not in plain
    error = refusal(small_toml, changes=["members.b.loss=focus"])
    assert_names(error, "members.b.loss", "focus", "focal", "cross_entropy")
