"""Where MLflow stores what it is given: the address of its store, as given or by default."""

import os
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

from treeline.errors import TrackingError
from treeline.registry import driver_fault

URI = "MLFLOW_TRACKING_URI"
ARTIFACTS = "MLFLOW_DEFAULT_ARTIFACT_ROOT"
FOLDER = Path(".treeline")
DATABASE = FOLDER / "mlflow.db"
FILES = FOLDER / "mlruns"
PATIENCE_SECONDS = 5
SHOWN = 300  # characters of a complaint
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def tracking_uri() -> str:
    """Return the address that the environment names, or that of a file in this checkout."""
    return os.environ.get(URI) or f"sqlite:///{DATABASE.absolute()}"


def is_server(uri: str) -> bool:
    """Tell whether an address is that of an MLflow server rather than of its database."""
    return urlsplit(uri).scheme in {"http", "https"}


def artifact_location(uri: str, model: str) -> str | None:
    """Return where the files of a model's runs go; None where the server says it.

    Without a server they go where MLFLOW_DEFAULT_ARTIFACT_ROOT says, or stay in this checkout.
    """
    if is_server(uri):
        return None
    return f"{os.environ.get(ARTIFACTS) or FILES}/{model}"


def shown(uri: str) -> str:
    """Return an address as it may be printed: without a password."""
    return re.sub(r"//[^/@]*@", "//", uri)


def look_for(uri: str) -> None:
    """Raise TrackingError when nothing listens where a database is said to be, or has no driver.

    MLflow would try again for minutes. Of a server it asks with the time limits given here.
    """
    if (fault := driver_fault(uri)) is not None:
        raise TrackingError(f"{URI}: {fault}")
    parts = urlsplit(uri)
    default = PORTS.get(parts.scheme.partition("+")[0])
    if default is None or not parts.hostname:
        return
    place = (parts.hostname, parts.port or default)
    try:
        socket.create_connection(place, timeout=PATIENCE_SECONDS).close()
    except OSError as error:
        raise TrackingError(f"{shown(uri)}: cannot be reached: {error}") from error


def complaint(error: BaseException) -> str:
    """Return what is behind an error in one line: what the system said, if it said something."""
    chain = [error]
    while behind := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(behind)
    if any("Timeout" in type(each).__name__ for each in chain):
        return "no answer in time"
    system = [each for each in chain if isinstance(each, OSError) and each.strerror]
    message = str(system[-1] if system else error).strip() or type(error).__name__
    return shown(message.splitlines()[0][:SHOWN])
