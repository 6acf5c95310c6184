"""The shelf of the registry as a source: each worker serves what the follower fetched.

A worker loads a version beside the one it serves, and puts it in its place in one step, behind its
signature or as a tensor model. One that cannot be loaded leaves the former where it is, and
`/readyz` says so. It is tried again when the document of the shelf changes, or what it is trusted
by: its signed statement, which may come later, and the file of signers. At the start a worker
serves what was served last, whether the registry answers or not.
"""

import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Lock

from api.background import Keeper
from api.errors import RetryError
from api.inference.graph import GraphFile
from api.models.catalogue import Catalogue, Entry, Upload, entry_or_reason
from api.models.exported import UNCHECKED_SECONDS
from api.models.following import followed
from api.models.opening import Running, opened
from api.models.registry.shelf import (
    FILE,
    Mark,
    Model,
    Offers,
    Shelf,
    address,
    environment,
    references_in,
    shown,
)
from api.models.watcher import Marks, marks_of
from api.settings import Settings
from treeline.artifact.store import SIGNATURE_FILE, ArtifactStore, Trust
from treeline.contract.signature import Signature
from treeline.errors import (
    ArtifactError,
    ArtifactRejectedError,
    ConfigError,
    MissingExtraError,
    SignatureUncheckedError,
)
from treeline.registry import way_out

logger = logging.getLogger(__name__)


def opened_from(
    shelf: Shelf, name: str, artifact: str, running: Running, *, created: datetime
) -> Entry:
    """Load an artifact; raises ArtifactError, RetryError and OSError."""
    signature, path = file_on(shelf, name, artifact)
    upload = Upload(sha256=artifact, size_bytes=path.stat().st_size, uploaded=created)
    graph = GraphFile(name, str(path), artifact)
    return opened(graph, upload, running, origin="registry", signature=signature)


def file_on(shelf: Shelf, name: str, artifact: str) -> tuple[Signature | None, Path]:
    """Return the signature of an artifact, where it has one, and the path of its graph.

    Raises ArtifactError.
    """
    folder = shelf.root(artifact).resolve() / name
    signature, file = None, FILE
    if (folder / SIGNATURE_FILE).exists():
        signature = ArtifactStore(folder.parent).signature(name)
        (file,) = signature.files
    path = (folder / file).resolve()
    if not path.is_file() or not path.is_relative_to(folder):
        raise ArtifactRejectedError(f"{name}: {artifact[:12]} is not on the shelf as it was put")
    return signature, path


PLACE = "registry"  # in what `/readyz` says
FOLLOWER = "api.models.registry.follower"
LOOK_SECONDS = 0.25  # how long one worker may serve what another one serves no more
SILENT_SECONDS = 60.0  # a trial may take that long, and the follower asks nobody meanwhile


class RegistryReloader:
    """Keeps the models of the registry in a catalogue equal to the shelf."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        changed: Callable[[str, str], None],
        graphs: Running,
        *,
        trust: Trust | None = None,
    ) -> None:
        """Serve what was served last; `changed` is called after each change, as of exported ones.

        Nothing is loaded yet: what runs graphs must not begin before workers are forked.

        Raises ConfigError and MissingExtraError.
        """
        references_in(settings.registry)
        if find_spec("mlflow") is None:
            raise MissingExtraError(
                "API_REGISTRY: an MLflow registry needs the package 'mlflow'; "
                + way_out("registry")
            )
        given = environment()
        self.pause_seconds = LOOK_SECONDS
        self.address = shown(address(given))
        self.shelf = Shelf(settings.state_dir)
        self.offers = Offers()
        self.retired: Callable[[Entry, str], None] = lambda entry, artifact: None
        """Hears of what is served no more, and its artifact."""
        self._catalogue, self._changed, self.graphs = catalogue, changed, graphs
        self._trust = trust
        self._served: dict[str, tuple[str, Entry]] = {}
        self._problems: dict[str, str] = {}
        self._mark: Mark | None = None
        self._vouched: Marks = ()
        self._due = math.inf
        self._waiting = True
        self._began = time.time()
        self._patience = SILENT_SECONDS + 3 * settings.registry_seconds
        self._looking = Lock()
        self._keeper = Keeper(
            FOLLOWER,
            name="The follower of the registry",
            environment=environment_of(settings, given),
            runs=self.shelf.has_follower,
        )
        self._await_answer()

    def artifact(self, name: str) -> str:
        """Return the artifact that is served under a name; empty where there is none."""
        return self._served[name][0] if name in self._served else ""

    def away(self) -> str:
        """Return why the registry cannot be asked; empty where it answers."""
        at = self.shelf.answered_at()
        if reason := self.shelf.away():
            return reason
        silent = time.time() - (at if at is not None else self._began)
        return f"nobody has asked it for {silent:.0f} seconds" if silent > self._patience else ""

    def _await_answer(self, why: str = "it is being asked") -> None:
        """Be not ready until the registry has named what is served, once."""
        self._catalogue.wait_for(PLACE, f"{self.address} has named no models yet: {why}")

    def __str__(self) -> str:
        return f"what is fetched from {self.address}"

    def due(self) -> bool:
        """Tell that the shelf is looked at each time: it costs a look at one file."""
        return True

    def current(self) -> bool:
        """Tell whether no request misses a model that another worker serves already.

        A model that is served may be replaced some moments later here than there.
        """
        return not self._waiting or self.shelf.mark() == self._mark

    def holds(self, name: str) -> bool:
        """Tell the same of one model, which may be any of those that are waited for."""
        return self.current()

    def look_at(self, name: str) -> None:
        """Bring every model up to date with the shelf."""
        self.look()

    def look(self) -> None:
        """Bring the catalogue up to date with the shelf, once; one thread at a time."""
        with self._looking:
            mark, offers = self.shelf.mark(), self.offers
            changed = mark is None or mark != self._mark
            if changed:
                offers = self.shelf.offers() or offers
            vouched = self._vouching(offers)
            if changed or vouched != self._vouched or time.monotonic() >= self._due:
                self._due = math.inf
                self._take(offers)
                self.offers, self._mark, self._vouched = offers, mark, vouched

    def _vouching(self, offers: Offers) -> Marks:
        """Return what changes when a file does by which something on the shelf is trusted."""
        if self._trust is None:
            return ()
        folders = [
            self.shelf.root(model.served.artifact) / model.name
            for model in offers.models
            if model.served is not None
        ]
        return marks_of(path for folder in folders for path in self._trust.files(folder))

    def _take(self, offers: Offers) -> None:
        if not offers.complete:
            self._await_answer(self.shelf.away() or "it is being asked")
        entries = {}
        for model in offers.models:
            entry = self._entry(model)
            if entry is not None:
                entries[model.name] = replace(entry, declared=model.declared)
        for name in [name for name in self._served if name not in entries]:
            self._retire(name)
            self._changed(name, "removed")
            logger.info("%s is named by the registry no more", name)
        self._catalogue.overlay(entries, complete=offers.complete)
        if offers.complete:
            self._catalogue.wait_for(PLACE, "")
        self._waiting = not offers.complete or not all(each.ready for each in entries.values())

    def _entry(self, model: Model) -> Entry | None:
        """Return what is served of a model, or why nothing is; None where nothing should be."""
        served, problem = model.served, model.problem or self._doubt(model)
        if problem and problem != self._problems.get(model.name):
            self._changed(model.name, "refused")
        self._problems[model.name] = problem
        if served is None:
            if not model.declared and not model.problem:
                return None
            reason = model.problem or f"{model.reference}: it is being fetched"
            return Entry(model.name, reason=reason, origin="registry")
        artifact, former = self._served.get(model.name, ("", None))
        if former is not None and artifact == served.artifact:
            return replace(former, refused=problem)
        fresh = self.loaded(model.name, served.artifact, created=served.created)
        if fresh.unchecked:
            self._due = time.monotonic() + UNCHECKED_SECONDS
        self._changed(model.name, "swapped" if fresh.ready else "refused")
        if not fresh.ready:
            return fresh.or_former(former)
        self._retire(model.name)
        self._served[model.name] = (served.artifact, fresh)
        logger.info(
            "%s of the registry is served in version %s, number %s there",
            *(model.name, fresh.version, served.number),
        )
        return replace(fresh, refused=problem)

    def _doubt(self, model: Model) -> str:
        """Return why what is served of a model would not be opened now; empty where it would."""
        artifact, _ = self._served.get(model.name, ("", None))
        if model.served is None or artifact != model.served.artifact:
            return ""
        try:
            self._admit(model.name, artifact)
        except (ArtifactError, ConfigError, OSError) as error:
            if isinstance(error, SignatureUncheckedError):
                self._due = time.monotonic() + UNCHECKED_SECONDS
            return str(error)
        return ""

    def loaded(self, name: str, artifact: str, *, created: datetime) -> Entry:
        """Load a version, or remember why that cannot be done; raises RetryError.

        One that would answer under the version of git's model of that name is refused.
        """
        loading = partial(self._opened, name, artifact, created=created)
        entry = entry_or_reason(name, "registry", loading, later=(RetryError,))
        if entry.ready and entry.version == self._catalogue.version_in_git(name):
            reason = f"{name}: it has the version of the model in git, {entry.version}"
            return Entry(name, reason=reason, origin="registry")
        return entry

    def _opened(self, name: str, artifact: str, *, created: datetime) -> Entry:
        """Load a version; with it is signed what its graph carries, our signature among it."""
        self._admit(name, artifact)
        return opened_from(self.shelf, name, artifact, self.graphs, created=created)

    def _admit(self, name: str, artifact: str) -> None:
        """Raise ArtifactError, or ConfigError, unless an artifact may be opened."""
        if self._trust is not None:
            _, path = file_on(self.shelf, name, artifact)
            folder = self.shelf.root(artifact).resolve()
            names = {path.relative_to(folder).as_posix(): artifact}
            self._trust.admit(folder / name, names)

    def _retire(self, name: str) -> None:
        artifact, former = self._served.pop(name, ("", None))
        if former is not None:
            self.retired(former, artifact)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """See to it that somebody fills the shelf."""
        async with followed(self.shelf, self._keeper):
            yield


def environment_of(settings: Settings, given: dict[str, str]) -> dict[str, str]:
    """Return the environment of the follower: of our settings, those it needs, as they are here."""
    own = {
        "API_STATE_DIR": str(settings.state_dir.resolve()),
        "API_REGISTRY": ",".join(settings.registry),
        "API_REGISTRY_SECONDS": str(settings.registry_seconds),
        "API_REGISTRY_VERSIONS": str(settings.registry_versions),
        "API_MAX_UPLOAD_BYTES": str(settings.max_upload_bytes),
        "API_AUDIT_SECONDS": str(settings.audit_seconds),
        "API_AUDIT_MEMORY_BYTES": str(settings.audit_memory_bytes),
        "API_LOG_FORMAT": settings.log_format,
        "API_LOG_LEVEL": settings.log_level,
    }
    return {name: value for name, value in given.items() if not name.startswith("API_")} | own
