"""Files and folders are replaced whole: written beside their target, then renamed over it."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

CHUNK_BYTES = 1 << 20


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield the path of a draft beside `target`; on success it replaces `target` in one step.

    When the block raises, the draft is removed and `target` is as it was. A reader never sees a
    half-written file, and neither does a later run after the process was killed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid4().hex}.draft")
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yield an empty draft folder beside `target`; on success it replaces `target` and its content.

    When the block raises, the draft is removed and `target` is as it was. A folder cannot be
    renamed over one that has content, so the old one is first moved aside: whoever looks between
    the two renames, or after the process was killed there, finds no folder, never half of one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    mark = uuid4().hex
    draft = target.with_name(f".{target.name}.{mark}.draft")
    old = target.with_name(f".{target.name}.{mark}.old.draft")
    draft.mkdir()
    try:
        yield draft
        _settle(draft)
        if target.exists():
            target.replace(old)
        draft.replace(target)
    finally:
        if old.exists() and not target.exists():
            old.replace(target)
        for folder in (draft, old):
            shutil.rmtree(folder, ignore_errors=True)


def write_bytes(target: Path, payload: bytes) -> None:
    """Write `payload` to `target`, whole or not at all."""
    with replacing(target) as draft:
        draft.write_bytes(payload)


def write_text(target: Path, text: str) -> None:
    """Write `text` to `target` as UTF-8, whole or not at all."""
    write_bytes(target, text.encode())


def write_json(target: Path, document: Any) -> None:
    """Write `document` to `target` as indented JSON, whole or not at all; NaN is refused."""
    write_text(target, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    sha256 = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            sha256.update(chunk)
    return sha256.hexdigest()


def _settle(folder: Path) -> None:
    """Wait until the files in a folder are on the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as written:
                os.fsync(written.fileno())
