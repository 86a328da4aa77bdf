"""A way to blend from outside, in this one file: settings, help, blend, submission and report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.exact import read_exact
from tests.report.page import elements
from tests.terminal import shown
from tests.test_blends import by_id, settings_of, write_run
from twinrun import submit
from twinrun.blend_methods.methods import BLEND_METHODS, BlendMethod, FitInput, Mean
from twinrun.cli import tables
from twinrun.config.reading import read_settings
from twinrun.errors import InputError
from twinrun.metrics import Values, losses_of_truth
from twinrun.registry import IncompleteEntry

MEMBERS = ("fair", "good", "noise", "poor")


def inverse_losses(found: FitInput) -> Values:
    """The better a member is by itself, the more it counts."""
    return np.asarray(1 / losses_of_truth(found.truth).mean(axis=1) ** 2)


INVERSE = BlendMethod(
    name="inverse",
    words="inverse squared losses",
    description="root mean square, weights by each member's own log loss",
    mean=Mean(
        name="root mean square", formula="root of the mean of w p p", there=np.square, back=np.sqrt
    ),
    fit=inverse_losses,
)
PARTS = ("name", "words", "description", "mean", "fit")


@pytest.fixture
def inverse() -> Iterator[BlendMethod]:
    with BLEND_METHODS.including(INVERSE) as entry:
        yield entry


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "full"
    write_run(folder)
    return folder


def test_settings_know_it_and_no_other(small_toml: Path, inverse: BlendMethod) -> None:
    found = read_settings(small_toml, changes=["blend.method=inverse"]).blend
    assert (found.method, found.fitted) == ("inverse", True)
    with pytest.raises(InputError) as refusal:
        read_settings(small_toml, changes=["blend.method=invers"])
    text = "\n".join(map(str, refusal.value.details))
    assert "'invers' is not known, did you mean 'inverse'?" in text
    assert f"{', '.join(BLEND_METHODS.names)}, auto" in text


def test_without_it_settings_refuse_its_name(small_toml: Path) -> None:
    with pytest.raises(InputError, match="1 mistake"):
        read_settings(small_toml, changes=["blend.method=inverse"])


def test_its_weights_and_its_mean_make_the_submission(
    run: Path, tmp_path: Path, inverse: BlendMethod
) -> None:
    settings = settings_of(tmp_path, method="inverse")
    output = tmp_path / "out.csv"
    chosen = submit.blend_run(run, settings, None, output)
    assert chosen.method == "inverse"
    assert chosen.words == "inverse squared losses"
    assert list(chosen.weights) == list(MEMBERS)
    assert chosen.weights["good"] == max(chosen.weights.values())
    parts = [read_exact(run / "members" / name / "test.csv", dtype={"id": str}) for name in MEMBERS]
    values = [part.set_index("id").sort_index().to_numpy(np.float64) for part in parts]
    total = sum(w * v**2 for w, v in zip(chosen.weights.values(), values, strict=True))
    mean = np.sqrt(total / sum(chosen.weights.values()))
    expected = mean / mean.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        by_id(output).sort_index().to_numpy(np.float64), expected, rtol=1e-12
    )
    assert chosen.taken is not None
    assert chosen.taken.nested != chosen.taken.fitted


def test_auto_scores_it_too_and_the_table_shows_it(
    run: Path, tmp_path: Path, inverse: BlendMethod
) -> None:
    chosen = submit.choose_run_blend(run, settings_of(tmp_path, method="auto"))
    assert len(chosen.candidates) == 12
    assert "inverse squared losses with a temperature" in shown(tables.blends(chosen))


def test_files_without_labels_cannot_take_it(
    run: Path, tmp_path: Path, inverse: BlendMethod
) -> None:
    settings = settings_of(tmp_path, method="inverse")
    files = [(run / "members" / "good" / "test.csv", 1.0)]
    with pytest.raises(InputError, match='"inverse" is fitted') as refusal:
        submit.blend_files(files, settings, None, tmp_path / "o.csv")
    assert "--method arithmetic, geometric or rank " in refusal.value.fix
    with BLEND_METHODS.including(replace(INVERSE, name="rms", fit=None)):
        plain = settings_of(tmp_path, method="rms")
        submit.blend_files(files, plain, None, tmp_path / "o.csv")
    assert (tmp_path / "o.csv").is_file()


def test_a_report_of_such_a_blend_takes_its_mean(tmp_path: Path, inverse: BlendMethod) -> None:
    from tests.report.made_run import make_run, write_blend
    from tests.run_folder.documents import record_run, write_sealed
    from twinrun.report.report import render
    from twinrun.report.run_data import read_run_data
    from twinrun.run_folder.manifest import read_blend

    run = make_run(tmp_path, doubt=2.0)
    write_blend(run, {"a": 3.0, "b": 1.0})
    content = read_blend(run)
    losses = {}
    for method in ("arithmetic", "inverse"):
        write_sealed(run / "blend.json", content | {"method": method, "temperature": 1.0})
        record_run(run)
        losses[method] = read_run_data(run).computed.at("score", "value")
    assert losses["arithmetic"] != losses["inverse"]
    blend = [each for each in elements(render(run)) if each.attributes.get("id") == "blend"]
    assert "Method inverse " in blend[0].text


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_left_out_is_named(part: str) -> None:
    parts = {each: getattr(INVERSE, each) for each in PARTS}
    with pytest.raises(TypeError, match=part):
        BlendMethod(**{name: value for name, value in parts.items() if name != part})
    if part != "fit":  # None says that nothing is fitted
        empty: Any = None if part == "mean" else ""
        with pytest.raises(IncompleteEntry, match=f"lacks: {part}$"):
            BLEND_METHODS.add(replace(INVERSE, **{part: empty}))
    assert "inverse" not in BLEND_METHODS


def test_the_commands_help_lists_what_the_table_holds() -> None:
    """Asked in a process of its own, as the help is made when the command is imported."""
    import subprocess
    import sys

    script = (
        "from tests.extending.test_blend_method import BLEND_METHODS, INVERSE\n"
        "import sys\n"
        "for name in [name for name in sys.modules if name.startswith('twinrun.cli')]:\n"
        "    del sys.modules[name]\n"
        "BLEND_METHODS.add(INVERSE)\n"
        "from twinrun.cli.app import app\n"
        "sys.argv = ['twinrun', 'blend', '--help']\n"
        "app()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    text = " ".join(done.stdout.replace("│", " ").split())
    assert f"{', '.join(BLEND_METHODS.names)}, inverse or auto" in text
    assert "Files take only arithmetic, geometric or rank." in text
