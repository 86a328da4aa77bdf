"""An image's id and a class in one text, such as `004217_tabby_cat`: which of it is which."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from twinrun.errors import show

# (image, class)
Cell = tuple[str, str]

# What may stand between an id and a class; the usual ones first.
SEPARATORS = ("_", "-", ":", "/", "|", " ", ".", "#", "@", ",", ";", "~", "__", "--", "::", ", ")

# So many texts are looked at to see whether a way to take them apart can be the right one.
_LOOKED_AT = 100


@dataclass(frozen=True)
class Apart:
    """Texts taken apart.

    Attributes:
        cells: Image and class of each text; None where it is neither.
        problem: Why they cannot be told for certain; empty when they can.
    """

    cells: list[Cell | None]
    problem: str = ""


@dataclass(frozen=True)
class _Way:
    """How id and class are joined."""

    separator: str
    class_first: bool

    def join(self, image: str, label: str) -> str:
        first, last = (label, image) if self.class_first else (image, label)
        return f"{first}{self.separator}{last}"

    def image_of(self, text: str, label: str) -> str:
        """What is left of a text without a class; empty where it is not of this class."""
        if self.class_first:
            mark = label + self.separator
            return text[len(mark) :] if text.startswith(mark) else ""
        mark = self.separator + label
        return text[: -len(mark)] if text.endswith(mark) else ""


@dataclass(frozen=True)
class _Reading:
    cells: dict[str, Cell]
    lacking: int  # how many texts are of no class, or would have to be there

    @property
    def images(self) -> set[str]:
        return {image for image, _ in self.cells.values()}


def take_apart(
    texts: Sequence[str], classes: Sequence[str], known: Collection[str] | None = None
) -> Apart:
    """Tell ids and classes in texts that hold both.

    Ids and classes may themselves hold what separates them: an image is one that has a text for
    each of the classes.

    Args:
        texts: A text per image and class, in any order.
        classes: All of them.
        known: The ids that there are, where they are known.
    """
    readings = [_read(texts, classes, way) for way in _possible(texts, classes)]
    best = min((each.lacking for each in readings), default=0)
    readings = [each for each in readings if each.lacking == best]
    if known is not None:
        there = set(known)
        fitting = [each for each in readings if each.images <= there]
        # Where none fits, the one that names most: what it lacks is told by whoever compares ids.
        most = max(readings, key=lambda each: len(each.images & there), default=None)
        readings = fitting or ([most] if most is not None else [])
    if not readings:
        return Apart([None] * len(texts))
    first = readings[0].cells
    for other in readings[1:] if not best else ():
        for text, cell in first.items():
            image, label = other.cells[text]
            # Where the ids are not known it is no matter whether `x_` is one, or `x` before `__`.
            if label != cell[1] or (known is not None and image != cell[0]):
                problem = f"{text}: {_words(cell)}, or {_words((image, label))}?"
                return Apart([None] * len(texts), problem)
    return Apart([first.get(text) for text in texts])


def may_be_of(texts: Collection[str], images: Collection[str]) -> set[str]:
    """The images whose ids some of the texts begin or end with, before or after a separator.

    Args:
        texts: An id and a class each; the classes are not known.
        images: The names that ids may be.
    """
    found: set[str] = set()
    for text in texts:
        for separator in SEPARATORS:
            place = text.find(separator)
            while place >= 0:
                ends = (text[:place], text[place + len(separator) :])
                found.update(each for each in ends if each in images)
                place = text.find(separator, place + 1)
    return found


def _possible(texts: Sequence[str], classes: Sequence[str]) -> Iterator[_Way]:
    """The ways in which most of some texts can be taken apart."""
    some = texts[:: max(1, len(texts) // _LOOKED_AT)]
    for class_first, separator in product((False, True), SEPARATORS):
        way = _Way(separator, class_first)
        read = sum(any(way.image_of(text, label) for label in classes) for text in some)
        if 2 * read > len(some):
            yield way


def _read(texts: Sequence[str], classes: Sequence[str], way: _Way) -> _Reading:
    """Texts taken apart in one way.

    Of the shortest text that is left the class is the shortest that it can be of, if the texts are
    whole: were it a longer one, the image's text of the shortest class would be shorter still.
    """
    left = dict.fromkeys(texts)
    cells: dict[str, Cell] = {}
    lacking = 0
    by_length = sorted(classes, key=len)
    for text in sorted(left, key=len):
        if text in cells:
            continue
        images = [image for label in by_length if (image := way.image_of(text, label))]
        if not images:
            lacking += 1
            continue
        wholes = [{way.join(image, label): label for label in classes} for image in images]
        counts = [sum(each in left and each not in cells for each in whole) for whole in wholes]
        chosen = counts.index(max(counts))
        lacking += len(classes) - counts[chosen]
        for each, label in wholes[chosen].items():
            if each in left and each not in cells:
                cells[each] = (images[chosen], label)
    return _Reading(cells, lacking)


def _words(cell: Cell) -> str:
    image, label = cell
    return f"image {show(image)} and class {show(label)}"
