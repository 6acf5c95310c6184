"""The record of training → one chart of all who competed: how good, and how steady over the folds.

A candidate that chose among estimators has a row for each of those that are worth it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from treeline.config.metrics import METRICS
from treeline.config.models import BASELINE
from treeline.plots.charts import Chart, Series
from treeline.records.training import Training, TrialRecord

MOST = 15  # rows that a picture holds, those of declared candidates first
FEW = 5  # estimators of one candidate that are shown in any case
SUFFIXES = ("Classifier", "Regressor")  # of the name of a class; the task is known

Folds = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Rival:
    """One row: the values of the champion metric on the folds, and whether it won.

    `further` is one of those that a candidate tried besides its best.
    """

    name: str
    folds: Folds
    champion: bool = False
    further: bool = False

    @property
    def mean(self) -> float:
        """The mean over the folds."""
        return float(np.mean(self.folds))


def candidates(training: Training) -> Chart:
    """Every rival's folds by the champion metric, best first, the champion in a colour of its own.

    `training` is the record of the train stage, as plain data.
    """
    metric = training["metric"]
    sign = METRICS[metric].sign
    ranked = sorted(rivals(training), key=lambda rival: (rival.further, -sign * rival.mean))
    shown = sorted(ranked[:MOST], key=lambda rival: -sign * rival.mean)
    drawn = [_means("candidate", shown)]
    if won := [rival for rival in shown if rival.champion]:
        drawn.append(_means("champion", won))
    drawn.append(
        Series(
            "one fold",
            np.concatenate([rival.folds for rival in shown]),
            np.repeat([rival.name for rival in shown], [len(rival.folds) for rival in shown]),
            "fold",
        )
    )
    better = "higher" if sign > 0 else "lower"
    note = f"training folds; {better} is better; line: mean ± deviation over the folds"
    return Chart("candidates", "Candidates", note, metric, "candidate", tuple(drawn))


def rivals(training: Training) -> Iterator[Rival]:
    """Yield each candidate; of one that chose, its best few estimators and all above the baseline.

    One that loses by far would only stretch the axis.
    """
    metric = training["metric"]
    sign = METRICS[metric].sign
    base = sign * float(np.mean(training["candidates"][BASELINE]["folds"][metric]))
    for name, candidate in training["candidates"].items():
        won, chosen = name == training["champion"], candidate["hyperparameters"].get("estimator")
        tried = _best_of_each(candidate["trials"], metric)
        if len(tried) < 2:
            yield Rival(name, tuple(candidate["folds"][metric]), won)
            continue
        unranked = [
            Rival(f"{name}: {_shown(each)}", folds, won and each == chosen, each != chosen)
            for each, folds in tried.items()
        ]
        ranked = sorted(unranked, key=lambda rival: -sign * rival.mean)
        yield from (r for place, r in enumerate(ranked) if place < FEW or sign * r.mean > base)


def _best_of_each(trials: Sequence[TrialRecord], metric: str) -> dict[str, Folds]:
    """Return the folds of the best trial of each estimator that a trainer chose, by its name."""
    sign, best = METRICS[metric].sign, dict[str, Folds]()
    for trial in trials:
        name, folds = trial["hyperparameters"].get("estimator"), tuple(trial["folds"][metric])
        if name and (name not in best or sign * np.mean(folds) > sign * np.mean(best[name])):
            best[name] = folds
    return best


def _shown(path: str) -> str:
    name = path.rpartition(".")[2]
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def _means(name: str, shown: Sequence[Rival]) -> Series:
    deviation = np.array([np.std(rival.folds, ddof=1) for rival in shown])
    means, names = (np.array([getattr(each, key) for each in shown]) for key in ("mean", "name"))
    return Series(name, means, names, "spread", further={"deviation": deviation})
