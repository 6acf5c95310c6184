"""A version of the registry → an artifact on the shelf: downloaded, audited, tried, then kept.

Only what is served is downloaded: the one ONNX file, and our signature where there is one. Where it
lies in the version does not matter; which file belongs to a signature, its digest says. Whatever
somebody registered is treated like an upload: audited and run for the first time in a process of
its own, with limits on memory and time.
"""

import asyncio
import errno
import logging
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Protocol

from api.errors import UploadRejectedError
from api.models.catalogue import Upload
from api.models.registry.shelf import FILE, Model, Shelf, Version, shown
from api.models.trials import Trials
from api.settings import Settings
from treeline.artifact.store import SIGNATURE_FILE
from treeline.contract.signature import VERSION_DIGITS, Signature
from treeline.errors import ArtifactRejectedError
from treeline.files import digest, replacing_folder, write_bytes, write_text
from treeline.signing import STATEMENT_FILE

ADMITTED = frozenset({"onnx"})  # a pickle is opened by its digest in git only, and H2O likewise
MOST_SIGNATURE_BYTES = 10 << 20
MOST_FILES = 1000  # of a version that are looked at
DRAFT = ".fetching-"
STATEMENT_SECONDS = 300.0  # between two looks for the statement of a version that is named

logger = logging.getLogger("api.models.registry.follower")


class Files(Protocol):
    """Where the files of a version are to be had."""

    def files(self, name: str, number: str) -> Iterator[tuple[str, int | None]]:
        """Yield the path and the size in bytes, where it is known, of each file of a version."""

    def download(self, name: str, number: str, path: str, *, into: Path) -> Path:
        """Fetch one file of a version, and return where it is."""


@dataclass(frozen=True)
class RequestedVersion:
    """Which version is to be fetched, and the name under which it would be served."""

    name: str
    registered: str
    number: str

    @classmethod
    def of(cls, model: Model, version: Version) -> "RequestedVersion":
        """Return what is to be fetched of a version of a model."""
        return cls(model.name, model.registered, version.number)


@dataclass(frozen=True)
class FetchedVersion:
    """An artifact on the shelf, and our version of it."""

    artifact: str
    version: str


@dataclass(frozen=True)
class DownloadedVersion:
    """The files of a version: its graph, our signature, the signed statement of its release."""

    graph: Path
    signature: Path | None
    statement: Path | None


class RegistryFetcher:
    """Brings versions to the shelf."""

    def __init__(self, shelf: Shelf, settings: Settings) -> None:
        self._shelf = shelf
        self._settings = settings

    def fetch(self, source: Files, requested: RequestedVersion) -> FetchedVersion:
        """Fetch one version; raises ArtifactRejectedError, and what the source raises."""
        with tempfile.TemporaryDirectory(dir=self._shelf.folder, prefix=DRAFT) as place:
            draft = Path(place)
            files = self._downloaded(source, requested, draft / "version")
            graph, said, artifact = files.graph, files.signature, digest(files.graph)
            target = self._shelf.root(artifact) / requested.name
            if not target.exists():  # else it has passed before
                signature = checked(requested, artifact, beside(said))
                carried = self._try(requested, graph, artifact, said if signature else None)
                signature = signature or checked(
                    requested, artifact, inside(requested, artifact, carried)
                )
                folder = laid_out(draft / requested.name, graph, signature)
                with replacing_folder(target) as new:
                    shutil.copytree(folder, new, dirs_exist_ok=True)
            if files.statement is not None:  # which may come when the version has long been there
                write_bytes(target / STATEMENT_FILE, files.statement.read_bytes())
        os.utime(target.parent)  # what is old and not served is removed
        return FetchedVersion(artifact, artifact[:VERSION_DIGITS])

    def fetch_statement(
        self, source: Files, requested: RequestedVersion, fetched: FetchedVersion
    ) -> None:
        """Bring the signed statement of a version that is on the shelf, where it has one now.

        It comes when the version is released, and anew when the release is signed with another key.
        Raises ArtifactRejectedError, and what the source raises.
        """
        target = self._shelf.root(fetched.artifact) / requested.name / STATEMENT_FILE
        with tempfile.TemporaryDirectory(dir=self._shelf.folder, prefix=DRAFT) as place:
            draft = Path(place)
            there = self._listed(source, requested)
            statement = self._only(STATEMENT_FILE, source, requested, there, draft)
            if statement is None or not target.parent.is_dir():
                return
            document = statement.read_bytes()
            if not target.exists() or target.read_bytes() != document:
                write_bytes(target, document)

    def _listed(self, source: Files, requested: RequestedVersion) -> dict[str, int | None]:
        """Return the files of a version with their sizes in bytes, as far as they are looked at."""
        return dict(islice(source.files(requested.registered, requested.number), MOST_FILES))

    def _only(
        self,
        name: str,
        source: Files,
        requested: RequestedVersion,
        there: Mapping[str, int | None],
        draft: Path,
    ) -> Path | None:
        """Fetch the one file of a name, None where there is none, or more."""
        paths = [path for path in there if Path(path).name == name]
        if len(paths) != 1:
            return None
        return self._download(source, requested, paths[0], draft, most=MOST_SIGNATURE_BYTES)

    def _downloaded(
        self, source: Files, requested: RequestedVersion, draft: Path
    ) -> DownloadedVersion:
        """Fetch the graph, and what belongs to it; raises ArtifactRejectedError."""
        draft.mkdir()
        there = self._listed(source, requested)
        graphs = [path for path in there if path.endswith(".onnx")]
        if len(graphs) != 1:
            files = f"{len(graphs)} ONNX files" if graphs else "no ONNX file"
            raise ArtifactRejectedError(
                f"version {requested.number} has {files} among its {len(there)} files, and one is "
                "served; log the model with mlflow.onnx, or export it"
            )
        most = self._most(there[graphs[0]])
        graph = self._download(source, requested, graphs[0], draft, most=most)
        signature = self._only(SIGNATURE_FILE, source, requested, there, draft)
        statement = self._only(STATEMENT_FILE, source, requested, there, draft)
        return DownloadedVersion(graph, signature, statement)

    def _most(self, size: int | None) -> int:
        most = self._settings.max_upload_bytes
        if size is not None and size > most:
            raise too_large(size, most)
        return most

    def _download(
        self, source: Files, requested: RequestedVersion, path: str, draft: Path, *, most: int
    ) -> Path:
        try:
            with no_longer_files(most):
                file = source.download(requested.registered, requested.number, path, into=draft)
        except Exception as error:  # of MLflow, or of what it reads from
            if is_too_long(error):
                raise too_large(f"more than {most}", most) from error
            raise
        if not file.resolve().is_relative_to(draft.resolve()):
            raise ArtifactRejectedError(f"{path!r} leads out of its version")
        if (size := file.stat().st_size) > most:
            raise too_large(size, most)
        return file

    def _try(
        self, requested: RequestedVersion, graph: Path, artifact: str, said: Path | None
    ) -> str | None:
        """Audit and run a graph in a process of its own, and return the signature it carries.

        Raises ArtifactRejectedError.
        """
        size = graph.stat().st_size
        upload = Upload(sha256=artifact, size_bytes=size, uploaded=datetime.now(UTC))
        try:
            return asyncio.run(Trials(self._settings).run(requested.name, graph, upload, said))
        except UploadRejectedError as error:
            raise ArtifactRejectedError(str(error)) from error


class StatementFollower:
    """Keeps the signed statements beside the versions that are named, as the registry has them."""

    def __init__(self, fetcher: RegistryFetcher) -> None:
        self._fetcher = fetcher
        self._at: dict[RequestedVersion, float] = {}

    def follow(self, source: Files, named: Mapping[RequestedVersion, FetchedVersion]) -> None:
        """Look for a statement when a version becomes named, and now and then as long as it is.

        A version may have been fetched before it was released, because somebody wanted it.
        """
        now = time.monotonic()
        self._at = {version: at for version, at in self._at.items() if version in named}
        for version, fetched in named.items():
            if now - self._at.get(version, -STATEMENT_SECONDS) < STATEMENT_SECONDS:
                continue
            self._at[version] = now
            try:
                self._fetcher.fetch_statement(source, version, fetched)
            except Exception as error:  # of MLflow, the registry, the disk; what is served stays
                logger.warning(
                    "The statement of %s, version %s, cannot be fetched: %s",
                    *(version.name, version.number, shown(str(error))),
                )


def laid_out(folder: Path, graph: Path, signature: Signature | None) -> Path:
    """Put a graph and its signature into a folder as a store expects them, and return it."""
    name = FILE if signature is None else next(iter(signature.files))
    place = folder / name
    if not place.resolve().is_relative_to(folder.resolve()):
        raise ArtifactRejectedError(f"its signature names a file elsewhere, {name!r}")
    place.parent.mkdir(parents=True)
    graph.replace(place)
    if signature is not None:
        write_text(folder / SIGNATURE_FILE, signature.document())
    return folder


def beside(said: Path | None) -> Signature | None:
    """Return the signature in a file, None where there is none, or one of another tool."""
    if said is not None:
        with suppress(ArtifactRejectedError):
            return Signature.read(said)
    return None


def inside(requested: RequestedVersion, artifact: str, carried: str | None) -> Signature | None:
    """Return the signature that a graph carries, if it does; raises ArtifactRejectedError."""
    if carried is None:
        return None
    signature = Signature.parse(carried, place=f"version {requested.number}: its signature")
    return signature.model_copy(update={"files": {FILE: artifact}})


def checked(
    requested: RequestedVersion, artifact: str, signature: Signature | None
) -> Signature | None:
    """Return a signature; raises ArtifactRejectedError for that of another graph, or name."""
    if signature is None:
        return None
    if signature.runtime not in ADMITTED:
        raise ArtifactRejectedError(
            f"it needs the {signature.runtime} runtime, and of a registry only ONNX is served"
        )
    if list(signature.files.values()) != [artifact]:
        raise ArtifactRejectedError("its signature is that of another file; register it again")
    if signature.name != requested.name:
        raise ArtifactRejectedError(
            f"its signature is that of {signature.name!r}, not of {requested.name!r}; follow it as "
            f"{signature.name}=models:/{requested.registered}@…"
        )
    return signature


@contextmanager
def no_longer_files(most: int) -> Iterator[None]:
    """Let this process, and those it starts meanwhile, write no file of more than `most` bytes."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


def is_too_long(error: BaseException | None) -> bool:
    """Tell whether an error, or what it comes of, is that a file became too long."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            return True
        if os.strerror(errno.EFBIG) in str(error):  # of another process, told in words
            return True
        error = error.__cause__ or error.__context__
    return False


def too_large(size: int | str, most: int) -> ArtifactRejectedError:
    """Return the error to raise for a file that is larger than the setting allows."""
    return ArtifactRejectedError(
        f"it has {size} bytes, and API_MAX_UPLOAD_BYTES admits {most}; make it smaller, or raise it"
    )
