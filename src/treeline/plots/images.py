"""Charts → PNG pictures of one look, for a phone as for a page; the same chart, the same bytes.

Figures are made without pyplot, so that drawing leaves alone the backend, the open figures and the
settings of whoever imports this (a notebook, say).
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from math import isqrt
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import EngFormatter, MaxNLocator
from PIL import Image

from treeline.plots.charts import CURVES, FEW, Chart, Mark, Series, thinned

# Told apart by every kind of colour vision (Okabe & Ito 2008). Dashes tell apart what is left where
# there are more classes than colours, and let a curve show through one that covers it.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2.5)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
INK, MUTED, FAINT = "#222222", "#666666", "#DDDDDD"
GREY: dict[Mark, str] = {"reference": MUTED, "gap": INK}
SHADES = LinearSegmentedColormap.from_list("shares", ["#FFFFFF", COLOURS[0]])

DOTS = 2000  # more only make a darker cloud
BARS = 15
LONGEST = 22  # characters of a name
LONG = 30  # where nothing else stands beside it
ROWS = ("bar", "spread", "fold")  # marks that stand in rows, each with a name
LINE_CHARACTERS = 40  # what fits side by side under a matrix
CELLS_WITH_TEXT = 12  # classes
DARK = 0.55  # a share from which white text is the legible one


@dataclass(frozen=True, slots=True)
class Pen:
    """What distinguishes one series from the others."""

    colour: str
    dashes: Any
    label: str


def pens(chart: Chart) -> list[tuple[Series, Pen]]:
    """Return what to draw of a chart, and how; marks for reference are grey and come last."""
    curves = [each for each in chart.series if each.mark not in GREY]
    drawn = []
    for place, each in enumerate(curves[:CURVES]):
        colour, dashes = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
        drawn.append((each, Pen(colour, dashes, _label(each))))
    for each in chart.series:
        if each.mark in GREY:
            drawn.append((each, Pen(GREY[each.mark], (0, (4, 2)), _label(each))))
    return drawn


def mark(axes: Axes, series: Series, pen: Pen) -> None:
    """Draw one series."""
    MARKS[series.mark](axes, thinned(series, DOTS), pen)


def shortened(text: str, most: int = LONGEST) -> str:
    """Return a text of at most `most` characters, its end kept, where names often differ."""
    tail = most // 3
    return text if len(text) <= most else f"{text[: most - tail - 1]}…{text[-tail:]}"


def _label(series: Series) -> str:
    name = shortened(series.name)
    return f"{name}: {series.note}" if series.note else name


def _line(axes: Axes, series: Series, pen: Pen) -> None:
    axes.plot(series.x, series.y, color=pen.colour, ls=pen.dashes, label=pen.label)


def _step(axes: Axes, series: Series, pen: Pen) -> None:
    axes.step(series.x, series.y, where="post", color=pen.colour, ls=pen.dashes, label=pen.label)


def _reference(axes: Axes, series: Series, pen: Pen) -> None:
    axes.plot(
        series.x, series.y, color=pen.colour, ls=pen.dashes, lw=1.2, label=pen.label, zorder=1.9
    )


def _gap(axes: Axes, series: Series, pen: Pen) -> None:
    axes.plot(series.x, series.y, color=pen.colour, lw=1.6, marker="_", ms=10, label=pen.label)


def _point(axes: Axes, series: Series, pen: Pen) -> None:
    see_through = float(np.clip(200 / len(series.x), 0.15, 0.6))
    axes.scatter(
        series.x, series.y, s=26, color=pen.colour, alpha=see_through, lw=0, label=pen.label
    )


def _area(axes: Axes, series: Series, pen: Pen) -> None:
    axes.fill_between(series.x, series.y, color=pen.colour, alpha=0.25, lw=0)
    axes.plot(series.x, series.y, color=pen.colour, lw=1.2, label=pen.label)


def _bins(axes: Axes, series: Series, pen: Pen) -> None:
    low, high = series.further["low"], series.further["high"]
    axes.vlines(series.x, low, high, color=pen.colour, lw=1.2, alpha=0.5)
    axes.plot(series.x, series.y, color=pen.colour, ls=pen.dashes, lw=1.4, label=pen.label)
    for few, face in ((True, "white"), (False, pen.colour)):
        of = (series.further["rows"] < FEW) == few
        axes.scatter(series.x[of], series.y[of], s=40, color=face, ec=pen.colour, lw=1.4, zorder=3)


def _bar(axes: Axes, series: Series, pen: Pen) -> None:
    losses, deviation = series.x[:BARS], series.further["deviation"][:BARS]
    places = np.arange(len(losses))
    whisker = {"ecolor": INK, "elinewidth": 1.2, "capsize": 3}
    axes.barh(places, losses, xerr=deviation, color=pen.colour, height=0.7, error_kw=whisker)
    axes.axvline(0, color=MUTED, lw=0.8)
    axes.set_yticks(places, [shortened(str(name)) for name in series.y[:BARS]])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")


def _spread(axes: Axes, series: Series, pen: Pen) -> None:
    names = [shortened(str(name), LONG) for name in series.y]
    spread, colour = series.further["deviation"], pen.colour
    axes.hlines(names, series.x - spread, series.x + spread, color=colour, lw=2, zorder=3)
    axes.scatter(series.x, names, s=50, color=colour, label=pen.label, zorder=3)
    axes.tick_params(axis="y", labelsize=10)
    axes.set_ylim(max(axes.get_ylim()[0], len(names) - 0.5), -0.5)


def _fold(axes: Axes, series: Series, pen: Pen) -> None:
    names = [shortened(str(name), LONG) for name in series.y]
    axes.scatter(series.x, names, s=16, color=INK, alpha=0.6, lw=0, label=pen.label, zorder=4)


def _cell(axes: Axes, series: Series, _: Pen) -> None:
    names = series.x[: isqrt(len(series.x))]
    shape = (len(names), len(names))
    rows, shares = (series.further[key].reshape(shape) for key in ("rows", "share"))
    axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1)
    labels = [shortened(str(name)) for name in names]
    crowded = len(names) * max(map(len, labels)) > LINE_CHARACTERS
    axes.set_xticks(range(len(names)), labels, rotation=90 if crowded else 0)
    axes.set_yticks(range(len(names)), labels)
    axes.tick_params(length=0, labelsize=float(np.clip(190 / len(names), 5, 11)))
    axes.grid(visible=False)
    between, ends = np.arange(1, len(names)) - 0.5, (-0.5, len(names) - 0.5)
    axes.hlines(between, *ends, color=FAINT, lw=0.8)
    axes.vlines(between, *ends, color=FAINT, lw=0.8)
    if len(names) > CELLS_WITH_TEXT:
        return
    size = float(np.clip(44 / len(names), 8, 14))
    for (actual, predicted), count in np.ndenumerate(rows):
        share = shares[actual, predicted]
        text = f"{count:,}\n{share:.0%}" if count else "0"
        ink = "white" if share > DARK else INK
        axes.text(predicted, actual, text, ha="center", va="center", color=ink, fontsize=size)


MARKS: dict[Mark, Callable[[Axes, Series, Pen], None]] = {
    "line": _line,
    "step": _step,
    "bins": _bins,
    "point": _point,
    "area": _area,
    "gap": _gap,
    "reference": _reference,
    "bar": _bar,
    "spread": _spread,
    "fold": _fold,
    "cell": _cell,
}


DPI = 100
WIDTH, HEIGHT = 5.4, 4.4  # inches; 540 pixels, legible when a phone halves them
HEADER, LOWER, LINE, BAR = 0.66, 1.0, 0.2, 0.3  # inches of what a picture may hold
LEGEND_CHARACTERS, TITLE_CHARACTERS, HEADER_CHARACTERS = 62, 36, 70  # what fits side by side
PALETTE_SHADES = 64  # of a palette: a third of the bytes, and no difference to be seen
MANY = 10_000  # from here on an axis says 10k and 2M
MARGIN = 0.02  # room around a frame from 0 to 1, lest lines on its edge be cut

LOOK = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 12,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "legend.fontsize": 10.5,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "text.color": INK,
    "text.parse_math": False,  # a feature may be called "price ($) per ($)"
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


def png(chart: Chart) -> bytes:
    """Return the picture of a chart, WIDTH inches wide at DPI."""
    with style.context(["default", LOOK]):
        figure = _figure(_height(chart))
        if chart.below is None:
            upper = figure.add_subplot()
        else:
            upper, lower = figure.subplots(2, sharex=True, height_ratios=[3, 1])
            _panel(lower, chart.below)
        _panel(upper, chart)
        if chart.below is not None:
            upper.set_xlabel("")
        _header(figure, chart)
        _legend(figure, upper)
        drawn = BytesIO()
        figure.savefig(drawn, format="rgba")
    size = figure.canvas.get_width_height()
    return _compressed(Image.frombytes("RGBA", size, drawn.getvalue()))


def _figure(height: float) -> Figure:
    """Return an empty figure, `height` in inches, with room kept for its header."""
    room = (0, 0, 1, 1 - HEADER / height)
    layout = ConstrainedLayoutEngine(rect=room, w_pad=0.08, h_pad=0.06)
    return Figure(figsize=(WIDTH, height), dpi=DPI, layout=layout)


def _height(chart: Chart) -> float:
    first = chart.series[0]
    if first.mark in ROWS:
        legend = LINE if len(chart.series) > 1 else 0
        return HEADER + LOWER + BAR * min(len(first.x), BARS) + legend
    if first.mark == "cell":
        return HEIGHT
    labels = [pen.label for _, pen in pens(chart)]
    lines = -(-len(labels) // _columns(labels))
    return HEIGHT + LINE * lines + (LOWER if chart.below else 0)


def _panel(axes: Axes, chart: Chart) -> None:
    for series, pen in pens(chart):
        mark(axes, series, pen)
    if chart.series[0].mark not in ROWS:  # there the names speak for themselves
        axes.set_ylabel(_wrapped(chart.y_title))
    axes.set_xlabel(_wrapped(chart.x_title))
    if chart.y_title == "rows":
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, steps=[1, 2, 5, 10]))
        axes.set_ylim(bottom=0)
    if chart.frame == "unit":
        axes.set(xlim=(-MARGIN, 1 + MARGIN), ylim=(-MARGIN, 1 + MARGIN))
    elif chart.frame == "square":
        axes.axis("square")
    for axis in (axes.xaxis, axes.yaxis):
        if np.abs(axis.get_view_interval()).max() >= MANY:
            axis.set_major_formatter(EngFormatter(sep=""))


def _header(figure: Figure, chart: Chart) -> None:
    height = figure.get_figheight()
    figure.text(0.02, 1 - 0.1 / height, chart.title, va="top", fontsize=14, fontweight="bold")
    note = shortened(chart.note, HEADER_CHARACTERS)
    figure.text(0.02, 1 - 0.4 / height, note, va="top", fontsize=10, color=MUTED)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        columns = _columns(labels)
        legend = figure.legend(
            handles, labels, loc="outside lower center", ncols=columns, labelspacing=0.3
        )
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1)  # a dot that is see-through in a crowd is not so by itself


def _wrapped(title: str) -> str:
    """Return the title of an axis in two lines at most."""
    return fill(shortened(title, 2 * TITLE_CHARACTERS - 8), TITLE_CHARACTERS)


def _columns(labels: list[str]) -> int:
    """Return how many labels stand side by side: as many as fit, the lines about equally long.

    Six characters go to a handle and the gap.
    """
    fitting = max(1, min(3, LEGEND_CHARACTERS // (6 + max(map(len, labels)))))
    lines = -(-len(labels) // fitting)
    return -(-len(labels) // lines)


def _compressed(picture: Image.Image) -> bytes:
    """Return a picture as PNG without metadata."""
    drawn = BytesIO()
    reduced = picture.convert("RGB").quantize(PALETTE_SHADES, dither=Image.Dither.NONE)
    reduced.save(drawn, format="PNG", optimize=True)
    return drawn.getvalue()
