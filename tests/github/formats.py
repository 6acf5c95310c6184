"""Small formats of GitHub Actions: texts, files of outputs, patterns, matrices. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from tests.github.evaluator import StepError

here_document = re.compile(r"([^=]+?)<<(.+)")
of_pattern = re.compile(r"\*\*/?|\*|\[[^\]]+\]|[?+]|.", re.DOTALL)
WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "?", "+": "+"}


def text_of(value: Any) -> str:
    """Return a value as GitHub writes it into a text."""
    if value is None:
        return ""
    if isinstance(value, (bool, dict, list)):
        return json.dumps(value)
    return format(value, "g") if isinstance(value, float) else str(value)


def texts_of(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: text_of(value) for key, value in values.items()}


def parse_values(text: str) -> dict[str, str]:
    """Parse the file behind GITHUB_OUTPUT or GITHUB_ENV; raises StepError."""
    values: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        if begun := here_document.fullmatch(line):
            values[begun[1]] = "\n".join(_until(begun[2], lines))
        elif "=" in line:
            name, _, values[name] = line.partition("=")
        elif line.strip():
            raise StepError(f"Invalid format '{line}'")
    return values


def _until(delimiter: str, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line == delimiter:
            return
        yield line
    raise StepError(f"Matching delimiter not found '{delimiter}'")


def matches(name: str, patterns: str | Sequence[str]) -> bool:
    """Tell whether filter patterns (* ** ? + [] !) admit a name: the last that fits decides."""
    admitted = False
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if re.fullmatch(_expression(pattern.removeprefix("!")), name):
            admitted = not pattern.startswith("!")
    return admitted


def _expression(pattern: str) -> str:
    pieces = of_pattern.findall(pattern)
    return "".join(
        each if each.startswith("[") and len(each) > 1 else WILD.get(each, re.escape(each))
        for each in pieces
    )


def rows(matrix: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the combinations of a matrix, one dictionary for each job."""
    axes = {key: values for key, values in matrix.items() if key not in {"include", "exclude"}}
    combined = [
        row
        for values in product(*axes.values())
        if not _covers(matrix.get("exclude", ()), row := dict(zip(axes, values, strict=True)))
    ]
    found = combined if axes else []
    first = [dict(row) for row in found]
    for more in matrix.get("include", ()):
        fitting = [row for row, was in zip(found, first, strict=False) if _fits(more, was)]
        for row in fitting:
            row.update(more)
        if not fitting:
            found.append(dict(more))
    return found or [{}]


def _covers(excluded: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> bool:
    return any(all(row.get(key) == value for key, value in each.items()) for each in excluded)


def _fits(more: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    return all(row[key] == value for key, value in more.items() if key in row)
