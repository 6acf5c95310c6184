"""Prepare stage: dataset/<model>/raw.parquet → train.parquet, test.parquet, summary.json."""

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.files import write_json
from treeline.preparation import PREPARERS
from treeline.registry import resolve


def prepare(spec: ModelSpec, paths: Layout) -> str:
    """Check, fill and split the collected rows, where the declaration says."""
    prepare_files = resolve(PREPARERS, spec.split.engine, place=f"models.{paths.name}.split.engine")
    summary = prepare_files(spec, paths)
    write_json(paths.summary, summary)
    rows = summary["rows"]
    return (
        f"{rows['train']:,} rows to learn from, {rows['test']:,} for the test "
        f"({rows['left_out_by_where']:,} left out by `where`, "
        f"{rows['without_target']:,} without a target)"
    )
