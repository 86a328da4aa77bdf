"""Cases of CSV files: submissions, samples, labels and predictions that others wrote."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

from tests.conftest import FIXTURE, SMALL
from tests.fuzz.draw import CELLS, NUMBERS, STRANGE, WORDS, damaged, pick
from twinrun.blend.hand_in import validate_file
from twinrun.cli.blend import _file_and_weight
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.data.index import build_index
from twinrun.scaffold.inspect import inspect
from twinrun.submit import blend_files

CLASSES = ("leaf_rust", "stem_rust", "healthy_wheat")
Rows = list[list[str]]
FORMS = ("classes", "classes", "classes", "label", "probability")


@cache
def _settings(config: Path, form: str, layout: str) -> Settings:
    changes = [f"submission.columns={form}", f"data.layout={layout}"]
    if form == "probability":
        changes.append('competition.classes=["leaf_rust", "stem_rust"]')
    return read_settings(config, changes=changes)


def prepare(folder: Path) -> None:
    """Write what the cases have in common: a competition of nine labelled and three test images."""
    data = folder / "data"
    for part in ("train", "test"):
        (data / part).mkdir(parents=True)
    for name in CLASSES:
        for image in sorted((FIXTURE / "train" / name).iterdir())[:3]:
            shutil.copyfile(image, data / "train" / f"{name[0]}{image.name}")
    for image in sorted((FIXTURE / "test").iterdir())[:3]:
        shutil.copyfile(image, data / "test" / image.name)
    _write(data / "sample_submission.csv", _of_tests(data, "0"))
    (folder / "competition.toml").write_text(SMALL.format(folder="data"), encoding="utf-8")


def _write(path: Path, rows: Rows) -> None:
    path.write_text("\n".join(map(",".join, rows)) + "\n", encoding="utf-8")


def _of_tests(data: Path, cell: str, column: str = "ID") -> Rows:
    ids = sorted(path.stem for path in (data / "test").iterdir())
    return [[column, *CLASSES], *([each, *[cell] * len(CLASSES)] for each in ids)]


class TableCase:
    """A CSV file that is damaged or holds odd cells, and who reads it.

    Args:
        draw: Of this case alone.
        shared: What `prepare` wrote; it stays as it is.
        place: An empty folder.
    """

    def __init__(self, draw: Random, shared: Path, place: Path) -> None:
        self.draw, self.shared, self.place = draw, shared, place
        self.data = shared / "data"
        kinds: tuple[Callable[[], None], ...] = (
            *(self._submission, self._submission, self._sample),
            *(self._labels, self._labels, self._predictions, self._predictions),
            self._new_project,
        )
        self.carry_out = draw.choice(kinds)
        self.form = draw.choice(FORMS)

    def _read(self, layout: str = "folders") -> Settings:
        return _settings(self.shared / "competition.toml", self.form, layout)

    def _submission(self) -> None:
        path = self._file("submission.csv", _of_tests(self.data, "0.3333333"))
        validate_file(path, self._read(), self.data / "sample_submission.csv")

    def _sample(self) -> None:
        path = self._file("sample.csv", _of_tests(self.data, "0"))
        own = self.place / "submission.csv"
        _write(own, _of_tests(self.data, "0.3333333"))
        validate_file(own, self._read(), path)

    def _predictions(self) -> None:
        path = self._file("a.csv", _of_tests(self.data, "0.3333333", "id"))
        other = self.place / "b.csv"
        _write(other, _of_tests(self.data, "0.25", "id"))
        weights = (pick(self.draw, NUMBERS, WORDS) if self.draw.random() < 0.3 else "1", "2.0")
        files = [
            _file_and_weight(f"{file}={weight}")
            for file, weight in zip((path, other), weights, strict=True)
        ]
        sample = self.draw.choice((None, self.data / "sample_submission.csv"))
        blend_files(files, self._read(), sample, self.place / "blend.csv")

    def _labels(self) -> None:
        data = self._own_data()
        changes = ["data.layout=table", f"data.folder={str(data)!r}"]
        if self.draw.random() < 0.2:
            changes.append("competition.classes=auto")
        build_index(read_settings(self.shared / "competition.toml", changes=changes))

    def _new_project(self) -> None:
        data = self._own_data()
        if self.draw.random() < 0.5:
            self._file("data/sample_submission.csv", _of_tests(self.data, "0"))
        inspect(data)

    def _own_data(self) -> Path:
        """A data folder with labels in a table of this case; the images are links."""
        data = self.place / "data"
        data.mkdir()
        for part in ("train", "test"):
            (data / part).symlink_to(self.data / part)
        shutil.copyfile(self.data / "sample_submission.csv", data / "sample_submission.csv")
        images = sorted((self.data / "train").iterdir())
        starts = {name[0]: name for name in CLASSES}
        rows = [["ID", "label"], *([each.stem, starts[each.name[0]]] for each in images)]
        self._file("data/labels.csv", rows)
        return data

    def _file(self, name: str, rows: Rows) -> Path:
        draw, path = self.draw, self.place / name
        rows = [list(row) for row in rows]
        for _ in range(draw.choice((0, 1, 1, 2, 4))):
            draw.choice((_cell, _cell, _cell, _name, _row, _column))(draw, rows)
        quoted = draw.random() < 0.1
        between = draw.choice((",",) * 12 + (";", "\t", ", ", "|"))
        text = "\n".join(
            between.join(_quoted(cell) if quoted else cell for cell in row) for row in rows
        )
        text += draw.choice(("\n", "\n", "", "\n\n", "\n,,\n"))
        path.write_bytes(
            damaged(draw, text) if draw.random() < 0.3 else text.encode("utf-8", "replace")
        )
        return path


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def _place(draw: Random, rows: Rows, first: int = 0) -> list[str] | None:
    row = draw.choice(rows[first:]) if len(rows) > first else None
    return row or None


def _cell(draw: Random, rows: Rows) -> None:
    row = _place(draw, rows, 1)
    if row:
        row[draw.randrange(len(row))] = pick(draw, CELLS, CELLS, NUMBERS, WORDS, STRANGE)


def _name(draw: Random, rows: Rows) -> None:
    """Another name of a column, that of another one too."""
    if rows and rows[0]:
        others = draw.choice((rows[0], WORDS, STRANGE, CELLS))
        rows[0][draw.randrange(len(rows[0]))] = draw.choice(others)


def _row(draw: Random, rows: Rows) -> None:
    """A row away, twice, in another place, longer or shorter; or nothing but the header."""
    if not rows:
        return
    row = rows.pop(draw.randrange(len(rows)))
    kind = draw.randrange(6)
    if kind == 0:
        del rows[draw.randrange(len(rows) + 1) :]
    for _ in range(kind % 3):
        rows.insert(draw.randrange(len(rows) + 1), list(row))
    if kind == 4 and rows:
        rows.append(row + [pick(draw, CELLS)] * draw.choice((1, 2, 500)))
    if kind == 5 and rows:
        rows.append(row[:1])


def _column(draw: Random, rows: Rows) -> None:
    """A column away, twice or in another place."""
    width = min(map(len, rows), default=0)
    if width:
        at, to = draw.randrange(width), draw.randrange(width)
        for row in rows:
            cell = row.pop(at)
            if draw.random() < 0.99:
                row.insert(to, cell)
