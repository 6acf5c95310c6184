"""Candidate and incumbent on the same rows → whether the candidate may take the place. Pure.

A metric is a test of non-inferiority (Piaggio et al. 2012, the CONSORT extension): the candidate is
let pass where the interval of its lead lies above minus the margin, the drop that is allowed. That
errs for one candidate in forty that is worse by the margin. Where the rows are too few to tell an
equal model from one that is worse by the margin, the words are "cannot be told".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, log
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from treeline.artifact import Prediction
from treeline.config.metrics import METRICS
from treeline.config.models import Undecided
from treeline.contract.signature import Verdict
from treeline.evaluation.gate import two_digits
from treeline.evaluation.intervals import evaluate
from treeline.evaluation.own import row_values
from treeline.evaluation.own import value as own_value
from treeline.evaluation.units import Units
from treeline.records.comparison import Compared, Contested, Decision
from treeline.records.evaluation import Interval
from treeline.reports.markdown import interval, number, table

CANDIDATE, INCUMBENT = "candidate", "incumbent"

SPENT = 0.05  # of all looks together: how often a model passes that is worse by the margin
REFUSED = 0.05  # how often an equal model is refused where the rows are enough
MARGIN = 0.01  # where no drop is declared: of a score, or of the incumbent's error, cost, profit
INTERVAL = NormalDist().inv_cdf(0.975)  # half the width of a 95 % interval, in deviations

Outcome = Literal["better", "as good", "worse", "undecided"]


@dataclass(frozen=True)
class Rules:
    """By what a candidate is judged: the drops that are allowed, and how often it was looked.

    `may_drop_by` is in the unit of each metric; without any, the first metric may drop by MARGIN.
    `look` counts the contests against this incumbent, this one included. `steps` are by how much
    one row can move metrics of labels, times the rows: 1 where none is given.
    """

    may_drop_by: Mapping[str, float]
    undecided: Undecided = "refuse"
    look: int = 1
    steps: Mapping[str, float] = field(default_factory=dict)


def compare(
    truth: NDArray[Any],
    predictions: Mapping[str, Prediction],
    *,
    metrics: list[str],
    rules: Rules,
    units: Units | None = None,
) -> Compared:
    """Set `candidate` beside `incumbent`, predictions for the same rows, and decide.

    Returns the metrics of both, the candidate's `advantage` with paired intervals over `units`
    (rows, where none are given), and the verdict. `truth` has shape (n_rows,): codes of classes, or
    values.
    """
    ordered = {name: predictions[name] for name in (CANDIDATE, INCUMBENT)}
    units = units or Units.rows(len(truth))
    evaluation = evaluate(truth, ordered, metrics, units=units)
    contested: Contested = {
        "candidate": evaluation[CANDIDATE],
        "incumbent": evaluation[INCUMBENT],
        "advantage": evaluation["advantage"],
    }
    alike = _alike(*ordered.values())
    steps = {name: _step(name, truth, ordered) for name in {*rules.may_drop_by, metrics[0]}}
    verdict = decide(
        contested, replace(rules, steps=steps), metrics[0], rows=len(truth), alike=alike
    )
    decision: Decision = {"passed": verdict.passed, "reasons": list(verdict.reasons)}
    return {**contested, "rows": len(truth), "verdict": decision}


def decide(
    evaluation: Contested, rules: Rules, metric: str, *, rows: int, alike: bool = False
) -> Verdict:
    """Judge the lead by each metric that may drop, or by the champion metric `metric`.

    `alike` says that both models gave the same predictions, which no margin can make worse.
    """
    reasons, passed = [], True
    for name, margin in _margins(evaluation, rules, metric).items():
        lead = evaluation["advantage"][INCUMBENT].get(name)
        if lead is None:
            reasons.append(
                f"{name} is not given by both models, so its drop is not known; "
                "declare the drop of a metric that both give"
            )
            passed = False
            continue
        if alike:
            reasons.append(f"{name} held: both models predict the same for all {rows:,} rows")
            continue
        test = NonInferiority(name, lead, margin, rows, rules.look, rules.steps.get(name, 1.0))
        lets = {"better", "as good", *(["undecided"] if rules.undecided == "pass" else [])}
        passed = passed and test.outcome in lets
        before, now = evaluation["incumbent"][name]["value"], evaluation["candidate"][name]["value"]
        reasons.append(
            f"{name} {_moved(name, lead)}: {number(before)} before, {number(now)} now, a lead of "
            f"{interval(lead)}; {_because(test, rules)}"
        )
    return Verdict(passed=passed, reasons=tuple(reasons))


@dataclass(frozen=True)
class NonInferiority:
    """A test by one metric: the lead with its 95 % interval, on so many rows, and the margin.

    The lead has `value`, `low` and `high`, in the unit of the metric; `low` and `high` are None
    where groups are too few for an interval: then a drop beyond the margin is refused, and nothing
    else is decided. Ends are moved in proportion, which keeps their skew. `step` is by how much one
    row can move a metric of labels, times the rows.
    """

    metric: str
    lead: Interval
    margin: float
    rows: int
    look: int = 1
    step: float = 1.0

    @property
    def outcome(self) -> Outcome:
        """What the lead says of the candidate.

        `better` and `as good` err as often as this look may spend: a model that is not better, or
        that is worse by the margin, passes. `worse` errs for at most one equal model in twenty.
        """
        value, first, last = self.lead["value"], self.lead["low"], self.lead["high"]
        if first is None or last is None:
            return "undecided" if value >= -self.margin else "worse"
        unseen = self._rows_alike / self.rows
        low = value - max((value - first) * self._deviations / INTERVAL, unseen)
        high = max(last, value + unseen)
        if low > 0:
            return "better"
        if low >= -self.margin:
            return "as good"
        return "worse" if high < 0 or self.rows >= self.rows_needed else "undecided"

    @property
    def rows_needed(self) -> float:
        """How many rows let an equal model pass in 19 contests of 20, infinite without a margin.

        The interval must be so narrow that its end is above minus the margin although the lead
        came out low by chance. Widths fall with the root of the number of rows.
        """
        low, high = self.lead["low"], self.lead["high"]
        if not self.margin or low is None or high is None:
            return inf
        by_chance = (high - low) / 2 / INTERVAL
        wide = (self._deviations + NormalDist().inv_cdf(1 - REFUSED)) * by_chance
        return max(self.rows * (wide / self.margin) ** 2, self._rows_alike / self.margin)

    @property
    def _deviations(self) -> float:
        return NormalDist().inv_cdf(1 - alpha_spent(self.look))

    @property
    def _rows_alike(self) -> float:
        """How many rows are alike before a difference of labels is rarer than one of them.

        Labels may differ on no row drawn and still differ. At 5 % it takes 3 rows (the rule of
        three, Hanley and Lippman-Hand 1983), of a cost so many times what one can cost; 0 for
        other metrics.
        """
        by_labels = METRICS[self.metric].judges == "labels"
        return -log(alpha_spent(self.look)) * self.step if by_labels else 0.0


def alpha_spent(look: int) -> float:
    """Return the error that a look may spend: SPENT / (k (k + 1)) for the k-th.

    All looks together spend at most SPENT, however many there are, for the sum of 1 / (k (k + 1))
    is 1: Bonferroni's inequality, with the alpha spent look by look as by Lan and DeMets (1983).
    """
    return SPENT / (look * (look + 1))


def _margins(evaluation: Contested, rules: Rules, metric: str) -> Mapping[str, float]:
    if rules.may_drop_by:
        return rules.may_drop_by
    before = evaluation["incumbent"].get(metric)
    if METRICS[metric].scale in ("share", "explained"):
        return {metric: MARGIN}
    return {metric: MARGIN * abs(before["value"]) if before else 0.0}


def _step(name: str, truth: NDArray[Any], predictions: Mapping[str, Prediction]) -> float:
    """Return by how much one row can move a metric of labels, times the rows.

    A share moves by 1. What a metric of one's own gives for each row is asked for each class beside
    each; of one that is no mean over the rows, its number on these rows stands for it.
    """
    metric = METRICS[name]
    given = [each.labels for each in predictions.values() if each.labels is not None]
    if metric.own is None or metric.scale == "share" or metric.judges != "labels" or not given:
        return 1.0
    if not metric.by_row:
        return max(abs(own_value(name, metric, truth, labels)) for labels in given)
    codes = np.unique(np.concatenate([truth, *given]))
    pairs = np.array(np.meshgrid(codes, codes, indexing="ij")).reshape(2, -1)
    numbers = row_values(name, metric, *pairs).reshape(len(codes), -1)
    return float(np.ptp(numbers, axis=1).max())


def _moved(name: str, lead: Interval) -> str:
    worse = "fell" if METRICS[name].higher_is_better else "rose"
    return "held" if lead["value"] >= 0 else worse


def _because(test: NonInferiority, rules: Rules) -> str:
    """Say what the lead shows, by which margin, and what becomes of it."""
    own = "is allowed" if rules.may_drop_by else "is allowed where none is declared"
    allowed = f"a drop of {test.margin:.3g} {own}"
    if test.look > 1:
        allowed += f", and this is look {test.look} at this incumbent"
    words = {
        "better": "it is better",
        "as good": f"it is not worse by more than {test.margin:.3g}",
        "worse": "it is worse, or may be by more than that",
    }
    return f"{words.get(test.outcome) or _because_undecided(test, rules)}; {allowed}"


def _because_undecided(test: NonInferiority, rules: Rules) -> str:
    if test.lead.get("low") is None:
        enough = "its groups, or the rows of its rarest class, are too few for an interval"
    elif test.rows_needed == inf:
        enough = "without a margin only a better model passes"
    else:
        enough = f"{two_digits(test.rows_needed):,} would do"
    text = f"whether it is worse cannot be told with {test.rows:,} rows; {enough}"
    if rules.undecided == "pass":
        return f"{text}, and `undecided: pass` lets it"
    return f"{text}; collect more, allow a larger drop, or declare `undecided: pass` in the gate"


def _alike(one: Prediction, other: Prediction) -> bool:
    """Tell whether two predictions are the same, to the last bit."""
    pairs = [(getattr(one, each), getattr(other, each)) for each in ("labels", "scores", "values")]
    return all(
        (mine is None and yours is None)
        or (mine is not None and yours is not None and np.array_equal(mine, yours))
        for mine, yours in pairs
    )


def sentence(name: str, comparison: Compared, *, base: str, notes: Sequence[str] = ()) -> str:
    """Return the comparison as Markdown; `notes` say which rows were left out, and the like."""
    verdict = "may ship" if comparison["verdict"]["passed"] else "must not ship"
    rows = [
        [
            metric,
            number(comparison["candidate"][metric]["value"]),
            number(comparison["incumbent"][metric]["value"]),
            interval(lead),
        ]
        for metric, lead in comparison["advantage"][INCUMBENT].items()
    ]
    lines = [*comparison["verdict"]["reasons"], *notes]
    return "\n\n".join(
        [
            f"## {name} {verdict}",
            "\n".join(f"- {line}" for line in lines),
            f"On the same {comparison['rows']:,} test rows, with paired 95 % intervals; a "
            "positive lead is better, whichever way the metric points.",
            table(["metric", "candidate", f"incumbent ({base})", "lead"], rows),
        ]
    )
