"""Evaluate stage: model.pkl, baseline.pkl, test.parquet → metrics, evaluation, pictures.

Where the declaration requires an ONNX graph, the gate must know whether one repeats the champion.
"""

import json
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from treeline.artifact.pickled import opened, predict
from treeline.artifact.prediction import Prediction
from treeline.config import Layout
from treeline.config.metrics import metrics_of
from treeline.config.models import BASELINE, CHAMPION, ModelSpec
from treeline.contract.texts import text_of
from treeline.evaluation import evaluate as evaluated
from treeline.evaluation import importances
from treeline.files import write_json
from treeline.frames import read_frame, write_frame
from treeline.plots import Judged, draw
from treeline.preparation.encoding import encoded, encoded_target
from treeline.registry import resolve

# By name, because converters take seconds to import, which only this declaration asks for.
GRAPHS = {"required": "treeline.exporting:graph_found"}


def evaluate(spec: ModelSpec, paths: Layout) -> str:
    """Judge champion and baseline on the test split."""
    test, seed, metric = read_frame(paths.test), spec.split.seed, spec.champion.metric
    classes = json.loads(paths.summary.read_text(encoding="utf-8"))["target"].get("classes")
    truth = encoded_target(test[spec.target.name], classes)
    frame = encoded(test, spec.features)
    training = json.loads(paths.training.read_text(encoding="utf-8"))
    champion, baseline = (
        opened(path, digests=training.get("digests", {}))
        for path in (paths.estimator, paths.baseline)
    )
    prediction = predict(champion, frame)
    predictions = {CHAMPION: prediction, BASELINE: predict(baseline, frame)}
    document = evaluated(truth, predictions, list(metrics_of(spec.target.task)), seed=seed)
    document["rows"] = len(test)
    document["importances"] = importances(
        frame, truth, lambda shuffled: predict(champion, shuffled), metric=metric, seed=seed
    )
    if spec.export.onnx in GRAPHS:
        look = resolve(GRAPHS, spec.export.onnx, place=f"models.{paths.name}.export")
        document["graph"] = look(champion, test, spec)
    write_json(paths.metrics, {name: it["value"] for name, it in document[CHAMPION].items()})
    write_json(paths.evaluation, document)
    table = saved(truth, prediction, classes)
    if spec.source.key is not None:
        table.insert(0, "key", test[spec.source.key].to_numpy())
    write_frame(paths.predictions, table)
    shown = document["importances"]
    draw(
        Judged(spec.target, classes or [], truth, prediction, shown, metric, training),
        curves=paths.plots,
        images=paths.images,
    )
    found = document[CHAMPION][metric]
    return f"{metric} {found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f})"


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
