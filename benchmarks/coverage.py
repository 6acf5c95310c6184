"""How often does an interval of 95 % hold what it is an interval of?

Run with `python -m benchmarks coverage`. Worlds are simulated: their truth is the metric of very
many rows, and the intervals are those that the evaluate stage gives to a few. COVERAGE_WORLDS says
how many tests are drawn of each, 1,000 if it does not. The exit code is 1 where an interval of a
metric, or of a lead, holds less than 93 % or more than 97 % of the time, by more than the deviation
of such a share among so many tests (0.8 % of 1,000). Three are shown, and not
held to it: `ks`, a maximum, which lies above the truth where rows are few, and F1 of a rare class
that is hardly ever predicted, a ratio of a few rows; `rmse` where errors have heavy tails, which a
few hundred rows do not show.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import lfilter
from scipy.special import expit
from tqdm import tqdm

from treeline.artifact import Prediction
from treeline.config.metrics import METRICS, metrics_of
from treeline.evaluation.intervals import evaluate
from treeline.evaluation.metrics import score
from treeline.evaluation.units import Units

LEAST, MOST = 93.0, 97.0  # percent, and a deviation of the count of tests to either side
TRUE_ROWS = 400_000
RARE = "one in twenty is positive"
HEAVY = "regression with heavy tails"
NOT_HELD = {"ks": "", "f1": RARE, "rmse": HEAVY}  # by metric, the world; the empty one is all

Array = np.ndarray[Any, Any]
Draw = Callable[[np.random.Generator, int], tuple[Array, Array, Array, Units]]


@dataclass(frozen=True)
class World:
    """Where test rows come from: `draw` gives truth, two models' scores, and the units."""

    name: str
    rows: int
    draw: Draw
    task: str = "binary"


def binary(bias: float) -> Draw:
    """Independent rows with a binary target."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Array, Array, Array, Units]:
        known = rng.normal(size=n) * 1.5
        truth = rng.random(n) < expit(known + bias + 0.7 * rng.normal(size=n))
        rival = expit(0.8 * known + bias + 0.5 * rng.normal(size=n))
        return truth.astype(np.int64), expit(known + bias), rival, Units.rows(n)

    return draw


def grouped(groups: int) -> Draw:
    """Groups of about 43 rows, uneven, that share a luck of their own."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Array, Array, Array, Units]:
        count = groups if n <= 43 * groups else n // 43
        group = np.repeat(np.arange(count), rng.poisson(rng.gamma(4, 10, count)) + 3)
        known = rng.normal(size=len(group)) * 1.2 + 0.6 * rng.normal(size=count)[group]
        truth = rng.random(len(group)) < expit(known + rng.normal(size=count)[group])
        rival = expit(0.8 * known + 0.5 * rng.normal(size=len(group)))
        return truth.astype(np.int64), expit(known), rival, Units.groups(group)

    return draw


def autocorrelated(rng: np.random.Generator, n: int) -> tuple[Array, Array, Array, Units]:
    """Rows in the order of a time, whose luck changes slowly; blocks are the units."""
    slow = lfilter([1], [1, -0.9], rng.normal(size=n + 500))[500:] * np.sqrt(1 - 0.9**2)
    known = rng.normal(size=n) * 1.2
    truth = rng.random(n) < expit(known + slow)
    rival = expit(0.8 * known + 0.5 * rng.normal(size=n))
    return truth.astype(np.int64), expit(known), rival, Units.blocks(np.arange(n))


def heavy_tailed(rng: np.random.Generator, n: int) -> tuple[Array, Array, Array, Units]:
    """A regression whose errors have Student's distribution with five degrees of freedom."""
    known = rng.normal(size=n) * 2
    return known + rng.standard_t(5, size=n), known, 0.9 * known, Units.rows(n)


WORLDS = (
    World("independent rows", 456, binary(0.5)),
    World("few rows", 60, binary(0.0)),
    World(RARE, 1000, binary(-4.0)),
    World("10 groups", 430, grouped(10)),
    World("60 groups", 2580, grouped(60)),
    World("in the order of a time", 1000, autocorrelated),
    World(HEAVY, 300, heavy_tailed, "regression"),
)


def main() -> int:
    """Print a row for each world and metric; return 1 where coverage is out of bounds."""
    tests = int(os.environ.get("COVERAGE_WORLDS", "1000"))
    print("| world | test rows | metric | its interval holds | that of a lead holds |")
    print("| --- | ---: | --- | ---: | ---: |", flush=True)
    noise, bad = 100 * np.sqrt(LEAST / 100 * (1 - LEAST / 100) / tests), False
    for world in WORLDS:
        for metric, (own, lead) in coverage(world, tests).items():
            print(
                f"| {world.name} | {world.rows:,} | {metric} | {own:.1f} % | {lead:.1f} % |",
                flush=True,
            )
            out = any(not LEAST - noise <= share <= MOST + noise for share in (own, lead))
            bad = bad or (out and NOT_HELD.get(metric) not in ("", world.name))
    return int(bad)


def coverage(world: World, tests: int) -> dict[str, tuple[float, float]]:
    """Return how often, in percent, intervals of a metric and of its lead hold the truth."""
    names = [name for name, metric in METRICS.items() if world.task in metric.tasks]
    assert names == list(metrics_of(world.task))  # type: ignore[arg-type]
    true = {name: 0.0 for name in names}, {name: 0.0 for name in names}
    for seed in range(3):
        truth, ours, rival, _ = world.draw(np.random.default_rng([seed, 1]), TRUE_ROWS)
        values = [score(truth, predicted(world, each), names) for each in (ours, rival)]
        for name in names:
            true[0][name] += values[0][name] / 3
            true[1][name] += METRICS[name].sign * (values[0][name] - values[1][name]) / 3
    held: dict[str, list[list[bool]]] = {name: [[], []] for name in names}
    for seed in tqdm(range(tests), desc=world.name, leave=False, disable=None):
        truth, ours, rival, units = world.draw(np.random.default_rng([seed, 0]), world.rows)
        models = {"a": predicted(world, ours), "b": predicted(world, rival)}
        found = evaluate(truth, models, names, units=units)
        for name in names:
            held[name][0] += holds(found["a"][name], true[0][name])
            held[name][1] += holds(found["advantage"]["b"][name], true[1][name])
    return {
        name: (100 * float(np.mean(own)), 100 * float(np.mean(lead)))
        for name, (own, lead) in held.items()
    }


def holds(interval: dict[str, Any], value: float) -> list[bool]:
    """Return whether an interval holds a value, or nothing where the units are too few for one."""
    return [] if interval["low"] is None else [interval["low"] <= value <= interval["high"]]


def predicted(world: World, score_: Array) -> Prediction:
    """Return the prediction that a score stands for."""
    if world.task == "regression":
        return Prediction(values=score_)
    return Prediction(
        labels=(score_ > 0.5).astype(np.int64), scores=np.column_stack([1 - score_, score_])
    )


if __name__ == "__main__":
    main()
