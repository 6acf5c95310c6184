"""Evaluation → what lets a person decide, as Markdown, the sentence that matters first. Pure."""

from collections.abc import Iterator

from treeline.config.metrics import METRICS, percent_of
from treeline.records.evaluation import Evaluation, Interval, Scored, Threshold
from treeline.reports.markdown import NOTHING, folded, interval, number, table
from treeline.reports.sections import rows_judged

SLICES = 6  # that are shown, the worst first
MANY = 3  # slices, of which the worst is partly chance
TEXTS = {
    True: "The last doubling of the training rows still helped: more rows would help.",
    False: "The last doubling of the training rows hardly helped: more rows alone would not.",
    None: "There are too few training rows to tell whether more would help.",
}


def lead(evaluation: Scored, *, metric: str, champion: str) -> str:
    """Say in one sentence how good the champion is, and whether it is better than the baseline."""
    judged, rival = evaluation["champion"][metric], evaluation["baseline"].get(metric)
    better = "higher" if METRICS[metric].higher_is_better else "lower"
    rows = rows_judged(evaluation)
    text = f"{rows}, **{champion}** has {metric} **{interval(judged)}** ({better} is better)"
    if rival is None:
        return f"{text}; the baseline has none."
    advantage = evaluation["advantage"]["baseline"][metric]
    text += f", the baseline {number(rival['value'])}"
    return f"{text}: {_lead_in_words(advantage)}."


def _lead_in_words(lead_: Interval) -> str:
    if lead_["low"] is None or lead_["high"] is None:
        return f"a lead of {number(lead_['value'])}, which too few rows or groups tell nothing of"
    if lead_["low"] > 0:
        return f"it is better by {interval(lead_)}"
    if lead_["high"] < 0:
        return f"**it is worse**, a lead of {interval(lead_)}"
    return f"a lead of {interval(lead_)}, which these rows **cannot tell from none**"


def sections(evaluation: Evaluation, *, metric: str) -> list[str]:
    """Return slices, thresholds, calibration and the learning curve, where they are there."""
    return [
        part
        for make in (_slices, _calibration, _learning, _thresholds)
        for part in make(evaluation, metric)
    ]


def _slices(evaluation: Evaluation, metric: str) -> Iterator[str]:
    slices = evaluation.get("slices")
    if not slices:
        return
    sign = METRICS[metric].sign
    worst = sorted(slices, key=lambda each: sign * each["value"])[:SLICES]
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
    heading = f"By {metric}, the worst {len(worst)} of {len(slices)} slices"
    luck = "; the worst of many is partly chance" if len(slices) > MANY else ""
    yield f"{heading}{luck}:"
    yield table(["slice", "rows", metric, "lead over the baseline"], rows)


def _thresholds(evaluation: Evaluation, _: str) -> Iterator[str]:
    thresholds = evaluation.get("thresholds")
    if not thresholds:
        return
    costly = "costs" in thresholds
    if costly:
        yield "## Where to draw the line"
    header = ["called positive from", "rows called", "of them right", "of all positive found"]
    if costly:
        costs, best, given = thresholds["costs"], thresholds["cheapest"], thresholds["of_costs"]
        header.append("cost of 100 rows")
        yield (
            f"A false alarm costs {number(costs['false_alarm'])} and a miss "
            f"{number(costs['miss'])}: where probabilities are right the line is at "
            f"{number(given['threshold'])}, which costs {number(given['cost'])} per 100 rows. On "
            f"these rows {number(best['threshold'])} would have been cheapest, with "
            f"{number(best['cost'])}."
        )
    rows = [
        [number(each["threshold"]), *_shares(each)] + ([number(each["cost"])] if costly else [])
        for each in thresholds["table"]
    ]
    shown = table(header, rows)
    yield from [shown] if costly else folded("Thresholds", shown)


def _shares(entry: Threshold) -> list[str]:
    return [_percent(entry[key]) for key in ("called", "precision", "recall")]


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.1%}"


def _calibration(evaluation: Evaluation, metric: str) -> Iterator[str]:
    calibration = evaluation.get("calibration")
    if not calibration:
        return
    yield "## Can it be taken at its word?"
    if "ece" in calibration:
        yield (
            f"Probabilities are off by {calibration['ece']:.1%} in the mean (expected calibration "
            f"error, 10 bins). Of the Brier score {number(calibration['reliability'])} is "
            f"miscalibration, out of an uncertainty of {number(calibration['uncertainty'])}, of "
            f"which the model resolves {number(calibration['resolution'])} (Murphy's "
            "decomposition)."
        )
        return
    if (percent := percent_of(metric)) is not None:
        yield (
            f"{calibration['at_most']:.1%} of the rows have a truth of at most what is predicted; "
            f"{percent} % is meant."
        )
        return
    slope = (
        f"; the truth rises by {number(calibration['slope'])} for each 1"
        if "slope" in calibration
        else ""
    )
    side = "above" if calibration["bias"] >= 0 else "below"
    yield f"Predictions are {number(abs(calibration['bias']))} {side} the truth in the mean{slope}."


def _learning(evaluation: Evaluation, metric: str) -> Iterator[str]:
    learning = evaluation.get("learning_curve")
    if not learning:
        return
    yield "## Would more rows help?"
    rows = [
        [f"{each['rows']:,}", number(each["value"]) + _spread(each["deviation"])]
        for each in learning["curve"]
    ]
    yield TEXTS[learning["more_rows_help"]]
    yield table(["rows learnt from", f"{metric} on the test split"], rows)


def _spread(deviation: float) -> str:
    return f" ± {number(deviation)}" if deviation else ""
