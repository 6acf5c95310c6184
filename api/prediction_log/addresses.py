"""`API_PREDICTION_LOG_URL` → refused at the start where no log can ever be written to it.

A database that is away now is no reason not to start: predictions wait in the spool. One that will
never take them is, since nobody looks at a spool until it is full. SQLAlchemy, which takes long to
import, is not needed for that.
"""

import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from api.settings import Settings
from treeline.errors import ConfigError, MissingExtraError
from treeline.registry import resolve, way_out

PLACE = "API_PREDICTION_LOG_URL"
SCHEMA_VERSION = 2  # raise it with every change, and say in `upgrading` how an older one gets there
OLDEST_VERSION = 1
OWN_TABLES = frozenset({"predictions", "feedback", "feedback_by_key"})
SCHEMA_TABLE = "prediction_log_schema"
FILE = "predictions.sqlite"
POSTGRESQL = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
SQLITE = frozenset({"sqlite", "sqlite+pysqlite"})
WAY_OUT = "give postgresql://USER@HOST:5432/DATABASE, or sqlite:////FOLDER/FILE"
CHECKS = {"postgresql": "api.prediction_log.postgresql:check"}


def check_url(url: str) -> str:
    """Return `postgresql` or `sqlite`; raises ConfigError for a URL that is neither.

    The URL, which may hold a password, is not repeated. Raises MissingExtraError where its driver
    is not installed.
    """
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise ConfigError(f"{PLACE}: it is no URL; {WAY_OUT}")
    if scheme in SQLITE:
        return "sqlite"
    kind, _, driver = scheme.partition("+")
    if kind in ("postgresql", "postgres") and scheme not in POSTGRESQL:
        raise ConfigError(
            f"{PLACE}: the driver {driver!r} is not used here; write postgresql:// in the place of "
            f"{scheme}:// and the rest stays"
        )
    if scheme not in POSTGRESQL:
        raise ConfigError(f"{PLACE}: {scheme!r} is not supported; {WAY_OUT}")
    _check_parts(url)
    if find_spec("psycopg") is None:
        raise MissingExtraError(
            f"{PLACE}: PostgreSQL needs the package 'psycopg'; " + way_out("postgres")
        )
    return "postgresql"


def _check_parts(url: str) -> None:
    try:
        parts = urlsplit(url)
        named = parts.port != 0 and parts.path.strip("/")
    except ValueError as error:
        raise ConfigError(f"{PLACE}: its host or port cannot be read; {WAY_OUT}") from error
    if not named:
        raise ConfigError(f"{PLACE}: it names no database; {WAY_OUT}")


def check_database(settings: Settings) -> None:
    """Ask the database of the log, if it is there, whether it is one; raises ConfigError."""
    if not settings.prediction_log:
        return
    url = settings.prediction_log_url.get_secret_value() if settings.prediction_log_url else ""
    if not url:
        check_file(settings.state_dir / FILE)
    elif check_url(url) == "sqlite":
        if file := unquote(urlsplit(url).path)[1:]:
            check_file(Path(file))
    else:
        check: Callable[[str], None] = resolve(CHECKS, "postgresql", place=PLACE, extra="postgres")
        check(url)


def check_file(file: Path) -> None:
    """Raise ConfigError where a file is no log, or cannot become one."""
    if not file.exists():
        return
    try:
        uri = f"{file.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=1)) as database:
            names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {name for (name,) in names}
            version = _version(database) if SCHEMA_TABLE in tables else None
    except sqlite3.OperationalError:  # locked, or not readable now: it may be later
        return
    except sqlite3.DatabaseError as error:
        raise ConfigError(
            f"the prediction log: {file.name} is no database of SQLite; move it away, or give "
            f"another one in {PLACE}"
        ) from error
    check_tables(tables, version)


def _version(database: sqlite3.Connection) -> int | None:
    row = database.execute(f"SELECT version FROM {SCHEMA_TABLE}").fetchone()
    return None if row is None else row[0]


def check_tables(tables: Collection[str], version: int | None) -> None:
    """Raise ConfigError where tables are those of somebody else, or of another release."""
    foreign = sorted(OWN_TABLES.intersection(tables))
    if SCHEMA_TABLE not in tables and foreign:
        raise ConfigError(
            f"the prediction log: the database has tables of its own named {', '.join(foreign)}, "
            f"which this service did not make; give an empty database in {PLACE}"
        )
    if version is not None and not OLDEST_VERSION <= version <= SCHEMA_VERSION:
        raise ConfigError(
            f"the prediction log: its tables are of version {version}, and this release knows "
            f"{SCHEMA_VERSION}; run the release that made them, or give another database in {PLACE}"
        )
