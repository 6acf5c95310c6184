"""A registry to serve from, and tiny models in it, put there as MLflow's own client does it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from onnx import ModelProto

from api.settings import Settings
from tests.api.uploading import KEYS
from tests.tiny_models import SURVIVAL, Recipe, write_model
from treeline.contract.signature import VERSION_DIGITS, Signature

ALIAS = "champion"
QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


class Registry:
    """An MLflow registry at an address."""

    def __init__(self, uri: str, files: Path | None = None) -> None:
        """Keep files below `files`, or where the server says."""
        self.uri = uri
        self.client = MlflowClient(uri)
        place = None if files is None else files.as_uri()
        known = self.client.get_experiment_by_name("tiny")
        self._experiment = (
            self.client.create_experiment("tiny", place) if known is None else known.experiment_id
        )

    def register(self, recipe: Recipe, *, name: str = "", alias: str = "") -> Signature:
        """Register a tiny model, with the layout that the pipeline gives its versions."""
        with tempfile.TemporaryDirectory() as folder:
            signature = write_model(Path(folder), recipe)
            self.register_files(name or recipe.name, Path(folder) / recipe.name, alias=alias)
        (artifact,) = signature.files.values()
        return signature.model_copy(update={"version": artifact[:VERSION_DIGITS]})

    def register_graph(self, name: str, graph: ModelProto | bytes, *, alias: str = "") -> str:
        """Register an ONNX file alone, and return its number."""
        payload = graph if isinstance(graph, bytes) else graph.SerializeToString()
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "model.onnx").write_bytes(payload)
            return self.register_files(name, Path(folder), alias=alias)

    def register_files(self, name: str, folder: Path, *, alias: str = "") -> str:
        """Register the files of a folder as a version, and return its number."""
        run = self.client.create_run(self._experiment).info.run_id
        self.client.log_artifacts(run, str(folder), "model")
        self.client.log_metric(run, "test/roc_auc", 0.875)
        if not self.client.search_registered_models(f"name='{name}'"):
            self.client.create_registered_model(name)
        version = self.client.create_model_version(
            name, f"runs:/{run}/model", run, tags={"by": "a test"}
        )
        if alias:
            self.point(name, str(version.version), alias=alias)
        return str(version.version)

    def numbers(self, name: str) -> list[str]:
        """Return the numbers of all versions of a model, the oldest first."""
        found = self.client.search_model_versions(f"name='{name}'")
        return [str(number) for number in sorted(int(each.version) for each in found)]

    def point(self, name: str, number: str, *, alias: str = ALIAS) -> None:
        """Let an alias name a version from now on."""
        self.client.set_registered_model_alias(name, alias, number)


def weighing(light: float, recipe: Recipe = SURVIVAL) -> Recipe:
    """Return another version of a model."""
    return replace(recipe, weights={next(iter(recipe.features)): light})


def following(models: Path, state: Path, **settings: Any) -> Settings:
    """Return settings that follow an alias, and one model by name."""
    given: dict[str, Any] = {
        "model_dir": models,
        "state_dir": state,
        "registry": (ALIAS, "diabetes=models:/Sugar (daily)@live"),
        "registry_seconds": 0.3,
        "registry_versions": 2,
        "keys": KEYS,
        "prediction_log": False,
    }
    return Settings(**given | settings)


@contextmanager
def registry_in(folder: Path) -> Iterator[Registry]:
    """Yield a registry in a file below a folder, which is where the environment says meanwhile."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**QUIET, "MLFLOW_TRACKING_URI": uri}.items():
            patch.setenv(name, value)
        yield Registry(uri, folder / "files")
