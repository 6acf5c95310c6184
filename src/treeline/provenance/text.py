"""What is behind a prediction or a version, in Markdown that reads well in a terminal."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from textwrap import indent
from typing import Any

from treeline.monitoring.rows import LoggedPrediction
from treeline.provenance.origins import Origin, in_service_at

SHORT = 12  # digits of a commit or a digest


def explained(origin: Origin, prediction: LoggedPrediction | None) -> str:
    """Return everything that is known, from the answer back to the data, and what is not."""
    parts = [f"# {origin.model} {origin.version}"]
    if prediction is not None:
        parts.append(_section("The answer", _answer(prediction)))
    parts.append(_section("The model", _model(origin)))
    parts.append(_section("Releases and deployments", _delivery(origin, prediction)))
    if origin.declaration:
        parts.append(f"## Declaration\n\n{indent(origin.declaration, '    ')}")
    parts.append(_section("Data", _data(origin)))
    if origin.missing:
        parts.append(_section("Not known here", list(origin.missing)))
    return "\n\n".join(part for part in parts if part)


def iso(seconds: float) -> str:
    """Return seconds since 1970 as ISO 8601 in UTC, to the second."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _section(title: str, lines: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines) if lines else ""


def _answer(prediction: LoggedPrediction) -> list[str]:
    lines = [
        f"id: {prediction.id}, at {iso(prediction.time)}",
        f"record: {_json(prediction.features)}",
        f"prediction: {_json(prediction.prediction)}",
    ]
    if prediction.probabilities is not None:
        lines.append(f"probabilities: {_json(dict(prediction.probabilities))}")
    elif prediction.probability is not None:
        lines.append(f"probability: {prediction.probability:g}")
    if prediction.truth_time is None:
        lines.append("truth: nobody has said")
    else:
        lines.append(f"truth: {_json(prediction.truth)}, since {iso(prediction.truth_time)}")
    return lines


def _model(origin: Origin) -> list[str]:
    lines = []
    if commit := origin.commit:
        lines.append(f"commit: {commit.id[:SHORT]} of {commit.when}, {commit.author}")
        lines.append(f"message: {commit.subject}")
        if commit.run:
            lines.append(f"run: {commit.run}")
    if signature := origin.signature:
        lineage = signature.lineage
        verdict = "passed" if signature.verdict.passed else "refused"
        lines += [
            f"champion: {lineage.champion}, {lineage.estimator} {_json(lineage.hyperparameters)}",
            f"metrics: {_pairs(signature.metrics)}",
            f"gate: {verdict}: {'; '.join(signature.verdict.reasons)}",
            f"code: {lineage.code[:SHORT]}, declaration: {lineage.params[:SHORT]} (SHA-256)",
            f"libraries: {_pairs(lineage.libraries)}",
        ]
    return lines


def _delivery(origin: Origin, prediction: LoggedPrediction | None) -> list[str]:
    lines = [
        f"released at {each.when}: commit {each.commit[:SHORT]}, passed at {each.passed[:SHORT]}; "
        f"{each.signed}"
        for each in origin.releases
    ]
    answering = in_service_at(origin, iso(prediction.time)) if prediction else None
    for each in origin.deployments:
        mark = ", the last before the answer" if each is answering else ""
        why = f" ({each.reason})" if each.reason else ""
        lines.append(
            f"{each.outcome}{why} at {each.when}: {each.image} on {each.target or 'nothing'}"
            f"{f', {each.url}' if each.url else ''}{f', run {each.run}' if each.run else ''}{mark}"
        )
    return lines


def _data(origin: Origin) -> list[str]:
    return [
        f"{each.path}: MD5 {each.md5}"
        + ("" if each.bytes is None else f", {each.bytes:,} bytes")
        + (", in the cache here" if each.cached else "")
        for each in origin.data
    ]


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
