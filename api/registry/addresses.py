"""Where the registry is, as MLflow's own variables say, and whether anybody is there at all."""

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from treeline.registry import driver_fault

URIS = ("MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_URI")
OWN = Path(".treeline/mlflow.db")  # where the pipeline records when it is told of no other place
PATIENCE_SECONDS = 5
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
# MLflow reports to its makers unless told otherwise, and tries for minutes where nobody answers.
SETTINGS = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Files come through the server: its storage is nothing a service needs to reach.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "AWS_MAX_ATTEMPTS": "2",
}


class RegistryAwayError(Exception):
    """Nobody answers where the registry is said to be."""


def environment() -> dict[str, str]:
    """Return the environment in which MLflow is imported: ours, with what it leaves open."""
    given = {**SETTINGS, **os.environ}
    if not any(given.get(name) for name in URIS):
        given["MLFLOW_TRACKING_URI"] = f"sqlite:///{OWN.resolve()}"
    return given


def address(given: Mapping[str, str]) -> str:
    """Return the address of the registry."""
    return next(given[name] for name in URIS if given.get(name))


def shown(uri: str) -> str:
    """Return an address as it may be told: without a password."""
    return re.sub(r"//[^/@]*@", "//", uri)


def look_for(uri: str) -> None:
    """Raise RegistryAwayError where a database is not there, has no driver, or does not listen.

    MLflow would make the file, or try for minutes. Of a server it asks with the limits given here.
    """
    if (fault := driver_fault(uri)) is not None:
        raise RegistryAwayError(f"{' or '.join(URIS)}: {fault}")
    parts = urlsplit(uri)
    kind = parts.scheme.partition("+")[0]
    if kind == "sqlite":
        file = Path(unquote(parts.path)[1:])
        if not file.is_file():
            raise RegistryAwayError(f"{uri}: there is no such file")
    if kind in PORTS and parts.hostname:
        try:
            place = (parts.hostname, parts.port or PORTS[kind])
            socket.create_connection(place, timeout=PATIENCE_SECONDS).close()
        except OSError as error:
            raise RegistryAwayError(f"{shown(uri)}: cannot be reached: {error}") from error
