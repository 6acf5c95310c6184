"""Predictions source: what the service answered and what proved to be true → rows to learn from.

The log is written by the service, which this package may not know: the tables and columns that are
read here are stated once, in LOG, and a test holds them to those of the service.
"""

import json
import tempfile
from collections.abc import Iterator
from itertools import islice
from typing import Any, TextIO

import pyarrow as pa

from treeline.config.sources import PredictionsSource
from treeline.errors import SourceError
from treeline.registry import resolve
from treeline.sources import EXTRAS, SOURCES, Source
from treeline.sources.sql.database import Database, retried

LOG = {
    "predictions": ("id", "time", "model", "features", "key"),
    "feedback": ("id", "time", "truth"),
    "feedback_by_key": ("model", "key", "time", "truth"),
    "prediction_log_schema": ("version",),
}
LOG_VERSION = 2
TABLE_ROWS = 50_000
PLACE = "source"

ROWS = """\
SELECT CAST(p.features AS text), p.key,
  CAST(CASE WHEN f.time IS NULL OR k.time > f.time THEN k.truth ELSE f.truth END AS text)
FROM predictions AS p
LEFT JOIN feedback AS f ON f.id = p.id
LEFT JOIN feedback_by_key AS k ON k.model = p.model AND k.key = p.key
WHERE p.model = {} AND (f.time IS NOT NULL OR k.time IS NOT NULL) ORDER BY p.time, p.id"""

Column = list[Any]


class PredictionTables:
    """Each prediction whose truth is known, the oldest first, as a row: its features, the target.

    A feature that was not given, or is redacted, is missing. The latest truth counts.
    """

    def __init__(self, spec: PredictionsSource) -> None:
        self._spec = spec

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows of the base, if there is one, then those of the log.

        Raises SourceError, and MissingExtraError where a driver is not installed.
        """
        schema: pa.Schema | None = None
        for table in self._base():
            schema = table.schema
            yield table
        with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
            kinds = retried(lambda: self._read(spool))
            spool.seek(0)
            yield from self._written(spool, kinds, schema)

    def _base(self) -> Iterator[pa.Table]:
        base = self._spec.base
        if base is None:
            return iter(())
        place = f"{PLACE}.base.kind"
        source_class = resolve(SOURCES, base.kind, place=place, extra=EXTRAS.get(base.kind))
        source: Source = source_class(base)
        return source.tables()

    def _read(self, spool: TextIO) -> dict[str, pa.DataType]:
        """Write every row as a line of JSON; return the types that hold the values of columns."""
        spec, kinds = self._spec, dict[str, pa.DataType]()
        spool.seek(0)
        spool.truncate()
        database = Database(spec.url, password=spec.password, place=PLACE)
        [version] = database.row("SELECT version FROM prediction_log_schema")
        if version != LOG_VERSION:
            raise SourceError(
                f"{PLACE}.url: the log has tables of version {version}, and this release reads "
                f"{LOG_VERSION}; collect with the release that the service runs"
            )
        with database.connected() as connection:
            query = ROWS.format(database.dialect.text_literal(spec.model))
            streamed = connection.execution_options(stream_results=True, yield_per=TABLE_ROWS)
            for features, key, truth in streamed.exec_driver_sql(query):
                row = self._row(features, key, truth)
                for name, value in row.items():
                    kinds[name] = _wider(kinds.get(name, pa.null()), value, name)
                spool.write(json.dumps(row) + "\n")
        return kinds

    def _row(self, features: str, key: str | None, truth: str) -> dict[str, Any]:
        document = json.loads(features)
        given = document if isinstance(document, dict) else {}
        given |= {self._spec.key: key} if self._spec.key else {}
        return given | self._spec.constants | {self._spec.target: json.loads(truth)}

    def _written(
        self, spool: TextIO, kinds: dict[str, pa.DataType], schema: pa.Schema | None
    ) -> Iterator[pa.Table]:
        wanted = schema or pa.schema(list(kinds.items()))
        lines = iter(spool)
        while part := [json.loads(line) for line in islice(lines, TABLE_ROWS)]:
            columns = {
                field.name: _column(
                    [row.get(field.name) for row in part],
                    kinds.get(field.name, pa.null()),
                    field,
                )
                for field in wanted
            }
            yield pa.table(columns, schema=wanted)


def _wider(kind: pa.DataType, value: object, name: str) -> pa.DataType:
    """Return the type that holds what `kind` holds, and `value` too."""
    if value is None:
        return kind
    own = next((pa_type for python, pa_type in TYPES if isinstance(value, python)), None)
    if own is None:
        raise SourceError(
            f"{PLACE}: feature {name!r} of a logged prediction is no plain value; predictions of "
            "models of tensors cannot be learnt from"
        )
    if kind in (pa.null(), own):
        return own
    return pa.float64() if {kind, own} == {pa.int64(), pa.float64()} else pa.string()


TYPES = (
    (bool, pa.bool_()),  # before int: true is a number to Python
    (int, pa.int64()),
    (float, pa.float64()),
    (str, pa.string()),
)


def _column(values: Column, kind: pa.DataType, field: pa.Field) -> pa.Array:
    """Return the values as the type of a field; raises SourceError."""
    if kind == pa.string():
        values = [value if value is None else _text(value) for value in values]
    wanted = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    try:
        made = pa.array(values, kind).cast(wanted)
        return made if wanted == field.type else made.dictionary_encode().cast(field.type)
    except (pa.ArrowException, OverflowError) as error:
        raise SourceError(
            f"{PLACE}: logged values of {field.name!r} do not fit the {field.type} of the base: "
            f"{error}; correct `base` or `constants`"
        ) from error


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
