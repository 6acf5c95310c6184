"""Prepare stage: dataset/<model>/raw.parquet → train.parquet, test.parquet, summary.json."""

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.files import write_json
from treeline.preparation.preparing import prepare as prepared
from treeline.tables import read_frame, write_frame


def prepare(spec: ModelSpec, paths: Layout) -> str:
    """Check, fill and split the collected rows."""
    outcome = prepared(read_frame(paths.raw), spec)
    write_frame(paths.train, outcome.train)
    write_frame(paths.test, outcome.test)
    write_json(paths.summary, outcome.summary)
    rows = outcome.summary["rows"]
    return (
        f"{rows['train']:,} rows to learn from, {rows['test']:,} for the test "
        f"({rows['left_out_by_where']:,} left out by `where`, "
        f"{rows['without_target']:,} without a target)"
    )
