"""Stages that are out of date → run, and a table of the models as they are then.

A stage that fails and a gate that refuses keep no other model from being made.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from treeline.config import PARAMS, Layout, read_params
from treeline.config.models import ModelSpec
from treeline.delivery.pipeline import KILLED, run_pipeline
from treeline.delivery.progress import GREEN, RED, StageRun, coloured
from treeline.errors import ConfigError

HEADER = ("model", "version", "metric", "gate", "report")


@dataclass(frozen=True)
class Reproduction:
    """The models that were brought up to date, the stages that ran, and how long it took."""

    models: Mapping[str, ModelSpec]
    runs: Sequence[StageRun]
    seconds: float

    @property
    def failures(self) -> list[str]:
        """Return which stages failed, and why."""
        return _failures(self.runs)

    def to_text(self) -> str:
        """Return the table of the models, and one line about the run."""
        return f"{_table(self.models)}\n\n{_summary(self.runs, seconds=self.seconds)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {
            "models": _rows(self.models),
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


def _rows(models: Mapping[str, ModelSpec]) -> list[dict[str, Any]]:
    """Return for each model what is exported, how good it is and what the gate says; else None."""
    return [_row(name, spec) for name, spec in models.items()]


def _table(models: Mapping[str, ModelSpec]) -> str:
    """Return the rows as text, a line for each model."""
    lines = [HEADER, *map(_line, _rows(models))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    return "\n".join(line.rstrip() for line in padded)


def _failures(runs: Sequence[StageRun]) -> list[str]:
    """Return, for each stage that failed, which it was and why."""
    return [
        f"{f'{run.stage} {run.model}'.strip()}: {run.error or KILLED}"
        for run in runs
        if _failed(run)
    ]


def _summary(runs: Sequence[StageRun], *, seconds: float) -> str:
    """Say in one line how much ran and how it ended."""
    failed, count = sum(map(_failed, runs)), sum(bool(run.model) for run in runs)
    ran = f"{count} stages ran" if count != 1 else "1 stage ran"
    text = f"{ran if count else 'Everything was up to date'}, {seconds:.0f} s"
    return coloured(f"{text}; {failed} failed", RED) if failed else coloured(text, GREEN)


def _failed(run: StageRun) -> bool:
    return bool(run.error) or not run.ended


def _row(name: str, spec: ModelSpec) -> dict[str, Any]:
    paths, metric = Layout(name), spec.champion.metric
    judged = _read(paths.evaluation).get("champion", {}).get(metric)
    return {
        "model": name,
        "version": _read(paths.signature).get("version"),
        "metric": metric,
        "score": {key: judged[key] for key in ("value", "low", "high")} if judged else None,
        "passed": _read(paths.verdict).get("passed"),
        "report": str(paths.report) if paths.report.is_file() else None,
    }


def _line(row: Mapping[str, Any]) -> tuple[str, ...]:
    score = row["score"]
    figure = f"{row['metric']} {score['value']:.4f}" if score else "-"
    if score and score["low"] is not None:
        figure += f" ({score['low']:.4f} to {score['high']:.4f})"
    gate = {True: "passed", False: "refused"}.get(row["passed"], "-")
    return row["model"], row["version"] or "-", figure, gate, row["report"] or "-"


def _read(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return dict(document)
