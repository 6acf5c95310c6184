"""A form → the inputs of a job as files, with their digests; nothing of it is whole in memory."""

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from api.errors import MalformedBodyError, UnsupportedMediaTypeError
from api.http.bodies import Bodies, Limit
from api.http.media_types import MULTIPART, media_type
from treeline.contract.problems import shown
from treeline.contract.texts import MOST_CHARACTERS, RULE, is_slug, slug_of
from treeline.errors import InvalidInputError, Problem
from treeline.jobs.documents import Kind
from treeline.jobs.spool import INPUT

FILES = {  # parts of the form, and the files that they become
    "script": "script.py",
    "declaration": "declaration.yaml",
    "dataset": "dataset",
    "requirements": "requirements.txt",
}
TEXTS = ("model", "network")
FORM_BYTES = 64 << 10  # what a form may hold beside its parts
TEXT_BYTES = 1 << 20  # of a script, a declaration or requirements
CHUNK_BYTES = 1 << 20
SETTING = "API_MAX_JOB_BYTES"
TRUTHS: dict[str, bool] = {"": False, "false": False, "true": True}


@dataclass(frozen=True)
class Sent:
    """What a form said and held."""

    model: str
    kind: Kind
    network: bool
    files: dict[str, str]


async def received(request: Request, bodies: Bodies, draft: Path, *, most_bytes: int) -> Sent:
    """Write the inputs of a job below `draft`, and return what was sent.

    Raises UnsupportedMediaTypeError, MalformedBodyError, BodyTooLargeError, InvalidInputError.
    """
    if (kind := media_type(request)) != MULTIPART:
        raise UnsupportedMediaTypeError(
            f"The Content-Type is {kind!r}; send a job as {MULTIPART}: model, and a script or a "
            "declaration with a dataset."
        )
    limit = Limit(most_bytes + FORM_BYTES, setting=SETTING)
    most = len(FILES) + len(TEXTS)
    try:
        with bodies.form(request, limit) as limited:
            reading = limited.form(max_files=most, max_fields=most, max_part_size=TEXT_BYTES)
            async with reading as form:
                return await from_form(form, draft / INPUT)
    except MultiPartException as error:
        raise MalformedBodyError(f"The form cannot be read: {error.message}") from error


async def from_form(form: FormData, folder: Path) -> Sent:
    """Check a form and write its files; raises InvalidInputError with all that is wrong."""
    texts = {name: value for name in TEXTS if isinstance(value := form.get(name), str)}
    kind: Literal["script", "declaration"] = "script" if "script" in form else "declaration"
    if problems := faults(form, texts):
        raise InvalidInputError(problems)
    files = {}
    for part, name in FILES.items():
        if (value := form.get(part)) is not None:
            files[name] = await written(value, folder / name, part=part)
    return Sent(texts["model"], kind, TRUTHS[texts.get("network", "")], files)


def faults(form: FormData, texts: dict[str, str]) -> list[Problem]:
    """Return what is wrong with a form, before anything of it is written."""
    names = [name for name, _ in form.multi_items()]
    return [*of_names(names), *of_texts(texts), *of_files(frozenset(names))]


def of_names(names: list[str]) -> Iterator[Problem]:
    """Yield what is wrong with the names of parts."""
    if unknown := sorted({name for name in names if name not in FILES and name not in TEXTS}):
        known = ", ".join((*TEXTS, *FILES))
        yield Problem("form", f"has parts of unknown names, {shown(unknown)}; there are: {known}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        yield Problem("form", f"has more than one of {shown(twice)}")


def of_texts(texts: dict[str, str]) -> Iterator[Problem]:
    """Yield what is wrong with the texts."""
    model, network = texts.get("model"), texts.get("network", "")
    if model is None:
        yield Problem("model", "is missing: what the model is to be called")
    elif not is_slug(model):
        text = f"{RULE}, at most {MOST_CHARACTERS} characters; call it {slug_of(model)!r}"
        yield Problem("model", text, model)
    if network not in TRUTHS:
        yield Problem("network", "is true or false", network)


def of_files(names: frozenset[str]) -> Iterator[Problem]:
    """Yield what is wrong with which files there are."""
    if ("script" in names) == ("declaration" in names):
        yield Problem("script", "give a script, or a declaration with a dataset: one of them")
    elif "declaration" in names and "dataset" not in names:
        yield Problem("dataset", "is missing: the table that the declaration is of")
    if "declaration" in names and "requirements" in names:
        text = "are of a script; a declaration takes what the image has"
        yield Problem("requirements", text)


async def written(value: UploadFile | str, path: Path, *, part: str) -> str:
    """Write a part to a file and return its digest; raises InvalidInputError for no UTF-8."""
    sha256 = hashlib.sha256()
    length = 0
    with path.open("xb") as stream:
        while chunk := await piece(value, length):
            length += len(chunk)
            if part != "dataset":
                check_text(chunk, part, length)
            sha256.update(chunk)
            await asyncio.to_thread(stream.write, chunk)
    return sha256.hexdigest()


async def piece(value: UploadFile | str, start: int) -> bytes:
    """Return the next piece of a part, of which `start` bytes were read; empty at its end."""
    if isinstance(value, str):
        return b"" if start else value.encode()
    return await value.read(max(CHUNK_BYTES, TEXT_BYTES + 1))


def check_text(chunk: bytes, part: str, length: int) -> None:
    """Raise InvalidInputError for a text that is too long, or none."""
    if length > TEXT_BYTES:
        raise InvalidInputError([Problem(part, f"has more than {TEXT_BYTES} bytes")])
    try:
        chunk.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError([Problem(part, "is not a text in UTF-8")]) from error
