"""Start of the tracking container: secrets → a bucket that is there → MLflow in this process.

Words after the image's name are run instead of the server, with the same settings:
`docker compose run --rm mlflow sh -c 'mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"'`.
"""

import os
import sys
import time
from urllib.parse import quote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

SECRETS = ("TRACKING_DATABASE_PASSWORD", "S3_SECRET_KEY")
BUCKET = "mlflow"
PATIENCE_SECONDS = 60


def settings(environment: dict[str, str]) -> dict[str, str]:
    """Return what MLflow and boto3 read from the environment; secrets are in no command line."""
    password = quote(environment["TRACKING_DATABASE_PASSWORD"], safe="")
    return {
        "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg://mlflow:{password}@tracking-database/mlflow",
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}",
        "MLFLOW_S3_ENDPOINT_URL": "http://s3:9000",
        "AWS_ACCESS_KEY_ID": environment["S3_ACCESS_KEY"],
        "AWS_SECRET_ACCESS_KEY": environment["S3_SECRET_KEY"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def make_bucket(endpoint: str) -> None:
    """Make the bucket of the artifacts where there is none, as soon as S3 answers."""
    once = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
    client = boto3.client("s3", endpoint_url=endpoint, config=once)
    over = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if BUCKET not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=BUCKET)
                print(f"Made the bucket {BUCKET}")
            return
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > over:
                sys.exit(f"S3 at {endpoint} does not give a bucket: {error}")
            time.sleep(1)


def main(command: list[str]) -> None:
    """Refuse secrets that nobody has set; prepare the bucket; become the command."""
    empty = [name for name in SECRETS if not os.environ.get(name)]
    if empty:
        names = " and ".join(empty)
        sys.exit(f"deploy/.env: {names}: empty, as in the example; deploy/secrets.sh fills in")
    os.environ.update(settings(dict(os.environ)))
    make_bucket(os.environ["MLFLOW_S3_ENDPOINT_URL"])
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
