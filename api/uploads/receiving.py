"""The body of an upload → a file and what its uploader says of it; never whole in memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from api.catalogue.declaration import Changes, Upload
from api.errors import BodyTooLargeError, MalformedBodyError, UnsupportedMediaTypeError
from api.tensors.bodies import MULTIPART, gone, limited, media_type, whole
from treeline.errors import InvalidInputError, Problem

RAW = ("application/octet-stream", "application/onnx")
CHUNK_BYTES = 1 << 20
FORM_BYTES = 256 << 10  # what a form may hold beside its file
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


async def received(request: Request, draft: Path, *, most_bytes: int) -> Upload:
    """Write the model of a request to `draft`; raises TreelineError and OSError."""
    kind = media_type(request)
    written = Written(draft, most_bytes)
    try:
        if kind == MULTIPART:
            request = limited(request, most_bytes + FORM_BYTES, setting=SETTING)
            async with request.form(max_files=1, max_fields=2, max_part_size=FORM_BYTES) as form:
                said = said_in(form)
                await written.take(chunks_of(form))
                return written.upload(said)
        if kind and kind not in RAW:
            raise UnsupportedMediaTypeError(
                f"The Content-Type is {kind!r}; send the model as one of: "
                f"{', '.join([*RAW, MULTIPART])}."
            )
        await written.take(limited(request, most_bytes, setting=SETTING).stream())
    except MultiPartException as error:
        raise MalformedBodyError(f"The form cannot be read: {error.message}") from error
    except ClientDisconnect as error:
        raise gone() from error
    return written.upload(Changes())


async def changes_in(request: Request, *, most_bytes: int) -> Changes:
    """Return what a PATCH changes; raises MalformedBodyError and InvalidInputError."""
    kind = media_type(request)
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaTypeError(f"The Content-Type is {kind!r}; send application/json.")
    body = await whole(limited(request, most_bytes, setting="API_MAX_BODY_BYTES"))
    try:
        return Changes.model_validate_json(body)
    except ValidationError as error:
        raise refusal(error) from error


def said_in(form: FormData) -> Changes:
    """Return what the text parts of a form say; raises MalformedBodyError, InvalidInputError."""
    if unknown := sorted(set(form) - {"file", "description", "image"}):
        raise MalformedBodyError(
            f"The form has parts of unknown names, {', '.join(unknown)}; it may have file, "
            "description and image."
        )
    texts = {name: text for name in ("description", "image") if (text := form.get(name))}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise MalformedBodyError(f"The part {name!r} of the form is a file; send it as text.")
    try:
        image = Changes.model_validate_json(f'{{"image": {texts.get("image", "null")}}}').image
        return Changes(description=texts.get("description"), image=image)
    except ValidationError as error:
        raise refusal(error) from error


async def chunks_of(form: FormData) -> AsyncIterator[bytes]:
    """Return the content of the part `file`; raises MalformedBodyError where there is none."""
    found = form.get("file")
    if not isinstance(found, UploadFile):
        raise MalformedBodyError("The form has no file named 'file'; send the model as that.")
    while chunk := await found.read(CHUNK_BYTES):
        yield chunk


def refusal(error: ValidationError) -> Exception:
    """Return the error to raise for a declaration that pydantic refuses."""
    found = error.errors(include_url=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        return MalformedBodyError(f"This is not JSON: {found[0]['msg']}")
    return InvalidInputError(
        [
            Problem(".".join(map(str, entry["loc"])) or "body", entry["msg"], entry["input"])
            for entry in found[:100]
        ]
    )
