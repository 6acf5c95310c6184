"""A service beside its registry: without it, not yet with it, and what it is told at the start."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

pytest.importorskip("mlflow", reason="needs mlflow: make setup-dev")

from api.app import create_app
from api.models.registry.client import RegistryClient
from api.models.registry.mlflow import Registry as Source
from api.models.registry.shelf import RegistryAwayError, Shelf, look_for
from api.settings import Settings
from tests.api.registering import ALIAS, Registry, following, registry_in, weighing
from tests.tiny_models import SURVIVAL, write_model
from tests.waiting import wait_until
from treeline.contract.signature import Signature
from treeline.errors import ConfigError

# MLflow asks its database in a way that SQLAlchemy advises against
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

PATH = "/v1/models/tree-survival/versions/1/predict"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry_in(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="module")
def served(registry: Registry) -> Signature:
    return registry.register(weighing(0.5), alias=ALIAS)


@pytest.fixture(scope="module")
def state(served: Signature, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a service, after one look at the registry."""
    folder = tmp_path_factory.mktemp("state")
    shelf = Shelf(folder)
    alive = shelf.enter()
    RegistryClient(shelf, Source, following(folder, folder, registry=(ALIAS,))).poll()
    alive.release()
    assert shelf.away() == ""
    return folder


def told(client: TestClient) -> str | None:
    found: str | None = client.get("/readyz").json()["registry"]
    return found


def test_a_service_that_starts_without_the_registry_serves_what_was_served_last(
    served: Signature, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'absent.db'}")
    with TestClient(create_app(following(tmp_path / "none", state))) as restarted:
        answer = restarted.post("/v1/predict", json=SURVIVAL.example)
        assert answer.json()["version"] == served.version
        wait_until(lambda: told(restarted) is not None, seconds=90, what="it is told")
        assert "there is no such file" in (told(restarted) or "")
        assert "treeline_registry_away 1.0" in restarted.get("/metrics").text
        assert restarted.get("/readyz").status_code == 200
        shelf = restarted.app.services.registry.shelf  # type: ignore[attr-defined]
    assert not (tmp_path / "absent.db").exists()
    wait_until(lambda: not shelf.has_follower(), seconds=90, what="the follower ends too")


def test_a_service_is_not_ready_before_it_has_reached_the_registry_once(
    registry: Registry, served: Signature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "model", SURVIVAL)
    late = tmp_path / "late.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{late}")
    settings = following(tmp_path / "model", tmp_path, registry=(ALIAS,))
    with TestClient(create_app(settings)) as client:
        answer = client.get("/readyz")
        assert (answer.status_code, "registry" in answer.text) == (503, True)
        assert client.post("/v1/predict", json=SURVIVAL.example).status_code == 200
        shutil.copyfile(registry.uri.removeprefix("sqlite:///"), late)
        wait_until(
            lambda: client.get("/readyz").status_code == 200, seconds=90, what="it is reached"
        )
        answer = client.post("/v1/predict", json=SURVIVAL.example)
        assert answer.json()["version"] == served.version


def test_registered_models_need_a_key_where_predictions_do(
    registry: Registry, state: Path, tmp_path: Path
) -> None:
    closed = following(tmp_path / "none", state, predictions_open=False)
    client = TestClient(create_app(closed))
    assert client.get("/v1/registry").status_code == 401
    assert client.post(PATH, json=SURVIVAL.example).status_code == 401


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("champion,challenger", "two aliases"),
        ("models:/x", "none of"),
        ("models:/Sugar (daily)@live", "sugar-daily=models:"),
        ("a=models:/x@live,a=models:/y@live", "two models"),
    ],
)
def test_a_setting_that_cannot_be_followed_is_told_at_the_start(
    registry: Registry, tmp_path: Path, given: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        create_app(following(tmp_path, tmp_path, registry=given))


def test_a_service_without_a_registry_has_no_such_route(tmp_path: Path) -> None:
    client = TestClient(create_app(Settings(model_dir=tmp_path, prediction_log=False)))
    assert client.get("/v1/registry").status_code == 404
    assert "/v1/registry" not in client.get("/openapi.json").json()["paths"]


RUNNING = """
import asyncio, sys
from api.main import app

async def main() -> None:
    async with app.router.lifespan_context(app):
        while not app.services.catalogue.versions():
            await asyncio.sleep(0.1)
        print(*app.services.catalogue.versions())
        print("mlflow" in sys.modules)

asyncio.run(asyncio.wait_for(main(), timeout=90))
"""


def test_a_worker_that_follows_a_registry_never_loads_mlflow(
    registry: Registry, state: Path, tmp_path: Path
) -> None:
    """It serves what is on the shelf, once it runs; the follower alone asks."""
    told = subprocess.run(
        [sys.executable, "-c", RUNNING],
        env=os.environ
        | {
            "API_REGISTRY": ALIAS,
            "API_STATE_DIR": str(state),
            "API_MODEL_DIR": str(tmp_path),
            "API_PREDICTION_LOG": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    named, loaded = told.stdout.splitlines()
    assert "tree-survival" in named and loaded == "False"


@pytest.mark.parametrize("scheme", ["postgresql+psycopg2", "postgres", "mysql"])
def test_a_database_whose_driver_is_not_installed_is_told_with_what_to_write(scheme: str) -> None:
    with pytest.raises(RegistryAwayError) as error:
        look_for(f"{scheme}://reader:hunter2@127.0.0.1:9/mlflow")
    assert f"in the place of {scheme}:// and the rest stays" in str(error.value)
    assert "MLFLOW_TRACKING_URI" in str(error.value) and "hunter2" not in str(error.value)
