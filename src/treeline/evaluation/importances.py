"""How much a metric worsens when a feature is shuffled among the test rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treeline.artifact.prediction import Prediction
from treeline.config.metrics import METRICS
from treeline.metrics import score

REPEATS = 5  # permutations per feature
MOST = (
    200  # features that are shuffled one by one: with REPEATS, a thousand predictions of all rows
)
BLOCKS = 100  # of neighbouring features, shuffled together where there are more than that


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
