"""Trials of a search as tasks of Spark: the training set is sent once, workers judge settings.

A worker runs the same code on the same rows as one machine would, one trial on one core, so that
trials are the same to the last digit. It needs this package in the Python that it runs, and memory
for the training set. A setting by itself is judged here: there is nothing to share out.
"""

import os
import pickle
from collections.abc import Sequence
from functools import partial
from typing import Any

from sklearn.pipeline import Pipeline

from treeline.engines.spark import FAILURES, quiet, reason, session, shown
from treeline.errors import EngineError
from treeline.trainers import TrainingSet, Trial, searching

# What decides on the last digits of a sum (`treeline.stages.__main__`) must hold in workers too.
ARITHMETIC = ("NPY_DISABLE_CPU_FEATURES", "OPENBLAS_CORETYPE")


def judged(
    pipeline: Pipeline,
    training: TrainingSet,
    settings: Sequence[dict[str, Any]],
    *,
    jobs: int,
    name: str,
) -> list[Trial]:
    """Return a trial for each setting, in order; whatever the estimator raises comes through.

    Raises EngineError where Spark cannot be had or fails.
    """
    if len(settings) < 2:
        return searching.judged(pipeline, training, settings, jobs=jobs, name=name)
    with session(f"search {name}".strip()) as spark, quiet():
        context = spark.sparkContext
        context.environment.update({k: os.environ[k] for k in ARITHMETIC if k in os.environ})
        try:
            sent = context.broadcast((pipeline, training))
            tasks = context.parallelize(list(settings), len(settings)).map(partial(_tried, sent))
            with shown(spark, name):
                outcomes = tasks.collect()
            sent.unpersist()
        except FAILURES as error:
            raise EngineError(f"Spark could not run the trials: {reason(error)}") from error
    return [_trial_of(outcome) for outcome in outcomes]


def _tried(sent: Any, setting: dict[str, Any]) -> Trial | Exception:
    """Judge a setting in a worker.

    What fails once fails always, so it is handed back: Spark would try three times more.
    """
    pipeline, training = sent.value
    try:
        return searching.trial(pipeline, training, setting, jobs=1)
    except Exception as error:
        return _carried(error)


def _trial_of(outcome: Trial | Exception) -> Trial:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _carried(error: Exception) -> Exception:
    """Return an exception that can travel: the same, or one that tells of it."""
    try:
        same = pickle.loads(pickle.dumps(error))
    except Exception:  # classes of exceptions may take other arguments than they hold
        return RuntimeError(f"{type(error).__name__}: {error}")
    return same if isinstance(same, Exception) else RuntimeError(str(error))
