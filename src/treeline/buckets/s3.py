"""Objects in S3, or in a store that speaks as S3 does: the one module that imports boto3 for them.

Endpoint, region and credentials are those that boto3 reads: AWS_ENDPOINT_URL, AWS_DEFAULT_REGION,
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the role of a machine.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from treeline.buckets import BucketEntry, BucketObject, BucketStream
from treeline.errors import BucketError, ObjectAbsentError, ObjectChangedError

CHUNK_BYTES = 1 << 20
# A store that does not answer is told of soon, and asked again soon. Checksums of S3's own are left
# out where they are not required: stores that speak as S3 does often lack them.
CONFIG = Config(
    connect_timeout=5,
    read_timeout=20,
    retries={"mode": "standard", "max_attempts": 2},
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})
UNCHANGED = "304"
CHANGED = frozenset({"412", "PreconditionFailed", "ConditionalRequestConflict"})


class S3Bucket:
    """A prefix of a bucket; safe to use from several threads."""

    def __init__(self, address: str) -> None:
        """Read the environment; `address` is `s3://bucket/prefix`, with or without the prefix."""
        name, _, prefix = address.removeprefix("s3://").partition("/")
        self._name, self._prefix = name, prefix.strip("/")
        with self._asking(""):
            self._client = boto3.client("s3", config=CONFIG)

    def __str__(self) -> str:
        return f"s3://{self._name}/{self._prefix}".rstrip("/")

    def read(self, key: str, *, most_bytes: int, unless: str = "") -> BucketObject | None:
        """Return an object, or None where its tag is still `unless`.

        Raises BucketError, also for one that is longer than `most_bytes`, and ObjectAbsentError.
        """
        answer = self._get(key, unless)
        if answer is None:
            return None
        with self._asking(key), closing(answer["Body"]) as body:
            payload = body.read(most_bytes + 1)
        if len(payload) > most_bytes:
            raise BucketError(f"{self}/{key}: is longer than {most_bytes} bytes")
        return BucketObject(payload, _tag(answer))

    @contextmanager
    def reading(self, key: str, *, unless: str = "") -> Iterator[BucketStream | None]:
        """Yield the bytes of an object, part by part, or None where its tag is still `unless`.

        Raises BucketError and ObjectAbsentError.
        """
        answer = self._get(key, unless)
        if answer is None:
            yield None
            return
        with closing(answer["Body"]) as body:
            yield BucketStream(self._chunks(key, body), _tag(answer))

    def _get(self, key: str, unless: str) -> Any | None:
        """Return the answer that holds an object, or None where its tag is still `unless`."""
        condition = {"IfNoneMatch": _quoted(unless)} if unless else {}
        with self._asking(key):
            try:
                return self._client.get_object(**self._at(key), **condition)
            except ClientError as error:
                if _code(error) == UNCHANGED:
                    return None
                raise

    def _chunks(self, key: str, body: Any) -> Iterator[bytes]:
        with self._asking(key):
            yield from body.iter_chunks(CHUNK_BYTES)

    def entries(self, prefix: str) -> Iterator[BucketEntry]:
        """Yield what lies below a prefix, by key; raises BucketError."""
        start = self._at("")["Key"]
        at = {"Bucket": self._name, "Prefix": self._at(prefix)["Key"]}
        with self._asking(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(**at):
                for each in page.get("Contents", ()):
                    key = each["Key"].removeprefix(start)
                    yield BucketEntry(key, _tag(each), each["Size"], each["LastModified"])

    def size_bytes(self, key: str) -> int | None:
        """Return how long an object is, or None where it is not there; raises BucketError."""
        try:
            with self._asking(key):
                size: int = self._client.head_object(**self._at(key))["ContentLength"]
                return size
        except ObjectAbsentError:
            return None

    def write(self, key: str, payload: bytes, *, over: str | None = None) -> str:
        """Put an object in the place of the one there is, in one step, and return its tag.

        With `over` only in the place of the one that has this tag, or, where it is empty, of none.
        Raises BucketError, and ObjectChangedError where another one is there, or none.
        """
        condition = {} if over is None else {"IfMatch": _quoted(over)}
        if over == "":
            condition = {"IfNoneMatch": "*"}
        with self._replacing(key, conditional=bool(condition)):
            return _tag(self._client.put_object(**self._at(key), Body=payload, **condition))

    def remove(self, key: str, *, over: str | None = None) -> None:
        """Remove an object, with `over` only the one that has this tag; raises as `write` does."""
        condition = {} if over is None else {"IfMatch": _quoted(over)}
        with self._replacing(key, conditional=bool(condition)):
            self._client.delete_object(**self._at(key), **condition)

    def upload(self, key: str, path: Path) -> None:
        """Put a file there likewise, however large; raises BucketError and OSError."""
        with self._asking(key):
            self._client.upload_file(str(path), *self._at(key).values())

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._name, "Key": f"{self._prefix}/{key}".lstrip("/")}

    @contextmanager
    def _replacing(self, key: str, *, conditional: bool) -> Iterator[None]:
        """Raise ObjectChangedError where a condition does not hold."""
        try:
            with self._asking(key):
                yield
        except ObjectAbsentError as error:  # so S3 says that there is nothing of that tag
            if not conditional:
                raise
            raise ObjectChangedError(f"{self}/{key}: is not there any more") from error

    @contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        """Raise what goes wrong as errors of ours, with the address and what S3 said."""
        place = f"{self}/{key}".rstrip("/")
        try:
            yield
        except ClientError as error:
            if _code(error) in ABSENT:
                raise ObjectAbsentError(f"{place}: is not there") from error
            if _code(error) in CHANGED:
                raise ObjectChangedError(f"{place}: was changed meanwhile") from error
            raise BucketError(f"{place}: {error}; look at its credentials (AWS_…)") from error
        except (BotoCoreError, Boto3Error, ValueError) as error:
            raise BucketError(f"{place}: cannot be asked: {error}") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _tag(answer: Any) -> str:
    """Return the tag of an object, which some answers quote and others do not."""
    return str(answer["ETag"]).strip('"')


def _quoted(tag: str) -> str:
    return f'"{tag}"'
