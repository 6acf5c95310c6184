"""Rows → Markdown tables, and numbers as people read them."""

from collections.abc import Iterable, Sequence
from math import isfinite

from treeline.records.evaluation import Interval

NOTHING = "-"  # stands where there is no number


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; columns after the first are aligned to the right."""
    rule = "|" + "|".join([" --- "] + [" ---: "] * (len(header) - 1)) + "|"
    return "\n".join([_row(header), rule, *map(_row, rows)])


def number(value: float) -> str:
    """Return a number with four significant digits, never `-0`, and a dash for none."""
    return f"{value + 0.0:.4g}" if isfinite(value) else NOTHING


def folded(title: str, *parts: str) -> list[str]:
    """Return parts that a page shows when it is asked to, or nothing of nothing."""
    if not any(parts):
        return []
    return [f"<details><summary>{title}</summary>", *parts, "</details>"]


def interval(value: Interval) -> str:
    """Return `value (low to high)`, or the value alone where it has no interval."""
    low, high = value["low"], value["high"]
    if low is None or high is None:
        return number(value["value"])
    return f"{number(value['value'])} ({number(low)} to {number(high)})"


def _row(cells: Sequence[object]) -> str:
    """Return one line: a cell can hold neither a line end nor a bare bar."""
    flat = (" ".join(str(cell).split()).replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(flat) + " |"
