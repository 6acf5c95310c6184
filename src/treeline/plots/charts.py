"""Truth + predictions → charts: named series of points, the same for a CSV and for a picture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as library
from sklearn.calibration import calibration_curve

from treeline.artifact import Prediction
from treeline.contract.features import Target, labels
from treeline.contract.texts import text_of
from treeline.records.evaluation import Importance
from treeline.records.training import Training

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
    point stands for). `note` follows the name in a legend.
    """

    name: str
    x: Array
    y: Array
    mark: Mark
    note: str = ""
    further: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture and one CSV file called `name`; `below` is a lower panel, of the picture only."""

    name: str
    title: str
    note: str
    x_title: str
    y_title: str
    series: tuple[Series, ...]
    frame: Frame = "free"
    below: "Chart | None" = None


def thinned(series: Series, most: int) -> Series:
    """Return the series with at most `most` points, evenly spaced in order, both ends included."""
    if len(series.x) <= most or series.mark in WHOLE:
        return series
    positions = np.linspace(0, len(series.x) - 1, most).round().astype(np.intp)
    return replace(
        series,
        x=series.x[positions],
        y=series.y[positions],
        further={name: column[positions] for name, column in series.further.items()},
    )


def outline(counts: Array, left: Array, right: Array) -> tuple[Array, Array]:
    """Return the x and y of a line around n bars, each from the ground and back: shape (4 * n,)."""
    ground = np.zeros(len(counts))
    x, y = np.array([left, left, right, right]), np.array([ground, counts, counts, ground])
    return x.T.ravel(), y.T.ravel()


def table(chart: Chart) -> pd.DataFrame:
    """Return the long table of a chart, at most CURVE_POINTS rows per series.

    Shape (n_points, n_columns): the series, the axes and what a series has besides.
    """
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


@dataclass(frozen=True, slots=True)
class Judged:
    """A model's prediction for n_rows test rows, in row order.

    `truth` is integer codes of shape (n_rows,) that index `classes`, or without classes float
    values in the unit of the target. `importances` are the entries `{feature, loss, deviation}`,
    largest loss first, in the unit of `metric`. `training` is the record of the train stage, where
    there is one.
    """

    target: Target
    classes: Sequence[Any]
    truth: NDArray[Any]
    prediction: Prediction
    importances: Sequence[Importance]
    metric: str
    training: Training | None = None

    @property
    def rows(self) -> str:
        """The number of rows, in words."""
        return f"{len(self.truth):,} test row{'' if len(self.truth) == 1 else 's'}"

    @property
    def names(self) -> list[str]:
        """The classes as shown."""
        return [text_of(value) for value in labels(self.classes)]

    @property
    def full_names(self) -> list[str]:
        """The classes as shown where nothing else tells that 1 is a class of which target."""
        if self.target.task == "binary":
            return [f"{self.target.name} = {name}" for name in self.names]
        return self.names

    def axis(self, quantity: str) -> str:
        """Return the title of an axis that shows a quantity in the unit of the target."""
        return f"{quantity} ({self.target.unit})" if self.target.unit else quantity


SHARES = np.array([0.0, 1.0])
FEW_FOR_TEN_BINS = 200  # below, ten bins of scores would hold next to nothing


@dataclass(frozen=True, slots=True)
class Side:
    """One class against the rest: `hit` is bool and `score` float64 in [0, 1], shape (n_rows,)."""

    name: str
    hit: Array
    score: Array


def classification_charts(judged: Judged) -> Iterator[Chart]:
    """Yield what can be drawn; without scores that is the confusion matrix alone."""
    sides = list(_sides(judged))
    if len(sides) > CURVES:
        sides.sort(key=lambda side: -int(side.hit.sum()))
    if sides:
        yield roc(judged, sides)
        yield precision_recall(judged, sides)
        yield calibration(judged, sides)
        if judged.target.task == "binary":
            yield score_distribution(judged, sides[0])
    yield confusion(judged)


def roc(judged: Judged, sides: list[Side]) -> Chart:
    """Receiver operating characteristic: the share of a class found, over that of false alarms."""
    series = []
    for side in sides:
        false_alarms, recall, _ = library.roc_curve(side.hit, side.score)
        area = library.auc(false_alarms, recall)
        series.append(Series(side.name, false_alarms, recall, "line", note=f"AUC {area:.3f}"))
    series.append(Series("chance", SHARES, SHARES, "reference"))
    x_title, y_title = "false positive rate", "true positive rate"
    return Chart("roc", "ROC curve", _of(judged, sides), x_title, y_title, tuple(series), "unit")


def precision_recall(judged: Judged, sides: list[Side]) -> Chart:
    """Precision at every recall, in steps; chance is the share of the class."""
    series = []
    for side in sides:
        precision, recall, _ = library.precision_recall_curve(side.hit, side.score)
        mean, chance = library.average_precision_score(side.hit, side.score), side.hit.mean()
        note = f"AP {mean:.3f} (chance {chance:.3f})"
        series.append(Series(side.name, recall, precision, "step", note=note))
        if judged.target.task == "binary":
            series.append(Series("chance", SHARES, np.full(2, chance), "reference"))
    note, title = _of(judged, sides), "Precision and recall"
    return Chart("precision_recall", title, note, "recall", "precision", tuple(series), "unit")


def calibration(judged: Judged, sides: list[Side]) -> Chart:
    """Reliability diagram: how often a class came true among rows of about the same score.

    Each bin has the rows it rests on and a 95 % interval (Wilson 1927), wide where they are few.
    """
    bins = 10 if len(judged.truth) >= FEW_FOR_TEN_BINS else 5
    series, counts = [], []
    for place, side in enumerate(sides):
        share, score = calibration_curve(side.hit, side.score, n_bins=bins)
        rows, hits = _per_bin(side, bins)
        filled = rows > 0
        ends = [
            stats.binomtest(int(k), int(n)).proportion_ci(0.95, method="wilson")
            for k, n in zip(hits[filled], rows[filled], strict=True)
        ]
        low, high = np.array(ends).T
        further = {"low": low, "high": high, "rows": rows[filled]}
        series.append(Series(side.name, score, share, "bins", further=further))
        width = 1 / min(len(sides), CURVES) / bins
        left = np.arange(bins) / bins + place * width  # side by side within each bin
        bars = outline(rows, left, left + width)
        counts.append(Series(side.name, *bars, "area"))
    series.append(Series("perfect", SHARES, SHARES, "reference"))
    note = f"{judged.rows}; lines: 95 % intervals; hollow: fewer than {FEW} rows"
    score_title, share_title = "predicted probability", "share that came true"
    below = Chart("", "", "", score_title, "rows", tuple(counts))
    return Chart(
        "calibration", "Calibration", note, score_title, share_title, tuple(series), "unit", below
    )


def score_distribution(judged: Judged, side: Side) -> Chart:
    """Cumulative distributions of the positive class's score in either class; their widest gap."""
    series, reached = [], []
    for name, hit in zip(judged.full_names, (False, True), strict=True):
        scores = side.score[side.hit == hit]
        shares = stats.ecdf(scores).cdf
        x = np.concatenate([[0], shares.quantiles, [1]])
        y = np.concatenate([[0], shares.probabilities, [1]])
        series.append(Series(name, x, y, "step", note=f"{len(scores):,} rows"))
        reached.append(shares.evaluate(side.score))
    gaps = np.abs(reached[1] - reached[0])
    widest = int(gaps.argmax())
    at, ends = side.score[[widest, widest]], np.array(reached)[:, widest]
    note = f"{gaps[widest]:.3f} at {at[0]:.3f}"
    series.append(Series("widest gap (KS)", at, ends, "gap", note=note))
    title, x_title = "Scores by class", f"probability given to {side.name}"
    y_title = "share of rows with at most that"
    return Chart("score_distribution", title, judged.rows, x_title, y_title, tuple(series), "unit")


def confusion(judged: Judged) -> Chart:
    """Every pair of actual and predicted class: rows, and their share of the actual class."""
    codes = np.arange(len(judged.names))
    counts = library.confusion_matrix(judged.truth, judged.prediction.labels, labels=codes)
    shares = library.confusion_matrix(
        judged.truth, judged.prediction.labels, labels=codes, normalize="true"
    )
    actual, predicted = (np.array(judged.names)[axis.ravel()] for axis in np.indices(counts.shape))
    further = {"rows": counts.ravel(), "share": shares.ravel()}
    note = f"{judged.rows}, {np.trace(counts):,} right; shares are of the actual class"
    cells = Series("confusion", predicted, actual, "cell", further=further)
    x_title, y_title = (f"{word} {judged.target.name}" for word in ("predicted", "actual"))
    return Chart("confusion", "Confusion matrix", note, x_title, y_title, (cells,))


def _sides(judged: Judged) -> Iterator[Side]:
    scores = judged.prediction.scores
    if scores is None:
        return
    for code, name in enumerate(judged.full_names):
        hit = judged.truth == code
        mirrored = judged.target.task == "binary" and code == 0
        if hit.any() and not hit.all() and not mirrored:
            # float32 and one-against-rest schemes can leave [0, 1] by a rounding
            yield Side(name, hit, np.clip(scores[:, code].astype(np.float64), 0, 1))


def _of(judged: Judged, sides: list[Side]) -> str:
    if judged.target.task == "binary":
        return f"{judged.rows}, {int(sides[0].hit.sum()):,} with {sides[0].name}"
    if len(sides) > CURVES:
        largest = f"the {CURVES} largest of {len(judged.classes)} classes"
        return f"{judged.rows}, {largest}, each against the rest"
    return f"{judged.rows}, each class against the rest"


def _per_bin(side: Side, bins: int) -> tuple[Array, Array]:
    """Return rows and hits per bin, int64 of shape (bins,), by the edges of calibration_curve."""
    place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], side.score)
    rows = np.bincount(place, minlength=bins)
    return rows, np.bincount(place[side.hit], minlength=bins)


FEWEST_BINS, MOST_BINS = 5, 30


def regression_charts(judged: Judged) -> Iterator[Chart]:
    """Yield every chart of a regression."""
    values = np.asarray(judged.prediction.values, dtype=np.float64)
    order = np.argsort(values, kind="stable")  # so that thinning keeps the whole range
    actual, predicted = judged.truth[order], values[order]
    yield predicted_vs_actual(judged, actual, predicted)
    yield residuals(judged, actual, predicted)
    yield residual_distribution(judged, actual - predicted)


def predicted_vs_actual(judged: Judged, actual: Array, predicted: Array) -> Chart:
    """Each row's prediction over what was true; on the diagonal they agree.

    Values have shape (n_rows,), in the unit of the target.
    """
    ends = np.array([min(actual.min(), predicted.min()), max(actual.max(), predicted.max())])
    name = judged.target.name
    return Chart(
        "predicted_vs_actual",
        "Predicted and actual",
        f"{judged.rows}; above the line the model was too high",
        judged.axis(f"actual {name}"),
        judged.axis(f"predicted {name}"),
        (
            Series("test rows", actual, predicted, "point"),
            Series("predicted = actual", ends, ends, "reference"),
        ),
        "square",
    )


def residuals(judged: Judged, actual: Array, predicted: Array) -> Chart:
    """Each row's residual over its prediction: a pattern is something the model has not learnt.

    Values have shape (n_rows,), in the unit of the target.
    """
    return Chart(
        "residuals",
        "Residuals",
        f"{judged.rows}; above the line the model was too low",
        judged.axis(f"predicted {judged.target.name}"),
        judged.axis("actual minus predicted"),
        (
            Series("test rows", predicted, actual - predicted, "point"),
            Series("no error", predicted[[0, -1]], np.zeros(2), "reference"),
        ),
    )


def residual_distribution(judged: Judged, errors: Array) -> Chart:
    """Histogram of the residuals. `errors` has shape (n_rows,), in the unit of the target."""
    bins = int(np.clip(np.sqrt(len(errors)), FEWEST_BINS, MOST_BINS))
    counts, edges = np.histogram(errors, bins)
    mean, deviation = (
        f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
        for value in (errors.mean(), errors.std())
    )
    note = f"{judged.rows}: mean {mean}, standard deviation {deviation}"
    return Chart(
        "residual_distribution",
        "Distribution of residuals",
        note,
        judged.axis("actual minus predicted"),
        "rows",
        (
            Series("test rows", *outline(counts, edges[:-1], edges[1:]), "area"),
            Series("no error", np.zeros(2), np.array([0, counts.max()]), "reference"),
        ),
    )
