"""Models of a registry are served as it names them, and any version of them on demand."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

pytest.importorskip("mlflow", reason="needs mlflow: make setup-dev")

from api.app import create_app
from tests.api.registering import ALIAS, Registry, following, registry_in, weighing
from tests.api.uploading import HEADERS
from tests.tiny_graphs import scaled
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, write_model
from tests.waiting import wait_until
from treeline.contract.signature import Signature

# MLflow asks its database in a way that SQLAlchemy advises against
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

SECONDS = 90  # far more than it takes; the machine may be busy with other tests
PATH = "/v1/models/tree-survival"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry_in(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="module")
def first(registry: Registry) -> Signature:
    return registry.register(weighing(0.5), alias=ALIAS)


@pytest.fixture(scope="module")
def client(
    registry: Registry, first: Signature, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """A service with models of git, that follows an alias and one model by name."""
    models = tmp_path_factory.mktemp("models")
    for recipe in (SURVIVAL, IRIS):
        write_model(models, recipe)
    registry.register(DIABETES, name="Sugar (daily)", alias="live")
    with TestClient(create_app(following(models, tmp_path_factory.mktemp("state")))) as client:
        wait_until(lambda: ready(client), seconds=SECONDS, what="all that is named is served")
        yield client


def ready(client: TestClient) -> bool:
    return client.get("/readyz").status_code == 200


def version(client: TestClient, name: str = "tree-survival") -> str | None:
    found: str | None = client.get("/readyz").json().get("models", {}).get(name)
    return found


def refused(client: TestClient) -> dict[str, str]:
    found: dict[str, str] = client.get("/readyz").json()["refused"]
    return found


def offered(client: TestClient, name: str) -> dict[str, Any]:
    models = client.get("/v1/registry").json()["models"]
    found: dict[str, Any] = next((model for model in models if model["name"] == name), {})
    return found


def listed(client: TestClient, name: str) -> set[str]:
    return {each["number"] for each in offered(client, name)["versions"]}


def soon(condition: Callable[[], bool], what: str) -> None:
    wait_until(condition, seconds=SECONDS, what=what)


def test_what_the_registry_names_is_served_in_the_place_of_what_git_has(
    client: TestClient, first: Signature
) -> None:
    answer = client.post("/v1/predict", json=SURVIVAL.example).json()
    assert answer["version"] == first.version == version(client)
    models = client.get("/v1/models").json()["models"]
    assert [(each["name"], each["origin"]) for each in models] == [
        ("diabetes", "registry"),
        ("iris", "exported"),
        ("tree-survival", "registry"),
    ]
    assert client.post("/v1/models/diabetes/predict", json=DIABETES.example).status_code == 200


def test_a_moved_alias_is_followed_and_so_is_one_that_goes_back(
    client: TestClient, registry: Registry, first: Signature
) -> None:
    second = registry.register(weighing(0.7), alias=ALIAS)
    soon(lambda: version(client) == second.version, "the version that has the alias now")
    registry.point("tree-survival", "1")
    soon(lambda: version(client) == first.version, "the version that has it again")
    swaps = 'treeline_model_swaps_total{model="tree-survival",outcome="swapped"}'
    assert swaps in client.get("/metrics").text


def test_a_model_that_one_worker_serves_is_awaited_by_no_other(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    state = {"registry": "tree-survival=models:/late@live", "registry_seconds": 0.2}
    settings = following(tmp_path / "models", tmp_path / "state", **state)
    with TestClient(create_app(settings)) as looking:
        monkeypatch.setattr("api.models.registered.LOOK_SECONDS", 3600)
        with TestClient(create_app(settings)) as resting:
            assert not ready(looking) and not ready(resting)
            signature = registry.register(weighing(0.9), name="late", alias="live")
            soon(lambda: ready(looking), "the model is served by the worker that looks")
            answer = resting.post("/v1/predict", json=SURVIVAL.example)
            assert (answer.status_code, answer.json().get("version")) == (200, signature.version)


def test_what_is_offered_is_listed(client: TestClient, registry: Registry, tmp_path: Path) -> None:
    number = registry.register_files("listed", tmp_path, alias="new")
    soon(lambda: "'new'" in str(offered(client, "listed")), "it is listed")
    told = client.get("/v1/registry").json()
    assert told["away"] is None and told["asked"] is not None
    model = offered(client, "listed")
    assert (model["reference"], model["served"]) == (None, None)
    (only,) = model["versions"]
    assert (only["number"], only["aliases"], only["state"]) == (number, ["new"], "offered")
    assert (only["tags"], only["metrics"]) == ({"by": "a test"}, {"test/roc_auc": 0.875})
    assert offered(client, "diabetes")["registered"] == "Sugar (daily)"


def test_any_version_that_is_offered_answers(client: TestClient, registry: Registry) -> None:
    signatures = [registry.register(weighing(each)) for each in (1.1, 1.2, 1.3)]
    newest = registry.numbers("tree-survival")[-3:]
    soon(lambda: set(newest) <= listed(client, "tree-survival"), "all are listed")
    for number, signature in zip(newest, signatures, strict=True):
        answer = client.post(f"{PATH}/versions/{number}/predict", json=SURVIVAL.example)
        assert (answer.status_code, answer.json()["version"]) == (200, signature.version)
    latest = signatures[-1].version
    labels = f'{{model="tree-survival",version="{latest}"}}'
    for asked in (latest, newest[-1]):
        told = client.get(f"{PATH}/versions/{asked}").json()
        assert told["version"] == latest
        batch = f"{PATH}/versions/{asked}/predict/batch"
        rows = client.post(batch, json=[SURVIVAL.example] * 3)
        assert [row["version"] for row in rows.json()] == [latest] * 3
        wide = [{**SURVIVAL.example, "plot": 7}]
        assert client.post(batch, json=wide).status_code == 200
        assert client.post(f"{batch}?extra=refuse", json=wide).status_code == 422
        assert client.get(f"/v2/models/tree-survival/versions/{asked}/ready").status_code == 200
    counted = client.get("/metrics").text
    assert f"treeline_model_info{labels} 1.0" in counted
    assert f"treeline_prediction_duration_seconds_count{labels} 1.0" in counted
    aliased = client.post(f"{PATH}/versions/@{ALIAS}/predict", json=SURVIVAL.example).json()
    assert aliased["version"] == version(client)
    assert len(client.app.services.versions.loaded()) == 2  # type: ignore[attr-defined]


def test_a_version_that_nobody_offers_is_not_found(client: TestClient) -> None:
    answer = client.post(f"{PATH}/versions/99/predict", json=SURVIVAL.example)
    assert answer.status_code == 404
    assert "offers no version '99' of tree-survival" in answer.json()["detail"]
    assert client.post("/v1/models/oak/versions/1/predict", json={}).status_code == 404
    own = version(client, "iris")
    path = f"/v1/models/iris/versions/{own}/predict"
    assert client.post(path, json=IRIS.example).json()["version"] == own


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"model.pkl": b"..."}, "no ONNX file"),
        ({"model.onnx": b"not a graph"}, "cannot be read"),
        ({"a.onnx": b"1", "b.onnx": b"2"}, "2 ONNX files"),
    ],
    ids=["a pickle", "no graph", "two of them"],
)
def test_what_cannot_be_served_is_refused_in_words_and_the_former_serves_on(
    client: TestClient, registry: Registry, tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    before = version(client)
    for name, payload in files.items():
        (tmp_path / name).write_bytes(payload)
    served = offered(client, "tree-survival")["served"]
    number = registry.register_files("tree-survival", tmp_path, alias=ALIAS)
    soon(lambda: f"version {number}" in refused(client).get("tree-survival", ""), "it is refused")
    assert said in refused(client)["tree-survival"]
    assert version(client) == before and ready(client)
    answer = client.post(f"{PATH}/versions/{number}/predict", json=SURVIVAL.example)
    assert (answer.status_code, said in answer.json()["detail"]) == (503, True)
    registry.point("tree-survival", served)
    soon(lambda: "tree-survival" not in refused(client), "all is well again")


def test_a_model_under_another_name_is_refused_in_words(
    client: TestClient, registry: Registry
) -> None:
    registry.register(IRIS, name="flowers", alias=ALIAS)
    soon(lambda: "flowers" in refused(client), "it is refused")
    assert "iris=models:/flowers@" in refused(client)["flowers"]
    assert ready(client)
    registry.client.delete_registered_model("flowers")
    soon(lambda: "flowers" not in refused(client), "it is forgotten")


def test_an_onnx_file_of_others_takes_values(client: TestClient, registry: Registry) -> None:
    number = registry.register_graph("double", scaled(2), alias=ALIAS)
    soon(lambda: version(client, "double") is not None, "it is served")
    for path in ("", f"/versions/{number}"):
        answer = client.post(f"/v1/models/double{path}/predict", json={"values": [1, 2]})
        assert answer.json()["values"] == [2.0, 4.0]
    registry.client.delete_registered_model_alias("double", ALIAS)
    soon(lambda: version(client, "double") is None, "it is served no more")
    assert client.post("/v1/models/double/predict", json={"values": [1]}).status_code == 404


def test_only_the_registry_changes_its_models(client: TestClient) -> None:
    answer = client.delete("/v1/models/diabetes", headers=HEADERS)
    assert (answer.status_code, "only the registry" in answer.json()["detail"]) == (409, True)
    document = client.get("/openapi.json").json()
    pytest.importorskip("openapi_spec_validator").validate(document)
    assert "/v1/models/{model}/versions/{version}/predict/batch" in document["paths"]
