"""Models that rest: only so many are in memory, and each answers as if it always were."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.errors import VersionAwaitedError
from api.inference.resting import RestingRuntime, RestingStore
from api.settings import Settings
from tests.tiny_models import ARTIFACT, DIABETES, IRIS, SURVIVAL, write_model
from tests.waiting import wait_until
from treeline.artifact.store import ArtifactStore, Model, scores_of
from treeline.errors import ArtifactRejectedError

RECIPES = (SURVIVAL, IRIS, DIABETES)
NEXT = replace(SURVIVAL, weights={"Light_ISF": 0.5, "EMF": 0.01})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for recipe in RECIPES:
        write_model(tmp_path / "model", recipe)
    return tmp_path / "model"


def resting(folder: Path, *, most: int) -> dict[str, Model]:
    """Load all models of a store in which so many are in memory."""
    store = RestingStore(folder, admitted=frozenset({"onnx"}), left_out=(), trust=None, most=most)
    return {recipe.name: store.load(recipe.name) for recipe in RECIPES}


def awake(models: dict[str, Model]) -> list[str]:
    """Return the models that are in memory."""
    runtimes = {name: model.runtime for name, model in models.items()}
    return [
        name
        for name, runtime in runtimes.items()
        if isinstance(runtime, RestingRuntime) and not runtime.rests()
    ]


def answer(model: Model) -> list[float]:
    matrix = model.encoder.matrix([model.signature.example.record])
    return scores_of(model.runtime.predict(matrix))


def test_those_asked_last_are_in_memory_and_all_answer(folder: Path) -> None:
    models = resting(folder, most=2)
    assert awake(models) == [IRIS.name, DIABETES.name]
    assert answer(models[IRIS.name]) == list(models[IRIS.name].signature.example.scores)
    assert answer(models[SURVIVAL.name]) == list(models[SURVIVAL.name].signature.example.scores)
    assert awake(models) == [SURVIVAL.name, IRIS.name], "the one asked longest ago rests"


def test_asked_from_many_threads_each_gives_its_own_answer(folder: Path) -> None:
    models = resting(folder, most=1)
    expected = {name: list(model.signature.example.scores) for name, model in models.items()}
    names = [*models] * 30
    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(lambda name: answer(models[name]), names)]
    assert answers == [expected[name] for name in names]
    assert len(awake(models)) == 1


def test_one_whose_files_have_changed_meanwhile_answers_for_no_other_version(folder: Path) -> None:
    models = resting(folder, most=1)
    write_model(folder, NEXT)
    with pytest.raises(VersionAwaitedError, match="a new version is being loaded"):
        answer(models[SURVIVAL.name])
    (folder / IRIS.name / ARTIFACT).write_bytes(b"damaged")
    with pytest.raises(ArtifactRejectedError, match="its SHA-256 begins"):
        answer(models[IRIS.name])


def test_a_service_answers_the_same_follows_and_loads_in_no_event_loop(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded_in: list[str] = []
    load = ArtifactStore.load

    def noted(store: ArtifactStore, name: str) -> Model:
        loaded_in.append(threading.current_thread().name)
        return load(store, name)

    settings = Settings(
        model_dir=folder,
        state_dir=tmp_path / "state",
        loaded_models=1,
        prediction_log=False,
        watch_seconds=0.05,
    )
    with TestClient(create_app(settings)) as client:
        monkeypatch.setattr(ArtifactStore, "load", noted)
        for _ in range(2):
            for recipe in RECIPES:
                said = client.post(f"/v1/models/{recipe.name}/predict", json=dict(recipe.example))
                assert said.status_code == 200, said.text
                assert said.json()["model"] == recipe.name
        assert len(loaded_in) >= 5
        assert {name.partition("_")[0] for name in loaded_in} == {"asyncio"}, "threads of the pool"
        following = write_model(folder, NEXT)
        wait_until(
            lambda: client.get("/readyz").json()["models"][NEXT.name] == following.version,
            seconds=30,
            what="the new version is served",
        )
        said = client.post("/v1/predict", json=SURVIVAL.example)
        assert said.json()["version"] == following.version
        assert client.get("/readyz").json()["refused"] == {}
