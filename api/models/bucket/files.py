"""A file of a bucket, by its content, and which models of a bucket are wanted here."""

import hashlib
import time
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Lock
from typing import Self

from api.errors import NameElsewhereError
from treeline.artifact.listing import StoredFile
from treeline.buckets import Bucket, BucketStream
from treeline.errors import ArtifactRejectedError
from treeline.files import replacing

ALL = ("*",)
DAMAGED_SECONDS = 600.0  # after which a file is fetched anew that is still the one that was refused


@dataclass(frozen=True)
class Choice:
    """Which models are fetched: those that one of `named` fits, but for those `left_out`.

    `*` stands for any letters.
    """

    named: tuple[str, ...] = ALL
    left_out: frozenset[str] = frozenset()

    @classmethod
    def of(cls, named: Collection[str], left_out: Collection[str]) -> Self:
        """Return the choice of settings, where none named are all."""
        return cls(tuple(named) or ALL, frozenset(left_out))

    def admits(self, name: str) -> bool:
        """Tell whether a model is fetched."""
        fits = any(fnmatchcase(name, pattern) for pattern in self.named)
        return fits and name not in self.left_out

    def check(self, name: str) -> None:
        """Raise NameElsewhereError for a model that is not fetched."""
        if name in self.left_out:
            raise NameElsewhereError(
                f"Models named {name!r} are not held here: API_LEAVE_OUT names it; give another "
                "name, or take it out there."
            )
        if not self.admits(name):
            raise NameElsewhereError(
                f"Models named {name!r} are held by other replicas: API_MODELS_NAMED is "
                f"{', '.join(self.named)!r} here; ask those, or give another name."
            )


@dataclass(frozen=True)
class _Damaged:
    """An object that was refused: its tag there, when, and why."""

    tag: str
    at: float
    reason: str


class FileFetcher:
    """Fetches files, and holds each to its digest; safe to use from several threads.

    One that was refused is not fetched again as long as the store has the same one: it is asked
    whether it has changed, which costs no bytes. As a file may also have been damaged on its way,
    it is fetched anew after DAMAGED_SECONDS.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._damaged: dict[str, _Damaged] = {}
        self._changing = Lock()

    def fetch(self, key: str, file: StoredFile, target: Path, *, way_out: str) -> None:
        """Fetch an object to a path, which is replaced whole.

        Raises ArtifactRejectedError where its bytes are others than are named, with the way out of
        that; ObjectAbsentError, BucketError and OSError.
        """
        known = self._damaged.get(key)
        if known is not None and time.monotonic() - known.at > DAMAGED_SECONDS:
            known = None
        with self._bucket.reading(key, unless=known.tag if known else "") as stream:
            if stream is None and known is not None:
                raise ArtifactRejectedError(known.reason)
            if stream is not None:
                self._write(key, stream, file, target, way_out)

    def _write(
        self, key: str, stream: BucketStream, file: StoredFile, target: Path, way_out: str
    ) -> None:
        with replacing(target) as draft:
            whole = _written(stream, draft, file.size_bytes) == file.sha256
            with self._changing:
                self._damaged.pop(key, None)
                if whole:
                    return
                reason = (
                    f"{self._bucket}/{key}: its bytes are not those of its name; it was changed or "
                    f"damaged there: {way_out}"
                )
                self._damaged[key] = _Damaged(stream.tag, time.monotonic(), reason)
                raise ArtifactRejectedError(reason)


def _written(stream: BucketStream, draft: Path, size_bytes: int) -> str:
    """Write a stream to a file; return its SHA-256, empty where it is not of that length."""
    sha256, size = hashlib.sha256(), 0
    with draft.open("wb") as written:
        for chunk in stream.chunks:
            size += len(chunk)
            if size > size_bytes:
                return ""
            sha256.update(chunk)
            written.write(chunk)
    return sha256.hexdigest() if size == size_bytes else ""
