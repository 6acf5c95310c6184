"""What a person reads last: one table of the models as they are now, and why any was refused."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.delivery.progress import GREEN, RED, StageRun, coloured

HEADER = ("model", "version", "metric", "gate", "report")


def rows(models: Mapping[str, ModelSpec]) -> list[dict[str, Any]]:
    """Return for each model what is exported, how good it is and what the gate says; else None."""
    return [_row(name, spec) for name, spec in models.items()]


def table(models: Mapping[str, ModelSpec]) -> str:
    """Return the rows as text, a line for each model."""
    lines = [HEADER, *map(_line, rows(models))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    return "\n".join(line.rstrip() for line in padded)


def failures(found: Sequence[StageRun]) -> list[str]:
    """Return, for each stage that failed, which it was and why."""
    return [
        f"{run.stage} {run.model}: {run.error or 'it ended without a word'}"
        for run in found
        if _failed(run)
    ]


def summary(found: Sequence[StageRun], *, seconds: float) -> str:
    """Say in one line how much ran and how it ended."""
    failed = sum(map(_failed, found))
    ran = f"{len(found)} stages ran" if len(found) != 1 else "1 stage ran"
    text = f"{ran if found else 'Everything was up to date'}, {seconds:.0f} s"
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


def _read(path: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found
