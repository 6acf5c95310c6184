"""The registry itself: the one module of the service that imports MLflow, and only the follower
imports it.

Where it is, MLFLOW_TRACKING_URI and MLFLOW_REGISTRY_URI say, as for any other client of it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from api.models.registry.shelf import Version

MOST_MODELS = 500
MOST_VERSIONS = 50  # of each model, the newest; those with an alias come besides
PAGE = 100
ABSENT = "RESOURCE_DOES_NOT_EXIST"
PROMPT = "mlflow.prompt.is_prompt"  # a prompt is registered like a model, and is none


@dataclass(frozen=True)
class Registered:
    """A registered model; `changed` grows when a version comes or goes."""

    name: str
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    changed: int = 0


class Registry:
    """Asks the registry; whatever goes wrong raises what MLflow raises, MlflowException mostly."""

    def __init__(self) -> None:
        self._client = MlflowClient()

    def models(self) -> list[Registered]:
        """Return all registered models, by name; at most MOST_MODELS."""
        listed: list[Registered] = []
        token = None
        while len(listed) < MOST_MODELS:
            page = self._client.search_registered_models(
                max_results=PAGE, order_by=["name ASC"], page_token=token
            )
            listed += [registered(model) for model in page if PROMPT not in model.tags]
            token = page.token
            if not token:
                break
        return listed[:MOST_MODELS]

    def model(self, name: str) -> Registered | None:
        """Return one registered model, or None where there is none of that name."""
        try:
            return registered(self._client.get_registered_model(name))
        except MlflowException as error:
            if error.error_code == ABSENT:
                return None
            raise

    def versions(self, model: Registered) -> list[Version]:
        """Return the newest versions of a model, and those with an alias; the newest first."""
        name = model.name.replace("'", "''")
        page = self._client.search_model_versions(
            f"name='{name}'", max_results=MOST_VERSIONS, order_by=["version_number DESC"]
        )
        by_number = {str(each.version): each for each in page}
        for number in set(model.aliases.values()) - set(by_number):
            by_number[number] = self._client.get_model_version(model.name, number)
        ordered = sorted(by_number, key=int, reverse=True)
        return [version(by_number[number], model.aliases) for number in ordered]

    def metrics(self, run: str) -> dict[str, float]:
        """Return the metrics of a run that are numbers; none where the run is gone."""
        try:
            metrics = self._client.get_run(run).data.metrics
        except MlflowException as error:
            if error.error_code == ABSENT:
                return {}
            raise
        return {name: value for name, value in sorted(metrics.items()) if math.isfinite(value)}

    def files(self, name: str, number: str) -> Iterator[tuple[str, int | None]]:
        """Yield the path and the size in bytes, where it is known, of each file of a version."""
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            for entry in mlflow.artifacts.list_artifacts(uri_of(name, number, folder)):
                if entry.is_dir:
                    waiting.append(entry.path)
                else:
                    yield entry.path, entry.file_size

    def download(self, name: str, number: str, path: str, *, into: Path) -> Path:
        """Fetch one file of a version, and return where it is."""
        downloaded = mlflow.artifacts.download_artifacts(
            uri_of(name, number, path), dst_path=str(into)
        )
        return Path(downloaded)


def uri_of(name: str, number: str, path: str) -> str:
    """Return the URI of a file or folder of a version."""
    return f"models:/{name}/{number}/{path}".rstrip("/")


def registered(model: Any) -> Registered:
    """Return what we keep of a registered model of MLflow's."""
    return Registered(
        name=model.name,
        description=model.description or "",
        tags=dict(sorted(model.tags.items())),
        aliases={alias: str(number) for alias, number in sorted(model.aliases.items())},
        changed=model.last_updated_timestamp or 0,
    )


def version(answer: Any, aliases: dict[str, str]) -> Version:
    """Return what we keep of a version of MLflow's."""
    number = str(answer.version)
    return Version(
        number=number,
        created=datetime.fromtimestamp(answer.creation_timestamp / 1000, UTC),
        aliases=tuple(alias for alias, named in aliases.items() if named == number),
        description=answer.description or "",
        status=answer.status or "",
        run=answer.run_id or None,
        tags=dict(sorted(answer.tags.items())),
    )
