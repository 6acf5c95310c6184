"""Collected rows in memory → checked, filled and split rows, with a summary of what was done."""

from dataclasses import dataclass

import pandas as pd

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.contract.features import Label, labels
from treeline.contract.problems import plain
from treeline.errors import DataError
from treeline.preparation.checking import check, check_spacing
from treeline.preparation.columns import declared_columns, filled, matching
from treeline.preparation.splitting import record, row_hashes, split
from treeline.records.summary import (
    PreparedRows,
    RowCounts,
    SplitSummary,
    TargetAndGroups,
    TargetSummary,
)
from treeline.tables import read_frame, write_frame


def summarise(
    frame: pd.DataFrame,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    spec: ModelSpec,
    counts: RowCounts,
) -> PreparedRows:
    """Return the summary of checked rows before filling; raises DataError for unusable classes.

    `frame` is checked rows; `train` and `test` are its sides.
    """
    features = frame[list(spec.features)]
    return {
        "rows": counts,
        "missing": {str(name): int(n) for name, n in features.isna().sum().items() if n},
        "duplicates": int(features.duplicated().sum()),
        **summarised(frame, (train, test), spec=spec),
    }


def summarised(
    frame: pd.DataFrame, sides: tuple[pd.DataFrame, pd.DataFrame], *, spec: ModelSpec
) -> TargetAndGroups:
    """Return what a summary says of target and groups, which are all that the frames must hold.

    `frame` is all rows, `sides` its two parts, rows of both splits.
    """
    target = _target(frame[spec.target.name], spec)
    if not spec.split.group:
        return {"target": target}
    train, test = (set(side[spec.split.group]) for side in sides)
    both = len(train & test)
    return {
        "groups": {"train": len(train), "test": len(test), "on_both_sides": both},
        "target": target,
    }


def _target(column: pd.Series, spec: ModelSpec) -> TargetSummary:
    if spec.target.task == "regression":
        described = column.describe()
        mean, std, low, high = (
            round(float(described[key]), 6) for key in ("mean", "std", "min", "max")
        )
        return {"mean": mean, "std": std, "min": low, "max": high}
    classes = _classes(column, spec)
    return {"classes": classes, "counts": [int((column == value).sum()) for value in classes]}


def _classes(column: pd.Series, spec: ModelSpec) -> list[Label]:
    """Return the classes in the order of their codes: sorted, the positive one last.

    They have the type that the data have: whole numbers are no decimal ones.
    """
    classes = list(labels(plain(value) for value in sorted(column.unique())))
    if len(classes) < 2:
        raise DataError(
            f"target {column.name!r}: every row is {classes[0]!r}, so there is nothing to learn; "
            "collect rows of another class, or correct source.where"
        )
    if spec.target.task == "multiclass":
        return classes
    if spec.target.positive not in classes or len(classes) != 2:
        raise DataError(
            f"target {column.name!r}: a binary target with positive {spec.target.positive!r} needs "
            f"two classes, one of them that; the rows hold {', '.join(map(repr, classes))}: "
            "correct target.positive, or declare `task: multiclass`"
        )
    return sorted(classes, key=lambda value: value == spec.target.positive)


@dataclass(frozen=True)
class Prepared:
    """The outcome of preparation: two frames of the same columns, and a summary for people."""

    train: pd.DataFrame
    test: pd.DataFrame
    summary: SplitSummary


def prepare(raw: pd.DataFrame, spec: ModelSpec) -> Prepared:
    """Prepare collected rows as declared.

    Keeps the declared columns and the rows that `where` admits, drops rows without a target, checks
    types, categories and bounds, fills missing values, and splits. Raises DataError. `raw` has a
    row for each that was collected, with any columns.
    """
    chosen = declared_columns(raw.reset_index(drop=True), spec)
    admitted = matching(chosen, spec.source.where)
    known = admitted[admitted[spec.target.name].notna()]
    if known.empty:
        raise DataError(f"column {spec.target.name!r}: no row has a target; correct the source")
    checked = check(known, spec)
    hashed = row_hashes(checked, spec)
    train, test = split(checked, hashed=hashed, split=spec.split, target=spec.target)
    counts: RowCounts = {
        "collected": len(raw),
        "left_out_by_where": len(chosen) - len(admitted),
        "without_target": len(admitted) - len(known),
        "train": len(train),
        "test": len(test),
    }
    summary: SplitSummary = {
        **summarise(checked, train, test, spec=spec, counts=counts),
        "split": record(spec, hashed, checked, test=len(test)),
    }
    return Prepared(
        train=filled(train, spec.features), test=filled(test, spec.features), summary=summary
    )


def prepare_files(spec: ModelSpec, paths: Layout) -> SplitSummary:
    """Write both splits and return the summary; raises DataError."""
    outcome = prepare(read_frame(paths.raw), spec)
    parts = (outcome.train, outcome.test)
    check_spacing(lambda name: pd.concat([part[name] for part in parts]), spec.features)
    write_frame(paths.train, outcome.train)
    write_frame(paths.test, outcome.test)
    return outcome.summary
