"""The application over three tiny models: a binary one that is the default, classes, a number."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.prediction_log.spool import Spool
from api.settings import Settings
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, write_model

Serve = Callable[..., TestClient]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three exported models; nobody may change it."""
    root = tmp_path_factory.mktemp("models")
    for recipe in (SURVIVAL, IRIS, DIABETES):
        write_model(root, recipe)
    return root


@pytest.fixture(scope="session")
def client(models: Path) -> Iterator[TestClient]:
    """The service over those models."""
    with TestClient(create_app(Settings(model_dir=models, prediction_log=False))) as client:
        yield client


@pytest.fixture
def serve() -> Serve:
    """Make a service over another folder of models, with other settings."""
    return lambda folder, **settings: TestClient(
        create_app(Settings(model_dir=folder, **{"prediction_log": False} | settings))
    )


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """A spool in a folder of its own, which a process holds."""
    spool = Spool(tmp_path)
    alive = spool.create()
    yield spool
    alive.release()
