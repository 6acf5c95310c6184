"""Test split + predictions → metrics with intervals, differences with intervals, importances.

Intervals are percentile bootstrap intervals over the rows of the test split (Efron 1979), drawn
within each class. Where
several models are judged, every resample draws the same rows for all of them (a paired bootstrap),
so that their difference has an interval of its own. Only the model varies: the interval says how
far the metric could have come out on other test rows, not on another training.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treeline.artifact.prediction import Prediction
from treeline.config.metrics import METRICS
from treeline.metrics import score

RESAMPLES = 300  # the ends of a 95 % interval then rest on about 7 resamples each
LEVEL = 0.95
REPEATS = 5  # permutations per feature
MOST = (
    200  # features that are shuffled one by one: with REPEATS, a thousand predictions of all rows
)
BLOCKS = 100  # of neighbouring features, shuffled together where there are more than that

Scores = dict[str, float]


def chosen(prediction: Prediction, rows: NDArray[np.intp]) -> Prediction:
    """Return the prediction for the given row positions, repeats included."""
    return Prediction(
        labels=None if prediction.labels is None else prediction.labels[rows],
        scores=None if prediction.scores is None else prediction.scores[rows],
        values=None if prediction.values is None else prediction.values[rows],
    )


def resampled(
    truth: NDArray[Any],
    predictions: Mapping[str, Prediction],
    names: list[str],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return each metric of each prediction on the same bootstrap resamples.

    Arrays have shape (resamples,). Rows are drawn within each class, so that no resample misses
    one: some metrics are undefined then.
    """
    rng = np.random.default_rng(seed)
    strata = [np.arange(len(truth))]
    if np.issubdtype(truth.dtype, np.integer):
        strata = [np.flatnonzero(truth == code) for code in np.unique(truth)]
    drawn: dict[str, list[Scores]] = {name: [] for name in predictions}
    for _ in range(resamples):
        rows = np.concatenate([rng.choice(stratum, len(stratum)) for stratum in strata])
        for name, prediction in predictions.items():
            drawn[name].append(score(truth[rows], chosen(prediction, rows), names))
    return {
        name: {metric: np.array([one[metric] for one in scores]) for metric in scores[0]}
        for name, scores in drawn.items()
    }


def evaluate(
    truth: NDArray[Any], predictions: Mapping[str, Prediction], names: list[str], *, seed: int
) -> dict[str, Any]:
    """Judge a champion beside others on the same rows, in the order of `predictions`.

    Returns for each prediction `{metric: {value, low, high}}`, and under `advantage` for each but
    the first the first's lead over it, positive where the first is better.
    """
    first, *others = predictions
    draws = resampled(truth, predictions, names, seed=seed)
    values = {name: score(truth, prediction, names) for name, prediction in predictions.items()}
    judged: dict[str, Any] = {
        name: {
            metric: _with_interval(value, draws[name][metric]) for metric, value in found.items()
        }
        for name, found in values.items()
    }
    judged["advantage"] = {
        other: {
            metric: _with_interval(
                METRICS[metric].sign * (values[first][metric] - values[other][metric]),
                METRICS[metric].sign * (draws[first][metric] - draws[other][metric]),
            )
            for metric in values[first]
            if metric in values[other]
        }
        for other in others
    }
    return judged


def importances(
    frame: pd.DataFrame,
    truth: NDArray[Any],
    predict: Callable[[pd.DataFrame], Prediction],
    *,
    metric: str,
    seed: int,
) -> list[dict[str, Any]]:
    """Return how much the metric worsens when a feature is shuffled (Breiman 2001), largest first.

    `frame` is float32 of shape (n_rows, n_features). Each entry has the feature, the mean loss and
    its deviation (n - 1) over the shuffles, in the unit of the metric. Of more than MOST features
    there are entries for those alone whose block worsens it most when shuffled together, so that
    the time does not grow with the number of columns.
    """
    rng, sign = np.random.default_rng(seed), METRICS[metric].sign
    whole = score(truth, predict(frame), [metric])[metric]

    def loss(names: list[str]) -> float:
        shuffled = frame.copy()
        shuffled[names] = frame[names].to_numpy()[rng.permutation(len(frame))]
        return sign * (whole - score(truth, predict(shuffled), [metric])[metric])

    found = []
    for name in _worth_a_look(list(frame.columns), loss):
        losses = [loss([name]) for _ in range(REPEATS)]
        found.append(
            {
                "feature": name,
                "loss": round(float(np.mean(losses)), 6),
                "deviation": round(float(np.std(losses, ddof=1)), 6),
            }
        )
    return sorted(found, key=lambda entry: -entry["loss"])


def _worth_a_look(names: list[str], loss: Callable[[list[str]], float]) -> list[str]:
    """Return at most MOST of the features, in their order: those of the blocks that matter most."""
    if len(names) <= MOST:
        return names
    size = -(-len(names) // BLOCKS)
    blocks = [names[at : at + size] for at in range(0, len(names), size)]
    ranked = sorted(blocks, key=loss, reverse=True)
    chosen = set([name for block in ranked for name in block][:MOST])
    return [name for name in names if name in chosen]


def _with_interval(value: float, draws: NDArray[np.float64]) -> Scores:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"value": round(value, 6), "low": round(float(low), 6), "high": round(float(high), 6)}
