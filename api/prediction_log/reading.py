"""What was recorded, page by page, in the order of time: each prediction with its truth.

A page is a query of its own that begins where the last one ended, so a caller who reads slowly
keeps no transaction open, and memory holds one page.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Select, case, select, tuple_
from sqlalchemy.exc import SQLAlchemyError

from api.errors import LogUnavailableError
from api.prediction_log.database import (
    Database,
    Limits,
    feedback,
    feedback_by_key,
    predictions,
    url_of,
)
from api.prediction_log.exports import PredictionQuery
from api.settings import Settings

PAGE_ROWS = 1000

Row = dict[str, Any]


class LogReader:
    """Reads the database of the log; connects when it is first asked."""

    def __init__(self, settings: Settings, *, seconds: float | None = None) -> None:
        """Let a query take `seconds`, and without them as long as a page of an export may."""
        url = settings.prediction_log_url
        given = url.get_secret_value() if url else None
        self._seconds = settings.prediction_log_export_seconds if seconds is None else seconds
        limits = Limits(statement_seconds=self._seconds)
        self._database = Database(url_of(given, settings.state_dir), limits=limits)

    def check(self) -> None:
        """Raise LogUnavailableError if the database cannot be asked."""
        with self._reading():
            self._database.prepare()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._database.engine.dispose()

    def pages(self, query: PredictionQuery) -> Iterator[list[Row]]:
        """Yield the rows that are asked for; raises LogUnavailableError."""
        last: Row | None = None
        while page := self._page(query, last):
            yield page
            if len(page) < PAGE_ROWS:
                return
            last = page[-1]

    def predicted(self, ids: Collection[str]) -> dict[str, Row]:
        """Return model, version and prediction of those that are there, by id."""
        self.check()
        recorded: dict[str, Row] = {}
        columns = predictions.c
        known = select(
            columns.id, columns.model, columns.version, columns.prediction, columns.probabilities
        )
        with self._reading(), self._database.engine.connect() as connection:
            listed = list(dict.fromkeys(ids))
            for first in range(0, len(listed), PAGE_ROWS):
                part = columns.id.in_(listed[first : first + PAGE_ROWS])
                rows = connection.execute(known.where(part)).mappings()
                recorded |= {row["id"]: dict(row) for row in rows}
        return recorded

    def _page(self, query: PredictionQuery, last: Row | None) -> list[Row]:
        with self._reading(), self._database.engine.connect() as connection:
            rows = connection.execute(query_of(query, last)).mappings()
            return [dict(row) for row in rows]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn whatever the database fails with into LogUnavailableError."""
        try:
            yield
        except SQLAlchemyError as error:
            self._database.doubt()
            raise LogUnavailableError(
                f"The database of the prediction log cannot be asked, or took more than "
                f"{self._seconds:g} seconds for a page ({type(error).__name__}); "
                "what is answered meanwhile waits on disk. Ask again in a while.",
                seconds=5,
            ) from error


def query_of(filters: PredictionQuery, last: Row | None) -> Select[Any]:
    """Return the query for the page after a row."""
    columns, place = predictions.c, tuple_(predictions.c.time, predictions.c.id)
    by_key = feedback_by_key.c
    truth, truth_time = (
        case(
            (feedback.c.time.is_(None), by_key[name]),
            (by_key.time > feedback.c.time, by_key[name]),
            else_=feedback.c[name],
        )
        for name in ("truth", "time")
    )
    query = (
        select(*columns, truth.label("truth"), truth_time.label("truth_time"))
        .join(feedback, feedback.c.id == columns.id, isouter=True)
        .join(
            feedback_by_key,
            (by_key.model == columns.model) & (by_key.key == columns.key),
            isouter=True,
        )
        .order_by(columns.time, columns.id)
        .limit(PAGE_ROWS)
    )
    if filters.since is not None:
        query = query.where(columns.time >= filters.since)
    if filters.until is not None:
        query = query.where(columns.time < filters.until)
    if filters.model is not None:
        query = query.where(columns.model == filters.model)
    if filters.version is not None:
        query = query.where(columns.version == filters.version)
    if filters.id is not None:
        query = query.where(columns.id == filters.id)
    if last is not None:
        query = query.where(place > tuple_(last["time"], last["id"]))
    return query
