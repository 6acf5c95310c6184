"""Start of the tracking container: secrets → bucket, users and passwords → MLflow in this process.

Words after the image's name are run instead of the server, with the same settings:
`docker compose run --rm mlflow sh -c 'mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"'`.
"""

import os
import secrets
import sys
import time
from pathlib import Path
from urllib.parse import quote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

# Who may ask, and whose password that is. The operator may all; others read everything, make
# experiments and models of their own, and change those alone: no alias of another's moves.
USERS = {
    "treeline": "TRACKING_PASSWORD",
    "lab": "LAB_TRACKING_PASSWORD",
    "service": "SERVICE_TRACKING_PASSWORD",
}
OPERATOR = "treeline"
SECRETS = ("TRACKING_DATABASE_PASSWORD", "S3_SECRET_KEY", *USERS.values())
LOGIN = Path("/tmp/login.ini")  # what MLflow reads of it; in memory, for this user alone
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
        "MLFLOW_AUTH_CONFIG_PATH": str(LOGIN),
        "MLFLOW_AUTH_ADMIN_USERNAME": OPERATOR,
        "MLFLOW_AUTH_ADMIN_PASSWORD": environment[USERS[OPERATOR]],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),  # of forms, until the next start
    }


def admit(users: dict[str, str], *, database: str) -> None:
    """Let these users in, each with its password of now, and say to MLflow where they are kept."""
    LOGIN.touch(mode=0o600)
    LOGIN.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {database.replace('%', '%%')}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "auth_cache_ttl_seconds = 60\n",  # a password is hashed once a minute, not at each request
        encoding="utf-8",
    )
    store = SqlAlchemyStore()
    store.init_db(database)
    for name, password in users.items():
        if store.has_user(name):
            store.update_user(name, password=password)
        else:
            store.create_user(name, password, is_admin=name == OPERATOR)


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
    users = {name: os.environ[variable] for name, variable in USERS.items()}
    os.environ.update(settings(dict(os.environ)))
    admit(users, database=os.environ["MLFLOW_BACKEND_STORE_URI"])
    make_bucket(os.environ["MLFLOW_S3_ENDPOINT_URL"])
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
