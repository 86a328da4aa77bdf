"""after_predictions of hooks.py: the last change of a blend, checked to be probabilities."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from twinrun.blend.after import change_after
from twinrun.config.reading import read_settings
from twinrun.errors import InputError

BLENDED = pd.DataFrame(
    {
        "id": ["a", "b"],
        "leaf_rust": [0.5, 0.2],
        "stem_rust": [0.25, 0.3],
        "healthy_wheat": [0.25, 0.5],
    }
)


def after(small_toml: Path, body: str) -> pd.DataFrame:
    text = f"def after_predictions(table, settings):\n    {body}\n    return table\n"
    small_toml.with_name("hooks.py").write_text(text)
    return change_after(BLENDED, read_settings(small_toml))


def test_without_the_function_nothing_changes(small_toml: Path) -> None:
    assert change_after(BLENDED, read_settings(small_toml)) is BLENDED


def test_it_changes_the_table_and_the_order_of_ids_stays(small_toml: Path) -> None:
    swap = "table['leaf_rust'], table['stem_rust'] = table['stem_rust'], table['leaf_rust'].copy()"
    found = after(small_toml, f"{swap}; table = table[::-1]")
    assert found["id"].tolist() == ["a", "b"]
    assert found["leaf_rust"].tolist() == [0.25, 0.3]
    assert BLENDED["leaf_rust"].tolist() == [0.5, 0.2]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("table = table.to_numpy()", "it is ndarray, not a DataFrame of pandas"),
        ("table = table[table.columns[::-1]]", "columns are healthy_wheat, stem_rust, leaf_rust"),
        ("table = table.iloc[:1]", "b: missing"),
        ("table['id'] = ['a', 'c']", "c: no image of the blend"),
        ("table['id'] = ['a', 'a']", "a: this id stands more than once"),
        ("table.loc[0, 'leaf_rust'] = float('nan')", "a: nothing in column leaf_rust"),
        ("table.loc[0, 'leaf_rust'] = 1.5", "a: leaf_rust is 1.5, outside [0, 1]"),
        ("table.loc[1, 'leaf_rust'] = 0.9", "b: the row's sum is 1.7, not 1"),
    ],
)
def test_what_is_no_table_of_a_blend_is_refused(small_toml: Path, body: str, said: str) -> None:
    with pytest.raises(InputError, match="line 1: what `after_predictions` gives") as refused:
        after(small_toml, body)
    assert any(said in line for line in refused.value.details)


def test_rows_that_do_not_sum_to_one_before_need_not_after(small_toml: Path) -> None:
    text = "def after_predictions(table):\n    return table\n"
    small_toml.with_name("hooks.py").write_text(text)
    halved = BLENDED.assign(leaf_rust=0.0)
    assert change_after(halved, read_settings(small_toml)).equals(halved)
