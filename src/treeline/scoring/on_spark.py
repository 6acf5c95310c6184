"""Scoring on Spark: Parquet → Parquet, each task a stream of batches through one ONNX session.

The same code reads, checks and predicts a batch as on one machine, so numbers are the same; rows
come back in parts, in the order in which Spark cut the files. A worker needs this package, ONNX
Runtime and pyarrow in the Python that it runs, and the paths that the driver was given.
"""

from functools import partial
from pathlib import Path
from typing import Any

from pyarrow import dataset, parquet

from treeline.engines.spark import FAILURES, quiet, reason, session, shown
from treeline.errors import EngineError, SourceError
from treeline.files import replacing_folder
from treeline.scoring import Job, Packed, unpacked
from treeline.scoring.locally import parquet_files
from treeline.scoring.predicting import (
    ERROR,
    FILE,
    ROW,
    SHOWN,
    check_keep,
    fields,
    refuse,
    streamed,
)
from treeline.scoring.reading import CSV, check_columns

BATCH_ROWS = 65_536  # the same sums at 10,000, Spark's own, take a tenth longer
PART_BYTES = 16 << 20  # of Parquet a task: 128 MiB, Spark's own, would be a million rows and more
TYPES = {
    "string": "STRING",
    "bool": "BOOLEAN",
    "int64": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
}


def score(model: Packed, job: Job) -> int:
    """Score a file or a folder into a folder; raises SourceError, DataError and EngineError."""
    signature = unpacked(model).signature
    check_keep(job.keep, signature)
    files = parquet_files(job.source)
    if files[0].suffix.lower() == CSV:
        raise SourceError(f"{job.source}: Spark scores Parquet; score a CSV with --engine local")
    schema = parquet.ParquetFile(files[0]).schema_arrow
    check_columns(schema, signature.features, keep=job.keep)
    needed = dict.fromkeys([*signature.features, *job.keep])
    columns = [_quoted(name) for name in schema.names if name in needed]
    with (
        session(f"score {signature.name}") as spark,
        quiet(),
        replacing_folder(job.target) as draft,
    ):
        try:
            spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(BATCH_ROWS))
            spark.conf.set("spark.sql.files.maxPartitionBytes", str(PART_BYTES))
            spark.conf.set("spark.sql.parquet.compression.codec", "zstd")
            rows = spark.read.parquet(*(f"file:{file}" for file in files)).selectExpr(
                *columns, f"_metadata.file_name AS {FILE}", f"_metadata.row_index AS {ROW}"
            )
            carried = rows.select(*map(_quoted, job.keep)).schema.fields
            result = rows.mapInArrow(
                partial(streamed, model, job.keep), _declared(carried, signature)
            )
            with shown(spark, f"score {signature.name}"):
                result.write.mode("overwrite").parquet(f"file:{draft}")
        except FAILURES as error:
            raise EngineError(f"{job.source}: Spark could not score it: {reason(error)}") from error
        return _settled(draft, job)


def _declared(carried: list[Any], signature: Any) -> str:
    """Return the columns of the result in Spark's own words for them."""
    words = [f"{_quoted(field.name)} {field.dataType.simpleString()}" for field in carried]
    words += [f"{_quoted(field.name)} {TYPES[str(field.type)]}" for field in fields(signature)]
    return ", ".join(words)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _settled(draft: Path, job: Job) -> int:
    """Remove what Spark notes beside its files; refuse bad rows; return how many rows there are."""
    for note in [*draft.glob("_*"), *draft.glob(".*.crc")]:
        note.unlink()
    scored_rows = dataset.dataset(draft, format="parquet")
    rows: int = scored_rows.count_rows()
    bad = dataset.field(ERROR).is_valid()
    if not job.reporting and (bad_rows := scored_rows.count_rows(filter=bad)):
        first = scored_rows.head(SHOWN, columns=[ERROR], filter=bad).column(ERROR).to_pylist()
        refuse(first, bad_rows=bad_rows, rows=rows)
    return rows
