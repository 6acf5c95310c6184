"""Charts → PNG pictures of one look, for a phone as for a page; the same chart, the same bytes.

Figures are made without pyplot, so that drawing leaves alone the backend, the open figures and the
settings of whoever imports this (a notebook, say).
"""

from io import BytesIO
from textwrap import fill

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import EngFormatter, MaxNLocator
from PIL import Image

from treeline.plots.charts import Chart
from treeline.plots.marks import BARS, FAINT, INK, MUTED, ROWS, mark, pens, shortened

DPI = 100
WIDTH, HEIGHT = 5.4, 4.4  # inches; 540 pixels, legible when a phone halves them
HEADER, LOWER, LINE, BAR = 0.66, 1.0, 0.2, 0.3  # inches of what a picture may hold
LEGEND_CHARACTERS, TITLE_CHARACTERS, HEADER_CHARACTERS = 62, 36, 70  # what fits side by side
SHADES_KEPT = 64  # of a palette: a third of the bytes, and no difference to be seen
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
    told = shortened(chart.told, HEADER_CHARACTERS)
    figure.text(0.02, 1 - 0.4 / height, told, va="top", fontsize=10, color=MUTED)


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
    reduced = picture.convert("RGB").quantize(SHADES_KEPT, dither=Image.Dither.NONE)
    reduced.save(drawn, format="PNG", optimize=True)
    return drawn.getvalue()
