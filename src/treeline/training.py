"""Training split + declaration → every candidate judged on the same folds, and a champion."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treeline.config.metrics import METRICS
from treeline.config.models import BASELINE, CHOOSING, Candidate, ModelSpec
from treeline.errors import TrainingError
from treeline.preparation.encoding import encoded, encoded_target
from treeline.preparation.splitting import folds
from treeline.registry import resolve
from treeline.trainers import TRAINERS, Fitted, Trainer, TrainingSet

DUMMIES = {  # what the baseline is where none is declared: the shares of the classes, or the mean
    "binary": "sklearn.dummy.DummyClassifier",
    "multiclass": "sklearn.dummy.DummyClassifier",
    "regression": "sklearn.dummy.DummyRegressor",
}

NUMBERS = re.compile(r"\[\n\s+([-+.,\deE\s]+?)\s+\]")  # a list of numbers alone in indented JSON


@dataclass(frozen=True)
class Contest:
    """All candidates of a model after training, the baseline among them, and who won."""

    fitted: dict[str, Fitted]
    champion: str
    metric: str
    declared: dict[str, Candidate]


def training_set(train: pd.DataFrame, spec: ModelSpec, classes: list[Any] | None) -> TrainingSet:
    """Encode the training split and draw the folds; raises TrainingError when it is too small."""
    frame = encoded(train, spec.features)
    target = encoded_target(train[spec.target.name], classes)
    groups = None if spec.split.group is None else train[spec.split.group].to_numpy()
    try:
        drawn = folds(
            None if classes is None else target,
            n_rows=len(train),
            groups=groups,
            k=spec.search.folds,
            seed=spec.search.seed,
        )
    except ValueError as error:
        raise TrainingError(f"search.folds: {spec.search.folds} is too many: {error}") from error
    return TrainingSet(
        frame=frame, target=target, features=spec.features, task=spec.target.task, folds=drawn
    )


def contest(
    training: TrainingSet, spec: ModelSpec, *, place: str, told: Callable[[str, Fitted], None]
) -> Contest:
    """Fit every candidate and rank them by the declared metric; `told` is called after each.

    The baseline takes part in the table and never wins. Raises TrainingError.
    """
    metric = spec.champion.metric
    fitted, declared = {}, declared_candidates(spec)
    for name, candidate in declared.items():
        where = f"{place}.candidates.{name}"
        trainer: Trainer = resolve(TRAINERS, candidate.trainer, place=f"{where}.trainer")()
        fitted[name] = trainer.fit(
            training, candidate=candidate, search=spec.search, metric=metric, place=where
        )
        told(name, fitted[name])
    rivals = [name for name in fitted if name != BASELINE]
    champion = max(rivals, key=lambda name: METRICS[metric].sign * mean(fitted[name], metric))
    return Contest(fitted=fitted, champion=champion, metric=metric, declared=declared)


def declared_candidates(spec: ModelSpec) -> dict[str, Candidate]:
    """Return the candidates with the baseline first: the declared one, or the naive one."""
    return {BASELINE: Candidate(estimator=DUMMIES[spec.target.task]), **spec.candidates}


def mean(fitted: Fitted, metric: str) -> float:
    """Return the mean of a metric over the folds, for the best setting."""
    return float(np.mean(fitted.best.folds[metric]))


def table(held: Contest) -> pd.DataFrame:
    """Return the candidates table: one row each, mean and deviation (n - 1) over the folds."""
    rows = []
    for name, fitted in held.fitted.items():
        row: dict[str, Any] = {"candidate": name, "champion": name == held.champion}
        row["trainer"] = held.declared[name].trainer
        row["estimator"] = fitted.chosen or held.declared[name].estimator
        row["settings_tried"] = len(fitted.trials)
        for metric, values in fitted.best.folds.items():
            row[metric] = round(float(np.mean(values)), 6)
            row[f"{metric}_deviation"] = round(float(np.std(values, ddof=1)), 6)
        rows.append(row)
    return pd.DataFrame(rows)


def record(held: Contest) -> dict[str, Any]:
    """Return what training did as plain data: settings, folds and trials of each candidate.

    `left_out` gives the reason for what a trainer tried in vain, where there is any.
    """
    candidates: dict[str, Any] = {}
    for name, fitted in held.fitted.items():
        declared = held.declared[name]
        options = {} if declared.trainer in CHOOSING else declared.options
        candidates[name] = {
            "trainer": declared.trainer,
            "estimator": fitted.chosen or declared.estimator,
            "hyperparameters": {**options, **fitted.best.hyperparameters},
            "folds": _rounded(fitted.best.folds),
            "trials": [
                {"hyperparameters": trial.hyperparameters, "folds": _rounded(trial.folds)}
                for trial in fitted.trials
            ],
        }
        if fitted.left_out:
            candidates[name]["left_out"] = fitted.left_out
    return {"champion": held.champion, "metric": held.metric, "candidates": candidates}


def document(record: Mapping[str, Any]) -> str:
    """Return the JSON of a record, indented, with the folds of a metric on one line."""
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    return (
        NUMBERS.sub(lambda found: "[" + ", ".join(found[1].replace(",", " ").split()) + "]", text)
        + "\n"
    )


def _rounded(folds: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name: [round(value, 6) for value in values] for name, values in folds.items()}
