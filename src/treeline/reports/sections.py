"""Parts that the model card and the training report share, as Markdown. Pure."""

from treeline.contract.features import labels
from treeline.contract.texts import text_of
from treeline.records.evaluation import Diagnosed, Scored
from treeline.records.summary import SplitRecord, Summary
from treeline.reports.markdown import NOTHING, interval, number, table

WORTH_SAYING = 0.05  # of the seeds give the same split


def rows(summary: Summary) -> str:
    """Say what preparation saw and did."""
    counts = summary["rows"]
    lines = [
        f"- {counts['collected']:,} rows collected; {counts['left_out_by_where']:,} left out by "
        f"the declared `where`; {counts['without_target']:,} without a target.",
        f"- {counts['train']:,} rows to learn from, {counts['test']:,} kept for the test.",
        *(f"- {line}" for line in _sides(summary.get("split"))),
        f"- {summary['duplicates']:,} rows repeat the features of another row.",
    ]
    if "groups" in summary:
        groups = summary["groups"]
        lines.append(
            f"- {groups['train']} groups to learn from, {groups['test']} for the test, "
            f"{groups['on_both_sides']} on both sides."
        )
    for name, count in summary["missing"].items():
        lines.append(f"- `{name}` is missing in {count:,} rows.")
    if "classes" in (target := summary["target"]):
        pairs = zip(labels(target["classes"]), target["counts"], strict=True)
        counted = ", ".join(f"{n:,} of class `{text_of(value)}`" for value, n in pairs)
        lines.append(f"- {counted}.")
    return "\n".join(lines)


def _sides(split: SplitRecord | None) -> list[str]:
    """Say what decided the side of a row; nothing of a summary that does not know."""
    if split is None:
        return []
    if split["rule"] == "after":
        ((name, moment),) = split["after"].items()
        return [
            f"Rows are for the test where `{name}` is after {moment}: {split['share']:.1%} of "
            "them. Later rows are judged by what was learnt from earlier ones, on the folds too. "
            "No seed has a say in it."
        ]
    size = f"{split['share']:.1%} of the rows came out for the test, {split['test']:.1%} declared"
    if split["rule"] == "drawn":
        return [
            f"All rows together were drawn: a row may change its side when one is added; {size}."
            f"{_seeds_drawn(split)}"
        ]
    names = ", ".join(f"`{name}`" for name in split["names"])
    what = {"group": f"the group {names}", "key": f"the key {names}", "values": "its features"}
    return [
        f"A row keeps its side for ever: a hash of {what[split['by']]} decides "
        f"({split['units']:,} different ones); {size}.{_same_by_chance(split)}"
    ]


def _seeds_drawn(split: SplitRecord) -> str:
    """Say that seeds change little, where so few groups were drawn that they do."""
    seeds = split.get("seeds")
    if seeds is None or seeds["different"] == seeds["tried"]:
        return ""
    return (
        f" {seeds['tried']} seeds draw {seeds['different']} different splits of the "
        f"{split['units']:,} groups: another `split.seed` may change nothing."
    )


def _same_by_chance(split: SplitRecord) -> str:
    """Say that seeds change little, where so few hashes decide that two seeds often agree."""
    share = split["test"]
    alike = (share**2 + (1 - share) ** 2) ** split["units"]  # each has the same side under both
    if alike < WORTH_SAYING:
        return ""
    return f" So few decide that another `split.seed` gives the same split in {alike:.0%} of cases."


def metrics(evaluation: Scored) -> str:
    """Set the champion's metrics beside the baseline's, where it has them, with its lead."""
    rival, leads = evaluation["baseline"], evaluation["advantage"]["baseline"]
    cells = [
        [
            name,
            interval(value),
            interval(rival[name]) if name in rival else NOTHING,
            interval(leads[name]) if name in leads else NOTHING,
        ]
        for name, value in evaluation["champion"].items()
    ]
    text = f"{rows_judged(evaluation)}, {_with_intervals(evaluation)}; a positive lead is better:"
    return text + "\n\n" + table(["metric", "this model", "baseline", "lead"], cells)


def rows_judged(evaluation: Scored) -> str:
    """Say which rows the metrics are of, such as `On 456 rows it never saw`."""
    judged = evaluation.get("judged")
    text = f"On {evaluation['rows']:,} rows"
    if judged is None:
        return f"{text} it never saw"
    units = "" if judged["units"].endswith(" rows") else f" in {judged['units']}"
    if judged["by"] != "folds":
        return f"{text}{units} it never saw"
    again = f", {judged['repeats']} times over" if judged["repeats"] > 1 else ""
    return f"{text}{units}, each predicted by one of {judged['folds']} refits without it{again}"


def _with_intervals(evaluation: Scored) -> str:
    judged = evaluation.get("judged")
    if judged is None or judged["intervals"]:
        return "with 95 % intervals"
    return (
        f"without intervals, for {judged['units']} are too few for an honest one (judge all rows "
        "by `evaluation: {folds: all}` instead)"
    )


def importances(evaluation: Diagnosed) -> str:
    """List the features, the one that matters most first."""
    cells = [
        [f"`{entry['feature']}`", f"{number(entry['loss'])} ± {number(entry['deviation'])}"]
        for entry in evaluation["importances"]
    ]
    heading = (
        "How much the champion metric worsens when one feature is shuffled among the test rows:"
    )
    return heading + "\n\n" + table(["feature", "loss"], cells)
