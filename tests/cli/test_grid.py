"""Tables are whole at any width, and nothing in them is empty."""

from __future__ import annotations

import io

import pytest

from twinrun.cli.grid import Column, Grid
from twinrun.console import Terminal, styled

NAMES = ["densenet201", "tf_efficientnetv2_s.in21k_ft_in1k", "resnet18"]
SENTENCE = (
    "the first value that differs is in row 17: 0.25 then, 0.2500001 now, in column leaf_rust"
)


def terminal(width: int) -> Terminal:
    return Terminal(file=io.StringIO(), width=width, force_terminal=True, color_system=None)


def printed(grid: Grid, to: Terminal) -> str:
    grid.print(to)
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def grid_of(numbers: int, *, sentences: bool = False) -> Grid:
    columns = [Column("member"), Column("network"), Column("public score", right=True)]
    columns += [Column(f"score over {n} folds", right=True) for n in range(numbers)]
    columns += [Column("verdict", wraps=True)] * sentences
    grid = Grid("Members", columns)
    for number, name in enumerate(NAMES):
        cells = [f"0.{number}{n:02d}5 ± 0.1000" for n in range(numbers)]
        grid.add_row(f"M{number}", name, "", *cells, *[SENTENCE] * sentences)
    return grid


@pytest.mark.parametrize("sentences", [False, True])
@pytest.mark.parametrize("numbers", [0, 1, 3, 9])
@pytest.mark.parametrize("width", [60, 80, 120, None])
def test_every_name_and_number_stands_in_one_line(
    width: int | None, numbers: int, sentences: bool
) -> None:
    grid = grid_of(numbers, sentences=sentences)
    text = printed(grid, Terminal(file=io.StringIO()) if width is None else terminal(width))
    assert "…" not in text
    for heading in grid.headings:
        assert all(word in text for word in heading.split())
        if heading != "verdict":
            assert all(cell in text for cell in grid.cells(heading))
    assert max(map(len, text.splitlines())) <= (width or 1000)
    if sentences:
        assert all(word in text for word in SENTENCE.split())


def test_a_column_in_which_nothing_stands_is_left_out() -> None:
    grid = grid_of(1)
    assert grid.headings == ["member", "network", "score over 0 folds"]
    assert "public" not in printed(grid, terminal(80))
    grid.add_row("M9", "resnet18", "0.25", "0.5")
    assert "public score" in printed(grid, terminal(120))


def test_headings_are_stacked_before_columns_are_dealt_out() -> None:
    wide = printed(grid_of(1), terminal(120))
    assert "score over 0 folds" in wide
    grid = grid_of(2)
    narrow = printed(grid, terminal(82))
    assert (narrow.count("Members"), narrow.count("member")) == (1, 1)
    assert "score over" not in narrow
    split = printed(grid, terminal(60))
    # The keys stand in front of each part, the title above the first.
    assert split.count("Members") == 1
    assert split.count("M0") == split.count("member") > 1


def test_rows_that_fit_no_table_are_written_one_below_the_other() -> None:
    name, file = "a_member_with_a_name_of_many_letters_more", "weights.safetensors"
    columns = [*map(Column, ("member", "file", "it adds")), Column("verdict", wraps=True)]
    grid = Grid("Twins", columns, keys=2)
    grid.add_row(name, file, styled(("+0.1 ± 0.2", "green")), "same bits")
    grid.add_row(name, file, "", SENTENCE)
    text = printed(grid, terminal(60))
    head = [name + ",", f"  {file}"]
    told = "  it adds +0.1 ± 0.2, verdict same bits"
    assert text.splitlines()[:6] == ["Twins", *head, told, *head]
    assert " ".join(text.split()).endswith(f"verdict {SENTENCE}")
    assert max(map(len, text.splitlines())) <= 60


def test_in_a_pipe_each_row_is_one_line_however_long() -> None:
    text = printed(grid_of(9), Terminal(file=io.StringIO()))
    (row,) = (line for line in text.splitlines() if NAMES[1] in line)
    assert len(row) > 200
    assert row.count("±") == 9


def test_wide_characters_and_styles_take_the_room_that_they_are_shown_in() -> None:
    grid = Grid("x", [Column("class"), Column("", wraps=True)])
    grid.add_row("水稲の病気" * 3, styled(("differs", "bold red")))
    text = printed(grid, terminal(60))
    assert "水稲の病気" * 3 in text
    assert "differs" in text


def test_a_section_ends_with_a_line_and_a_row_has_a_cell_for_each_column() -> None:
    grid = Grid("x", [Column("a"), Column("b")])
    grid.add_row("1", "2")
    grid.add_section()
    grid.add_row("3", "4")
    assert "├" in printed(grid, terminal(60))
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        grid.add_row("5")
