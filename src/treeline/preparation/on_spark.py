"""Preparation on Spark: raw.parquet → train.parquet, test.parquet, for rows that are too many.

Tasks select, type and check stretches of rows with the code that does it for all rows at once. The
split is drawn here from the target and the group of each row, so that it is the one that would be
drawn without Spark, and both files are the same.
"""

import shutil
from functools import partial
from pathlib import Path
from uuid import uuid4

import pandas as pd
from pyarrow import parquet

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.engines.spark import FAILURES, quiet, reason, session, shown
from treeline.errors import EngineError
from treeline.preparation.in_parts import (
    FAULT,
    ROW,
    CheckedRows,
    checked,
    columns,
    split_checked,
    typed_columns,
)
from treeline.records.summary import SplitSummary

BATCH_ROWS = 65_536
TYPES = {"large_string": "STRING", "string": "STRING", "double": "DOUBLE", "bool": "BOOLEAN"}


def prepare_files(spec: ModelSpec, paths: Layout) -> SplitSummary:
    """Write both splits and return the summary; raises DataError and EngineError."""
    metadata = parquet.read_metadata(paths.raw)
    typed = typed_columns(paths.raw, spec)
    folder = paths.dataset.resolve() / f".checked.{uuid4().hex}.draft"
    try:
        duplicates = _checked_by_spark(paths.raw.resolve(), folder, spec, typed)
        rows = CheckedRows(folder, spec, typed)
        summary = split_checked(rows, spec, paths, collected=metadata.num_rows)
        summary["duplicates"] = duplicates
        return summary
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _checked_by_spark(raw: Path, folder: Path, spec: ModelSpec, typed: pd.DataFrame) -> int:
    """Have the rows checked into a folder; return how many repeat the features of another."""
    schema = columns(typed)
    words = [f"{_quoted(f.name)} {TYPES.get(str(f.type), 'BIGINT')}" for f in schema]
    features = [_quoted(name) for name in spec.features]
    with session(f"prepare {raw.parent.name}") as spark, quiet():
        try:
            spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(BATCH_ROWS))
            rows = spark.read.parquet(f"file:{raw}").selectExpr(
                *map(_quoted, map(str, typed)), f"_metadata.row_index AS {ROW}"
            )
            results = rows.mapInArrow(partial(checked, spec, schema), ", ".join(words))
            with shown(spark, "check"):
                results.write.parquet(f"file:{folder}")
            written = spark.read.parquet(f"file:{folder}").where(
                f"{_quoted(spec.target.name)} IS NOT NULL AND {FAULT} IS NULL"
            )
            with shown(spark, "count"):
                known = written.count()
                return int(known - written.select(*features).distinct().count())
        except FAILURES as error:
            raise EngineError(f"{raw}: Spark could not prepare it: {reason(error)}") from error


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
