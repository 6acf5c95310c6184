"""`summary.json`: what the prepare stage saw in the rows, and how it split them."""

from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from treeline.files import write_json
from treeline.records.reading import read_record


class RowCounts(TypedDict):
    """How many rows came, how many went and why, and how many are on each side of the split."""

    collected: int
    left_out_by_where: int
    without_target: int
    train: int
    test: int


class GroupCounts(TypedDict):
    """How many groups are on each side of the split."""

    train: int
    test: int
    on_both_sides: int


class TargetSummary(TypedDict, total=False):
    """Of classes the values in the order of their codes, and how many rows have each; of a number
    its mean, deviation, minimum and maximum, in the unit of the target.
    """

    classes: list[bool | int | float | str]
    counts: list[int]
    mean: float
    std: float
    min: float
    max: float


class SeedCounts(TypedDict):
    """How many different splits some seeds draw."""

    tried: int
    different: int


class SplitRecord(TypedDict):
    """What decided the side of a row: a rule over `names`, whose `units` are hashes or moments.

    `test` is the declared share of the test rows and `share` the one that came out. `after` is the
    moment of a split in time, which has neither seed nor declared share.
    """

    rule: str
    by: str
    names: list[str]
    units: int
    share: float
    seed: NotRequired[int]
    test: NotRequired[float]
    after: NotRequired[dict[str, Any]]
    seeds: NotRequired[SeedCounts]


class Twins(TypedDict):
    """Test rows whose features are those of a training row, and the shares of rows they are."""

    test_rows: int
    share: float
    by_chance: float
    same_target: float | None


class Telling(TypedDict):
    """A feature that alone explains a share of what the target leaves open."""

    feature: str
    alone: float


class Clock(TypedDict):
    """A feature in the order of rows: what it explains of random rows, and of later ones."""

    feature: str
    random: float
    later: float


class AlikeGroups(TypedDict):
    """A column whose groups share their target, by the intraclass correlation."""

    column: str
    groups: int
    alike: float


class LeakRecord(TypedDict):
    """What gives the target away, by the key of `gate.leaks` that decides on it."""

    twins: Twins
    telling: list[Telling]
    ids: list[str]
    clocks: list[Clock]
    groups: list[AlikeGroups]


class TargetAndGroups(TypedDict):
    """What target and group column say of all rows."""

    groups: NotRequired[GroupCounts]
    target: TargetSummary


class PreparedRows(TargetAndGroups):
    """What a summary says of rows: how many lack a feature, how many repeat another's features."""

    rows: RowCounts
    missing: dict[str, int]
    duplicates: int


class SplitSummary(PreparedRows):
    """What a summary says before the leaks are looked for."""

    split: NotRequired[SplitRecord]


class Summary(SplitSummary):
    """The whole file; a summary of an earlier release says nothing of split and leaks."""

    leaks: NotRequired[LeakRecord]


def read_summary(path: Path) -> Summary:
    """Return what a prepare stage wrote; raises FileNotFoundError and RecordError."""
    return read_record(path, Summary)


def write_summary(path: Path, document: Summary) -> None:
    """Write a summary, whole or not at all."""
    write_json(path, document)
