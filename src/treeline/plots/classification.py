"""Truth + scores or labels of a classifier → charts.

Every class that the test split has and does not only consist of is judged against the rest; of a
binary target the positive class alone, for the other one mirrors it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn import metrics as library
from sklearn.calibration import calibration_curve

from treeline.plots.charts import CURVES, FEW, Array, Chart, Series, outline
from treeline.plots.judged import Judged

SHARES = np.array([0.0, 1.0])
FEW_FOR_TEN_BINS = 200  # below, ten bins of scores would hold next to nothing


@dataclass(frozen=True, slots=True)
class Side:
    """One class against the rest: `hit` is bool and `score` float64 in [0, 1], shape (n_rows,)."""

    name: str
    hit: Array
    score: Array


def charts(judged: Judged) -> Iterator[Chart]:
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
        false_alarms, found, _ = library.roc_curve(side.hit, side.score)
        area = library.auc(false_alarms, found)
        series.append(Series(side.name, false_alarms, found, "line", told=f"AUC {area:.3f}"))
    series.append(Series("chance", SHARES, SHARES, "reference"))
    x_title, y_title = "false positive rate", "true positive rate"
    return Chart("roc", "ROC curve", _of(judged, sides), x_title, y_title, tuple(series), "unit")


def precision_recall(judged: Judged, sides: list[Side]) -> Chart:
    """Precision at every recall, in steps; chance is the share of the class."""
    series = []
    for side in sides:
        precision, recall, _ = library.precision_recall_curve(side.hit, side.score)
        mean, chance = library.average_precision_score(side.hit, side.score), side.hit.mean()
        told = f"AP {mean:.3f} (chance {chance:.3f})"
        series.append(Series(side.name, recall, precision, "step", told=told))
        if judged.target.task == "binary":
            series.append(Series("chance", SHARES, np.full(2, chance), "reference"))
    told, title = _of(judged, sides), "Precision and recall"
    return Chart("precision_recall", title, told, "recall", "precision", tuple(series), "unit")


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
    told = f"{judged.rows}; lines: 95 % intervals; hollow: fewer than {FEW} rows"
    score_title, share_title = "predicted probability", "share that came true"
    below = Chart("", "", "", score_title, "rows", tuple(counts))
    return Chart(
        "calibration", "Calibration", told, score_title, share_title, tuple(series), "unit", below
    )


def score_distribution(judged: Judged, side: Side) -> Chart:
    """Cumulative distributions of the positive class's score in either class; their widest gap."""
    series, reached = [], []
    for name, hit in zip(judged.full_names, (False, True), strict=True):
        scores = side.score[side.hit == hit]
        shares = stats.ecdf(scores).cdf
        x = np.concatenate([[0], shares.quantiles, [1]])
        y = np.concatenate([[0], shares.probabilities, [1]])
        series.append(Series(name, x, y, "step", told=f"{len(scores):,} rows"))
        reached.append(shares.evaluate(side.score))
    gaps = np.abs(reached[1] - reached[0])
    widest = int(gaps.argmax())
    at, ends = side.score[[widest, widest]], np.array(reached)[:, widest]
    told = f"{gaps[widest]:.3f} at {at[0]:.3f}"
    series.append(Series("widest gap (KS)", at, ends, "gap", told=told))
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
    told = f"{judged.rows}, {np.trace(counts):,} right; shares are of the actual class"
    cells = Series("confusion", predicted, actual, "cell", further=further)
    x_title, y_title = (f"{word} {judged.target.name}" for word in ("predicted", "actual"))
    return Chart("confusion", "Confusion matrix", told, x_title, y_title, (cells,))


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
