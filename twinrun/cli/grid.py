"""A table that is printed whole: no name in it is cut, on a narrow terminal or in a pipe."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.table import Table
from rich.text import Text

from twinrun.console import Terminal, console, styled

# The least width of a column of sentences.
_SENTENCES = 24
# A blank at which no line ends.
_FIXED = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Column:
    """A column of a grid.

    Attributes:
        heading: May be empty.
        right: Whether its cells are numbers, which end below each other.
        wraps: Whether its cells are sentences, which may go on in the next line. Of all other
            columns no cell is ever broken.
    """

    heading: str
    right: bool = False
    wraps: bool = False


@dataclass(frozen=True)
class _Row:
    cells: tuple[Text, ...]
    style: str


@dataclass
class Grid:
    """A table of cells, each a text or a line with styles in it.

    A column that is empty in every row is left out. Where a terminal is too narrow, each word of a
    heading gets a line of its own; where that does not help, the columns are dealt out to several
    tables, each with the keys in front; and where a single one is too wide beside the keys, the
    rows are written one below the other. A pipe has no width: there each row stays one line.

    Attributes:
        title: Above it.
        columns: In their order.
        keys: How many of them, from the left, say what a row is of.
        lines: Whether there is a line between rows.
    """

    title: str
    columns: Sequence[Column]
    keys: int = 1
    lines: bool = False
    _rows: list[_Row] = field(default_factory=list)
    _sections: set[int] = field(default_factory=set)

    def add_row(self, *cells: str | Text, style: str = "") -> None:
        """Add a row: a cell for each column; one with styles in it comes from `styled`."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        texts = (styled(cell) if isinstance(cell, str) else cell for cell in cells)
        self._rows.append(_Row(tuple(texts), style))

    def add_section(self) -> None:
        """Draw a line below the rows that there are by now."""
        self._sections.add(len(self._rows))

    def cells(self, heading: str) -> list[str]:
        """The cells of a column, without their styles."""
        (place,) = (n for n, column in enumerate(self.columns) if column.heading == heading)
        return [row.cells[place].plain for row in self._rows]

    @property
    def headings(self) -> list[str]:
        """Of the columns that are shown."""
        return [self.columns[place].heading for place in self._filled()]

    def print(self, to: Terminal = console) -> None:
        """Print it."""
        parts = self._parts(to)
        if not parts:
            for line in self._written(to.width):
                to.print(line, no_wrap=True, overflow="ignore", crop=False)
        for number, (places, stacked) in enumerate(parts):
            table = self._table(places, stacked=stacked, title="" if number else self.title)
            needed = self._needed(places, stacked=stacked)
            if needed > to.width:  # in a pipe
                table.width = needed
            to.print(table, crop=False)

    def _filled(self) -> list[int]:
        """The places of the columns in which something stands."""
        return [
            place
            for place in range(len(self.columns))
            if any(row.cells[place].plain for row in self._rows)
        ]

    def _parts(self, to: Terminal) -> list[tuple[list[int], bool]]:
        """Of each table that is printed its columns, and whether its headings are stacked.

        None at all where there is no table of these rows that is narrow enough.
        """
        places = self._filled()
        for stacked in (False, True):
            if not to.is_terminal or self._needed(places, stacked=stacked) <= to.width:
                return [(places, stacked)]
        keys = [place for place in places if place < self.keys]
        parts: list[list[int]] = []
        for place in places[len(keys) :]:
            if parts and self._needed([*parts[-1], place], stacked=True) <= to.width:
                parts[-1].append(place)
            elif self._needed([*keys, place], stacked=True) <= to.width:
                parts.append([*keys, place])
            else:
                return []
        return [(part, True) for part in parts]

    def _written(self, width: int) -> Iterator[str]:
        """The rows without a table: the keys in a line, then each value behind its heading."""
        yield self.title
        for row in self._rows:
            keys, told = list[str](), list[str]()
            for place in self._filled():
                column, text = self.columns[place], " ".join(row.cells[place].plain.split())
                if not text:
                    continue
                fixed = text if column.wraps else text.replace(" ", _FIXED)
                heading = column.heading.replace(" ", _FIXED)
                if place < self.keys:
                    keys.append(fixed)
                else:
                    told.append(f"{heading}{_FIXED}{fixed}" if heading else fixed)
            for indent, texts in (("", keys), ("  ", told)):
                lines = textwrap.wrap(
                    ", ".join(texts),
                    width,
                    initial_indent=indent,
                    subsequent_indent="  ",
                    break_long_words=False,
                    break_on_hyphens=False,
                )
                yield from (line.replace(_FIXED, " ") for line in lines)

    def _needed(self, places: Sequence[int], *, stacked: bool) -> int:
        """The width, lines included, in which the cells of these columns are whole."""
        total = 1
        for place in places:
            column = self.columns[place]
            texts = [row.cells[place] for row in self._rows]
            width = max(line.cell_len for text in texts for line in _lines(text))
            width = min(width, _SENTENCES) if column.wraps else width
            heading = _heading(column, stacked=stacked)
            total += 3 + max(width, *(line.cell_len for line in _lines(heading)))
        return total

    def _table(self, places: Sequence[int], *, stacked: bool, title: str) -> Table:
        table = Table(title=title or None, title_justify="left", show_lines=self.lines)
        for place in places:
            column = self.columns[place]
            table.add_column(
                _heading(column, stacked=stacked),
                justify="right" if column.right else "left",
                no_wrap=not column.wraps,
                overflow="fold",
            )
        for number, row in enumerate(self._rows, 1):
            cells = [row.cells[place] for place in places]
            table.add_row(*cells, style=row.style, end_section=number in self._sections)
        return table


def _heading(column: Column, *, stacked: bool) -> Text:
    words = column.heading.split() if stacked else [column.heading]
    return Text("\n").join(map(styled, words))


def _lines(text: Text) -> list[Text]:
    """The lines of a text; at least one."""
    return list(text.split("\n", allow_blank=True))
