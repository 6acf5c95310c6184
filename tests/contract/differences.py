"""Where a door does not do as `/v1/predict` does, and why; all else is the same everywhere."""

import re
from dataclasses import dataclass

from tests.contract.doors import FEATURES

CSV = ("batch, CSV", "score, CSV", "prepare, CSV")
TYPED = ("batch, Arrow", "batch, Parquet", "score, Parquet")
TENSORS = ("/v2, JSON", "/v2, binary")
PREPARE = ("prepare, Parquet", "prepare, CSV")
JSON_DOORS = ("batch, JSON records", "batch, JSON lines", "batch, JSON columns")
COLUMNS = ("batch, JSON columns", "batch, CSV", "batch, Arrow", "batch, Parquet")
NUMBERS = tuple(name for name, each in FEATURES.items() if each.kind.holds == "number")
BOOLEANS = tuple(name for name, each in FEATURES.items() if each.kind.holds == "boolean")
CATEGORIES = tuple(name for name, each in FEATURES.items() if each.kind.holds == "text")
ALL = tuple(FEATURES)
OPTIONAL = tuple(name for name, each in FEATURES.items() if each.optional)
NOT_FINITE = r"NaN|infinity|minus infinity"


@dataclass(frozen=True)
class Difference:
    """What some doors say of some values of some features; `values` and `outcome` are patterns.

    One that is of `words` alone covers no door that refuses what another one admits.
    """

    reason: str
    doors: tuple[str, ...]
    values: str
    outcome: str
    features: tuple[str, ...] = ALL
    words: bool = False

    def covers(self, door: str, case: tuple[str, str], outcome: str, expected: str) -> bool:
        """Tell whether this is why a door does not say what is expected in a case."""
        name, label = case
        return (
            door in self.doors
            and name in self.features
            and not (self.words and expected.startswith("code"))
            and re.fullmatch(self.values, label) is not None
            and re.fullmatch(self.outcome, outcome) is not None
        )


DIFFERENCES = (
    Difference(
        "A column of Arrow has one type, which is looked at before any row, and is named.",
        TYPED,
        ".*",
        r"refused: .*: holds (text|numbers|booleans|dates or times|lists or objects|\w+); give .*",
        words=True,
    ),
    Difference(
        "A tensor has one datatype, which is looked at before any element, and is named.",
        TENSORS,
        ".*",
        r"refused: .*: is (BYTES|BOOL|INT64|FP16|FP64); give .*, as \w+",
        words=True,
    ),
    Difference(
        "A tensor of the protocol knows no null, so that its clients send NaN for what is missing.",
        TENSORS,
        "NaN",
        r"code (nan|3\.0)|refused: .*: is missing; give .*",
        NUMBERS,
    ),
    Difference(
        "pandas, in which rows are prepared, has one word for null and NaN.",
        ("prepare, Parquet",),
        "NaN",
        r"code (nan|3\.0)|refused: .*: is missing; give .*",
    ),
    Difference(
        "A CSV has no types: a field that says a number or a truth is one.",
        (*CSV, "prepare, Parquet"),
        r"text of 1|a space before 1|0|1|1\.0|-0\.0|text TRUE|true|false",
        r"code -?[01]\.0",
        (*NUMBERS, *BOOLEANS),
    ),
    Difference(
        "A CSV has no types: what is no category is refused as the text that it is.",
        CSV,
        ".*",
        r'refused: .*: "[^"]*" is (not admitted|a text); give .*',
        words=True,
    ),
    Difference(
        "A CSV has no types: a field that is spelt as a category is one.",
        CSV,
        "1",
        r"code 3\.0",
        CATEGORIES,
    ),
    Difference(
        "A CSV cannot tell an empty text from no value.",
        CSV,
        "empty text",
        r"code (nan|3\.0)|refused: .*: is missing; give .*",
    ),
    Difference(
        "Sources lose types: a number that was a text in a table is that category again.",
        PREPARE,
        r"1|1\.0|unsigned 4|a space before 1",
        r"code 3\.0",
        CATEGORIES,
    ),
    Difference(
        "Sources lose types: what comes in another one is read as the declared type, row by row.",
        ("prepare, Parquet",),
        r"dictionary.*|large text oak|text view oak|date|decimal.*|float16.*|unsigned 4",
        r"code .*|refused: .*: (.* is (a \w+|a date or a time|not admitted)|is missing); give .*",
    ),
    Difference(
        "In a table it is the column that is missing, for all rows at once.",
        (*COLUMNS, "score, Parquet", "score, CSV", *PREPARE),
        "missing",
        r"refused: .*: is a missing column; give .*|refused: \(table\): .* no column '.*",
    ),
    Difference(
        "Two columns of one name are refused; of two keys of JSON, every reader keeps the last.",
        (*TYPED, *CSV, "batch, Parquet", *TENSORS, *PREPARE),
        "twice",
        r"refused: .*(is the name of two columns; leave one out|is sent twice|twice; .*)",
    ),
    Difference(
        "A table is often wider than a model needs: where all features are there, the rest is let "
        "be, and what is prepared or scored names its columns. A record is not.",
        (*JSON_DOORS, *CSV, *TYPED, *PREPARE),
        "with an extra key",
        r"code .*",
    ),
    Difference(
        "?extra=ignore is for records and batches; the protocol has no such parameter.",
        TENSORS,
        "with an extra key",
        r"refused: stranger: is not a feature of this model; its features are: .*",
    ),
)
