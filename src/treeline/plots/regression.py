"""Truth + values of a regression → charts, in the unit of the target."""

from collections.abc import Iterator

import numpy as np

from treeline.plots.charts import Array, Chart, Series, outline
from treeline.plots.judged import Judged

FEWEST_BINS, MOST_BINS = 5, 30


def charts(judged: Judged) -> Iterator[Chart]:
    """Yield every chart of a regression."""
    values = np.asarray(judged.prediction.values, dtype=np.float64)
    order = np.argsort(values, kind="stable")  # so that thinning keeps the whole range
    actual, predicted = judged.truth[order], values[order]
    yield predicted_vs_actual(judged, actual, predicted)
    yield residuals(judged, actual, predicted)
    yield residual_distribution(judged, actual - predicted)


def predicted_vs_actual(judged: Judged, actual: Array, predicted: Array) -> Chart:
    """Each row's prediction over what was true; on the diagonal they agree."""
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
    """Each row's residual over its prediction: a pattern is something the model has not learnt."""
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
    """Histogram of the residuals."""
    bins = int(np.clip(np.sqrt(len(errors)), FEWEST_BINS, MOST_BINS))
    counts, edges = np.histogram(errors, bins)
    mean, deviation = (
        f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
        for value in (errors.mean(), errors.std())
    )
    told = f"{judged.rows}: mean {mean}, standard deviation {deviation}"
    return Chart(
        "residual_distribution",
        "Distribution of residuals",
        told,
        judged.axis("actual minus predicted"),
        "rows",
        (
            Series("test rows", *outline(counts, edges[:-1], edges[1:]), "area"),
            Series("no error", np.zeros(2), np.array([0, counts.max()]), "reference"),
        ),
    )
