"""Evaluation + declared thresholds + what the data give away → verdict, with reasons. Pure."""

from dataclasses import dataclass
from math import ceil, floor, log10

from treeline.config.blocks import Leaks, Onnx
from treeline.config.metrics import METRICS
from treeline.config.models import BASELINE, Gate, ModelSpec, Undecided
from treeline.contract.signature import Verdict
from treeline.records.evaluation import Evaluation, Gated, Graph, Metrics, Scored
from treeline.records.summary import LeakRecord, Summary, Twins
from treeline.records.training import Training

THE_BASELINE_WON = (
    "the baseline itself won and ships, as declared: on the folds no candidate led it by more than "
    "one standard error"
)


NO_GRAPH: Graph = {"missing": "the evaluation says nothing of one"}


def decide(
    evaluation: Gated,
    gate: Gate,
    *,
    metric: str,
    onnx: Onnx = "preferred",
    winner: str = "",
) -> Verdict:
    """Judge a champion by floor, ceiling and baseline, and by its graph where one is required.

    `metric` is the declared champion metric. A floor and a ceiling bound the good side of a metric:
    for a metric where lower is better, a floor of 0.4 admits at most 0.4, and a ceiling of 0.01 at
    least 0.01. With `onnx` "required" a model without a graph is refused. A `winner` that is the
    baseline itself has no other to beat.
    """
    champion = evaluation["champion"]
    checks = [_floor(name, champion, limit) for name, limit in gate.floor.items()]
    checks += [_ceiling(name, champion, limit) for name, limit in gate.ceiling.items()]
    if winner == BASELINE:
        checks.append((True, THE_BASELINE_WON))
    elif gate.beats == BASELINE:
        by = gate.beats_by or metric
        lead = evaluation["advantage"][BASELINE].get(by)
        judge = _without_interval if lead and lead["low"] is None else _beats
        checks.append(judge(evaluation, by, undecided=gate.undecided))
    if onnx == "required":
        checks.append(_graph(evaluation.get("graph", NO_GRAPH)))
    passed = all(good for good, _ in checks)
    reasons = [reason for good, reason in checks if passed or not good]
    return Verdict(passed=passed, reasons=tuple(reasons or ["nothing was asked of the model"]))


def _floor(name: str, champion: Metrics, limit: float) -> tuple[bool, str]:
    if name not in champion:
        return False, f"{name} has a floor of {limit:g}, but the champion gives no probabilities"
    value, sign = champion[name]["value"], METRICS[name].sign
    side = "at least" if sign > 0 else "at most"
    if sign * value >= sign * limit:
        return True, f"{name} is {value:.4g}; {side} {limit:g} was asked"
    return False, f"{name} is {value:.4g}, but {side} {limit:g} is asked"


def _ceiling(name: str, champion: Metrics, limit: float) -> tuple[bool, str]:
    if name not in champion:
        return False, f"{name} has a ceiling of {limit:g}, but the champion gives no probabilities"
    value, sign = champion[name]["value"], METRICS[name].sign
    side = "above" if sign > 0 else "below"
    if sign * value <= sign * limit:
        return True, f"{name} is {value:.4g}, not {side} {limit:g}, where a leak is to be suspected"
    return False, (
        f"{name} is {value:.4g}, {side} {limit:g}: too good to be true until someone explains it; "
        "look for a feature that knows the target"
    )


def _beats(evaluation: Scored, metric: str, *, undecided: Undecided) -> tuple[bool, str]:
    """Judge a lead by its interval of 95 %: at most one useless champion in forty is above 0."""
    value = evaluation["champion"][metric]["value"]
    if metric not in evaluation["baseline"]:
        return False, f"the baseline has no {metric} to be beaten by; choose a metric it can give"
    rival = evaluation["baseline"][metric]["value"]
    lead = evaluation["advantage"][BASELINE][metric]
    low, high = lead["low"], lead["high"]
    assert low is not None and high is not None  # the caller has looked
    margin = f"by {lead['value']:.4g}, interval {low:.4g} to {high:.4g}"
    if low > 0:
        return True, f"{metric} {value:.4g} beats the baseline's {rival:.4g} ({margin})"
    if lead["value"] <= 0:
        return False, f"{metric} {value:.4g} does not beat the baseline's {rival:.4g} ({margin})"
    rows = evaluation["rows"]
    needed = _rows_needed(lead["value"], low, rows)
    text = (
        f"whether {metric} {value:.4g} beats the baseline's {rival:.4g} cannot be told with "
        f"{rows:,} test rows ({margin}); {needed:,} would do if the lead held"
    )
    if undecided == "pass":
        return True, f"{text}, and `undecided: pass` lets it"
    return False, f"{text}; collect more, or declare `undecided: pass` in the gate"


def _without_interval(evaluation: Scored, metric: str, *, undecided: Undecided) -> tuple[bool, str]:
    """Judge a lead without an interval: what is behind is refused, what is ahead is undecided."""
    lead = evaluation["advantage"][BASELINE][metric]["value"]
    text = f"{metric} leads the baseline's by {lead:.4g}, without an interval"
    if lead <= 0:
        return False, f"{text}: it does not beat the baseline"
    text += f": {evaluation['judged']['units']} are too few for one, or those of its rarest class"
    if undecided == "pass":
        return True, f"{text}, and `undecided: pass` lets it"
    return False, (
        f"{text}; judge by folds of all rows (`evaluation: {{folds: all}}`), collect more groups, "
        "or declare `undecided: pass` in the gate"
    )


def _rows_needed(lead: float, low: float, rows: int) -> int:
    """Return about how many rows narrow the interval of a lead until it is above 0.

    Its width falls with the root of their number.
    """
    return two_digits(rows * ((lead - low) / lead) ** 2)


def two_digits(rows: float) -> int:
    """Return a number of rows rounded up to two digits, for more would say what nobody knows."""
    unit: int = 10 ** max(0, floor(log10(rows)) - 1)
    return ceil(round(rows / unit, 6)) * unit


def _graph(graph: Graph) -> tuple[bool, str]:
    if reason := graph.get("missing"):
        return False, (
            f"`export: required` asks for an ONNX graph, and there is none: {reason}; leave out "
            "this candidate, or declare `export: preferred`, which lets another runtime serve it"
        )
    return True, (
        f"an ONNX graph repeats it on {graph['rows']:,} test rows within "
        f"{graph['largest_difference']:.2g}"
    )


CLEAR_TWINS = 0.2  # of the test rows: a score is then that of a memory
WITH_TARGET = 0.95  # of those: rows that only look alike agree less often
BEYOND_CHANCE = 4  # times as many as independent features would give
WORTH_SAYING = 0.01  # of the test rows


def copied(twins: Twins) -> bool:
    """Tell whether so many test rows have a twin, so far beyond chance, that rows were copied."""
    share = twins["share"]
    many = share >= CLEAR_TWINS and share >= BEYOND_CHANCE * twins["by_chance"]
    return bool(many and (twins["same_target"] or 0) >= WITH_TARGET)


def sentences(leaks: LeakRecord) -> dict[str, list[str]]:
    """Return what is suspicious by the key of `gate.leaks` that decides on it, in words."""
    suspicions: dict[str, list[str]] = {
        "twins": [],
        "telling": [],
        "ids": [],
        "clocks": [],
        "groups": [],
    }
    if (twins := leaks["twins"])["share"] >= WORTH_SAYING:
        suspicions["twins"] = [
            f"{twins['test_rows']:,} test rows ({twins['share']:.0%}) repeat the features of a "
            f"training row (chance: {twins['by_chance']:.0%}), {twins['same_target']:.0%} of them "
            "with its target"
        ]
    suspicions["telling"] = [
        f"`{each['feature']}` alone tells {each['alone']:.1%} of what the target leaves open"
        for each in leaks["telling"]
    ]
    suspicions["ids"] = [
        f"`{name}` differs in every row, like a number of rows; a model can only memorise it"
        for name in leaks["ids"]
    ]
    suspicions["clocks"] = [
        f"`{each['feature']}` follows the order of rows and tells {each['random']:.0%} of the "
        f"target among random rows, {each['later']:.0%} of later ones: judge by later rows"
        for each in leaks["clocks"]
    ]
    suspicions["groups"] = [
        f"rows with one `{each['column']}` ({each['groups']:,} values) are alike in their target "
        f"({each['alike']:.2f} of 1) and stand on both sides; declare "
        f"`split.group: {each['column']}`"
        for each in leaks["groups"]
    ]
    return suspicions


def judge_leaks(leaks: LeakRecord, declared: Leaks) -> tuple[list[str], list[str]]:
    """Return the reasons to refuse, and what else is to be said."""
    refused, said = [], []
    for key, texts in sentences(leaks).items():
        word = getattr(declared, key)
        clear = key != "twins" or copied(leaks["twins"])
        for text in texts:
            if word == "refuse" and clear:
                refused.append(
                    f"{text}; remove them, or declare `gate: {{leaks: {{{key}: allow}}}}`"
                )
            elif word == "allow":
                said.append(f"{text}, and `leaks: {{{key}: allow}}` lets it")
            else:
                said.append(f"beware: {text}")
    return refused, said


@dataclass(frozen=True)
class Decision:
    """A verdict, and what the data give away that did not refuse the model by itself."""

    verdict: Verdict
    warnings: tuple[str, ...]


def decided(
    spec: ModelSpec,
    *,
    summary: Summary,
    training: Training,
    evaluation: Evaluation,
) -> Decision:
    """Decide whether a champion may be exported, by the documents of its stages."""
    verdict = decide(
        evaluation,
        spec.gate,
        metric=spec.champion.metric,
        onnx=spec.export.onnx,
        winner=training["champion"],
    )
    refused, warnings = judge_leaks(summary["leaks"], spec.gate.leaks)
    return Decision(_with_leaks(verdict, refused, warnings), tuple(warnings))


def _with_leaks(verdict: Verdict, refused: list[str], warnings: list[str]) -> Verdict:
    """Join what the data give away to a verdict; a refusal gives the reasons to refuse alone."""
    if refused:
        reasons = refused if verdict.passed else [*verdict.reasons, *refused]
        return Verdict(passed=False, reasons=tuple(reasons))
    return Verdict(
        passed=verdict.passed, reasons=(*verdict.reasons, *(warnings if verdict.passed else ()))
    )
