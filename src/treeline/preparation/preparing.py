"""Collected rows → checked, filled and split rows, with a summary of what was seen and done."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from treeline.config.models import ModelSpec
from treeline.errors import DataError
from treeline.preparation.checking import check
from treeline.preparation.hashing import row_hashes
from treeline.preparation.selecting import declared_columns, filled, matching
from treeline.preparation.splitting import record, split
from treeline.preparation.summary import summarise


@dataclass(frozen=True)
class Prepared:
    """The outcome of preparation: two frames of the same columns, and a summary for people."""

    train: pd.DataFrame
    test: pd.DataFrame
    summary: dict[str, Any]


def prepare(raw: pd.DataFrame, spec: ModelSpec) -> Prepared:
    """Prepare collected rows as declared.

    Keeps the declared columns and the rows that `where` admits, drops rows without a target,
    checks types, categories and bounds, fills missing values, and splits. Raises DataError.
    """
    chosen = declared_columns(raw.reset_index(drop=True), spec)
    kept = matching(chosen, spec.source.where)
    known = kept[kept[spec.target.name].notna()]
    if known.empty:
        raise DataError(f"column {spec.target.name!r}: no row has a target; correct the source")
    checked = check(known, spec)
    found = row_hashes(checked, spec)
    train, test = split(checked, found=found, split=spec.split, target=spec.target)
    counts = {
        "collected": len(raw),
        "left_out_by_where": len(chosen) - len(kept),
        "without_target": len(kept) - len(known),
        "train": len(train),
        "test": len(test),
    }
    summary = summarise(checked, train, test, spec=spec, counts=counts)
    summary |= record(spec, found, checked, test=len(test))
    return Prepared(
        train=filled(train, spec.features), test=filled(test, spec.features), summary=summary
    )
