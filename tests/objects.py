"""A store of objects that speaks as S3 does, and how it is reached."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from tests.serving import free_port

ACCESS = {
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "s3cret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def s3(url: str) -> Any:
    """Return a client of a store of objects."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=ACCESS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ACCESS["AWS_SECRET_ACCESS_KEY"],
        region_name=ACCESS["AWS_DEFAULT_REGION"],
    )


@contextmanager
def store_of_objects(bucket: str) -> Iterator[str]:
    """Run a store with one empty bucket meanwhile, and yield its address."""
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    url = f"http://127.0.0.1:{port}"
    s3(url).create_bucket(Bucket=bucket)
    try:
        yield url
    finally:
        server.stop()
