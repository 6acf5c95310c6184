"""The declared recipe of `tree-survival`, judged on the published seedlings → table, exit code.

Run with `python -m benchmarks tree_protocol`; TREE_DATA names the deposit's CSV, by default
../shared/datasets/Tree_Data.csv beside the project. Leaves with 1 where a floor is missed, with 2
where the CSV is absent.

The recipe comes from params.yaml as it stands: candidates, search and champion metric. It is
*nested*: in every outer fold the search and the choice of the champion see that fold's training
rows alone, in inner folds of whole plots. The rows are either all, *as deposited*, harvested
seedlings counted as survivors, or those that nobody harvested, trained and judged there.

Accuracy and ROC AUC are means over the held-out folds; log loss, Brier score and KS are computed
once over all held-out rows. Each is the mean of several shuffles, three at random and two by plot:
18 plots can be shared out in few ways that keep classes balanced, and further seeds repeat those.
"""

import contextlib
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import loguniform
from sklearn.model_selection import ParameterSampler, cross_val_score
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from tqdm import tqdm
from xgboost import XGBClassifier

from benchmarks.seedlings import PROJECT, Fold, Scheme, folds, published
from treeline.artifact import Prediction
from treeline.artifact.pickled import predict
from treeline.config import PARAMS, declared_model
from treeline.config.metrics import METRICS
from treeline.config.models import BASELINE, ModelSpec
from treeline.evaluation.metrics import score
from treeline.preparation.checking import check
from treeline.preparation.columns import declared_columns, filled, matching
from treeline.preparation.encoding import encoded
from treeline.registry import resolve
from treeline.trainers import TRAINERS, Trainer, TrainingSet
from treeline.trainers.contest import contest, training_set

MODEL = "tree-survival"
CLASSES: list[Any] = [0.0, 1.0]
PROCESSES = 2
CHAMPION = "champion"
LINES = {BASELINE: "species rule", "logistic": "logistic", CHAMPION: "champion"}
OVER_FOLDS, POOLED = ("accuracy", "roc_auc"), ("log_loss", "brier", "ks")
SEARCHES = 3  # timed in turn with as many plain ones, so that other work on the machine hits both


@dataclass(frozen=True, eq=False)
class View:
    """Some rows, a way to hold some of them out, and what the champion must reach there."""

    rows: str
    scheme: Scheme
    shuffles: int
    floors: dict[str, float]


VIEWS = (
    View("all rows", "in file order", 1, {"roc_auc": 0.895, "log_loss": 0.40}),
    View("all rows", "shuffled", 3, {"accuracy": 0.842, "roc_auc": 0.922, "log_loss": 0.348}),
    View("all rows", "by plot", 2, {"accuracy": 0.832, "roc_auc": 0.908, "log_loss": 0.375}),
    View("not harvested", "by plot", 2, {"roc_auc": 0.885, "log_loss": 0.315}),
)


@dataclass(frozen=True)
class HeldOut:
    """What each line says of the held-out rows of one fold, and who was champion there."""

    truth: NDArray[np.int64]
    predictions: dict[str, Prediction]
    champion: str


def main() -> int:
    """Print the table, the champions and the cost of the search; return 1 for a missed floor."""
    real = published()
    spec, _ = declared_model(MODEL, PROJECT / PARAMS)
    rows = {
        "all rows": prepared(real, spec),
        "not harvested": prepared(matching(real, {"Harvest": 0}), spec),
    }
    found = all_held_out(rows, spec)
    print(f"| rows | folds | model | {' | '.join(OVER_FOLDS + POOLED)} | floors |")
    print("|---|---|---|---|---|---|---|---|---|")
    met = [told(view, found[view]) for view in VIEWS]
    champions = {
        kept: Counter(
            one.champion for view in VIEWS if view.rows == kept for one in flat(found[view])
        )
        for kept in rows
    }
    print()
    for kept, counts in champions.items():
        won = ", ".join(f"{name} {count}" for name, count in counts.most_common())
        print(f"champion by {spec.champion.metric} on {kept}, in how many folds: {won}")
    name = champions["all rows"].most_common(1)[0][0]
    ratio = cost(training_set(rows["all rows"], spec, CLASSES), spec, name)
    return int(not all(met) or ratio > 1)


def prepared(real: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    """Return the declared columns, checked and filled, of every row in the order given."""
    checked = check(declared_columns(real, spec), spec)
    return filled(checked, spec.features).reset_index(drop=True)


def all_held_out(rows: dict[str, pd.DataFrame], spec: ModelSpec) -> dict[View, list[list[HeldOut]]]:
    """Return for each view one list per shuffle with one entry per fold."""
    jobs = [
        (view, shuffle, fold)
        for view in VIEWS
        for shuffle in range(view.shuffles)
        for fold in folds(rows[view.rows], view.scheme, seed=shuffle)
    ]
    work = Parallel(n_jobs=PROCESSES, return_as="generator")(
        delayed(held_out)(rows[view.rows], spec, fold) for view, _, fold in jobs
    )
    found: dict[View, list[list[HeldOut]]] = {
        view: [[] for _ in range(view.shuffles)] for view in VIEWS
    }
    for (view, shuffle, _), one in zip(
        jobs, tqdm(work, total=len(jobs), unit=" folds"), strict=True
    ):
        found[view][shuffle].append(one)
    return found


def held_out(rows: pd.DataFrame, spec: ModelSpec, fold: Fold) -> HeldOut:
    """Hold the declared contest on the training rows of a fold and let it predict the others."""
    train, test = (rows.iloc[positions] for positions in fold)
    training = training_set(train, spec, CLASSES)
    with contextlib.redirect_stderr(io.StringIO()):  # bars of searches would write over ours
        held = contest(training, spec, place=MODEL, report=lambda name, fitted: None)
    frame = encoded(test, spec.features)
    estimators = {name: fitted.estimator for name, fitted in held.fitted.items()}
    estimators[CHAMPION] = estimators[held.champion]
    predictions = {line: predict(estimators[line], frame) for line in LINES}
    truth = test[spec.target.name].to_numpy(dtype=np.int64)
    return HeldOut(truth=truth, predictions=predictions, champion=held.champion)


def flat(shuffles: list[list[HeldOut]]) -> Iterator[HeldOut]:
    """Yield the folds of every shuffle."""
    for shuffle in shuffles:
        yield from shuffle


def told(view: View, shuffles: list[list[HeldOut]]) -> bool:
    """Print one line per model of a view; return whether the champion meets every floor."""
    missed: list[str] = []
    for line, name in LINES.items():
        values = judged(shuffles, line)
        verdict = ""
        if line == CHAMPION:
            missed = [
                f"{metric} missed {floor:g}"
                for metric, floor in view.floors.items()
                if METRICS[metric].sign * values[metric] < METRICS[metric].sign * floor
            ]
            asked = ", ".join(f"{metric} {floor:g}" for metric, floor in view.floors.items())
            verdict = ", ".join(missed) or f"met: {asked}"
        cells = [view.rows, view.scheme, name, *(f"{value:.4f}" for value in values.values())]
        print("|", " | ".join([*cells, verdict]), "|")
    return not missed


def judged(shuffles: list[list[HeldOut]], line: str) -> dict[str, float]:
    """Return each metric of one line: over folds or pooled, then the mean over shuffles."""
    found = []
    for shuffle in shuffles:
        each = [score(one.truth, one.predictions[line], OVER_FOLDS) for one in shuffle]
        pooled = Prediction(
            scores=np.concatenate([one.predictions[line].scores for one in shuffle])
        )
        values = {name: float(np.mean([one[name] for one in each])) for name in OVER_FOLDS}
        found.append(values | score(np.concatenate([one.truth for one in shuffle]), pooled, POOLED))
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def cost(training: TrainingSet, spec: ModelSpec, name: str) -> float:
    """Print CPU seconds of a candidate's search and of a plain one; return their ratio."""
    trainer: Trainer = resolve(TRAINERS, spec.candidates[name].trainer, place=MODEL)()

    def declared() -> None:
        trainer.fit(
            training,
            candidate=spec.candidates[name],
            search=spec.search,
            metric=spec.champion.metric,
            place=MODEL,
        )

    ours = plain = 0.0
    with threadpool_limits(1), contextlib.redirect_stderr(io.StringIO()):
        for seed in range(SEARCHES):
            plain += cpu_seconds(plain_search, training, seed) / SEARCHES
            ours += cpu_seconds(declared) / SEARCHES
    print(
        f"search of {name}: {ours:.2f} CPU s; ten plain XGBoost settings: {plain:.2f} CPU s; "
        f"ratio {ours / plain:.2f}, at most 1 is asked"
    )
    return ours / plain


def cpu_seconds(work: Callable[..., object], *arguments: object) -> float:
    """Return the CPU seconds that a call takes in this process."""
    start = time.process_time()
    work(*arguments)
    return time.process_time() - start


def plain_search(training: TrainingSet, seed: int) -> None:
    """Try ten settings of XGBoost on the same matrix and folds, as a script without us would."""
    space = {
        "n_estimators": [100, 200, 300, 400],
        "max_depth": [3, 4, 5, 6, 7],
        "learning_rate": loguniform(0.02, 0.2),
        "min_child_weight": loguniform(0.1, 10),
        "subsample": [0.6, 0.8, 1.0],
        "colsample_bytree": [0.6, 0.8, 1.0],
    }
    for setting in ParameterSampler(space, 10, random_state=seed):
        classifier = XGBClassifier(**setting, n_jobs=1, random_state=0)
        cross_val_score(
            classifier, training.frame, training.target, cv=training.folds, scoring="neg_log_loss"
        )
