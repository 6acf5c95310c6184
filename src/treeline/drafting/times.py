"""Dates and times as people spell them → ISO 8601, where they can be read in one way only."""

import re
from collections.abc import Collection
from datetime import datetime

CLOCK = r"(?P<clock>\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?)"
REST = rf"([T ]\s*{CLOCK}\s*(?P<half>[AaPp][Mm])?(?P<zone>Z|[+-]\d{{2}}:?\d{{2}})?)?"
YEAR_FIRST = re.compile(rf"(?P<year>\d{{4}})([-/.]?)(?P<month>\d{{2}})\2(?P<day>\d{{2}}){REST}")
YEAR_LAST = re.compile(
    rf"(?P<one>\d{{1,2}})(?P<mark>[./-])(?P<two>\d{{1,2}})(?P=mark)(?P<year>\d{{4}}|\d{{2}}){REST}"
)
MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
WORDED = re.compile(
    rf"((mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?(\d{{1,2}}(st|nd|rd|th)?[\s-]+)?({MONTHS})[a-z]*\.?"
    rf"([\s-]+\d{{1,2}}(st|nd|rd|th)?)?,?[\s-]+\d{{2,4}}{REST}",
    re.IGNORECASE,
)
TIME_OF_DAY = re.compile(rf"{CLOCK}(\s*[ap]\.?m\.?)?", re.IGNORECASE)
YEARS = range(1800, 2200)


def is_time(texts: Collection[str]) -> bool:
    """Tell whether all texts are dates, times, or both."""
    return bool(texts) and all(
        _dated(text) or WORDED.fullmatch(text) or TIME_OF_DAY.fullmatch(text) for text in texts
    )


def iso(texts: Collection[str]) -> dict[str, str] | None:
    """Return each date as ISO 8601 writes it; None where any of them has no one reading.

    Days are told from months by one above 12, or by dots, which stand behind days.
    """
    if all(YEAR_FIRST.fullmatch(text) for text in texts):
        return _all(texts, month_first=False)
    matches = [YEAR_LAST.fullmatch(text) for text in texts]
    parts = [match for match in matches if match is not None]
    if len(parts) < len(texts) or any(len(part["year"]) == 2 for part in parts):
        return None
    one_is_day = any(int(part["one"]) > 12 for part in parts)
    two_is_day = any(int(part["two"]) > 12 for part in parts)
    if one_is_day == two_is_day and (one_is_day or any(part["mark"] != "." for part in parts)):
        return None
    return _all(texts, month_first=two_is_day)


def _dated(text: str) -> bool:
    """Tell whether a text is a date of digits; one without marks needs a likely year."""
    return _moment(text, month_first=False) is not None or (
        _moment(text, month_first=True) is not None
    )


def _all(texts: Collection[str], *, month_first: bool) -> dict[str, str] | None:
    moments = {text: _moment(text, month_first=month_first) for text in texts}
    known = {text: moment for text, moment in moments.items() if moment is not None}
    return known if len(known) == len(moments) else None


def _moment(text: str, *, month_first: bool) -> str | None:
    match = YEAR_FIRST.fullmatch(text) or YEAR_LAST.fullmatch(text)
    if match is None:
        return None
    parts = match.groupdict()
    month, day = parts.get("month"), parts.get("day")
    if month is None or day is None:
        month, day = (parts["one"], parts["two"])[:: 1 if month_first else -1]
    year = parts["year"] if len(parts["year"]) == 4 else f"20{parts['year']}"
    said = f"{year}-{month:0>2}-{day:0>2}"
    if parts["clock"]:
        said += f"T{_clock(parts)}{parts['zone'] or ''}"
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        return None
    return said if moment.year in YEARS else None


def _clock(parts: dict[str, str]) -> str:
    """Return a time of day of 24 hours, its hour of two digits."""
    hour, rest = parts["clock"].split(":", 1)
    if parts["half"]:
        hour = str(int(hour) % 12 + (12 if parts["half"].lower() == "pm" else 0))
    return f"{hour:0>2}:{rest}"
