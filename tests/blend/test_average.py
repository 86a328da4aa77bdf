"""The blend: hand-computed means, joined by id, and refused where nothing sensible can come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from twinrun.blend.average import blend, blend_tables
from twinrun.blend_methods.methods import mean_of
from twinrun.config.sections import Blend
from twinrun.errors import InputError

Rows = Mapping[str, tuple[float, ...]]
CLASSES = ("leaf", "stem", "healthy")


def predictions(rows: Rows, classes: Sequence[str] = CLASSES) -> pd.DataFrame:
    table = pd.DataFrame(list(rows.values()), columns=list(classes), dtype=np.float64)
    table.insert(0, "id", list(rows))
    return table


def blended(
    tables: Sequence[pd.DataFrame], weights: Sequence[float], **settings: Any
) -> pd.DataFrame:
    """The blend, not clamped and not renormalised unless the settings say so."""
    names = [f"{number}.csv" for number in range(len(tables))]
    asked = Blend(**{"renormalise": False, **settings})
    return blend(tables, weights, mean_of(asked.method), asked, names)


def random_tables(count: int, rows: int = 50) -> list[pd.DataFrame]:
    random = np.random.default_rng(0)
    ids = [f"{number:06d}" for number in range(rows)]
    values = random.dirichlet(np.ones(3), size=(count, rows)).astype(np.float32)
    return [
        predictions(dict(zip(ids, map(tuple, table.tolist()), strict=True))) for table in values
    ]


def values(table: pd.DataFrame) -> list[list[float]]:
    numbers: list[list[float]] = table.iloc[:, 1:].to_numpy().tolist()
    return numbers


ONE = {"x": (0.5, 0.25, 0.25), "y": (1.0, 0.0, 0.0)}
TWO = {"x": (0.25, 0.5, 0.25), "y": (0.0, 0.5, 0.5)}


def test_arithmetic_mean_is_as_computed_by_hand() -> None:
    result = blended([predictions(ONE), predictions(TWO)], [3, 1])
    # (3 * 0.5 + 1 * 0.25) / 4 and so on: binary fractions, hence exact.
    assert values(result) == [[0.4375, 0.3125, 0.25], [0.75, 0.125, 0.125]]


def test_geometric_mean_is_as_computed_by_hand() -> None:
    tables = [predictions({"x": (0.5, 0.25, 0.25)}), predictions({"x": (0.125, 0.25, 0.0625)})]
    # (0.5 * 0.5 * 0.125) ** (1/3), 0.25, (0.25 * 0.25 * 0.0625) ** (1/3) = (1/256) ** (1/3)
    expected = [[0.31498026247371830, 0.25, 0.15749013123685915]]
    result = blended(tables, [2, 1], method="geometric")
    np.testing.assert_allclose(values(result), expected, rtol=1e-15)


def test_geometric_mean_of_a_zero_is_zero_without_a_clamp() -> None:
    result = blended([predictions(ONE), predictions(TWO)], [1, 1], method="geometric")
    assert values(result)[1] == [0.0, 0.0, 0.0]


def test_only_the_ratio_of_the_weights_counts() -> None:
    tables = random_tables(2)
    small = blended(tables, [0.75, 0.25])
    large = blended(tables, [768, 256])
    np.testing.assert_allclose(values(small), values(large), rtol=1e-15)


@pytest.mark.parametrize("method", ["arithmetic", "geometric"])
@pytest.mark.parametrize("temperature", [1.0, 1.3])
def test_an_image_has_the_same_bits_whatever_images_stand_beside_it(
    method: str, temperature: float
) -> None:
    """New images come a few at a time, and how many must decide nothing; also of many classes."""
    random = np.random.default_rng(0)
    drawn = random.dirichlet(np.ones(12), size=(3, 40)).astype(np.float32)
    classes = [f"c{number}" for number in range(12)]
    tables = [
        predictions({f"{n:02d}": tuple(row) for n, row in enumerate(rows.tolist())}, classes)
        for rows in drawn
    ]

    def bits(rows: slice) -> list[list[float]]:
        files = [
            ((str(n), table[rows].reset_index(drop=True)), n + 1) for n, table in enumerate(tables)
        ]
        asked = Blend(method=method)
        return values(blend_tables(files, mean_of(method), asked, temperature=temperature))

    alone = [row for n in range(40) for row in bits(slice(n, n + 1))]
    assert alone == bits(slice(None))


@pytest.mark.parametrize("method", ["arithmetic", "geometric"])
def test_rows_are_joined_by_id_and_not_by_position(method: str) -> None:
    tables = random_tables(3)
    expected = blended(tables, [3, 2, 1], method=method)
    shuffled = [
        tables[0],
        tables[1].sample(frac=1, random_state=1),
        tables[2].iloc[::-1].reset_index(drop=True),
    ]
    assert shuffled[1]["id"].tolist() != tables[1]["id"].tolist()
    result = blended(shuffled, [3, 2, 1], method=method)
    pd.testing.assert_frame_equal(result, expected, check_exact=True)


def test_rows_come_out_in_the_first_tables_order_with_the_same_bits() -> None:
    tables = random_tables(3)
    expected = blended(tables, [3, 2, 1])
    first = tables[0].sample(frac=1, random_state=1)
    result = blended([first, *tables[1:]], [3, 2, 1])
    assert result["id"].tolist() == first["id"].tolist()
    by_id = result.set_index("id").loc[expected["id"]].reset_index()
    pd.testing.assert_frame_equal(by_id, expected, check_exact=True)


def test_columns_are_joined_by_name_and_come_out_in_the_first_tables_order() -> None:
    tables = random_tables(2)
    expected = blended(tables, [3, 1])
    turned = tables[1][["id", "healthy", "leaf", "stem"]]
    result = blended([tables[0], turned], [3, 1])
    pd.testing.assert_frame_equal(result, expected, check_exact=True)
    first = blended([turned, tables[0]], [1, 3])
    assert list(first.columns) == ["id", "healthy", "leaf", "stem"]


def test_id_columns_may_have_other_names_than_the_firsts() -> None:
    tables = random_tables(2)
    expected = blended(tables, [3, 1])
    result = blended([tables[0], tables[1].rename(columns={"id": "ID"})], [3, 1])
    pd.testing.assert_frame_equal(result, expected, check_exact=True)


def test_inputs_are_left_as_they_were() -> None:
    tables = random_tables(2)
    before = [table.copy() for table in tables]
    blended(tables, [3, 1], method="geometric", clamp=[0.1, 0.9], renormalise=True)
    for table, old in zip(tables, before, strict=True):
        pd.testing.assert_frame_equal(table, old, check_exact=True)


def test_float32_tables_are_blended_in_float64() -> None:
    table = predictions({"x": (0.1, 0.2, 0.7)}).astype(dict.fromkeys(CLASSES, np.float32))
    result = blended([table, table], [1, 1])
    assert (result.dtypes.iloc[1:] == np.float64).all()
    assert values(result) == [[float(np.float32(value)) for value in (0.1, 0.2, 0.7)]]


def test_clamp_holds_every_members_probabilities_before_the_mean() -> None:
    tables = [predictions({"x": (1.0, 0.0, 0.25)}), predictions({"x": (0.5, 0.5, 0.25)})]
    # Bounds that are binary fractions stay what they are when rounded to float32.
    assert values(blended(tables, [1, 1], clamp=[0.125, 0.875])) == [[0.6875, 0.3125, 0.25]]


def test_bounds_of_the_clamp_are_rounded_to_float32() -> None:
    # The author's files hold float32(0.001) and float32(0.999): clamped again, they stay.
    low, high = float(np.float32(0.001)), float(np.float32(0.999))
    table = predictions({"x": (0.0, 1.0, 0.5), "y": (low, high, 0.5)})
    assert values(blended([table], [1], clamp=[0.001, 0.999])) == [[low, high, 0.5]] * 2


def test_without_a_clamp_probabilities_stay_as_they_are() -> None:
    table = predictions({"x": (1.0, 0.0, 5e-324)})
    assert values(blended([table], [1])) == [[1.0, 0.0, 5e-324]]


@pytest.mark.parametrize("method", ["arithmetic", "geometric"])
def test_renormalised_rows_sum_to_one_and_keep_their_ratios(method: str) -> None:
    tables = random_tables(3)
    options = {"method": method, "clamp": [0.05, 0.9]}
    plain = np.array(values(blended(tables, [3, 2, 1], **options)))
    result = np.array(values(blended(tables, [3, 2, 1], **options, renormalise=True)))
    assert np.abs(plain.sum(axis=1) - 1).max() > 1e-3, "there must be something to fix"
    np.testing.assert_allclose(result.sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_allclose(result, plain / plain.sum(axis=1, keepdims=True), rtol=1e-15)


def test_rows_are_not_renormalised_when_the_settings_say_so() -> None:
    result = blended([predictions({"x": (0.5, 0.5, 0.5)})], [1], renormalise=False)
    assert values(result) == [[0.5, 0.5, 0.5]]


@pytest.mark.parametrize("method", ["arithmetic", "geometric"])
def test_member_of_weight_zero_is_ignored_also_with_zeros(method: str) -> None:
    tables = random_tables(2)
    nothing = predictions(dict.fromkeys(tables[0]["id"], (0.0, 0.0, 0.0)))
    expected = blended(tables, [3, 1], method=method)
    result = blended([tables[0], nothing, tables[1]], [3, 0, 1], method=method)
    pd.testing.assert_frame_equal(result, expected, check_exact=True)


def test_row_of_which_nothing_is_left_is_refused_by_name() -> None:
    tables = [predictions({"x": (0.5, 0.25, 0.25), "004217": (0.0, 0.0, 0.0)})]
    with pytest.raises(InputError, match="no probability is left") as caught:
        blended(tables, [1], renormalise=True)
    assert caught.value.details == ("004217",)
    assert "blend.clamp" in str(caught.value)


def test_rows_that_contradict_each_other_are_refused_under_a_geometric_mean() -> None:
    tables = [predictions({"x": (1.0, 0.0, 0.0)}), predictions({"x": (0.0, 0.5, 0.5)})]
    with pytest.raises(InputError, match="no probability is left") as caught:
        blended(tables, [1, 1], method="geometric", renormalise=True)
    assert caught.value.details == ("x",)
    # What the message advises helps.
    clamped = blended(tables, [1, 1], method="geometric", renormalise=True, clamp=[0.001, 0.999])
    assert sum(values(clamped)[0]) == pytest.approx(1)


@pytest.mark.parametrize(
    "weights", [[-1, 2], [float("nan"), 1], [float("inf"), 1], [float("-inf"), 1], [0, 0]]
)
def test_weights_that_give_no_mean_are_refused_with_their_values(weights: list[float]) -> None:
    with pytest.raises(InputError, match="blend weights") as caught:
        blended([predictions(ONE), predictions(TWO)], weights)
    assert str(weights) in str(caught.value)


def test_other_ids_are_refused_with_files_and_ids() -> None:
    first = predictions({"x": (1, 0, 0), "004217": (1, 0, 0)})
    second = predictions({"x": (1, 0, 0), "643083": (1, 0, 0)})
    with pytest.raises(InputError) as caught:
        blended([first, first, second], [1, 1, 1])
    assert "0.csv" in caught.value.what
    assert len(caught.value.details) == 2
    assert all(detail.startswith("2.csv:") for detail in caught.value.details)
    assert "lacks 004217" in caught.value.details[0]
    assert "643083" in caught.value.details[1]


@pytest.mark.parametrize("weights", [[1, 1], [1, 0]])
def test_missing_id_is_refused_also_for_weight_zero(weights: list[float]) -> None:
    with pytest.raises(InputError, match="lacks y"):
        blended([predictions(ONE), predictions({"x": (1, 0, 0)})], weights)


def test_many_other_ids_are_counted_and_not_all_listed() -> None:
    first = predictions({f"{number:06d}": (1, 0, 0) for number in range(600)})
    with pytest.raises(InputError) as caught:
        blended([first, first.iloc[:1]], [1, 1])
    assert "594 more" in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("classes", [("leaf", "stem", "sick"), ("leaf", "stem")])
def test_other_classes_are_refused_with_files_and_classes(classes: tuple[str, ...]) -> None:
    other = predictions({"x": tuple(0.25 for _ in classes)}, classes)
    with pytest.raises(InputError) as caught:
        blended([predictions({"x": (1, 0, 0)}), other], [1, 1])
    (detail,) = caught.value.details
    assert detail.startswith("1.csv:")
    assert ", ".join(classes) in detail
    assert ", ".join(CLASSES) in detail
