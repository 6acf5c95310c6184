"""Charts: named series of points, the same numbers for a CSV file and for a picture.

The CSV files are long tables that share their first columns, so that one template draws any of
them: `series`, `x`, `y`, `mark` (how the row is drawn) and the titles of the axes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[Any]
Curve = Literal["line", "step", "bins", "point", "area", "gap", "reference"]
Row = Literal["bar", "spread", "fold"]  # whose y is a name
Mark = Curve | Row | Literal["cell"]
Frame = Literal["free", "square", "unit"]  # square: both axes alike; unit: both from 0 to 1

CURVE_POINTS = 200  # what an eye can tell apart on a chart of this size
CURVES = 10  # of one picture; of more classes it shows the largest, while the CSV file has all
FEW = 10  # rows below which a share says little
WHOLE = {"cell"}  # a matrix with cells left out would be another matrix


@dataclass(frozen=True, slots=True)
class Series:
    """Points of shape (n_points,) under one name, drawn alike.

    `further` holds more columns of the same shape (`low` and `high` of an interval, `rows` that a
    point stands for). `told` follows the name in a legend.
    """

    name: str
    x: Array
    y: Array
    mark: Mark
    told: str = ""
    further: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture and one CSV file called `name`; `below` is a lower panel, of the picture only."""

    name: str
    title: str
    told: str
    x_title: str
    y_title: str
    series: tuple[Series, ...]
    frame: Frame = "free"
    below: "Chart | None" = None


def thinned(series: Series, most: int) -> Series:
    """Return the series with at most `most` points, evenly spaced in order, both ends included."""
    if len(series.x) <= most or series.mark in WHOLE:
        return series
    kept = np.linspace(0, len(series.x) - 1, most).round().astype(np.intp)
    return replace(
        series,
        x=series.x[kept],
        y=series.y[kept],
        further={name: column[kept] for name, column in series.further.items()},
    )


def outline(counts: Array, left: Array, right: Array) -> tuple[Array, Array]:
    """Return the x and y of a line around n bars, each from the ground and back: shape (4 * n,)."""
    ground = np.zeros(len(counts))
    x, y = np.array([left, left, right, right]), np.array([ground, counts, counts, ground])
    return x.T.ravel(), y.T.ravel()


def table(chart: Chart) -> pd.DataFrame:
    """Return the long table of a chart, at most CURVE_POINTS rows per series."""
    parts = []
    for series in (thinned(each, CURVE_POINTS) for each in chart.series):
        part = {"series": series.name, "x": series.x, "y": series.y, "mark": series.mark}
        part |= {"x_title": chart.x_title, "y_title": chart.y_title}
        parts.append(pd.DataFrame(part | dict(series.further)))
    return pd.concat(parts, ignore_index=True)


def csv(chart: Chart) -> bytes:
    """Return the table as CSV in UTF-8, six significant digits."""
    text = table(chart).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return text.encode()
