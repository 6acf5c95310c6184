"""Training split + declaration → every candidate judged on the same folds, and a champion."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from treeline.config.metrics import METRICS
from treeline.config.models import BASELINE, CHOOSING, Candidate, ModelSpec
from treeline.config.own_metrics import is_path
from treeline.contract.features import Label
from treeline.contract.signature import Learnt
from treeline.errors import TrainingError
from treeline.preparation.encoding import encoded, encoded_target
from treeline.preparation.splitting import folds, forward_folds, moments_of
from treeline.records.summary import RowCounts
from treeline.records.training import CandidateRecord, Training
from treeline.registry import resolve
from treeline.trainers import TRAINERS, Fitted, Trainer, TrainingSet, Trial
from treeline.trainers.options import coded, named

DUMMIES = {  # what the baseline is where none is declared: the shares of the classes, or the mean
    "binary": "sklearn.dummy.DummyClassifier",
    "multiclass": "sklearn.dummy.DummyClassifier",
    "regression": "sklearn.dummy.DummyRegressor",
}

FLOAT_BYTES, POSITION_BYTES = 4, 8
WORTH_SAYING_BYTES = 100_000_000  # less is there on every machine


@dataclass(frozen=True)
class Contest:
    """All candidates of a model after training, the baseline among them, and who won."""

    fitted: dict[str, Fitted]
    champion: str
    metric: str
    declared: dict[str, Candidate]


def training_set(train: pd.DataFrame, spec: ModelSpec, classes: list[Any] | None) -> TrainingSet:
    """Encode the training split and draw the folds; raises TrainingError when it is too small.

    `train` is prepared rows.
    """
    frame = encoded(train, spec.features)
    target = encoded_target(train[spec.target.name], classes)
    groups = None if spec.split.group is None else train[spec.split.group].to_numpy()
    known, k, after = None if classes is None else target, spec.search.folds, spec.split.after
    try:
        if after is not None:
            drawn = forward_folds(known, moments_of(train, after), k=k)
        else:
            drawn = folds(known, n_rows=len(train), groups=groups, k=k, seed=spec.search.seed)
    except ValueError as error:
        raise TrainingError(f"search.folds: {spec.search.folds} is too many: {error}") from error
    return TrainingSet(
        frame=frame,
        target=target,
        features=spec.features,
        task=spec.target.task,
        folds=drawn,
        classes=tuple(classes or ()),
        metrics=spec.metrics_on_folds,
    )


def memory_needed(spec: ModelSpec, rows: int) -> int:
    """Return about how many bytes a training on so many rows takes.

    Estimated for the widest candidate of scikit-learn's: the rows, those of a fold and their copy
    with names, float32 of shape (n_rows, n_features); what columns become, three times; positions
    of the folds. What an estimator makes for itself comes on top: a forest, say.
    """
    features = list(spec.features.values())
    onehot = any(each.categories == "onehot" for each in spec.candidates.values())
    widths = [len(feature.categories) or 1 if onehot else 1 for feature in features]
    of_a_row = FLOAT_BYTES * 3 * (len(features) + sum(widths))
    return rows * (of_a_row + POSITION_BYTES * (spec.search.folds + 2))


def memory_free(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Return how many bytes this machine has to give, or None where it does not say so."""
    try:
        lines = meminfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    free = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(free[0]) * 1024 if free else None


def announced(spec: ModelSpec, rows: int, *, free: int | None) -> str:
    """Say what a training needs before it begins, and the ways where it goes beyond the machine."""
    needed = memory_needed(spec, rows)
    text = f"{rows:,} rows of {len(spec.features)} features"
    if needed >= WORTH_SAYING_BYTES:
        text += f", about {needed / 1e9:.1f} GB of memory"
    if free is None or needed <= free:
        return text
    return (
        f"{text}, and {free / 1e9:.1f} GB are free: if it does not end well, learn from a sample "
        "(`source.where`, a larger `split.test`, or fewer rows of the source), or let Spark fit "
        "(`trainer: spark`), judge (`search: {engine: spark}`) and prepare (`split: {engine: "
        "spark}`); docs/scale.md"
    )


def contest(
    training: TrainingSet, spec: ModelSpec, *, place: str, report: Callable[[str, Fitted], None]
) -> Contest:
    """Fit every candidate and rank them by the declared metric; `report` is called after each.

    The baseline takes part in the table, and wins where it may and nothing leads it clearly. Raises
    TrainingError.
    """
    metric = spec.champion.metric
    fitted, declared = {}, declared_candidates(spec)
    for name, candidate in declared.items():
        where = f"{place}.candidates.{name}"
        trainer: Trainer = resolve(TRAINERS, candidate.trainer, place=f"{where}.trainer")()
        fit = trainer.fit(
            training,
            candidate=coded(candidate, training.classes, place=where),
            search=spec.search,
            metric=metric,
            place=where,
        )
        fitted[name] = _declared(fit, training.classes)
        _check_number(fitted[name], metric, where)
        report(name, fitted[name])
    champion = _champion(fitted, metric, baseline_may_win=spec.champion.baseline_may_win)
    return Contest(fitted=fitted, champion=champion, metric=metric, declared=declared)


def _check_number(fitted: Fitted, metric: str, place: str) -> None:
    """Raise TrainingError where a metric of one's own is not a number on a fold."""
    values = fitted.best.folds.get(metric, [])
    if is_path(metric) and not np.isfinite(values).all():
        raise TrainingError(
            f"{place}: {metric} is not a number on fold {int(np.argmin(np.isfinite(values))) + 1}; "
            "let it be one there, or declare fewer `search.folds`"
        )


def _champion(fitted: Mapping[str, Fitted], metric: str, *, baseline_may_win: bool) -> str:
    """Return the candidate with the best mean over the folds, or the baseline.

    A candidate must lead a baseline that may win by more than one standard error of their
    differences over the folds (the rule of one standard error, Breiman et al. 1984, pairwise).
    """
    sign, rivals = METRICS[metric].sign, [name for name in fitted if name != BASELINE]
    best = max(rivals, key=lambda name: sign * mean(fitted[name], metric), default=BASELINE)
    folds_of_baseline = fitted[BASELINE].best.folds.get(metric)
    if best == BASELINE or not baseline_may_win or folds_of_baseline is None:
        return best
    leads = sign * np.subtract(fitted[best].best.folds[metric], folds_of_baseline)
    error = np.std(leads, ddof=1) / np.sqrt(len(leads))
    return best if np.mean(leads) > error else BASELINE


def _declared(fitted: Fitted, classes: Sequence[Label]) -> Fitted:
    """Return what was fitted with its settings as they were declared."""

    def trial(each: Trial) -> Trial:
        return replace(each, hyperparameters=named(each.hyperparameters, classes))

    return replace(fitted, best=trial(fitted.best), trials=[trial(each) for each in fitted.trials])


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


def record(held: Contest) -> Training:
    """Return what training did as plain data: settings, folds and trials of each candidate.

    `left_out` gives the reason for what a trainer tried in vain, where there is any.
    """
    candidates: dict[str, CandidateRecord] = {}
    for name, fitted in held.fitted.items():
        declared = held.declared[name]
        options = {} if declared.trainer in CHOOSING else declared.options
        candidates[name] = {
            "trainer": declared.trainer,
            "estimator": fitted.chosen or str(declared.estimator),
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


def _rounded(folds: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name: [round(value, 6) for value in values] for name, values in folds.items()}


def learnt_from(spec: ModelSpec, rows: RowCounts) -> Learnt:
    """Return what the exported model learns from; `rows` counts those of each split."""
    refit = spec.champion.refit
    return Learnt(rows=rows["train"] + (rows["test"] if refit == "all" else 0), refit=refit)


def refitted(
    champion: Any, splits: Sequence[pd.DataFrame], spec: ModelSpec, classes: list[Any] | None
) -> Any:
    """Return a champion fitted again, with its settings, on the prepared rows of all splits.

    Frames are prepared rows with the columns of features and target.
    """
    rows = pd.concat(splits, ignore_index=True)
    frame = encoded(rows, spec.features)
    return clone(champion).fit(frame, encoded_target(rows[spec.target.name], classes))
