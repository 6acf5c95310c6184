"""Folder between the follower, which asks the registry, and the workers, which serve.

<state_dir>/registry/offers.json                     what there is, and what is served
<state_dir>/registry/artifacts/<sha256>/<name>/      a version that passed, by its content
<state_dir>/registry/wanted/<name>@<number>          a version that a caller wants, and since when
<state_dir>/registry/asked, away, alive, …           what every follower has

API_REGISTRY says what is followed: one model by its URI, or every model that has an alias. Where
the registry is, MLflow's own variables say.
"""

import os
import re
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from api.background import Lock
from api.models.following import FollowedFolder
from treeline.contract.features import Closed
from treeline.contract.signature import Sha256
from treeline.contract.texts import WORDS, is_slug, slug_of
from treeline.errors import ConfigError
from treeline.files import write_text
from treeline.registry import driver_fault

FORMAT: Literal[1] = 1


class Version(Closed):
    """One version of a registered model.

    `artifact` is the SHA-256 of its ONNX file once that was fetched and passed its trial, and
    `version` is ours, which is known from then on. `refused` says why it cannot be served.
    """

    number: str
    created: datetime
    aliases: tuple[str, ...] = ()
    description: str = ""
    status: str = ""
    run: str | None = None
    tags: dict[str, str] = {}
    metrics: dict[str, float] = {}
    version: str | None = None
    artifact: Sha256 | None = None
    refused: str = ""
    refused_at: datetime | None = None


class Served(Closed):
    """The version that is served under the name of a model: the last one named that passed."""

    number: str
    version: str
    artifact: Sha256
    created: datetime


class Model(Closed):
    """One registered model.

    `name` is what it is served under, and `declared` whether a setting names it. `named` is the
    number of the version that the registry names for us, and `problem` why that is not served.
    """

    name: str
    registered: str
    reference: str = ""
    declared: bool = False
    description: str = ""
    tags: dict[str, str] = {}
    named: str | None = None
    served: Served | None = None
    problem: str = ""
    versions: tuple[Version, ...] = ()


class Offers(Closed):
    """Everything; `complete` from when each named version was fetched or refused for once."""

    format: Literal[1] = FORMAT
    complete: bool = False
    models: tuple[Model, ...] = ()


TOUCH_SECONDS = 10
FILE = "artifact/model.onnx"  # in a folder of `artifacts`, where no signature says otherwise

Mark = tuple[int, int, int]
Wanted = tuple[str, str]


class Shelf(FollowedFolder):
    """What lies below one state folder."""

    def __init__(self, state_dir: Path) -> None:
        """Name the folder, which the first worker makes."""
        super().__init__(state_dir.resolve() / "registry")
        self.artifacts = self.folder / "artifacts"
        self._document = self.folder / "offers.json"
        self._wanted = self.folder / "wanted"

    def enter(self) -> Lock:
        """Make the folder, and hold what tells the follower that somebody reads it."""
        for folder in (self.artifacts, self._wanted):
            folder.mkdir(parents=True, exist_ok=True)
        return super().enter()

    def mark(self) -> Mark | None:
        """Return what changes when the document does: its time, size and inode."""
        try:
            status = self._document.stat()
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_size, status.st_ino)

    def offers(self) -> Offers | None:
        """Read the document, or return None where there is none of a format known here."""
        with suppress(OSError, ValidationError):
            return Offers.model_validate_json(self._document.read_bytes())
        return None

    def publish(self, offers: Offers) -> None:
        """Replace the document."""
        write_text(self._document, offers.model_dump_json(indent=1) + "\n")

    def root(self, artifact: str) -> Path:
        """Return the folder of an artifact, of whichever model: the root of a store."""
        return self.artifacts / artifact

    def want(self, name: str, number: str) -> None:
        """Ask for a version, or say that it is used still."""
        path = self._wanted / f"{name}@{number}"
        if age_seconds(path) > TOUCH_SECONDS:
            path.touch()

    def wanted(self) -> list[tuple[Wanted, float]]:
        """Return the versions that were asked for, the latest first, and how long ago."""
        with suppress(FileNotFoundError):
            paths = [(path.name.rpartition("@"), age_seconds(path)) for path in _in(self._wanted)]
            requests = [((parts[0], parts[2]), age) for parts, age in paths]
            return sorted(requests, key=lambda each: each[1])
        return []

    def forget(self, name: str, number: str) -> None:
        """Forget that a version was asked for."""
        (self._wanted / f"{name}@{number}").unlink(missing_ok=True)


def _in(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in os.scandir(folder)]


def age_seconds(path: Path) -> float:
    """Return how long ago a file was written or touched; infinite where there is none."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("inf")


ALIAS = re.compile(r"[A-Za-z0-9_-]{1,255}")
URI = re.compile(
    rf"(?:(?P<name>{WORDS})=)?models:/(?P<registered>[^/@:]+)"
    r"(?:@(?P<alias>[A-Za-z0-9_-]{1,255})|/(?P<number>[1-9][0-9]{0,8}))"
)
FORMS = (
    "an alias such as `champion`, for every model that has it, or `models:/NAME@ALIAS`, or "
    "`models:/NAME/NUMBER`, or either after `SERVED-NAME=`"
)


@dataclass(frozen=True)
class Reference:
    """One model of the registry, and the name under which it is served."""

    text: str
    name: str
    registered: str
    alias: str | None
    number: str | None


@dataclass(frozen=True)
class References:
    """What is followed: models by name, or all that have an alias."""

    models: tuple[Reference, ...] = ()
    alias: str | None = None


def references_in(items: Iterable[str]) -> References:
    """Return what the items of API_REGISTRY ask for; raises ConfigError."""
    models: dict[str, Reference] = {}
    alias = None
    for item in items:
        if ALIAS.fullmatch(item):
            if alias is not None:
                raise ConfigError(f"API_REGISTRY: two aliases, {alias!r} and {item!r}; give one")
            alias = item
            continue
        followed = reference(item)
        if followed.name in models:
            raise ConfigError(f"API_REGISTRY: two models are to be served as {followed.name!r}")
        models[followed.name] = followed
    return References(tuple(models.values()), alias)


def reference(item: str) -> Reference:
    """Return what one item asks for; raises ConfigError."""
    match = URI.fullmatch(item)
    if match is None:
        raise ConfigError(f"API_REGISTRY: {item!r} is none of: {FORMS}")
    registered = match["registered"]
    name = match["name"] or registered
    if not is_slug(name):
        raise ConfigError(
            f"API_REGISTRY: {registered!r} is no name that a path can have; say how it is to be "
            f"served: {slug_of(registered)}={item}"
        )
    return Reference(item, name, registered, match["alias"], match["number"])


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
