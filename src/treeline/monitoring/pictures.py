"""A record → charts: how far each feature has moved, those that alarm, and quality over time."""

from collections.abc import Iterator

import numpy as np

from treeline.config.metrics import METRICS
from treeline.monitoring.record import Cohort, Column, Record
from treeline.plots.charts import Chart, Series

MOST_COLUMNS = 6  # that alarm, with a picture each
MODERATE = 0.1


def charts_of(record: Record, *, metric: str) -> Iterator[Chart]:
    """Yield the charts of one look; `metric` is the one over time."""
    moved = [each for each in (*record.inputs, *record.answers) if each.psi is not None]
    if moved:
        yield stability(moved, note=f"{record.seen.rows:,} rows of version {record.version}")
    raised = dict.fromkeys(each.on for each in record.alarms)
    named = {each.name: each for each in (*record.inputs, *record.answers)}
    shown = [named[name] for name in raised if name in named and any(named[name].now)]
    for number, column in enumerate(shown[:MOST_COLUMNS], 1):
        yield spread(column, number)
    known = [each for each in record.quality.cohorts if metric in each.metrics]
    if known:
        yield over_time(known, record, metric)


def stability(columns: list[Column], *, note: str) -> Chart:
    """How far each column has moved, the farthest first."""
    ordered = sorted(columns, key=lambda each: -(each.psi or 0))
    values = np.array([each.psi for each in ordered], dtype=np.float64)
    names = np.array([each.name for each in ordered])
    bars = Series("moved", values, names, "bar", further={"deviation": np.zeros(len(values))})
    title = "How far each column has moved"
    return Chart("moved", title, note, "population stability index", "column", (bars,))


def spread(column: Column, number: int) -> Chart:
    """The shares of one column by bin, before and now, each with its standard error."""
    series = []
    for name, counts in (("before", column.before), ("now", column.now)):
        rows = max(sum(counts), 1)
        shares = np.asarray(counts, dtype=np.float64) / rows
        deviation = np.sqrt(shares * (1 - shares) / rows)
        further = {"deviation": deviation}
        series.append(Series(name, shares, np.array(column.bins), "spread", further=further))
    note = f"{sum(column.now):,} values beside {round(sum(column.before)):,} of the reference"
    return Chart(f"column-{number}", column.name, note, "share of the rows", "bin", tuple(series))


def over_time(cohorts: list[Cohort], record: Record, metric: str) -> Chart:
    """A metric by time of prediction, beside the interval that was promised."""
    intervals = [each.metrics[metric] for each in cohorts]
    x = np.arange(1, len(intervals) + 1)
    values = np.array([each.value for each in intervals])
    ends = {
        "low": np.array([each.value if each.low is None else each.low for each in intervals]),
        "high": np.array([each.value if each.high is None else each.high for each in intervals]),
        "rows": np.array([each.labelled for each in cohorts]),
    }
    series = [Series("what came true", x, values, "bins", further=ends)]
    promised = record.quality.promised.get(metric)
    if promised is not None:
        for end in (promised.low, promised.high):
            if end is not None:
                level = np.full(len(x), end)
                name = "promised" if end == promised.low else "to"
                series.append(Series(name, x, level, "reference", note=f"{end:.3g}"))
    better = "higher" if METRICS[metric].higher_is_better else "lower"
    note = f"{record.quality.labelled:,} rows whose truth came in; {better} is better"
    title = f"{metric} by time of prediction"
    return Chart("quality", title, note, "stretch of time", metric, tuple(series))
