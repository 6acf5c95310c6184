"""Candidate and incumbent on the same rows → whether the candidate may take the place. Pure."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from treeline.artifact.prediction import Prediction
from treeline.config.metrics import METRICS
from treeline.contract.signature import Verdict
from treeline.evaluation import evaluate
from treeline.reports.markdown import interval, number, table

CANDIDATE, INCUMBENT = "candidate", "incumbent"


def compare(
    truth: NDArray[Any],
    predictions: Mapping[str, Prediction],
    *,
    metrics: list[str],
    may_drop_by: Mapping[str, float],
) -> dict[str, Any]:
    """Set `candidate` beside `incumbent`, predictions for the same rows, and decide.

    Returns the metrics of both and the candidate's `advantage` with paired intervals,
    and the verdict: a metric may drop by no more than is allowed. Without any declared drop the
    first metric may not drop at all.
    """
    ordered = {name: predictions[name] for name in (CANDIDATE, INCUMBENT)}
    found = evaluate(truth, ordered, metrics)
    allowed = may_drop_by or {metrics[0]: 0.0}
    verdict = decide(found, allowed)
    return {**found, "rows": len(truth), "verdict": verdict.model_dump(mode="json")}


def decide(found: Mapping[str, Any], may_drop_by: Mapping[str, float]) -> Verdict:
    """Judge the drop of each metric against what is allowed, in the unit of the metric."""
    reasons, passed = [], True
    for name, allowed in may_drop_by.items():
        lead = found["advantage"][INCUMBENT].get(name)
        if lead is None:
            reasons.append(
                f"{name} is not given by both models, so its drop is not known; "
                "declare the drop of a metric that both give"
            )
            passed = False
            continue
        before, after = (found[side][name]["value"] for side in (INCUMBENT, CANDIDATE))
        good = lead["value"] >= -allowed
        passed = passed and good
        worse = "fell" if METRICS[name].higher_is_better else "rose"
        moved = "held" if lead["value"] >= 0 else worse
        reasons.append(
            f"{name} {moved}: {number(before)} before, {number(after)} now, a lead of "
            f"{interval(lead)}; a drop of {allowed:g} is allowed"
        )
    return Verdict(passed=passed, reasons=tuple(reasons))


def told(name: str, found: Mapping[str, Any], *, base: str) -> str:
    """Return the comparison as Markdown."""
    verdict = "may ship" if found["verdict"]["passed"] else "must not ship"
    rows = [
        [
            metric,
            number(found[CANDIDATE][metric]["value"]),
            number(found[INCUMBENT][metric]["value"]),
            interval(lead),
        ]
        for metric, lead in found["advantage"][INCUMBENT].items()
    ]
    return "\n\n".join(
        [
            f"## {name} {verdict}",
            "\n".join(f"- {reason}" for reason in found["verdict"]["reasons"]),
            f"On the same {found['rows']:,} test rows, with paired 95 % intervals; a "
            "positive lead is better, whichever way the metric points.",
            table(["metric", "candidate", f"incumbent ({base})", "lead"], rows),
        ]
    )
