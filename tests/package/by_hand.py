"""The submission of a package, computed by what its README says and by nothing of the engine."""

from __future__ import annotations

import csv
import html
import math
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

Row = list[float]
Rows = dict[str, Row]
Answers = dict[str, Row | str]


@dataclass
class Desk:
    """What lies before somebody who follows the steps: each takes some and puts some back.

    Attributes:
        run: The package's run/.
        weights: Of each member, from the README's table.
        members: Of each member its row of probabilities by image.
        rows: The blend's.
        answers: Of each image what the submission is to hold, classes in the README's order.
    """

    run: Path
    weights: dict[str, float]
    members: dict[str, Rows] = field(default_factory=dict)
    rows: Rows = field(default_factory=dict)
    answers: Answers = field(default_factory=dict)


def by_hand(page: str, run: Path) -> Answers:
    """The answers by image, made of the members' files by what the page says and nothing else.

    Raises:
        ValueError: A step is in words that nobody knows how to follow, or is not what was done to
            a member's folds.
    """
    desk = Desk(run, dict(told_weights(page)))
    for step in told_steps(page):
        follow(step, desk)
    return desk.answers


def told_weights(page: str) -> Iterator[tuple[str, float]]:
    """The members and their weights, from the table whose third column is an image size."""
    table = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    place = table[0].index("weight")
    for name, *cells in table:
        if cells[1:2] and cells[1].endswith(" px"):
            yield plain(name.removeprefix("| ")), float(cells[place - 1])


def told_steps(page: str) -> list[str]:
    _, _, section = page.partition("## How the submission is made\n")
    section, _, _ = section.partition("\n## ")
    return [plain(step) for step in re.findall(r"^\d+\. (.*)$", section, re.MULTILINE)]


def follow(step: str, desk: Desk) -> None:
    for words, do in STEPS.items():
        if found := re.search(words, step):
            do(desk, *found.groups())
            return
    raise ValueError(f"nobody knows how to do that by hand: {step}")


def plain(text: str) -> str:
    """Markdown as a reader sees it."""
    return html.unescape(re.sub(r"\\(.)", r"\1", text))


def float32(value: float) -> float:
    (found,) = struct.unpack("f", struct.pack("f", value))
    return float(found)


def read_rows(path: Path) -> Rows:
    with path.open(newline="") as lines:
        _, *rows = csv.reader(lines)
    return {row[0]: [float(value) for value in row[1:]] for row in rows}


def columns(rows: Iterable[Row]) -> Iterator[tuple[float, ...]]:
    return zip(*rows, strict=True)


def read_members(desk: Desk, file: str) -> None:
    desk.members = {name: read_rows(desk.run / file.replace("NAME", name)) for name in desk.weights}


def compare_with_folds(desk: Desk, name: str, count: str) -> None:
    member = desk.run / "members" / name
    folds = [read_rows(member / f"fold-{fold + 1}" / "test.csv") for fold in range(int(count))]
    for image, row in desk.members[name].items():
        values = columns(fold[image] for fold in folds)
        means = [float32(sum(map(float32, column)) / len(folds)) for column in values]
        if means != [float32(value) for value in row]:
            raise ValueError(f"{name}, {image}: not the mean of the folds")


def see_again(_desk: Desk) -> None:
    """How often the network sees an image is in the member's files already."""


def clamp(desk: Desk, least: str, most: str) -> None:
    low, high = float32(float(least)), float32(float(most))
    for rows in desk.members.values():
        for image, row in rows.items():
            rows[image] = [min(max(value, low), high) for value in row]


MEANS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "the sum of w p, divided by the sum of w": (float, float),
    "exp of the sum of w log p, divided by the sum of w": (math.log, math.exp),
}


def mean(desk: Desk, formula: str) -> None:
    there, back = MEANS[formula]
    weights = list(desk.weights.values())
    for image in next(iter(desk.members.values())):
        values = columns(desk.members[name][image] for name in desk.weights)
        sums = [sum(w * there(p) for w, p in zip(weights, each, strict=True)) for each in values]
        desk.rows[image] = [back(each / sum(weights)) for each in sums]


def divide(desk: Desk) -> None:
    for image, row in desk.rows.items():
        desk.rows[image] = [value / sum(row) for value in row]


def apply_temperature(desk: Desk, temperature: str, least: str) -> None:
    for image, row in desk.rows.items():
        desk.rows[image] = [max(value, float(least)) ** (1 / float(temperature)) for value in row]
    divide(desk)


def give_copies_one_answer(desk: Desk, column: str, file: str) -> None:
    index = pd.read_parquet(desk.run / file)
    for ids in index[index["part"] == "test"].groupby(column)["id"].apply(list):
        values = columns(desk.rows[image] for image in ids)
        answer = [sum(each) / len(ids) for each in values]
        for image in ids:
            desk.rows[image] = answer


def add_unseen(desk: Desk, names: str) -> None:
    for image, row in desk.rows.items():
        desk.rows[image] = [*row, *[0.0] * len(names.split(", "))]


def write_probabilities(desk: Desk) -> None:
    desk.answers = dict(desk.rows)


def write_likeliest(desk: Desk, names: str) -> None:
    classes = names.split(", ")
    desk.answers = {image: classes[row.index(max(row))] for image, row in desk.rows.items()}


def write_last(desk: Desk, _name: str) -> None:
    desk.answers = {image: row[-1:] for image, row in desk.rows.items()}


STEPS: dict[str, Callable[..., None]] = {
    r"^Each member's network .*: run/(members/NAME/test\.csv)\.$": read_members,
    r"^(\S+) is (\d+) networks, .* the arithmetic mean of those of fold-1 to fold-\2 in its "
    r"folder, read and written as float32\.$": compare_with_folds,
    r"^\S+ sees each image .*; the \w+ mean of the probabilities is taken": see_again,
    r"^Every .* at least (\S+) and at most (\S+), as float32 has": clamp,
    r"mean is taken with the weights above: (.*), over the members": mean,
    r"^Each row is divided by its sum\.$": divide,
    r"the power of 1 / (\S+) \(one below (\S+) counts as that\), and each row is divided by its "
    r"sum\.$": apply_temperature,
    r"the same text in the column (\S+) of run/(\S+), get one answer": give_copies_one_answer,
    r"^No training image is of (.*): the probability of each of these is 0, after": add_unseen,
    r"^run/submission\.csv holds of each image (?:a probability per class|a row per class with "
    r"(?:its name|id and class in one text) and its probability), joined": write_probabilities,
    r"^run/submission\.csv holds of each image the likeliest class, joined .* classes is (.*); of "
    r"equally likely ones the first": write_likeliest,
    r"^run/submission\.csv holds of each image the probability of (.+), joined .* classes is "
    r"(?:.*, )?\1; of": write_last,
}
"""How each step is followed, by its words; what a group of them holds is handed over."""
