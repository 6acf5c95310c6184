"""Evaluate stage: model.pkl, baseline.pkl, both splits → metrics, evaluation, pictures.

Where the declaration requires an ONNX graph, the gate must know whether one repeats the champion.
The training split is read only where the declaration judges all rows, by refits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from treeline.artifact import Prediction
from treeline.artifact.pickled import opened, predict
from treeline.config import Layout
from treeline.config.metrics import METRICS
from treeline.config.models import BASELINE, CHAMPION, ModelSpec
from treeline.contract.texts import text_of
from treeline.errors import DataError
from treeline.evaluation import own
from treeline.evaluation.answers import answers
from treeline.evaluation.diagnostics import (
    calibration,
    importances,
    learning_curve,
    sliced,
    thresholds,
)
from treeline.evaluation.intervals import Repeat, evaluate_repeats
from treeline.evaluation.units import Units, parts_of, predicted
from treeline.files import write_json
from treeline.plots import Judged, draw
from treeline.preparation.encoding import encoded, encoded_target
from treeline.records.evaluation import (
    Deciding,
    Diagnosed,
    Evaluation,
    Graphed,
    Interval,
    write_evaluation,
)
from treeline.records.evaluation import Judged as JudgedRows
from treeline.records.summary import read_summary
from treeline.records.training import read_training
from treeline.registry import resolve
from treeline.reports.markdown import interval
from treeline.tables import read_frame, write_frame

# By name, because converters take seconds to import, which only this declaration asks for.
GRAPHS = {"required": "treeline.export.packaging:graph_agreement"}


@dataclass(frozen=True)
class Rows:
    """Rows that are judged: prepared, as estimators see them, their truth, and what is one unit."""

    table: pd.DataFrame
    frame: pd.DataFrame
    truth: NDArray[Any]
    units: Units

    @classmethod
    def of(cls, table: pd.DataFrame, spec: ModelSpec, classes: list[Any] | None) -> "Rows":
        """Encode prepared rows."""
        truth = encoded_target(table[spec.target.name], classes)
        return cls(table, encoded(table, spec.features), truth, Units.of(table, spec.split))


def evaluate(spec: ModelSpec, paths: Layout) -> str:
    """Judge champion and baseline on the test split, or on all rows where folds are declared."""
    metric = spec.champion.metric
    classes = read_summary(paths.summary)["target"].get("classes")
    test = Rows.of(read_frame(paths.test), spec, classes)
    place, known = f"models.{paths.name}", len(classes or ())
    own.check(spec.metric_paths, spec.target.task, test.truth, known, place=place)
    training = read_training(paths.training)
    champion, baseline = (
        opened(path, digests=training.get("digests", {}))
        for path in (paths.estimator, paths.baseline)
    )
    estimators = {CHAMPION: champion, BASELINE: baseline}
    on_test = {name: predict(estimator, test.frame) for name, estimator in estimators.items()}
    prediction = on_test[CHAMPION]
    rows, repeats = test, [Repeat(on_test)]
    if spec.evaluation.folds is not None:
        both = [read_frame(paths.train), test.table]
        rows = Rows.of(pd.concat(both, ignore_index=True), spec, classes)
        repeats = refits(rows, estimators, spec)
    scores = evaluate_repeats(rows.truth, repeats, list(spec.metrics), units=rows.units)
    _check_known(scores[CHAMPION], prediction, spec, rows=len(rows.table))
    document: Evaluation = {
        "champion": scores[CHAMPION],
        "baseline": scores[BASELINE],
        "advantage": scores["advantage"],
        "rows": len(rows.table),
        "judged": _judged(rows, test, spec),
        **deciding(rows, repeats, spec),
        **diagnosed(champion, test, spec, paths),
        **graphed(champion, test, spec, paths),
        "answers": answers(test.truth, prediction, len(classes or [])),
    }
    write_json(paths.metrics, {name: it["value"] for name, it in document["champion"].items()})
    write_evaluation(paths.evaluation, document)
    table = saved(test.truth, prediction, classes)
    if spec.source.key is not None:
        table.insert(0, "key", test.table[spec.source.key].to_numpy())
    write_frame(paths.predictions, table)
    shown = document["importances"]
    draw(
        Judged(spec.target, classes or [], test.truth, prediction, shown, metric, training),
        curves=paths.plots,
        images=paths.images,
    )
    figure = interval(document["champion"][metric])
    return f"{metric} {figure}, {document['judged']['units']}"


def diagnosed(champion: Any, test: Rows, spec: ModelSpec, paths: Layout) -> Diagnosed:
    """Return what asks the champion for more predictions of the test split, or for refits."""
    metric, seed = spec.champion.metric, spec.split.seed
    diagnostics: Diagnosed = {
        "importances": importances(
            test.frame,
            test.truth,
            lambda shuffled: predict(champion, shuffled),
            metric=metric,
            seed=seed,
        )
    }
    if spec.evaluation.learning_curve:
        classes = read_summary(paths.summary)["target"].get("classes")
        train = Rows.of(read_frame(paths.train), spec, classes)
        learnt, judged = (train.frame, train.truth, train.units), (test.frame, test.truth)
        diagnostics["learning_curve"] = learning_curve(
            champion, learnt, judged, metric=metric, seed=seed
        )
    return diagnostics


def graphed(champion: Any, test: Rows, spec: ModelSpec, paths: Layout) -> Graphed:
    """Return how an ONNX graph repeats the champion, where the declaration requires one."""
    if spec.export.onnx not in GRAPHS:
        return {}
    look = resolve(GRAPHS, spec.export.onnx, place=f"models.{paths.name}.export")
    return {"graph": look(champion, test.table, spec)}


def deciding(rows: Rows, repeats: list[Repeat], spec: ModelSpec) -> Deciding:
    """Return what lets a person decide: slices, and by the first repeat thresholds, calibration."""
    prediction = repeats[0].predictions[CHAMPION]
    diagnostics: Deciding = {
        "slices": sliced(rows.table, rows.truth, repeats, spec, units=rows.units),
        "calibration": calibration(rows.truth, prediction),
    }
    if spec.target.task == "binary" and prediction.scores is not None:
        positive = prediction.scores[:, 1]
        diagnostics["thresholds"] = thresholds(rows.truth == 1, positive, spec.evaluation.costs)
    return diagnostics


def refits(rows: Rows, estimators: dict[str, Any], spec: ModelSpec) -> list[Repeat]:
    """Return the predictions of all rows by refits, once for each repeat."""
    declared = spec.evaluation
    assert declared.folds is not None  # the caller has looked
    repeats = []
    for repeat in range(declared.repeats):
        parts = parts_of(rows.units, declared.folds, seed=spec.split.seed, repeat=repeat)
        repeats.append(Repeat(predicted(rows.frame, rows.truth, estimators, parts=parts), parts))
    return repeats


def _check_known(
    champion: Mapping[str, Interval], prediction: Prediction, spec: ModelSpec, *, rows: int
) -> None:
    """Raise DataError where the rows give no metric by which the champion is judged."""
    for name in (spec.champion.metric, *spec.gate.judging):
        if name not in champion and METRICS[name].ranks and prediction.scores is not None:
            raise DataError(
                f"evaluation.folds: {name} ranks rows that one refit predicts, and no part of the "
                "folds has rows of each class; declare fewer folds, or judge by log_loss or brier"
            )
    for name in spec.metric_paths:
        if name in champion and not isfinite(champion[name]["value"]):
            raise DataError(
                f"{name}: it is not a number on the {rows:,} rows that judge the champion; let it "
                "be one there, or judge more rows"
            )


def _judged(rows: Rows, test: Rows, spec: ModelSpec) -> JudgedRows:
    """Say which rows were judged, by what, and what is independent among them."""
    declared = spec.evaluation
    return {
        "by": "test split" if declared.folds is None else "folds",
        "folds": rows.units.count if declared.folds == "all" else declared.folds,
        "repeats": declared.repeats,
        "units": rows.units.words,
        "intervals": rows.units.enough,
        "test_units": test.units.words,
    }


def saved(truth: NDArray[Any], prediction: Prediction, classes: list[Any] | None) -> pd.DataFrame:
    """Return one row per test row, in order: the truth, the prediction, a score per class."""
    if classes is None:
        return pd.DataFrame({"truth": truth, "prediction": prediction.values})
    assert prediction.labels is not None  # only a regression has none
    table: dict[str, Any] = {
        "truth": [classes[code] for code in truth],
        "prediction": [classes[code] for code in prediction.labels],
    }
    if prediction.scores is not None:
        for code, name in enumerate(classes):
            table[f"score_{text_of(name)}"] = prediction.scores[:, code]
    return pd.DataFrame(table)
