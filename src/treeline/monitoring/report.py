"""A record → the report of one look, as Markdown. Pure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from treeline.monitoring.record import Cohort, Interval, Quality, Record, Tested
from treeline.reports.markdown import NOTHING, folded, interval, number, table

CLEARLY = 0.001


def report(record: Record, pictures: Sequence[str]) -> str:
    """Return the report; `pictures` are the paths of its pictures, from where it stands."""
    parts = [
        f"# {record.model}: {_headline(record)}",
        _seen(record),
        *_alarms(record),
        *(f"![]({each})" for each in pictures),
        *(f"- {note[:1].upper()}{note[1:]}." for note in record.notes),
        *_quality(record.quality),
        *_answers(record),
        *_inputs(record),
        *_refused(record),
        _ages(record),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _headline(record: Record) -> str:
    if record.state == "alarm":
        count = len(record.alarms)
        return "one alarm" if count == 1 else f"{count} alarms"
    return record.state


def _seen(record: Record) -> str:
    seen = record.seen
    text = (
        f"{seen.rows:,} predictions of version `{record.version}` from {_time(seen.since)} to "
        f"{_time(seen.until)}"
    )
    if seen.first is not None:
        text += (
            f", which answered first on {_time(seen.first)[:10]}. This is look {seen.look} at it: "
            f"by chance alone it alarms {seen.alpha:.2%} of the time"
        )
    if seen.days_without:
        text += f". There is no prediction of {', '.join(seen.days_without)}"
    return text + "."


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _alarms(record: Record) -> Iterator[str]:
    if record.alarms:
        rows = [
            [each.alarm, f"`{each.on}`", each.text, NOTHING if each.p is None else _p(each.p)]
            for each in record.alarms
        ]
        yield table(["alarm", "of", "what", "p"], rows)


def _p(p: float) -> str:
    return f"{p:.1g}" if p < CLEARLY else f"{p:.3f}"


def _quality(quality: Quality) -> Iterator[str]:
    yield "## Quality"
    if not quality.labelled:
        yield "No truth has come in for this window."
    else:
        yield f"The truth of {quality.labelled:,} predictions came in." + _like(quality.bias)
    names = dict.fromkeys([*quality.metrics, *quality.promised, *quality.estimated])
    rows = [
        [
            name,
            _interval(quality.metrics.get(name)),
            _interval(quality.promised.get(name)),
            number(quality.estimated[name]) if name in quality.estimated else NOTHING,
        ]
        for name in names
    ]
    if rows:
        yield table(["metric", "came true", "promised", "estimated without truth"], rows)
        yield (
            "Intervals are of 95 %. What is estimated follows from the probabilities alone: it is "
            "no measurement, and does not see labels that turn."
        )
    if quality.trusted is not None:
        text = quality.trusted.text
        yield f"Calibration: {text} (p {_p(quality.trusted.p)}{_words(quality.calibration)})."
    yield from folded("By time of prediction", "", _cohorts(quality.cohorts), "")
    yield from folded("By slice", "", _cohorts(quality.slices), "")


def _like(bias: Tested | None) -> str:
    if bias is None:
        return ""
    text = f" {bias.text[:1].upper()}{bias.text[1:]}"
    return f"{text}: the metrics are theirs, not those of all." if bias.matters else f"{text}."


def _words(calibration: dict[str, float]) -> str:
    return "".join(f", {name} {number(value)}" for name, value in calibration.items())


def _interval(bounds: Interval | None) -> str:
    return (
        NOTHING
        if bounds is None
        else interval({"value": bounds.value, "low": bounds.low, "high": bounds.high})
    )


def _cohorts(cohorts: Sequence[Cohort]) -> str:
    names = list(dict.fromkeys(name for each in cohorts for name in each.metrics))
    rows = [
        [each.name, f"{each.labelled:,}", *(_interval(each.metrics.get(name)) for name in names)]
        for each in cohorts
    ]
    return table(["of", "rows", *names], rows) if rows else ""


def _answers(record: Record) -> Iterator[str]:
    if not record.answers:
        return
    yield "## Answers"
    yield f"Beside {record.answers_basis}:"
    for column in record.answers:
        rows = [
            [name, _share(before, sum(column.before)), _share(now, sum(column.now))]
            for name, before, now in zip(column.bins, column.before, column.now, strict=True)
        ]
        title = f"{column.name}: PSI {number(column.psi or 0)}"
        yield from folded(title, "", table([column.name, "before", "now"], rows), "")


def _share(count: float, of: float) -> str:
    return f"{count / of:.1%}" if of else NOTHING


def _inputs(record: Record) -> Iterator[str]:
    if not record.inputs:
        return
    yield "## Inputs"
    rows = [
        [
            f"`{column.name}`",
            NOTHING if column.psi is None else number(column.psi),
            NOTHING if column.moved is None else f"{column.moved:+.2f}",
            _p(min((test.corrected for test in column.tests), default=1.0)),
            f"{_share(column.missing, column.rows)} ({column.missing_before:.1%})",
            _share(column.beyond, column.rows),
            column.note,
        ]
        for column in sorted(record.inputs, key=lambda each: -(each.psi or 0))
    ]
    header = ["feature", "PSI", "moved", "p", "missing (before)", "out of range", ""]
    yield table(header, rows)
    yield (
        "`moved` is in deviations of the reference; `p` the least one of its tests, corrected for "
        "all tests of this look."
    )


def _refused(record: Record) -> Iterator[str]:
    if record.refused:
        rows = [[f"`{name}`", f"{count:,}"] for name, count in record.refused.items()]
        yield "## Refused requests, since the service started"
        yield table(["field", "requests"], rows)


def _ages(record: Record) -> str:
    ages = {"model": record.ages.model_days, "data": record.ages.data_days}
    texts = [f"the {name} {days:.0f} days" for name, days in ages.items() if days is not None]
    return f"Since they were committed: {', '.join(texts)}." if texts else ""
