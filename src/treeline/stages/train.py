"""Train stage: dataset/<model>/train.parquet → model.pkl, baseline.pkl, the candidates' record."""

import json
import pickle

from treeline.config import Layout
from treeline.config.models import BASELINE, ModelSpec
from treeline.files import write_bytes, write_json, write_text
from treeline.tables import read_frame
from treeline.trainers import Fitted
from treeline.training import contest, document, mean, record, table, training_set


def train(spec: ModelSpec, paths: Layout) -> str:
    """Let the candidates compete inside the training split and keep the champion."""
    classes = json.loads(paths.summary.read_text())["target"].get("classes")
    metric = spec.champion.metric

    def told(name: str, fitted: Fitted) -> None:
        print(
            f"train {paths.name}: {name}: {metric} {mean(fitted, metric):.4f}, best of "
            f"{len(fitted.trials)} settings on {spec.search.folds} folds, {fitted.seconds:.1f} s",
            flush=True,
        )

    training = training_set(read_frame(paths.train), spec, classes)
    held = contest(training, spec, place=f"models.{paths.name}", told=told)
    write_bytes(paths.estimator, pickle.dumps(held.fitted[held.champion].estimator))
    write_bytes(paths.baseline, pickle.dumps(held.fitted[BASELINE].estimator))
    write_text(paths.candidates, table(held).to_csv(index=False, lineterminator="\n"))
    write_text(paths.training, document(record(held)))
    write_json(paths.seconds, {name: round(f.seconds, 3) for name, f in held.fitted.items()})
    return f"champion is {held.champion}"
