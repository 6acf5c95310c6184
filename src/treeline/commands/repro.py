"""Stages that are out of date → run, and a table of the models as they are then.

A stage that fails and a gate that refuses keep no other model from being made.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from treeline.config import PARAMS, read_params
from treeline.config.models import ModelSpec
from treeline.delivery.closing import failures, rows, summary, table
from treeline.delivery.progress import StageRun
from treeline.delivery.running import run_pipeline
from treeline.errors import ConfigError


@dataclass(frozen=True)
class Reproduction:
    """The models that were brought up to date, the stages that ran, and how long it took."""

    models: Mapping[str, ModelSpec]
    runs: Sequence[StageRun]
    seconds: float

    @property
    def failures(self) -> list[str]:
        """Return which stages failed, and why."""
        return failures(self.runs)

    def to_text(self) -> str:
        """Return the table of the models, and one line about the run."""
        return f"{table(self.models)}\n\n{summary(self.runs, seconds=self.seconds)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {
            "models": rows(self.models),
            "runs": [asdict(run) for run in self.runs],
            "seconds": round(self.seconds, 3),
            "failures": self.failures,
        }


def reproduce(options: Sequence[str]) -> Reproduction:
    """Bring all models up to date, with options and targets of `dvc repro`.

    Raises Interrupted at Ctrl-C, and DeliveryError where DVC itself fails.
    """
    return _run(read_params().models, options)


def train(model: str, options: Sequence[str]) -> Reproduction:
    """Bring one model up to date, up to its export; raises what `reproduce` does."""
    models = read_params().models
    if model not in models:
        known = ", ".join(models)
        raise ConfigError(f"{PARAMS}: models.{model}: not declared; declared are {known}")
    return _run({model: models[model]}, [f"export@{model}", *options])


def _run(models: Mapping[str, ModelSpec], options: Sequence[str]) -> Reproduction:
    started = time.perf_counter()
    runs = run_pipeline(list(models), options)
    return Reproduction(models, runs, time.perf_counter() - started)
