"""The log in its database: SQLite or PostgreSQL, read as the service writes it."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydantic_core import from_json
from sqlalchemy.exc import ArgumentError

from treeline.errors import SourceError
from treeline.monitoring.logs import CHUNK_ROWS, LogQuery
from treeline.monitoring.rows import Logged, LoggedPrediction
from treeline.sources.predictions import LOG_VERSION
from treeline.sources.sql.database import Database

PLACE = "--log"

# The latest truth counts, of those that came by id and by key.
ROWS = """\
SELECT p.time, p.version, CAST(p.features AS text), CAST(p.prediction AS text), p.probability,
  CAST(p.probabilities AS text),
  CAST(CASE WHEN f.time IS NULL OR k.time > f.time THEN k.truth ELSE f.truth END AS text),
  CASE WHEN f.time IS NULL OR k.time > f.time THEN k.time ELSE f.time END
FROM predictions AS p
LEFT JOIN feedback AS f ON f.id = p.id
LEFT JOIN feedback_by_key AS k ON k.model = p.model AND k.key = p.key
WHERE p.model = {model} AND p.time >= {reach} AND p.time < {until}
  AND (p.time >= {since} OR f.time >= {since} OR k.time >= {since})"""

ONE = """\
SELECT p.id, p.time, p.model, p.version, CAST(p.features AS text), CAST(p.prediction AS text),
  p.probability, CAST(p.probabilities AS text),
  CAST(CASE WHEN f.time IS NULL OR k.time > f.time THEN k.truth ELSE f.truth END AS text),
  CASE WHEN f.time IS NULL OR k.time > f.time THEN k.time ELSE f.time END, p.key
FROM predictions AS p
LEFT JOIN feedback AS f ON f.id = p.id
LEFT JOIN feedback_by_key AS k ON k.model = p.model AND k.key = p.key
WHERE p.id = {id}"""

# By the index of times, which ends at the first row, as a minimum over a version would not.
FIRST = """\
SELECT min(time) FROM (SELECT time FROM predictions
  WHERE model = {model} AND version = {version} ORDER BY time LIMIT 1) AS earliest"""
AHEAD = "SELECT count(*) FROM predictions WHERE model = {model} AND time >= {until}"


class DatabaseLog:
    """The log behind a URL of SQLAlchemy."""

    def __init__(self, url: str, secret: str) -> None:
        """Open nothing yet; `secret` names the variable with the password.

        Raises SourceError for what is no URL.
        """
        try:
            self._database = Database(url, password=secret, place=PLACE)
        except ArgumentError:
            raise SourceError(
                f"{PLACE}: it is no URL; give sqlite:////FOLDER/predictions.sqlite, or "
                "postgresql://USER@HOST:5432/DATABASE"
            ) from None
        self._checked = False

    def first(self, model: str, version: str) -> float | None:
        """Return when a version answered first, None where it never did."""
        [time] = self._row(FIRST, model=model, version=version)
        return None if time is None else float(time)

    def ahead(self, query: LogQuery) -> int:
        """Return how many predictions are of a time that has not come."""
        [count] = self._row(AHEAD, model=query.model, until=query.until)
        return int(count)

    def chunks(self, query: LogQuery) -> Iterator[Logged]:
        """Yield the rows, at most CHUNK_ROWS at a time."""
        self._check()
        sql = self._filled(ROWS, vars(query))
        with self._database.connected() as connection:
            streamed = connection.execution_options(stream_results=True, yield_per=CHUNK_ROWS)
            for part in streamed.exec_driver_sql(sql).partitions(CHUNK_ROWS):
                yield _logged(part)

    def prediction(self, id: str) -> LoggedPrediction | None:
        """Return the prediction with an id, None where the log has none."""
        self._check()
        with self._database.connected() as connection:
            row = connection.exec_driver_sql(self._filled(ONE, {"id": id})).one_or_none()
        if row is None:
            return None
        documents = (row[4], row[5], row[7], row[8])
        features, prediction, probabilities, truth = map(_parsed, documents)
        return LoggedPrediction(
            id=row[0],
            time=row[1],
            model=row[2],
            version=row[3],
            features=features,
            prediction=prediction,
            probability=row[6],
            probabilities=probabilities,
            truth=truth,
            truth_time=row[9],
            key=row[10],
        )

    def refused(self, model: str) -> dict[str, int]:
        """Return nothing: what was refused is in no log."""
        return {}

    def _row(self, sql: str, **values: str | float) -> tuple[Any, ...]:
        self._check()
        return self._database.row(self._filled(sql, values))

    def _filled(self, sql: str, values: dict[str, Any]) -> str:
        literal = self._database.dialect.text_literal
        return sql.format(
            **{
                name: literal(value) if isinstance(value, str) else repr(float(value))
                for name, value in values.items()
            }
        )

    def _check(self) -> None:
        """Raise SourceError for a log of another release."""
        if self._checked:
            return
        [version] = self._database.row("SELECT version FROM prediction_log_schema")
        if version != LOG_VERSION:
            raise SourceError(
                f"{PLACE}: the log has tables of version {version}, and this release reads "
                f"{LOG_VERSION}; monitor with the release that the service runs"
            )
        self._checked = True


def _parsed(text: str | None) -> Any:
    return None if text is None else from_json(text)


def _logged(rows: Sequence[Any]) -> Logged:
    times, versions, features, predictions, one, many, truths, truth_times = zip(*rows, strict=True)
    return Logged(
        np.array(times, dtype=np.float64),
        versions,
        features,
        predictions,
        [alone if of_all is None else of_all for alone, of_all in zip(one, many, strict=True)],
        truths,
        np.array([np.nan if each is None else each for each in truth_times], dtype=np.float64),
    )
