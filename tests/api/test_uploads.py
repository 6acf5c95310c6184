"""Models are uploaded, tried apart, served, described, replaced and deleted."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from onnx import ModelProto
from starlette.testclient import TestClient

from api.app import create_app
from api.models.uploaded import UploadStore
from api.settings import Settings
from tests.api.uploading import HEADERS, publish, uploading
from tests.recorded import rows_in
from tests.tiny_graphs import endless, greedy, growing, identity, scaled
from tests.tiny_models import ARTIFACT, IRIS, SURVIVAL
from tests.waiting import wait_until
from treeline.files import write_text

POINTER = "uploads/double/current.json"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def client(models: Path, state: Path) -> Iterator[TestClient]:
    with uploading(models, state) as client:
        yield client


def put(client: TestClient, name: str, model: ModelProto) -> Any:
    return client.put(f"/v1/models/{name}", content=model.SerializeToString())


def doubled(client: TestClient, name: str = "double") -> Any:
    return client.post(f"/v1/models/{name}/predict", json={"values": [1, 2]})


def test_an_upload_is_served_replaced_and_deleted(client: TestClient) -> None:
    created = put(client, "double", scaled(2))
    assert created.status_code == 201, created.text
    assert created.json() == client.get("/v1/models/double").json()
    assert doubled(client).json()["values"] == [2, 4]
    assert client.get("/readyz").json()["models"]["double"] == created.json()["version"]

    replaced = put(client, "double", scaled(3))
    assert replaced.status_code == 200
    assert replaced.json()["version"] != created.json()["version"]
    assert doubled(client).json()["values"] == [3, 6]

    assert client.delete("/v1/models/double").status_code == 204
    for gone in (doubled(client), client.delete("/v1/models/double")):
        assert gone.status_code == 404
    assert "double" not in client.get("/readyz").json()["models"]


def test_one_with_our_signature_inside_takes_records(client: TestClient, models: Path) -> None:
    payload = (models / "iris" / ARTIFACT).read_bytes()
    files = {"file": ("model.onnx", payload)}
    form = {"description": "Which iris, by ours"}
    created = client.put("/v1/models/flowers", files=files, data=form)
    assert created.status_code == 201, created.text
    assert (created.json()["name"], created.json()["features"].keys()) == (
        "flowers",
        IRIS.features.keys(),
    )
    answer = client.post("/v1/models/flowers/predict", json=IRIS.example).json()
    original = client.post("/v1/models/iris/predict", json=IRIS.example).json()
    assert (answer["model"], answer["probabilities"]) == ("flowers", original["probabilities"])
    listed = {each["name"]: each for each in client.get("/v1/models").json()["models"]}["flowers"]
    assert (listed["kind"], listed["origin"]) == ("typed", "uploaded")
    assert listed["description"] == "Which iris, by ours"
    assert "/v1/models/flowers/predict" in client.get("/openapi.json").json()["paths"]
    refused = client.patch("/v1/models/flowers", json={"image": {"width": 1, "height": 1}})
    assert refused.status_code == 422 and "takes records" in refused.json()["detail"]
    described = client.patch("/v1/models/flowers", json={"description": "Another"})
    assert described.json()["description"] == "Another"


def test_a_form_may_declare_pictures_and_must_fit(client: TestClient) -> None:
    files = {"file": identity([1, 3, 4, 6]).SerializeToString()}
    right, wrong = ({"width": 6, "height": height} for height in (4, 5))
    refused = client.put("/v1/models/eye", files=files, data={"image": json.dumps(wrong)})
    assert refused.status_code == 422
    assert "the declaration makes 1 by 3 by 5 by 6" in refused.json()["detail"]
    created = client.put("/v1/models/eye", files=files, data={"image": json.dumps(right)})
    assert (created.status_code, created.json()["kind"]) == (201, "image")


@pytest.mark.parametrize("name", ["file", "model", "image"])
def test_the_file_of_a_form_may_have_any_name(client: TestClient, name: str) -> None:
    files = {name: ("double.onnx", scaled(2).SerializeToString())}
    created = client.put("/v1/models/double", files=files, data={"description": "Twice"})
    assert (created.status_code, created.json()["description"]) == (201, "Twice")


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"data": {"file": "net.onnx"}}, "The form has no file; send one, with curl as: -F file=@"),
        ({"data": {"describe": "Twice"}}, 'texts of unknown names, ["describe"]'),
    ],
    ids=["no file", "unknown text"],
)
def test_another_form_is_refused(client: TestClient, sent: dict[str, Any], message: str) -> None:
    file = {"more": (None, "")} if "file" in sent["data"] else {"file": ("a.onnx", b"onnx")}
    answer = client.put("/v1/models/double", files=file, **sent)
    assert answer.status_code == 400
    assert message in answer.json()["detail"]


def test_one_that_is_refused_leaves_the_former_in_its_place(
    client: TestClient, state: Path
) -> None:
    put(client, "double", scaled(2))
    refused = client.put("/v1/models/double", content=b"\x80\x04 a pickle")
    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:treeline:problem:upload-rejected"
    assert refused.json()["errors"][0]["message"].startswith("is a pickle, not ONNX")
    assert doubled(client).json()["values"] == [2, 4]
    assert list((state / "uploads").glob("*.draft")) == []


def test_one_that_cannot_be_opened_says_what_onnxruntime_said(client: TestClient) -> None:
    model = scaled(2)
    model.graph.node[0].op_type = "Multiply"
    refused = put(client, "double", model)
    assert refused.status_code == 422
    assert "onnxruntime cannot open it" in refused.json()["detail"]
    assert "Multiply" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("model", "settings", "words"),
    [
        (greedy(), {}, "bytes of memory to be tried; make it smaller, or raise API_AUDIT_MEMORY"),
        (endless(), {"audit_seconds": 1.5}, "its trial took more than 1.5 seconds; make it"),
        (growing(), {"audit_memory_bytes": 64 << 20}, "bytes of memory to be tried"),
        (scaled(2), {"max_upload_bytes": 50}, "larger than 50 bytes"),
    ],
)
def test_a_bomb_is_refused_and_the_service_goes_on(
    models: Path, state: Path, model: ModelProto, settings: dict[str, Any], words: str
) -> None:
    with uploading(models, state, **settings) as client:
        refused = put(client, "bomb", model)
        assert refused.status_code in {413, 422}
        assert words in refused.json()["detail"]
        assert client.get("/readyz").status_code == 200
        assert client.get("/v1/models/bomb").status_code == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_an_exported_model_is_left_alone(client: TestClient, method: str) -> None:
    answer = client.request(method, "/v1/models/iris", content=b"{}")
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:treeline:problem:not-removable"
    assert client.post("/v1/models/iris/predict", json=IRIS.example).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_without_a_key_nothing_changes(models: Path, state: Path, method: str) -> None:
    publish(state, "double", scaled(2))
    client = uploading(models, state)
    client.headers.pop("Authorization")
    assert client.request(method, "/v1/models/double", content=b"{}").status_code == 401
    assert doubled(client).status_code == 200


@pytest.mark.parametrize(
    ("name", "kind", "body", "status"),
    [
        ("Bad_Name", "application/onnx", b"", 422),
        ("a__b", "application/onnx", b"", 422),
        ("..%2Fpasswd", "application/onnx", b"", 404),
        ("fine", "application/onnx", b"", 422),
        ("fine", "text/plain", b"hello", 415),
        ("fine", "multipart/form-data", b"hello", 400),
        ("fine", "multipart/form-data; boundary=x", b"--x--\r\n", 400),
    ],
)
def test_another_name_or_body_is_refused(
    client: TestClient, name: str, kind: str, body: bytes, status: int
) -> None:
    headers = {"Content-Type": kind}
    answer = client.put(f"/v1/models/{name}", content=body, headers=headers)
    assert answer.status_code == status, answer.text


def test_a_name_that_is_none_is_refused_with_one_that_is(client: TestClient) -> None:
    answer = put(client, "My Model", scaled(2))
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["message"] == (
        "a name is made of lowercase letters and digits, in words joined by single hyphens or "
        "underscores, at most 63 characters; call it 'my-model'"
    )
    assert put(client, "my-model", scaled(2)).status_code == 201


def test_a_name_with_underscores_is_served_at_every_door(client: TestClient) -> None:
    assert put(client, "my_model", scaled(2)).status_code == 201
    assert doubled(client, "my_model").json()["values"] == [2, 4]
    assert client.get("/v2/models/my_model").json()["name"] == "my_model"
    assert client.patch("/v1/models/my_model", json={"description": "Mine"}).status_code == 200
    assert "/v1/models/my_model/predict" in client.get("/openapi.json").json()["paths"]
    assert put(client, "my_model", scaled(3)).status_code == 200
    assert client.delete("/v1/models/my_model").status_code == 204


@pytest.mark.parametrize(("taken", "name"), [("my_model", "my-model"), ("a-b_c", "a_b_c")])
def test_a_name_that_differs_in_hyphens_only_is_taken(
    client: TestClient, taken: str, name: str
) -> None:
    """Clients that are generated call both by one name."""
    put(client, taken, scaled(2))
    answer = put(client, name, scaled(3))
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith(f"There is a model {taken!r}, from which {name!r}")


def test_there_is_room_for_so_many(models: Path, state: Path) -> None:
    publish(state, "double", scaled(2))
    with uploading(models, state, max_uploads=1) as client:
        refused = put(client, "another", scaled(2))
        assert refused.status_code == 409
        assert "API_MAX_UPLOADS admits 1" in refused.json()["detail"]
        assert put(client, "double", scaled(3)).status_code == 200


def test_uploads_survive_a_restart_and_are_never_the_default(models: Path, state: Path) -> None:
    publish(state, "double", scaled(2))
    with uploading(models, state) as again:
        assert doubled(again).json()["values"] == [2, 4]
        assert again.post("/v1/predict", json=SURVIVAL.example).json()["model"] == "tree-survival"


def test_what_another_process_uploads_is_found_when_it_is_asked_for(
    client: TestClient, state: Path
) -> None:
    publish(state, "double", scaled(2))
    assert doubled(client).json()["values"] == [2, 4]
    publish(state, "double", scaled(5))
    wait_until(
        lambda: doubled(client).json()["values"] == [5, 10], seconds=5, what="the other is served"
    )


def test_one_that_is_broken_on_disk_is_told_and_the_former_serves_on(
    client: TestClient, state: Path
) -> None:
    first = publish(state, "double", scaled(2))
    assert doubled(client).status_code == 200
    second = publish(state, "double", scaled(3))
    wait_until(lambda: doubled(client).json()["values"] == [3, 6], seconds=5, what="it is swapped")
    (state / f"uploads/double/{first.version}/model.onnx").write_bytes(b"changed")
    write_text(state / POINTER, first.model_dump_json())
    wait_until(
        lambda: "double" in client.get("/readyz").json()["refused"], seconds=5, what="it is refused"
    )
    ready = client.get("/readyz").json()
    assert "is not what was uploaded; upload it again" in ready["refused"]["double"]
    assert ready["models"]["double"] == second.version
    assert doubled(client).json()["values"] == [3, 6]


def test_a_store_that_is_broken_does_not_make_the_service_unready(
    models: Path, state: Path
) -> None:
    for name in ("double", "triple"):
        publish(state, name, scaled(2))
    (state / POINTER).write_text("{")
    shutil.rmtree(state / "uploads" / "triple" / publish(state, "triple", scaled(2)).version)
    with uploading(models, state) as client:
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert sorted(ready.json()["refused"]) == ["double", "triple"]
        assert doubled(client).status_code == 503
        assert client.get("/v1/models/double").status_code == 503
        assert client.delete("/v1/models/triple").status_code == 204
        assert put(client, "double", scaled(2)).status_code == 200


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_cannot_be_written_is_told(models: Path, state: Path) -> None:
    state.mkdir(mode=0o500)
    with uploading(models, state) as client:
        assert "API_STATE_DIR writable" in put(client, "double", scaled(2)).json()["detail"]


def test_a_store_that_is_no_folder_is_told_and_the_service_goes_on(
    models: Path, state: Path
) -> None:
    state.write_text("not a folder")
    with uploading(models, state) as client:
        refused = put(client, "double", scaled(2))
        assert refused.status_code == 503
        assert "API_STATE_DIR writable" in refused.json()["detail"]
        assert client.get("/readyz").status_code == 200


def test_what_is_served_no_more_is_removed_after_a_while(state: Path) -> None:
    store = UploadStore(state / "uploads")
    first, second = (publish(state, "double", scaled(factor)) for factor in (2, 3))
    folder = state / "uploads" / "double"

    def age(version: str) -> None:
        os.utime(folder / version, (0, 0))

    store.clean()
    assert (folder / first.version).is_dir()
    for version in (first.version, second.version):
        age(version)
    store.clean()
    assert not (folder / first.version).exists()
    assert (folder / second.version).is_dir()
    store.remove("double")
    store.clean()
    assert (folder / second.version).is_dir()
    age(second.version)
    store.clean()
    assert not folder.exists()


def test_predictions_are_recorded_with_long_ones_as_digests(models: Path, state: Path) -> None:
    publish(state, "double", scaled(2))
    settings = Settings(model_dir=models, state_dir=state)
    with TestClient(create_app(settings), headers=HEADERS) as client:
        client.post("/v1/models/double/predict", json={"values": [1]})
        client.post("/v1/models/double/predict", json={"values": [1.0] * 20_000})
    short, long = rows_in(state / "predictions.sqlite")
    assert json.loads(short["features"]) == {"values": [1]}
    assert json.loads(long["features"]).keys() == {"sha256", "bytes"}
    assert [row["model"] for row in (short, long)] == ["double", "double"]
