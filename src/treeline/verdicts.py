"""How a model was made and judged → the verdict, by its gate and by what its data give away.

Pure. The stage writes it, and what is recorded of a training is held against it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from treeline.config.models import ModelSpec
from treeline.contract.signature import Verdict
from treeline.gate import decide
from treeline.preparation import suspected


@dataclass(frozen=True)
class Decision:
    """A verdict, and what the data give away that did not refuse the model by itself."""

    verdict: Verdict
    warnings: tuple[str, ...]


def decided(
    spec: ModelSpec,
    *,
    summary: Mapping[str, Any],
    training: Mapping[str, Any],
    evaluation: Mapping[str, Any],
) -> Decision:
    """Decide whether a champion may be exported, by the documents of its stages."""
    judged = {**evaluation, "winner": training["champion"]}
    verdict = decide(judged, spec.gate, metric=spec.champion.metric, onnx=spec.export.onnx)
    refused, warnings = suspected.decide(summary["leaks"], spec.gate.leaks)
    return Decision(_with_leaks(verdict, refused, warnings), tuple(warnings))


def _with_leaks(verdict: Verdict, refused: list[str], warnings: list[str]) -> Verdict:
    """Join what the data give away to a verdict; a refusal gives the reasons to refuse alone."""
    if refused:
        reasons = refused if verdict.passed else [*verdict.reasons, *refused]
        return Verdict(passed=False, reasons=tuple(reasons))
    return Verdict(
        passed=verdict.passed, reasons=(*verdict.reasons, *(warnings if verdict.passed else ()))
    )
