"""A URL of PostgreSQL → refused where the server is there and does not let us in, or knows no log.

Reached by name: only where such a URL is set is the driver imported.
"""

import logging
import time

import psycopg
from psycopg.pq import PGconn, Ping

from api.prediction_log.addresses import (
    OWN_TABLES,
    PLACE,
    SCHEMA_TABLE,
    check_tables,
)
from treeline.errors import ConfigError

CONNECT_SECONDS = 3
ATTEMPTS = 3  # a server may be out of connections for a moment
PAUSE_SECONDS = 1.0

logger = logging.getLogger(__name__)


def check(url: str) -> None:
    """Raise ConfigError for a server that answers and refuses us; nothing where none answers."""
    address = "postgresql://" + url.partition("://")[2]
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with psycopg.connect(address, connect_timeout=CONNECT_SECONDS) as connection:
                check_tables(*_tables(connection))
            return
        except psycopg.ProgrammingError as error:
            raise ConfigError(f"{PLACE}: the driver cannot read it: {error}") from error
        except psycopg.Error as error:
            if not _answers(address):
                logger.warning(
                    "The database of the prediction log is away; predictions wait in the spool"
                )
                return
            if attempt == ATTEMPTS:
                raise ConfigError(
                    f"{PLACE}: the server is there and refuses: {error}; see to the name of the "
                    "database, the user and its password"
                ) from error
            time.sleep(PAUSE_SECONDS)


def _answers(address: str) -> bool:
    """Tell whether a server accepts connections, whoever asks; not while it starts or ends."""
    return PGconn.ping(f"{address}".encode()) == Ping.OK


def _tables(connection: psycopg.Connection[tuple[str, ...]]) -> tuple[set[str], int | None]:
    """Return those tables there are that have the names of a log, and the version it notes."""
    tables = set()
    for name in sorted({*OWN_TABLES, SCHEMA_TABLE}):
        [(table,)] = connection.execute("SELECT to_regclass(%s)::text", [name]).fetchall()
        if table is not None:
            tables.add(name)
    if SCHEMA_TABLE not in tables:
        return tables, None
    row = connection.execute("SELECT version FROM prediction_log_schema").fetchone()
    return tables, None if row is None else int(row[0])
