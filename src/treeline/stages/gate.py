"""Gate stage: evaluation.json → verdict.json, report.md; exit code 1 if refused."""

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.errors import GateError
from treeline.evaluation.gate import decided
from treeline.files import write_json, write_text
from treeline.records.evaluation import read_evaluation
from treeline.records.summary import read_summary
from treeline.records.training import read_training
from treeline.reports.training import Record, report


def gate(spec: ModelSpec, paths: Layout) -> str:
    """Decide whether the champion may be exported; raises GateError with the reasons if not."""
    evaluation = read_evaluation(paths.evaluation)
    summary = read_summary(paths.summary)
    training = read_training(paths.training)
    decision = decided(spec, summary=summary, training=training, evaluation=evaluation)
    verdict = decision.verdict
    record = Record(
        name=paths.name,
        description=spec.description,
        summary=summary,
        training=training,
        evaluation=evaluation,
        verdict=verdict,
        beware=() if verdict.passed else decision.warnings,
        images=tuple(f"images/{path.name}" for path in sorted(paths.images.glob("*.png"))),
    )
    write_text(paths.report, report(record))
    write_json(paths.verdict, verdict.model_dump(mode="json"))
    if not verdict.passed:
        raise GateError("refused: " + "; ".join(verdict.reasons))
    return "passed: " + "; ".join(verdict.reasons)
