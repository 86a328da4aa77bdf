"""What a run says of its members and its blend, in the metric of the competition."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.predictions import drawn_labels, held_of, seeing, settings_for
from tests.run_folder.documents import record_member
from tests.terminal import shown
from twinrun import submit
from twinrun.audit.check import Finding
from twinrun.blend.held_out import own_scores, read_held_out_tables
from twinrun.blend.select import choose_blend
from twinrun.cli import tables
from twinrun.cli.grid import Grid
from twinrun.compare.member_files import FileComparison
from twinrun.config.reading import read_settings
from twinrun.console import Terminal
from twinrun.data.cache_files import CacheFolder
from twinrun.data.image_count import ImageCount
from twinrun.metrics import METRICS, Score, score_values

NOTHING = float("nan")
RECORD = {
    "scores": {"valid_loss": 0.5403, "accuracy": 0.75},
    "images": {"valid": 24},
    "seconds": 12.0,
}


def told(score: Score, images: int, distinct: int | None = None) -> str:
    count = ImageCount(images, images if distinct is None else distinct)
    return shown(tables.blend_score(score, count)).strip()


def test_the_log_loss_of_a_blend_is_told_beside_uniform_guessing() -> None:
    assert told(Score(METRICS.get("log_loss"), 0.74019, 1.098612, ()), 24) == (
        "blend's log loss on the 24 images that every member held out: 0.7402 "
        "(uniform guessing: 1.0986)"
    )


def test_another_metric_is_told_by_its_name_beside_its_simple_answer() -> None:
    assert told(Score(METRICS.get("macro_f1"), 0.5, 0.2, ()), 7) == (
        "blend's macro F1 on the 7 images that every member held out: 0.5000 "
        "(always the largest class: 0.2000)"
    )


def test_images_that_are_copies_are_told_beside_those_that_are_not() -> None:
    assert told(Score(METRICS.get("macro_f1"), 0.5, 0.2, ()), 14, 9) == (
        "blend's macro F1 on the 14 images (9 without copies) that every member held out: 0.5000 "
        "(always the largest class: 0.2000)"
    )


def test_the_tables_of_a_blend_tell_copies(tmp_path: Path) -> None:
    labels = drawn_labels(60, 3)
    values = {name: seeing(labels, 3, skill=1, noise=1, seed=n) for n, name in enumerate("ab")}
    groups = [str(number // 2) for number in range(60)]
    settings = settings_for(tmp_path, "ab", method="auto")
    chosen = choose_blend(held_of(values, labels.tolist(), groups), settings, ["a", "b"])
    assert tables.blends(chosen).title == (
        "Blends, by log loss on 60 held-out images (30 without copies; lower is better)"
    )
    assert tables.member_contributions(chosen).title.startswith(
        "What each member adds, by log loss on the 60 images (30 without copies) that all held out"
    )


def test_a_score_that_is_not_defined_says_which_class_is_missing() -> None:
    assert told(Score(METRICS.get("auc"), NOTHING, 0.5, ("rust [early]", "b")), 7) == (
        "blend's AUC on the 7 images that every member held out: not defined: "
        "no held-out image of class rust [early], b (uniform guessing: 0.5000)"
    )


@pytest.mark.parametrize(
    ("metric", "column"),
    [
        ("log_loss", None),
        ("accuracy", None),
        ("auc", "AUC"),
        ("macro_f1", "macro F1"),
        ("quadratic_kappa", "quadratic kappa"),
    ],
)
def test_the_members_table_has_a_column_for_a_metric_that_it_has_not_yet(
    small_toml: Path, metric: str, column: str | None
) -> None:
    settings = read_settings(small_toml, changes=[f"competition.metric={metric}"])
    records, scores = {"a": RECORD, "b": RECORD}, {"a": 0.8125, "b": NOTHING}
    table = tables.members(settings, records, scores, {"a": 2.0})
    plain = ["member", "network", "valid loss", "accuracy", "weight", "time"]
    assert [heading for heading in table.headings if heading != column] == plain
    assert table.cells("weight") == ["2", "0"]
    if column is not None:
        assert table.cells(column) == ["0.8125", "not defined"]


def test_the_members_table_has_public_scores_where_a_member_has_one(small_toml: Path) -> None:
    settings = read_settings(small_toml, changes=["members.b.public_score=0.25"])
    table = tables.members(settings, {"a": RECORD, "b": RECORD}, {}, {})
    assert table.cells("public score") == ["", "0.25000"]
    assert "public score" in table.headings


def test_members_and_blend_are_scored_by_the_metric_and_labels_of_digits_are_text(
    small_toml: Path, tmp_path: Path
) -> None:
    """Of b's images only one is not a's; the blend is scored on what both held out."""
    changes = ['competition.classes=["0", "01", "2"]', "competition.metric=quadratic_kappa"]
    settings = read_settings(small_toml, changes=changes)
    rows = ["id,label,0,01,2", "x,0,1,0,0", "y,01,0,1,0", "z,2,0,1,0"]
    for name, lines in (("a", rows), ("b", [*rows, "w,0,0,0,1"])):
        folder = tmp_path / "members" / name
        folder.mkdir(parents=True)
        (folder / "valid.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        record_member(folder)
    # Of a the squared distances are 0 + 0 + 1. By chance, with labels (1, 1, 1) and guesses
    # (1, 2, 0): (1*2*1 + 1*1*1 + 1*1*4 + 1*2*1) / 3 = 3.
    scores = own_scores(
        read_held_out_tables(tmp_path, ["a", "b"], settings.classes), settings.competition.metric
    )
    chosen = submit.choose_run_blend(tmp_path, settings)
    blend = chosen.score
    assert blend is not None
    assert blend.metric.name == "quadratic_kappa"
    assert chosen.images == ImageCount(3, 3)
    assert scores["a"] == pytest.approx(1 - 1 / 3)
    assert blend.value == pytest.approx(scores["a"])
    assert scores["b"] < scores["a"]


def test_the_members_table_has_mean_and_spread_over_folds_where_there_are_some(
    small_toml: Path,
) -> None:
    settings = read_settings(small_toml, changes=["competition.metric=auc"])
    records = {"a": RECORD, "b": RECORD}
    folds = {"a": [0.5, 0.7, 0.9]}
    table = tables.members(settings, records, {"a": 0.68, "b": 0.6}, {}, folds)
    assert table.headings[table.headings.index("AUC") + 1] == "AUC over folds"
    assert table.cells("AUC over folds") == ["0.7000 ± 0.2000", ""]
    undefined = tables.members(settings, records, {"a": 0.68, "b": 0.6}, {}, {"b": [0.5, NOTHING]})
    assert undefined.cells("AUC over folds") == ["", "not defined"]


def test_the_members_table_says_on_how_many_images_each_was_scored(small_toml: Path) -> None:
    settings = read_settings(small_toml)
    alike = tables.members(settings, {"a": RECORD, "b": RECORD}, {}, {})
    assert alike.title == "Members, each by the 24 images that it held out"
    assert "images" not in alike.headings
    more = RECORD | {"images": {"valid": 1200}}
    other = tables.members(settings, {"a": RECORD, "b": more}, {}, {})
    assert other.title == "Members, each by the images that it held out"
    assert other.cells("images") == ["24", "1,200"]


@pytest.mark.parametrize(("clamp", "alone"), [([], "alone"), ([0.25, 0.75], "alone, clamped")])
def test_a_members_loss_has_one_value_or_its_own_name(
    tmp_path: Path, clamp: list[float], alone: str
) -> None:
    """What the blend sees of a member is not what it is scored by, where that is clamped."""
    labels = drawn_labels(60, 3)
    values = {name: seeing(labels, 3, skill=1, noise=2, seed=n) for n, name in enumerate("ab")}
    settings = settings_for(tmp_path, "ab", clamp=clamp, renormalise=False)
    seen = {name: each.clip(*clamp or (0, 1)) for name, each in values.items()}
    chosen = choose_blend(held_of(seen, labels.tolist()), settings, ["a", "b"])
    losses = {name: score_values(each, labels, "log_loss") for name, each in values.items()}
    records = {
        name: RECORD | {"scores": {"valid_loss": loss, "accuracy": 0.5}}
        for name, loss in losses.items()
    }
    members = tables.members(settings, records, {}, {})
    contributions = tables.member_contributions(chosen)
    same = contributions.cells(alone) == members.cells("valid loss")
    assert same == (alone == "alone")
    assert contributions.title == (
        "What each member adds, by log loss on the 60 images that all held out"
        + (", clamped to 0.25 to 0.75" if clamp else "")
    )


@pytest.fixture(scope="module")
def grids(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Grid]:
    """Each of the tables that commands print, with long names."""
    folder = tmp_path_factory.mktemp("grids")
    names = [f"M{number}_of_a_long_name_and_longer" for number in range(3)]
    settings = settings_for(folder, names, metric="quadratic_kappa", method="auto", clamp=[0.1, 1])
    labels = drawn_labels(60, 3)
    values = {name: seeing(labels, 3, skill=1, noise=1, seed=n) for n, name in enumerate(names)}
    chosen = choose_blend(held_of(values, labels.tolist()), settings, names)
    records, scores = dict.fromkeys(names, RECORD), dict.fromkeys(names, 0.5)
    compared = [
        FileComparison(f"{name} fold 1/3", "weights.safetensors", "1" * 64, digit * 64, "2 bytes")
        for name in names
        for digit in "12"
    ]
    ledger = SimpleNamespace(title=names[0], comparison=SimpleNamespace(agreed=12345, same=False))
    report: Any = SimpleNamespace(members=[ledger])
    twins: Any = SimpleNamespace(comparisons=compared, report=report, control=compared)
    verified: Any = SimpleNamespace(comparisons=compared, blend=True, submission=False)
    finding = Finding("copies", "warning", "images are copies " * 6, 12, ("train/a/1.jpg",) * 3)
    gaps = [("packages.opencv-python-headless", "5.0.0", None), ("features", ["avx2"] * 30, ["x"])]
    return {
        "members": tables.members(settings, records, scores, {}),
        "folds": tables.members(
            settings, records, scores, {}, {name: [0.5, 0.25] for name in names}
        ),
        "blends": tables.blends(chosen),
        "contributions": tables.member_contributions(chosen),
        "twins": tables.twins(twins),
        "verification": tables.verification(verified),
        "environment": tables.environment(gaps),
        "audit": tables.audit([finding] * 2, 2),
        "caches": tables.caches([CacheFolder("224px-1f3a9c02b7de", 12345, 10**9)]),
    }


@pytest.mark.parametrize("width", [60, 80, 120, None])
def test_each_table_is_whole_at_any_width(grids: dict[str, Grid], width: int | None) -> None:
    for name, grid in grids.items():
        file = io.StringIO()
        pipe = width is None
        grid.print(Terminal(file=file, width=width, force_terminal=not pipe, color_system=None))
        text = file.getvalue()
        assert "…" not in text, name
        assert max(map(len, text.splitlines())) <= (width or 1000), name
        for column in grid.columns:
            if column.heading in grid.headings and not column.wraps:
                for cell in grid.cells(column.heading):
                    assert cell in text, (name, cell)


def test_only_the_grid_prints_tables() -> None:
    """A table of rich cuts names by itself."""
    root = Path(tables.__file__).parents[1]
    users = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "rich.table" in path.read_text(encoding="utf-8")
    }
    assert users == {"cli/grid.py", "cluster/progress.py"}
