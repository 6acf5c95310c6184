"""What callers change of uploaded models: one is received, admitted, described, removed.

The body of an upload becomes a file, and is never whole in memory.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from api.errors import (
    BodyTooLargeError,
    MalformedBodyError,
    NameTakenError,
    NotRemovableError,
    UnsupportedMediaTypeError,
)
from api.http.bodies import DOCUMENT_BYTES, Bodies, Limit, file_in
from api.http.documents import narrow_json
from api.http.media_types import MULTIPART, media_type
from api.inference.images import ImageInput, misfits
from api.models.catalogue import Catalogue, Changes, Entry, Upload, check_owner
from api.models.trials import Trials
from api.models.uploaded import UploadReloader, UploadStore, writing
from api.models.watcher import Watcher
from api.settings import Settings
from treeline.contract.problems import shown
from treeline.contract.texts import twin_of
from treeline.errors import ArtifactRejectedError, InvalidInputError, Problem

RAW = ("application/octet-stream", "application/onnx")
CHUNK_BYTES = 1 << 20
CHANGED = frozenset({*Changes.model_fields, *ImageInput.model_fields})
FORM_BYTES = 64 << 10  # what a form may hold beside its file
SETTING = "API_MAX_UPLOAD_BYTES"


@dataclass
class Written:
    """What was written of a file so far."""

    path: Path
    most_bytes: int

    def __post_init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.size_bytes = 0

    async def take(self, chunks: AsyncIterator[bytes]) -> None:
        """Write all chunks, in a thread; raises BodyTooLargeError."""
        with self.path.open("wb") as stream:
            waiting = bytearray()
            async for chunk in chunks:
                waiting += chunk
                if len(waiting) >= CHUNK_BYTES:
                    await asyncio.to_thread(self._write, stream, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(self._write, stream, bytes(waiting))

    def upload(self, said: Changes) -> Upload:
        """Return what the store will know of the file."""
        return Upload(
            sha256=self._sha256.hexdigest(),
            size_bytes=self.size_bytes,
            uploaded=datetime.now(UTC),
            description=said.description,
            image=said.image,
        )

    def _write(self, stream: Any, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        if self.size_bytes > self.most_bytes:
            raise BodyTooLargeError(
                f"The model is larger than {self.most_bytes} bytes; make it smaller, or raise "
                f"{SETTING}."
            )
        self._sha256.update(chunk)
        stream.write(chunk)


async def received(request: Request, bodies: Bodies, draft: Path, *, most_bytes: int) -> Upload:
    """Write the model of a request to `draft`; raises TreelineError and OSError."""
    kind = media_type(request)
    written = Written(draft, most_bytes)
    try:
        if kind == MULTIPART:
            limit = Limit(most_bytes + FORM_BYTES, setting=SETTING)
            with bodies.form(request, limit) as limited:
                form = limited.form(max_files=1, max_fields=2, max_part_size=FORM_BYTES)
                return await from_form(form, written)
        if kind and kind not in RAW:
            raise UnsupportedMediaTypeError(
                f"The Content-Type is {kind!r}; send the model as one of: "
                f"{', '.join([*RAW, MULTIPART])}."
            )
        limit = Limit(most_bytes, setting=SETTING)
        async with aclosing(bodies.pieces(request, limit)) as pieces:
            await written.take(pieces)
    except MultiPartException as error:
        raise MalformedBodyError(f"The form cannot be read: {error.message}") from error
    return written.upload(Changes())


async def from_form(sent: AbstractAsyncContextManager[FormData], written: Written) -> Upload:
    """Write the file of a form; raises MalformedBodyError and InvalidInputError."""
    async with sent as form:
        file = file_in(form)
        said = said_in(form)
        await written.take(chunks_of(file))
        return written.upload(said)


async def changes_in(request: Request, bodies: Bodies) -> Changes:
    """Return what a PATCH changes; raises MalformedBodyError and InvalidInputError."""
    kind = media_type(request)
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaTypeError(f"The Content-Type is {kind!r}; send application/json.")
    body = await bodies.whole(request, Limit(min(DOCUMENT_BYTES, bodies.records.most)))
    try:
        return Changes.model_validate_json(narrow_json(body, CHANGED))
    except ValidationError as error:
        raise refusal(error) from error


def said_in(form: FormData) -> Changes:
    """Return what the text parts of a form say; raises MalformedBodyError, InvalidInputError."""
    texts = {name: text for name, text in form.multi_items() if isinstance(text, str)}
    if unknown := sorted(set(texts) - {"description", "image"}):
        raise MalformedBodyError(
            f"The form has texts of unknown names, {shown(unknown)}; beside its file it may have "
            "description and image."
        )
    try:
        document = f'{{"image": {texts.get("image") or "null"}}}'.encode()
        image = Changes.model_validate_json(narrow_json(document, CHANGED)).image
        return Changes(description=texts.get("description") or None, image=image)
    except ValidationError as error:
        raise refusal(error) from error


async def chunks_of(file: UploadFile) -> AsyncIterator[bytes]:
    """Return the content of a file, piece by piece."""
    while chunk := await file.read(CHUNK_BYTES):
        yield chunk


def refusal(error: ValidationError) -> Exception:
    """Return the error to raise for a declaration that pydantic refuses."""
    entries = error.errors(include_url=False, include_context=False)
    if entries[0]["type"] == "json_invalid":
        return MalformedBodyError(f"This is not JSON: {entries[0]['msg']}")
    return InvalidInputError(
        [
            Problem(".".join(map(str, entry["loc"])) or "body", entry["msg"], entry["input"])
            for entry in entries[:100]
        ]
    )


class UploadPlace(Protocol):
    """Where uploads live: who changes one there, once it has passed its trial."""

    async def check(self, name: str) -> None:
        """Refuse before a body is read what would be refused after it; raises TreelineError."""

    async def bring(self, name: str) -> None:
        """Have the last change of a model here, wherever it was made."""

    async def publish(self, name: str, draft: Path, upload: Upload) -> bool:
        """Serve a draft under a name, and tell whether it replaced another one."""

    async def describe(self, name: str, sha256: str, given: Mapping[str, Any]) -> None:
        """Say something else of a model, which must still have that file."""

    async def remove(self, name: str) -> None:
        """Serve a model no more; raises ArtifactNotFoundError where there is none."""


class UploadFolder:
    """Uploads that live in the state folder."""

    def __init__(self, store: UploadStore, catalogue: Catalogue, *, most: int) -> None:
        self._store, self._catalogue, self._most = store, catalogue, most

    async def check(self, name: str) -> None:
        """Refuse nothing."""

    async def bring(self, name: str) -> None:
        """Do nothing: it is here."""

    async def publish(self, name: str, draft: Path, upload: Upload) -> bool:
        """Serve a draft; raises UploadsFullError and StoreUnwritableError."""
        return await asyncio.to_thread(self._store.publish, name, draft, upload, most=self._most)

    async def describe(self, name: str, sha256: str, given: Mapping[str, Any]) -> None:
        """Say something else of a model; raises ArtifactNotFoundError, StoreUnwritableError."""
        await asyncio.to_thread(self._store.describe, name, sha256, given)

    async def remove(self, name: str) -> None:
        """Serve a model no more; raises ArtifactNotFoundError and StoreUnwritableError."""
        self._catalogue.entry(name)
        await asyncio.to_thread(self._store.remove, name)


class UploadManager:
    """Changes uploads where they live, and what this process serves of them at once."""

    def __init__(
        self,
        place: UploadPlace,
        uploads: UploadReloader,
        settings: Settings,
        watcher: Watcher,
        bodies: Bodies,
    ) -> None:
        self._place = place
        self._uploads = uploads
        self._watcher = watcher
        self._bodies = bodies
        self._store = uploads.store
        self._catalogue = uploads.catalogue
        self._settings = settings
        self._trials = Trials(settings)

    async def admit(self, name: str, request: Request) -> bool:
        """Receive, audit, try and serve a model, and tell whether it replaced another one.

        Raises NotRemovableError, UploadsFullError, UploadRejectedError and what the body deserves,
        and what comes of it where uploads live.
        """
        await self._watcher.model(name)
        self._check_origin(name)
        await self._place.check(name)
        await asyncio.to_thread(self._check_room, name)
        with self._store.draft() as draft:
            with writing(draft.parent):
                most = self._settings.max_upload_bytes
                upload = await received(request, self._bodies, draft, most_bytes=most)
            replaced = await self._serve(name, draft, upload)
        entry = self._catalogue.find(name)
        if entry is not None and (not entry.ready or entry.refused):  # its trial went well
            raise ArtifactRejectedError(entry.refused or entry.reason)
        return replaced

    async def adopt(self, name: str, draft: Path, upload: Upload) -> None:
        """Audit, try and serve what a job has made; raises what `admit` raises, and NameTakenError.

        Whether it is the first or the next of that job does not matter.
        """
        await self.check_name(name, "" if upload.job is None else upload.job.owner)
        await self._serve(name, draft, upload)

    def draft(self) -> AbstractContextManager[Path]:
        """Return a path for a file that `adopt` takes; it is gone afterwards."""
        return self._store.draft()

    async def check_name(self, name: str, owner: str) -> None:
        """Refuse a name that jobs of `owner` may not give a model.

        Raises NotRemovableError, NameTakenError and UploadsFullError.
        """
        await self._watcher.model(name)
        self._check_origin(name)
        await self._place.check(name)
        there = self._catalogue.find(name)
        upload = None if there is None else there.upload
        check_owner(name, upload, owner, is_there=there is not None)
        await asyncio.to_thread(self._check_room, name)

    async def _serve(self, name: str, draft: Path, upload: Upload) -> bool:
        """Try a model, and serve it if it passes; tell whether it replaced another one."""
        await self._trials.run(name, draft, upload)
        self._check_origin(name)
        replaced = await self._place.publish(name, draft, upload)
        await asyncio.to_thread(self._uploads.look_at, name)
        return replaced

    async def describe(self, name: str, request: Request) -> None:
        """Change what is said of a model; raises NotRemovableError and InvalidInputError."""
        changes = await changes_in(request, self._bodies)
        await self._check_current(name)
        await self._place.check(name)
        await self._place.bring(name)
        await self._watcher.model(name)
        entry = self._catalogue.entry(name)
        if entry.upload is None or not entry.ready:  # broken, or unloaded by hand
            raise ArtifactRejectedError(entry.reason)
        given = given_by(changes, entry)
        await self._place.describe(name, entry.upload.sha256, given)
        await asyncio.to_thread(self._uploads.look_at, name)

    async def remove(self, name: str) -> None:
        """Serve a model no more; requests under way end with it."""
        await self._check_current(name)
        await self._place.check(name)
        await self._place.remove(name)
        await asyncio.to_thread(self._uploads.look_at, name)

    async def _check_current(self, name: str) -> None:
        """Refuse a name of which nothing can be changed now; raises NotRemovableError."""
        await self._watcher.model(name)
        self._check_origin(name)

    def _check_origin(self, name: str) -> None:
        if name in self._catalogue.exported():
            raise NotRemovableError(
                f"{name!r} is a model that was exported, and only git changes those; upload "
                "under another name."
            )
        if name in self._catalogue.registered():
            raise NotRemovableError(
                f"{name!r} is a model of the registry, and only the registry changes those; upload "
                "under another name."
            )

    def _check_twin(self, name: str) -> None:
        served = [entry.name for entry in self._catalogue.entries()]
        if (twin := twin_of(name, [*served, *self._store.pointers()])) is not None:
            raise NameTakenError(
                f"There is a model {twin!r}, from which {name!r} differs in hyphens and "
                "underscores only; replace that one, or give another name."
            )

    def _check_room(self, name: str) -> None:
        """Refuse before a body is read what `publish` would refuse after it."""
        with writing(self._settings.state_dir / "uploads"):
            self._check_twin(name)
            self._store.check_room(name, most=self._settings.max_uploads)


def given_by(changes: Changes, entry: Entry) -> Mapping[str, Any]:
    """Return what is to be changed of a model, by name; raises InvalidInputError."""
    if changes.image is not None:
        if entry.tensor is None:
            text = "the model takes records, as its signature says, so it cannot take pictures"
            raise InvalidInputError([Problem("image", text)])
        if reasons := misfits(changes.image, entry.tensor.inputs):
            problems = [Problem("image", each.removeprefix("image: ")) for each in reasons]
            raise InvalidInputError(problems)
    return {name: getattr(changes, name) for name in changes.model_fields_set}
