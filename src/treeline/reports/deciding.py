"""Evaluation → what lets a person decide, as Markdown, the sentence that matters first. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from treeline.config.metrics import METRICS, percent_of
from treeline.reports.markdown import NOTHING, folded, interval, number, table
from treeline.reports.sections import rows_judged

SLICES = 6  # that are shown, the worst first
MANY = 3  # slices, of which the worst is partly chance
TEXTS = {
    True: "The last doubling of the training rows still helped: more rows would help.",
    False: "The last doubling of the training rows hardly helped: more rows alone would not.",
    None: "There are too few training rows to tell whether more would help.",
}


def lead(evaluation: Mapping[str, Any], *, metric: str, champion: str) -> str:
    """Say in one sentence how good the champion is, and whether it is better than the baseline."""
    judged, rival = evaluation["champion"][metric], evaluation["baseline"].get(metric)
    better = "higher" if METRICS[metric].higher_is_better else "lower"
    rows = rows_judged(evaluation)
    text = f"{rows}, **{champion}** has {metric} **{interval(judged)}** ({better} is better)"
    if rival is None:
        return f"{text}; the baseline has none."
    found = evaluation["advantage"]["baseline"][metric]
    text += f", the baseline {number(rival['value'])}"
    return f"{text}: {_told(found)}."


def _told(lead_: Mapping[str, Any]) -> str:
    if lead_["low"] is None:
        return f"a lead of {number(lead_['value'])}, which too few rows or groups tell nothing of"
    if lead_["low"] > 0:
        return f"it is better by {interval(lead_)}"
    if lead_["high"] < 0:
        return f"**it is worse**, a lead of {interval(lead_)}"
    return f"a lead of {interval(lead_)}, which these rows **cannot tell from none**"


def sections(evaluation: Mapping[str, Any], *, metric: str) -> list[str]:
    """Return slices, thresholds, calibration and the learning curve, where they are there."""
    return [
        part
        for make in (_slices, _calibration, _learning, _thresholds)
        for part in make(evaluation, metric)
    ]


def _slices(evaluation: Mapping[str, Any], metric: str) -> Iterator[str]:
    found = evaluation.get("slices")
    if not found:
        return
    sign = METRICS[metric].sign
    worst = sorted(found, key=lambda each: sign * each["value"])[:SLICES]
    rows = [
        [
            f"`{each['column']}` = {each['slice']}",
            f"{each['rows']:,}",
            interval(each),
            NOTHING if each["lead"] is None else interval(each["lead"]),
        ]
        for each in worst
    ]
    yield "## Where it is weakest"
    told = f"By {metric}, the worst {len(worst)} of {len(found)} slices"
    luck = "; the worst of many is partly chance" if len(found) > MANY else ""
    yield f"{told}{luck}:"
    yield table(["slice", "rows", metric, "lead over the baseline"], rows)


def _thresholds(evaluation: Mapping[str, Any], _: str) -> Iterator[str]:
    found = evaluation.get("thresholds")
    if not found:
        return
    costly = "costs" in found
    if costly:
        yield "## Where to draw the line"
    header = ["called positive from", "rows called", "of them right", "of all positive found"]
    keys = ("called", "precision", "recall")
    if costly:
        costs, best, given = found["costs"], found["cheapest"], found["of_costs"]
        header.append("cost of 100 rows")
        yield (
            f"A false alarm costs {number(costs['false_alarm'])} and a miss "
            f"{number(costs['miss'])}: where probabilities are right the line is at "
            f"{number(given['threshold'])}, which costs {number(given['cost'])} per 100 rows. On "
            f"these rows {number(best['threshold'])} would have been cheapest, with "
            f"{number(best['cost'])}."
        )
    rows = [
        [number(each["threshold"]), *(_percent(each[key]) for key in keys)]
        + ([number(each["cost"])] if costly else [])
        for each in found["table"]
    ]
    shown = table(header, rows)
    yield from [shown] if costly else folded("Thresholds", shown)


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.1%}"


def _calibration(evaluation: Mapping[str, Any], metric: str) -> Iterator[str]:
    found = evaluation.get("calibration")
    if not found:
        return
    yield "## Can it be taken at its word?"
    if "ece" in found:
        yield (
            f"Probabilities are off by {found['ece']:.1%} in the mean (expected calibration error, "
            f"10 bins). Of the Brier score {number(found['reliability'])} is miscalibration, out "
            f"of an uncertainty of {number(found['uncertainty'])}, of which the model resolves "
            f"{number(found['resolution'])} (Murphy's decomposition)."
        )
        return
    if (percent := percent_of(metric)) is not None:
        yield (
            f"{found['at_most']:.1%} of the rows have a truth of at most what is predicted; "
            f"{percent} % is meant."
        )
        return
    slope = f"; the truth rises by {number(found['slope'])} for each 1" if "slope" in found else ""
    side = "above" if found["bias"] >= 0 else "below"
    yield f"Predictions are {number(abs(found['bias']))} {side} the truth in the mean{slope}."


def _learning(evaluation: Mapping[str, Any], metric: str) -> Iterator[str]:
    found = evaluation.get("learning_curve")
    if not found:
        return
    yield "## Would more rows help?"
    rows = [
        [f"{each['rows']:,}", number(each["value"]) + _spread(each["deviation"])]
        for each in found["curve"]
    ]
    yield TEXTS[found["more_rows_help"]]
    yield table(["rows learnt from", f"{metric} on the test split"], rows)


def _spread(deviation: float) -> str:
    return f" ± {number(deviation)}" if deviation else ""
