"""Signature + summary + evaluation → the model card, in Markdown. Pure."""

from treeline.contract.features import Feature
from treeline.contract.signature import Parity, Signature
from treeline.contract.texts import text_of
from treeline.records.evaluation import Evaluation
from treeline.records.summary import Summary
from treeline.reports import sections
from treeline.reports.markdown import number, table


def card(signature: Signature, *, summary: Summary, evaluation: Evaluation) -> str:
    """Return what a person should know before using the model."""
    parts = [
        f"# {signature.name}",
        signature.description,
        f"Version `{signature.version}`, {signature.lineage.champion} "
        f"(`{signature.lineage.estimator}`), served by the {signature.runtime} runtime.",
        f"## Read this first\n\n{signature.notes}" if signature.notes else "",
        "## What it predicts",
        _target(signature),
        "## What it is given",
        _features(signature),
        "## What it learnt from",
        sections.rows(summary),
        _refitted(signature),
        "## How good it is",
        sections.metrics(evaluation),
        "## Why it may be used",
        "\n".join(f"- {reason}" for reason in signature.verdict.reasons),
        f"- On {signature.parity.rows:,} test rows the artifact differs from the estimator by at "
        f"most {signature.parity.largest_difference:g}."
        + _proved(signature.parity)
        + (f" It is {signature.parity.note}." if signature.parity.note else ""),
        "## What it rests on",
        sections.importances(evaluation),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _refitted(signature: Signature) -> str:
    """Say so where the exported model is not the one that was judged."""
    if signature.learnt is None or signature.learnt.refit != "all":
        return ""
    return (
        f"When it had been judged, the champion was fitted again on all {signature.learnt.rows:,} "
        "rows, those of the test split too, and that model is exported. Its metrics are those of "
        "the same settings learnt from the training rows alone."
    )


def _proved(parity: Parity) -> str:
    if not parity.admitted_rows:
        return ""
    return (
        f" It repeats it as closely on {parity.admitted_rows:,} rows that callers may send: with "
        "values that are missing, at their bounds, at splits of trees, of each category."
    )


def _target(signature: Signature) -> str:
    target = signature.target
    lines = f"`{target.name}`" + (f" ({target.unit})" if target.unit else "")
    lines += f": {target.description}." if target.description else "."
    if signature.classes:
        named = ", ".join(f"`{text_of(value)}`" for value in signature.classes)
        lines += f" Classes: {named}."
    return lines


def _features(signature: Signature) -> str:
    rows = [
        [f"`{name}`", _admitted(feature), _if_missing(feature), feature.description]
        for name, feature in signature.features.items()
    ]
    return table(["feature", "admitted", "if left out", "meaning"], rows)


def _admitted(feature: Feature) -> str:
    return feature.describe() + (f", in {feature.unit}" if feature.unit else "")


def _if_missing(feature: Feature) -> str:
    if feature.fill is not None:
        return number(feature.fill) if isinstance(feature.fill, float) else text_of(feature.fill)
    return "missing" if feature.nullable else "refused"
