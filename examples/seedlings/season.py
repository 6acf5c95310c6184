"""Seedlings that people ask about week after week, in wet years that turn dry or do not.

`python -m examples.seedlings.season begin` puts 1,200 seedlings that people have judged into a log,
to begin with; `… ask WEEK --url URL` lets a service answer those of a week, and tells it what came
true, with `--dry` in a dry year. The key of the service is read from TREELINE_SERVICE_KEY.

The rows are those of the simulator of the tree experiment, of many sites at once: the plots of one
site are alike, and a week would differ from another by its site alone. The truth of a row is known
to the world at once, and told to the service when a test wants it to be.
"""

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pyarrow as pa

import treeline
from api.prediction_log.database import Database, url_of
from treeline.config.sources import Drift, SimulateSource
from treeline.sources.simulators import SimulatedTables

NAME, TARGET = "trees", "Event"
FEATURES = ("Species", "Light_ISF", "Phenolics", "Lignin", "NSC")
WET, DRY = -1.5, 0.5  # what is added to the logarithm of the odds to die
WEEK_SECONDS = 7 * 86_400
SITES, SITE_ROWS = 60, 2783
MOST_ROWS = 4_000  # of a week


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
    frame: pd.DataFrame = pa.concat_tables(SimulatedTables(source).tables()).to_pandas()
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


PARAMS = Path(__file__).with_name("params.yaml")
BEFORE = 1_200  # seedlings that people have judged, five weeks ago
LOG = "sqlite:///.treeline/predictions.sqlite"  # as params.yaml has it, and a service by itself


def declared(url: str) -> str:
    """Return params.yaml with the log behind another URL."""
    return PARAMS.read_text(encoding="utf-8").replace(LOG, url)


def begin(url: str, *, rows: int, at: float) -> None:
    """Make the log behind a URL, with seedlings that people have judged at a time."""
    database = Database(url_of(url, Path()))
    database.prepare()
    first = week(0, rows=rows)
    judged = logged(first, at=at, version="by hand", answers=[(0, 0.5)] * rows)
    database.add(judged, told(judged, first, at=at))
    database.engine.dispose()


@click.group()
def main() -> None:
    """Play the world of the example `seedlings`."""


@main.command(name="begin")
def begin_here() -> None:
    """Put seedlings that people have judged into the log of params.yaml."""
    file = Path(LOG.removeprefix("sqlite:///"))
    if file.exists():
        return
    file.parent.mkdir(mode=0o700, exist_ok=True)
    begin(LOG, rows=BEFORE, at=time.time() - 5 * WEEK_SECONDS)


@main.command()
@click.argument("number", type=click.IntRange(1, 30), metavar="WEEK")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True)
@click.option("--rows", type=click.IntRange(1, MOST_ROWS), default=400, show_default=True)
@click.option("--dry", is_flag=True, help="In a dry year.")
def ask(number: int, url: str, rows: int, dry: bool) -> None:
    """Let a service answer the seedlings of a WEEK, and tell it what came true."""
    seedlings = week(number, rows=rows, dry=DRY if dry else WET)
    with treeline.Client(url, key=os.environ["TREELINE_SERVICE_KEY"]) as client:
        answers = client.predict_batch(seedlings.asked, model=NAME)
        client.feedback(
            treeline.Truth(truth, id=id)
            for id, truth in zip(answers["id"], seedlings.truth.tolist(), strict=True)
        )
    right = (answers["prediction"].astype(float).astype(int) == seedlings.truth).mean()
    print(f"{rows} answered, {right:.0%} of them right")


if __name__ == "__main__":
    main()
