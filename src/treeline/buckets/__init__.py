"""Stores of objects that several machines reach: `s3://bucket/prefix` → a bucket.

Each kind is one module, and imports its client there. Credentials and endpoints are the
environment's, as any other client of that store reads them.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from treeline.errors import ConfigError, MissingExtraError
from treeline.registry import resolve, way_out

# By the scheme of the address; the extra that brings its client has the same name.
BUCKETS = {"s3": "treeline.buckets.s3:S3Bucket"}
CLIENTS = {"s3": "boto3"}


@dataclass(frozen=True)
class BucketObject:
    """What was read: the bytes, and a tag that changes when they do."""

    payload: bytes
    tag: str


@dataclass(frozen=True)
class BucketEntry:
    """What a store says of an object in a list: where it is, its tag, its length, since when."""

    key: str
    tag: str
    size_bytes: int
    written: datetime


@dataclass(frozen=True)
class BucketStream:
    """The bytes of an object as they come, part by part, and its tag."""

    chunks: Iterator[bytes]
    tag: str


class Bucket(Protocol):
    """Objects by key below one prefix.

    Raises BucketError when the store cannot be asked, and ObjectAbsentError for a key that is not
    there.
    """

    def read(self, key: str, *, most_bytes: int, unless: str = "") -> BucketObject | None:
        """Return an object, or None where its tag is still `unless`."""

    def reading(self, key: str, *, unless: str = "") -> AbstractContextManager[BucketStream | None]:
        """Yield the bytes of an object, however large, or None where its tag is still `unless`."""

    def entries(self, prefix: str) -> Iterator[BucketEntry]:
        """Yield what lies below a prefix, by key."""

    def size_bytes(self, key: str) -> int | None:
        """Return how long an object is, or None where it is not there."""

    def write(self, key: str, payload: bytes, *, over: str | None = None) -> str:
        """Put an object in the place of the one there is, in one step, and return its tag.

        With `over` only in the place of the one that has this tag, or, where it is empty, of none.
        Raises ObjectChangedError where another one is there, or none.
        """

    def remove(self, key: str, *, over: str | None = None) -> None:
        """Remove an object, with `over` only the one that has this tag; one that is gone is gone.

        Not every store heeds the condition.
        """

    def upload(self, key: str, path: Path) -> None:
        """Put a file there likewise, however large."""


def check_address(address: str, *, place: str) -> str:
    """Return the kind of bucket at an address; `place` is where that was given, for the message.

    Raises ConfigError, and MissingExtraError where the client is not installed. Nothing is asked.
    """
    kind, _, rest = address.partition("://")
    name = rest.partition("/")[0]
    if kind not in BUCKETS or not name or "@" in name or "?" in rest or "#" in rest:
        raise ConfigError(
            f"{place}: {_shown(address)!r} is no address of a bucket; give "
            f"{' or '.join(f'{each}://BUCKET/PREFIX' for each in BUCKETS)}, and credentials in the "
            "environment"
        )
    if find_spec(CLIENTS[kind]) is None:
        raise MissingExtraError(
            f"{place}: {kind}:// needs the package {CLIENTS[kind]!r}; {way_out(kind)}"
        )
    return kind


def bucket_at(address: str, *, place: str) -> Bucket:
    """Return the bucket at an address, and import its client; raises as `check_address` does."""
    bucket: Bucket = resolve(BUCKETS, check_address(address, place=place), place=place)(address)
    return bucket


def _shown(address: str) -> str:
    """Return an address without what stands before its `@`, which may be a password."""
    scheme, mark, rest = address.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
