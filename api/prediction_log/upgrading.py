"""Tables of an older release → those of this one, in the transaction in which they are opened.

What is recorded stays as it is. Every step only adds: a replica of the older release that still
runs goes on writing.
"""

import logging
from collections.abc import Callable

from sqlalchemy import Connection, update
from sqlalchemy.schema import CreateColumn

from api.prediction_log.addresses import SCHEMA_VERSION
from api.prediction_log.tables import feedback_by_key, predictions, predictions_key, schema

logger = logging.getLogger(__name__)


def _with_keys(connection: Connection) -> None:
    """Give predictions the key of their caller, and truths a table by it."""
    column = CreateColumn(predictions.c.key).compile(dialect=connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE {predictions.name} ADD COLUMN {column}")
    predictions_key.create(connection)
    feedback_by_key.create(connection)


STEPS: dict[int, Callable[[Connection], None]] = {1: _with_keys}  # from this version to the next


def upgrade(connection: Connection, version: int) -> None:
    """Bring tables of a version to that of this release, if they are older."""
    for step in range(version, SCHEMA_VERSION):
        STEPS[step](connection)
    if version < SCHEMA_VERSION:
        connection.execute(update(schema).values(version=SCHEMA_VERSION))
        logger.info(
            "The prediction log is upgraded from version %d to %d", *(version, SCHEMA_VERSION)
        )
