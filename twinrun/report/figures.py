"""The report's charts: matplotlib's SVG in the page's own colours, the same bytes every time."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from matplotlib.ticker import Locator

# Colours that stand for the page's variables, which differ in light and dark.
_INK, _MUTED, _LINE = "#010101", "#020202", "#030303"
_FIRST, _SECOND = "#040404", "#050505"
_VARIABLES = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _LINE: "var(--line)",
    _FIRST: "var(--first)",
    _SECOND: "var(--second)",
}
_STYLE: Any = {
    "axes.edgecolor": _LINE,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelcolor": _MUTED,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the layout asks no other font
    "font.size": 9,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _LINE,
    "xtick.major.size": 0,
    "xtick.labelcolor": _MUTED,
    "ytick.color": _LINE,
    "ytick.major.size": 0,
    "ytick.labelcolor": _MUTED,
}
# A few epochs are points; many are a line.
_POINTS = 12
# Inches: on a phone a picture is as wide as that, and its text nearly as large as the page's.
_WIDTH = 3.5


def learning_curves(name: str, title: str, histories: Sequence[pd.DataFrame]) -> Markup:
    """The losses of a member's trainings by epoch: training dashed, validation solid.

    Args:
        name: For ids within the page.
        title: What the picture shows, for who cannot see it.
        histories: history.csv of the member, or of each of its folds; columns epoch, phase,
            train_loss and valid_loss. Where the phase changes, a line is drawn.
    """
    with _style(name):
        figure = _figure(2.3)
        axes = figure.subplots()
        alpha = 1.0 if len(histories) == 1 else 0.65
        for history in histories:
            points = "o" if len(history) <= _POINTS else ""
            style: dict[str, Any] = {"marker": points, "markersize": 3.5, "alpha": alpha}
            axes.plot(
                history["epoch"], history["train_loss"], color=_SECOND, linestyle="--", **style
            )
            axes.plot(history["epoch"], history["valid_loss"], color=_FIRST, **style)
        for epoch in _changes(histories[0]):
            axes.axvline(epoch, color=_MUTED, linewidth=0.8, linestyle=":")
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss (nats)")
        axes.xaxis.set_major_locator(_whole_numbers())
        return _inline(figure, name, title)


def calibration_curve(name: str, title: str, bins: Sequence[Mapping[str, float]]) -> Markup:
    """Accuracy against confidence, and how many images there are at each confidence.

    Args:
        name: For ids within the page.
        title: What the picture shows, for who cannot see it.
        bins: From `judging.calibration`.
    """
    with _style(name):
        figure = _figure(4.0)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=_MUTED, linestyle=":", linewidth=1.2)
        confidence = [each["confidence"] for each in bins]
        upper.plot(
            confidence, [each["accuracy"] for each in bins], color=_FIRST, marker="o", markersize=5
        )
        upper.set_ylim(-0.03, 1.03)
        upper.set_ylabel("share that is right")
        lower.bar(
            [(each["low"] + each["high"]) / 2 for each in bins],
            [each["images"] for each in bins],
            width=[0.9 * (each["high"] - each["low"]) for each in bins],
            color=_SECOND,
        )
        lower.grid(visible=False)
        lower.set_xlim(0, 1.03)
        lower.set_xlabel("confidence")
        lower.set_ylabel("images")
        lower.yaxis.set_major_locator(_whole_numbers())
        return _inline(figure, name, title)


@contextmanager
def _style(name: str) -> Iterator[None]:
    """Matplotlib's own defaults and the page's style, whatever the user's matplotlibrc says."""
    # It would tell the terminal that it builds a cache of fonts.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE | {"svg.hashsalt": name})
        yield


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    # Not by pyplot: it keeps its figures, and asks for a screen.
    return Figure(figsize=(_WIDTH, height), layout="constrained")


def _whole_numbers() -> Locator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True)


def _changes(history: pd.DataFrame) -> list[float]:
    """Between which epochs the phase changes: 2.5 where the third is the first of a new one."""
    phases, epochs = history["phase"].tolist(), history["epoch"].tolist()
    pairs = zip(phases, phases[1:], epochs, strict=False)
    return [epoch + 0.5 for before, after, epoch in pairs if before != after]


def _inline(figure: Figure, name: str, title: str) -> Markup:
    """A figure as an <svg> element that can stand beside others in one page."""
    content = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(content, format="svg", metadata=metadata)
    svg = content.getvalue()
    svg = svg[svg.index("<svg") :]
    _, _, drawing = svg.partition(">")
    box = re.search(r'viewBox="([0-9. ]+)"', svg)
    assert box is not None
    for colour, variable in _VARIABLES.items():
        drawing = drawing.replace(colour, variable)
    # Every picture counts its parts from 1; within a page each name stands once.
    drawing = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', drawing)
    drawing = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", drawing)
    drawing = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', drawing)
    # A style within an <svg> would hold for the whole page; the page's own font is the text's.
    drawing = re.sub(r"<style.*?</style>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r" font-family: [^;\"]*;", "", drawing)
    head = Markup('<svg viewBox="{}" role="img" aria-label="{}">').format(box[1], title)
    return head + Markup(drawing)  # noqa: S704  (matplotlib's, of numbers and our own words)
