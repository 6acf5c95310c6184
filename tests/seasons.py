"""Seedlings that people ask about week after week, in wet years that turn dry or do not.

The rows are those of the simulator of the tree experiment, of many sites at once: the plots of one
site are alike, and a week would differ from another by its site alone. The truth of a row is known
to the world at once, and told to the service when a test wants it to be.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from treeline.config.sources import Drift, SimulateSource
from treeline.sources.simulators import SimulatedTables

NAME, TARGET = "trees", "Event"
FEATURES = ("Species", "Light_ISF", "Phenolics", "Lignin", "NSC")
WET, DRY = -1.5, 0.5  # what is added to the logarithm of the odds to die
WEEK_SECONDS = 7 * 86_400
SITES, SITE_ROWS = 60, 2783
MOST_ROWS = 4_000  # of a week

# It learns from what it was asked, of which the truth is known; `url` is that of the log.
DECLARED = """\
default: trees
models:
  trees:
    source: {{kind: predictions, url: "{url}", model: trees, target: Event}}
    target: {{name: Event, task: binary, positive: 1}}
    features:
      Species:
        type: category
        categories: [Acer saccharum, Prunus serotina, Quercus alba, Quercus rubra]
      Light_ISF: {{type: number, minimum: 0, maximum: 1}}
      Phenolics: {{type: number}}
      Lignin: {{type: number}}
      NSC: {{type: number}}
    split: {{test: 0.25, seed: 0}}
    candidates:
      logistic:
        numbers: sklearn.preprocessing.StandardScaler
        estimator: sklearn.linear_model.LogisticRegression
    search: {{folds: 3}}
    champion: {{metric: log_loss}}
    gate: {{floor: {{roc_auc: 0.6}}, beats: baseline}}
    monitor: {{action: retrain, every: 7d, slices: []}}
"""


@dataclass(frozen=True)
class Week:
    """Seedlings of one week: what is asked, of shape (n, 5), and whether each died, as 0 or 1."""

    asked: pd.DataFrame
    truth: pd.Series

    @property
    def records(self) -> list[dict[str, Any]]:
        """What is sent to a service."""
        return [
            dict(zip(FEATURES, values, strict=True))
            for values in self.asked.itertuples(index=False, name=None)
        ]


def week(number: int, *, rows: int, dry: float = WET, skip: int = 0) -> Week:
    """Return the seedlings of a week, the same ones each time, and others than in other weeks."""
    start = number * MOST_ROWS + skip
    frame = _seedlings(dry).iloc[start : start + rows].reset_index(drop=True)
    assert len(frame) == rows, f"there are no {rows} seedlings left for week {number}"
    return Week(frame[list(FEATURES)], frame[TARGET])


@cache
def _seedlings(dry: float) -> pd.DataFrame:
    """Return all seedlings that were left to live or die, in no order of places."""
    source = SimulateSource(
        kind="simulate", simulator="tree_experiment", variant="clean", rows=SITES * SITE_ROWS,
        seed=1, drift=Drift(dry=dry),
    )  # fmt: skip
    frame = pa.concat_tables(SimulatedTables(source).tables()).to_pandas()
    frame = frame[frame["Harvest"] == 0].astype({"Species": str, TARGET: int})
    return frame.iloc[np.random.default_rng(2).permutation(len(frame))]


def logged(
    asked: Week, *, at: float, version: str, answers: Iterable[tuple[int, float]]
) -> list[dict[str, Any]]:
    """Return rows of the log's table: a week that a version answered by labels, probabilities."""
    return [
        {
            "id": f"{version}-{at:.0f}-{place}", "time": at, "model": NAME, "version": version,
            "features": json.dumps(record), "prediction": json.dumps(label),
            "probability": share, "probabilities": None, "latency_seconds": 0.001, "key": None,
        }
        for place, (record, (label, share)) in enumerate(zip(asked.records, answers, strict=True))
    ]  # fmt: skip


def told(rows: Iterable[dict[str, Any]], asked: Week, *, at: float) -> list[dict[str, Any]]:
    """Return the rows of the table of truths: what came true of rows of the log."""
    truths = zip(rows, asked.truth.tolist(), strict=True)
    return [{"id": row["id"], "time": at, "truth": json.dumps(truth)} for row, truth in truths]
