"""Train stage: dataset/<model>/train.parquet → model.pkl, baseline.pkl, the candidates' record."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev

from pyarrow import parquet

from treeline.artifact.pickled import pickled
from treeline.config import Layout
from treeline.config.models import BASELINE, ModelSpec
from treeline.evaluation import own
from treeline.export.admitted import check_missing
from treeline.files import digest, write_bytes, write_json, write_text
from treeline.records.summary import read_summary
from treeline.records.training import Training, write_training
from treeline.tables import read_frame
from treeline.trainers import Fitted
from treeline.trainers.contest import (
    announced,
    contest,
    learnt_from,
    mean,
    memory_free,
    record,
    table,
    training_set,
)

ACCURACY = "accuracy"  # what people ask of classes first, whatever chooses the champion


def by_fold(folds: Mapping[str, Sequence[float]], metric: str) -> Iterator[str]:
    """Yield a line for the champion metric, and for the accuracy where there is one.

    Each has the value of every fold, their mean, and their deviation (n - 1).
    """
    for each in dict.fromkeys([metric, ACCURACY]):
        if values := folds.get(each):
            listed = " ".join(f"{value:.4f}" for value in values)
            figures = f"mean {fmean(values):.4f}, deviation {stdev(values):.4f}"
            yield f"{each} by fold {listed}: {figures}"


def train(spec: ModelSpec, paths: Layout) -> str:
    """Let the candidates compete inside the training split and keep the champion."""
    summary = read_summary(paths.summary)
    classes = summary["target"].get("classes")
    metric = spec.champion.metric

    def report(name: str, fitted: Fitted) -> None:
        print(
            f"train {paths.name}: {name}: {metric} {mean(fitted, metric):.4f}, best of "
            f"{len(fitted.trials)} settings on {spec.search.folds} folds, {fitted.seconds:.1f} s",
            flush=True,
        )
        for line in by_fold(fitted.best.folds, metric):
            print(f"train {paths.name}: {name}: {line}", flush=True)

    rows = parquet.read_metadata(paths.train).num_rows
    print(f"train {paths.name}: {announced(spec, rows, free=memory_free())}", flush=True)
    training = training_set(read_frame(paths.train), spec, classes)
    place = f"models.{paths.name}.champion.metric"
    own.check([metric], training.task, training.target, len(classes or ()), place=place)
    held = contest(training, spec, place=f"models.{paths.name}", report=report)
    champion = held.fitted[held.champion].estimator
    check_missing(
        champion,
        training.frame.head(1).to_numpy(),
        spec.features,
        place=f"models.{paths.name}.candidates.{held.champion}",
    )
    write_bytes(paths.estimator, pickled(champion))
    write_bytes(paths.baseline, pickled(held.fitted[BASELINE].estimator))
    digests = {path.name: digest(path) for path in (paths.estimator, paths.baseline)}
    write_text(paths.candidates, table(held).to_csv(index=False, lineterminator="\n"))
    learnt = learnt_from(spec, summary["rows"])
    training_record: Training = {
        **record(held),
        "learnt": {"rows": learnt.rows, "refit": learnt.refit},
        "digests": digests,
    }
    write_training(paths.training, training_record)
    write_json(paths.seconds, {name: round(f.seconds, 3) for name, f in held.fitted.items()})
    return f"champion is {held.champion}"
