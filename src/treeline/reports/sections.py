"""Parts that the model card and the training report share, as Markdown. Pure."""

from collections.abc import Mapping
from typing import Any

from treeline.contract.features import labels
from treeline.contract.texts import text_of
from treeline.reports.markdown import NOTHING, interval, number, table


def rows(summary: Mapping[str, Any]) -> str:
    """Say what preparation saw and did."""
    counts = summary["rows"]
    lines = [
        f"- {counts['collected']:,} rows collected; {counts['left_out_by_where']:,} left out by "
        f"the declared `where`; {counts['without_target']:,} without a target.",
        f"- {counts['train']:,} rows to learn from, {counts['test']:,} kept for the test.",
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


def metrics(evaluation: Mapping[str, Any]) -> str:
    """Set the champion's metrics beside the baseline's, where it has them."""
    rival = evaluation["baseline"]
    found_rows = [
        [name, interval(found), interval(rival[name]) if name in rival else NOTHING]
        for name, found in evaluation["champion"].items()
    ]
    told = f"On {evaluation['rows']:,} rows it never saw, with 95 % bootstrap intervals:"
    return told + "\n\n" + table(["metric", "this model", "baseline"], found_rows)


def importances(evaluation: Mapping[str, Any]) -> str:
    """List the features, the one that matters most first."""
    found_rows = [
        [f"`{entry['feature']}`", f"{number(entry['loss'])} ± {number(entry['deviation'])}"]
        for entry in evaluation["importances"]
    ]
    told = "How much the champion metric worsens when one feature is shuffled among the test rows:"
    return told + "\n\n" + table(["feature", "loss"], found_rows)
