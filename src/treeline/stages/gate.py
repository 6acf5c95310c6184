"""Gate stage: evaluation.json → verdict.json, report.md; exit code 1 if refused."""

import json

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.contract.signature import Verdict
from treeline.errors import GateError
from treeline.files import write_json, write_text
from treeline.gate import decide
from treeline.preparation import suspected
from treeline.reports.training import Record, report


def gate(spec: ModelSpec, paths: Layout) -> str:
    """Decide whether the champion may be exported; raises GateError with the reasons if not."""
    evaluation = json.loads(paths.evaluation.read_text(encoding="utf-8"))
    summary = json.loads(paths.summary.read_text(encoding="utf-8"))
    training = json.loads(paths.training.read_text(encoding="utf-8"))
    judged = evaluation | {"winner": training["champion"]}
    verdict = decide(judged, spec.gate, metric=spec.champion.metric, onnx=spec.export.onnx)
    refused, said = suspected.decide(summary["leaks"], spec.gate.leaks)
    verdict = _with_leaks(verdict, refused, said)
    record = Record(
        name=paths.name,
        description=spec.description,
        summary=summary,
        training=training,
        evaluation=evaluation,
        verdict=verdict,
        beware=() if verdict.passed else tuple(said),
        images=tuple(f"images/{path.name}" for path in sorted(paths.images.glob("*.png"))),
    )
    write_text(paths.report, report(record))
    write_json(paths.verdict, verdict.model_dump(mode="json"))
    if not verdict.passed:
        raise GateError("refused: " + "; ".join(verdict.reasons))
    return "passed: " + "; ".join(verdict.reasons)


def _with_leaks(verdict: Verdict, refused: list[str], said: list[str]) -> Verdict:
    """Join what the data give away to a verdict; a refusal gives the reasons to refuse alone."""
    if refused:
        reasons = refused if verdict.passed else [*verdict.reasons, *refused]
        return Verdict(passed=False, reasons=tuple(reasons))
    return Verdict(
        passed=verdict.passed, reasons=(*verdict.reasons, *(said if verdict.passed else ()))
    )
