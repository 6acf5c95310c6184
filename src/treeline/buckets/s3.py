"""Objects in S3, or in a store that speaks as S3 does: the one module that imports boto3 for them.

Endpoint, region and credentials are those that boto3 reads: AWS_ENDPOINT_URL, AWS_DEFAULT_REGION,
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the role of a machine.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from treeline.buckets import BucketObject
from treeline.errors import BucketError, ObjectAbsentError

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
        condition = {"IfNoneMatch": unless} if unless else {}
        with self._asking(key):
            try:
                answer = self._client.get_object(**self._at(key), **condition)
            except ClientError as error:
                if _code(error) == UNCHANGED:
                    return None
                raise
            with closing(answer["Body"]) as body:
                payload = body.read(most_bytes + 1)
        if len(payload) > most_bytes:
            raise BucketError(f"{self}/{key}: is longer than {most_bytes} bytes")
        return BucketObject(payload, answer["ETag"])

    def chunks(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of an object, part by part; raises BucketError and ObjectAbsentError."""
        with self._asking(key), closing(self._client.get_object(**self._at(key))["Body"]) as body:
            yield from body.iter_chunks(CHUNK_BYTES)

    def size_bytes(self, key: str) -> int | None:
        """Return how long an object is, or None where it is not there; raises BucketError."""
        try:
            with self._asking(key):
                size: int = self._client.head_object(**self._at(key))["ContentLength"]
                return size
        except ObjectAbsentError:
            return None

    def write(self, key: str, payload: bytes) -> None:
        """Put an object in the place of the one there is, in one step; raises BucketError."""
        with self._asking(key):
            self._client.put_object(**self._at(key), Body=payload)

    def upload(self, key: str, path: Path) -> None:
        """Put a file there likewise, however large; raises BucketError and OSError."""
        with self._asking(key):
            self._client.upload_file(str(path), *self._at(key).values())

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._name, "Key": f"{self._prefix}/{key}".lstrip("/")}

    @contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        """Raise what goes wrong as errors of ours, with the address and what S3 said."""
        place = f"{self}/{key}".rstrip("/")
        try:
            yield
        except ClientError as error:
            if _code(error) in ABSENT:
                raise ObjectAbsentError(f"{place}: is not there") from error
            raise BucketError(f"{place}: {error}; look at its credentials (AWS_…)") from error
        except (BotoCoreError, Boto3Error, ValueError) as error:
            raise BucketError(f"{place}: cannot be asked: {error}") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
