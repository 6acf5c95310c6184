"""What a person has said of a table, where the table itself can be read in two ways."""

from dataclasses import dataclass
from typing import Literal

from treeline.contract.features import Task

Mark = Literal["point", "comma"]


@dataclass(frozen=True)
class Hints:
    """Answers to what a table leaves open; each is an option of `treeline add`.

    `missing` are words for a missing value, `values` words that look like one and are none.
    In the columns of `fold_case`, words that differ in upper and lower case are one.
    """

    encoding: str | None = None
    delimiter: str | None = None
    decimal: Mark | None = None
    missing: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    fold_case: tuple[str, ...] = ()
    task: Task | None = None
    positive: str | None = None
