"""The settings that the workflows read from GitHub: what each is for, and which are set there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from treeline.delivery.github import rows
from treeline.doctor.finding import HIDDEN
from treeline.errors import DeliveryError

# Optional, all of them: what cannot be done for want of one is left out, and said.
SECRETS = {
    "DVC_REMOTE_URL": "where data and models are kept: s3://…, gdrive://… or a folder",
    "AWS_ACCESS_KEY_ID": "the key that reads and writes the S3 bucket",
    "AWS_SECRET_ACCESS_KEY": "the other half of that key",
    "AWS_SESSION_TOKEN": "what goes with a key that holds for a while",
    "GDRIVE_CREDENTIALS_DATA": "the JSON that lets DVC into the Google Drive folder",
    "AZURE_STORAGE_CONNECTION_STRING": "what lets DVC into the container of Azure",
    "GOOGLE_CREDENTIALS": "the JSON of the account that lets DVC into the bucket of Google Cloud",
    "DVC_READ_AWS_ACCESS_KEY_ID": "a key that only reads the bucket, for what stores nothing",
    "DVC_READ_AWS_SECRET_ACCESS_KEY": "the other half of that key",
    "DVC_READ_GDRIVE_CREDENTIALS_DATA": "an account that only reads the folder, likewise",
    "DVC_READ_AZURE_STORAGE_CONNECTION_STRING": "one that only reads the container, likewise",
    "DVC_READ_GOOGLE_CREDENTIALS": "an account that only reads the bucket, likewise",
    "DEPLOY_TOKEN": "a token that may push to main, or whose pull requests are tested",
    "NOTIFY_WEBHOOK": "where it is posted that a scheduled training failed",
    "TREELINE_SQL_PASSWORD": "the password of the database that rows come from",
    "MLFLOW_TRACKING_USERNAME": "who records trainings on the MLflow server",
    "MLFLOW_TRACKING_PASSWORD": "the password that goes with it",
    "DOCKERHUB_TOKEN": "the access token that pushes images to Docker Hub",
    "SIGNING_KEY": "the private key that signs releases and images",
    "MONITOR_KEY": "the key of the service, or password of the database, that MONITOR_LOG needs",
    "KOYEB_TOKEN": "the API token that deploys on Koyeb",
    "KUBE_CONFIG_DATA": "the configuration that lets kubectl into the cluster",
    "DEPLOY_WEBHOOK_URL": "what is asked to deploy an image",
    "DEPLOY_WEBHOOK_TOKEN": "what it is asked with",
}
VARIABLES = {
    "AWS_ENDPOINT_URL": "the address of an S3 server other than Amazon's",
    "AWS_DEFAULT_REGION": "the region of the S3 bucket",
    "AWS_ROLE_TO_ASSUME": "the role that stands in the place of a key of AWS",
    "DVC_READ_AWS_ROLE_TO_ASSUME": "a role that only reads the bucket, for what stores nothing",
    "RUNNER": "the machine that jobs run on, in the place of GitHub's ubuntu-24.04",
    "TRAIN_BY": "pull-request where models come to main by pull request",
    "MLFLOW_TRACKING_URI": "the MLflow server that trainings are recorded on",
    "SIGNING": "keyless where the workflow signs releases and images as itself",
    "MONITOR_LOG": "the address of the service, or of the database of its log, to monitor",
    "IMAGE": "where images are pushed: owner/name on Docker Hub, or ghcr.io/owner/name",
    "TRAINING_IMAGE": "where the image that trains is pushed: ghcr.io/owner/name",
    "PLATFORMS": "what images are built for, in the place of linux/amd64,linux/arm64",
    "DOCKERHUB_USERNAME": "whose access token it is on Docker Hub",
    "DEPLOY_TO": "what runs the image: koyeb, kubernetes or webhook",
    "KUBE_DEPLOYMENT": "the deployment that runs the image in a cluster",
    "KUBE_NAMESPACE": "where that deployment is",
    "KOYEB_SERVICE": "the id of the Koyeb service that runs the image",
    "KOYEB_API": "another address of Koyeb's API than its own",
    "PUBLISH_SITE": "true where the documentation is to be published on the branch gh-pages",
    "UPLOAD_PACKAGE": "true where a release is to be uploaded to the package index",
    "ENDPOINT_URL": "where that service answers; the deployment is asked there, or taken back",
}
KINDS = {"secrets": "secret", "vars": "variable"}  # as the workflows call them, and people

REPOSITORY = "repos/{owner}/{repo}"  # gh fills it in
WORKFLOWS = Path(".github/workflows")
ENVIRONMENT = "production"
DEPLOYMENT = "deploy.yml"  # the only workflow whose job runs in that environment

read_in = re.compile(r"\b(secrets|vars)\.([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Settings:
    """What is set on GitHub, by name: for the whole repository, and for its environment."""

    repository: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)

    def of_deployment(self) -> dict[str, str]:
        """Return what the job that deploys gets: the environment's goes before."""
        return {**self.repository, **self.environment}


def readers(folder: Path = WORKFLOWS) -> dict[tuple[str, str], set[str]]:
    """Return what the workflows read, as (kind, name), each with the files that read it."""
    files: dict[tuple[str, str], set[str]] = {}
    for path in sorted(folder.glob("*.yml")):
        for kind, name in read_in.findall(path.read_text(encoding="utf-8")):
            files.setdefault((KINDS[kind], name), set()).add(path.name)
    return dict(sorted(files.items()))


def purpose(name: str) -> str:
    """Say what a setting is for."""
    return {**SECRETS, **VARIABLES}.get(name, "read by a workflow of your own")


def on_github() -> Settings:
    """Ask GitHub, by its own client, which secrets and variables are set.

    Raises DeliveryError where `gh` is not installed, not logged in, or not allowed to know.
    """
    here = {**_secrets("actions/secrets"), **_variables("actions/variables")}
    shared = _perhaps("actions/organization-")
    return Settings({**shared, **here}, environment=_perhaps(f"environments/{ENVIRONMENT}/"))


def _perhaps(place: str) -> dict[str, str]:
    """Return what is set in a place that there need not be."""
    try:
        return {**_secrets(f"{place}secrets"), **_variables(f"{place}variables")}
    except DeliveryError:
        return {}


def _secrets(place: str) -> dict[str, str]:
    listed = rows(f"{REPOSITORY}/{place}", "name", of="secrets")
    return {str(each["name"]): HIDDEN for each in listed}


def _variables(place: str) -> dict[str, str]:
    listed = rows(f"{REPOSITORY}/{place}", "name, value", of="variables")
    return {str(each["name"]): str(each["value"]) for each in listed}
