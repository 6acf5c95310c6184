"""Prepare stage: dataset/<model>/raw.parquet → train.parquet, test.parquet, summary.json."""

import pandas as pd
from pyarrow import parquet

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.preparation import PREPARERS
from treeline.preparation.checking import doubts
from treeline.preparation.leaks import leaks
from treeline.records.summary import SplitSummary, Summary, write_summary
from treeline.registry import resolve


def prepare(spec: ModelSpec, paths: Layout) -> str:
    """Check, fill and split the collected rows, where the declaration says."""
    prepare_files = resolve(PREPARERS, spec.split.engine, place=f"models.{paths.name}.split.engine")
    prepared: SplitSummary = prepare_files(spec, paths)
    leaking = leaks(lambda name: _sides(paths, name), spec)
    summary: Summary = {**prepared, "leaks": leaking}
    write_summary(paths.summary, summary)
    for doubt in doubts(paths.raw, spec):
        print(f"prepare {paths.name}: warning: {doubt}", flush=True)
    rows, share = summary["rows"], summary["split"]["share"]
    return (
        f"{rows['train']:,} rows to learn from, {rows['test']:,} for the test, {share:.1%} of them "
        f"({rows['left_out_by_where']:,} left out by `where`, "
        f"{rows['without_target']:,} without a target)"
    )


def _sides(paths: Layout, name: str) -> tuple[pd.Series, pd.Series]:
    """Read one column of both splits, so that no more than that is in memory."""
    train, test = (
        parquet.read_table(path, columns=[name]).to_pandas()[name]
        for path in (paths.train, paths.test)
    )
    return train, test
