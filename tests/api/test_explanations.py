"""`?explain=true`: what is answered beside a prediction, in every format, and what it may cost."""

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.api.conftest import Serve
from tests.api.test_explanations_exact import FEATURES, Made, made
from tests.api.uploading import publish, uploading
from tests.recorded import rows_in
from tests.tiny_graphs import scaled
from tests.tiny_models import (
    ARTIFACT,
    DIABETES,
    IRIS,
    SURVIVAL,
    build_graph,
    commit,
    sign,
    write_model,
)
from tests.waiting import wait_until
from treeline.artifact.store import scores_of
from treeline.contract.encoding import Encoder
from treeline.contract.signature import Example
from treeline.files import digest

Json = dict[str, Any]
RECORD: Json = {"length": 0.3, "count": 1, "kind": "c"}
OTHER: Json = {"length": -1.2, "count": 3, "kind": "a"}
LINEAR, SPECIES = "/v1/models/linear/predict", "/v1/models/species/predict"
ASKED = {"explain": "true"}
JSON_LINES = "application/x-ndjson"


def write(root: Path, name: str, model: Made) -> None:
    """Export a model of which the graph is read."""
    path = root / name / ARTIFACT
    path.parent.mkdir(parents=True)
    path.write_bytes(model.payload)
    row = Encoder(FEATURES).matrix([RECORD, RECORD])
    update = {
        "name": name,
        "example": Example(record=RECORD, scores=tuple(scores_of(model.predict(row)))),
        "files": {ARTIFACT: digest(path)},
    }
    commit(root, model.signature.model_copy(update=update))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("explained")
    for recipe in (SURVIVAL, IRIS, DIABETES):
        write_model(root, recipe)
    for name, estimator, task in (
        ("linear", Ridge(), "regression"),
        ("odds", LogisticRegression(), "binary"),
        ("species", LogisticRegression(), "multiclass"),
    ):
        write(root, name, made(estimator, task))
    return root


@pytest.fixture(scope="module")
def explaining(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(
        model_dir=folder, state_dir=tmp_path_factory.mktemp("state"), max_explained_rows=40
    )
    with TestClient(create_app(settings)) as client:
        yield client


def explained(client: TestClient, path: str, record: Json) -> Json:
    answer = client.post(path, json=record, params=ASKED)
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


def total(explanation: Json) -> float:
    added: float = explanation["base"] + sum(explanation["contributions"].values())
    return added


def test_contributions_add_up_to_a_number(explaining: TestClient) -> None:
    answer = explained(explaining, LINEAR, RECORD)
    explanation = answer["explanation"]
    assert list(explanation) == ["scale", "method", "base", "value", "contributions"]
    assert (explanation["scale"], explanation["method"]) == ("value", "exact")
    assert list(explanation["contributions"]) == list(FEATURES)
    assert total(explanation) == pytest.approx(explanation["value"])
    assert explanation["value"] == pytest.approx(answer["y"], abs=1e-5)


def test_contributions_add_up_to_the_log_odds_of_the_probability(explaining: TestClient) -> None:
    answer = explained(explaining, "/v1/models/odds/predict", RECORD)
    explanation = answer["explanation"]
    assert (explanation["class"], explanation["scale"]) == (1, "log-odds")
    assert 1 / (1 + math.exp(-total(explanation))) == pytest.approx(answer["probability"], abs=1e-5)


@pytest.mark.parametrize("record", [RECORD, OTHER])
def test_of_several_classes_the_predicted_one_is_explained(
    explaining: TestClient, record: Json
) -> None:
    answer = explained(explaining, SPECIES, record)
    explanation, shares = answer["explanation"], answer["probabilities"].values()
    assert (explanation["class"], explanation["scale"]) == (answer["y"], "log-ratio")
    centred = math.log(answer["probability"]) - sum(map(math.log, shares)) / len(shares)
    assert total(explanation) == pytest.approx(centred, abs=1e-4)


@pytest.mark.parametrize("recipe", [SURVIVAL, IRIS, DIABETES], ids=lambda recipe: recipe.name)
def test_what_is_sampled_says_how_sure_it_is(explaining: TestClient, recipe: Any) -> None:
    path = f"/v1/models/{recipe.name}/predict"
    answer = explained(explaining, path, dict(recipe.example))
    explanation = answer["explanation"]
    assert explanation["method"] == "sampled"
    assert list(explanation["standard_errors"]) == list(recipe.features)
    assert explanation["base_standard_error"] >= 0
    key = recipe.target.name if recipe is DIABETES else "probability"
    assert total(explanation) == pytest.approx(answer[key], rel=1e-5)


@pytest.mark.parametrize("query", [{}, {"explain": "false"}, {"explain": "0"}, {"extra": "auto"}])
def test_nothing_is_explained_unless_asked(explaining: TestClient, query: Json) -> None:
    answer = explaining.post(LINEAR, json=RECORD, params=query).json()
    whole = explained(explaining, LINEAR, RECORD)
    assert answer | {"id": ""} == {key: whole[key] for key in answer} | {"id": ""}
    assert whole.keys() - answer.keys() == {"explanation"}


def test_the_log_holds_the_answer_alone(
    folder: Path, tmp_path: Path, explaining: TestClient
) -> None:
    with TestClient(create_app(Settings(model_dir=folder, state_dir=tmp_path))) as client:
        prediction_id = explained(client, LINEAR, RECORD)["id"]
        database = tmp_path / "predictions.sqlite"
        wait_until(lambda: bool(rows_in(database)), seconds=20, what="a row in the log")
    (row,) = rows_in(database)
    assert row["id"] == prediction_id and "explanation" not in str(row)


@pytest.mark.parametrize("given", ["application/json", "text/csv", JSON_LINES])
@pytest.mark.parametrize("path", [LINEAR, SPECIES])
def test_rows_of_a_batch_are_explained_like_single_records(
    explaining: TestClient, path: str, given: str
) -> None:
    records = [RECORD, OTHER]
    body = {
        "application/json": json.dumps(records),
        "text/csv": csv_of(records),
        JSON_LINES: "\n".join(map(json.dumps, records)),
    }[given]
    headers = {"Content-Type": given, "Accept": "application/json"}
    answer = explaining.post(f"{path}/batch", content=body, headers=headers, params=ASKED)
    for row, record in zip(answer.json(), records, strict=True):
        assert row["explanation"] == explained(explaining, path, record)["explanation"]


def csv_of(records: list[Json]) -> str:
    lines = [",".join(map(str, record.values())) for record in records]
    return "\n".join([",".join(records[0]), *lines, ""])


@pytest.mark.parametrize("path", [LINEAR, SPECIES, "/v1/models/diabetes/predict"])
def test_a_table_has_a_column_for_each_contribution(explaining: TestClient, path: str) -> None:
    records = [dict(DIABETES.example)] * 2 if "diabetes" in path else [RECORD, OTHER]
    tables = {}
    for kind in ("text/csv", "application/vnd.apache.arrow.stream", PARQUET):
        answer = explaining.post(
            f"{path}/batch", json=records, headers={"Accept": kind}, params=ASKED
        )
        assert answer.status_code == 200, answer.text
        tables[kind] = table_of(kind, answer.content)
    documents = explaining.post(f"{path}/batch", json=records, params=ASKED).json()
    for rows in tables.values():
        for row, document in zip(rows, documents, strict=True):
            explanation = document["explanation"]
            for name, added in explanation["contributions"].items():
                assert float(row[f"contribution_{name}"]) == added
            for name in records[0]:
                error = explanation.get("standard_errors", {}).get(name)
                assert row[f"standard_error_{name}"] in (
                    (error,) if error is not None else (None, "")
                )
            assert float(row["explanation_base"]) == explanation["base"]
            assert float(row["explanation_value"]) == explanation["value"]
            assert row["explanation_method"] == explanation["method"]
            assert row["explanation_scale"] == explanation["scale"]
            if "class" in explanation:
                assert str(row["explanation_class"]) == str(explanation["class"])


PARQUET = "application/vnd.apache.parquet"


def table_of(kind: str, payload: bytes) -> list[Json]:
    if kind == "text/csv":
        rows = csv.DictReader(io.StringIO(payload.decode()))
        return [{key: number_of(value) for key, value in row.items()} for row in rows]
    if kind == PARQUET:
        table = pq.read_table(io.BytesIO(payload))
    else:
        table = pa.ipc.open_stream(payload).read_all()
    rows_: list[Json] = table.to_pylist()
    return rows_


def number_of(text: str) -> float | str:
    try:
        return float(text) if "." in text or "e" in text else text
    except ValueError:
        return text


@pytest.mark.parametrize("accept", ["application/json", "text/csv", PARQUET])
@pytest.mark.parametrize("bad", [1, 2])
def test_bad_rows_are_reported_beside_explained_ones(
    explaining: TestClient, accept: str, bad: int
) -> None:
    records = [RECORD, OTHER][bad - 1 :] + [{**RECORD, "kind": "z"}] * bad
    query = {**ASKED, "bad_rows": "report"}
    answer = explaining.post(
        f"{SPECIES}/batch", json=records, headers={"Accept": accept}, params=query
    )
    assert answer.status_code == 200, answer.text
    assert b"kind: " in answer.content if accept != PARQUET else answer.content


def test_a_batch_to_explain_may_have_fewer_rows(explaining: TestClient) -> None:
    answers = [
        explaining.post(f"{LINEAR}/batch", json=[RECORD] * rows, params=ASKED) for rows in (40, 41)
    ]
    assert [answer.status_code for answer in answers] == [200, 413]
    assert "more than 40 rows" in answers[1].text and "API_MAX_EXPLAINED_ROWS" in answers[1].text
    assert explaining.post(f"{LINEAR}/batch", json=[RECORD] * 41).status_code == 200


def test_an_operator_may_have_nothing_explained(folder: Path, serve: Serve) -> None:
    client = serve(folder, max_explained_rows=0)
    for path, body in ((LINEAR, RECORD), (f"{LINEAR}/batch", [RECORD])):
        refused = client.post(path, json=body, params=ASKED)
        assert refused.status_code == 422
        assert "API_MAX_EXPLAINED_ROWS is 0" in refused.json()["detail"]
        assert client.post(path, json=body).status_code == 200


def test_an_explanation_that_takes_too_long_is_ended(folder: Path, tmp_path: Path) -> None:
    settings = Settings(
        model_dir=folder, state_dir=tmp_path, prediction_log=False, explain_seconds=1e-6
    )
    with TestClient(create_app(settings)) as client:
        refused = client.post(LINEAR, json=RECORD, params=ASKED)
        assert refused.status_code == 422
        assert "API_EXPLAIN_SECONDS" in refused.json()["detail"]
        assert client.post(LINEAR, json=RECORD).status_code == 200


def test_explanations_leave_predictions_their_slots(folder: Path, serve: Serve) -> None:
    client = serve(folder, max_streams=1)
    load = client.app.services.load  # type: ignore[attr-defined]
    load.streams = 1
    refused = client.post(LINEAR, json=RECORD, params=ASKED)
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
    assert "explanations" in refused.json()["detail"]
    assert client.post(LINEAR, json=RECORD).status_code == 200
    load.streams = 0
    assert client.post(LINEAR, json=RECORD, params=ASKED).status_code == 200
    assert (load.streams, load.under_way) == (0, 0)


@pytest.mark.parametrize("path", [LINEAR, f"{LINEAR}/batch"])
def test_other_words_than_yes_and_no_are_refused(explaining: TestClient, path: str) -> None:
    refused = explaining.post(path, json=RECORD, params={"explain": "perhaps"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"].endswith("explain")


def test_a_target_that_is_named_so_is_not_explained(tmp_path: Path, serve: Serve) -> None:
    target = DIABETES.target.model_copy(update={"name": "explanation"})
    write_model(tmp_path, replace(DIABETES, target=target))
    client, path = serve(tmp_path), "/v1/models/diabetes/predict"
    refused = client.post(path, json=DIABETES.example, params=ASKED)
    assert refused.status_code == 422 and "named 'explanation' itself" in refused.text
    assert client.post(path, json=DIABETES.example).status_code == 200


def test_a_model_that_runs_apart_is_sampled_and_one_of_values_is_not_explained(
    models: Path, tmp_path: Path
) -> None:
    graph = build_graph(IRIS)
    sign(graph, IRIS)
    publish(tmp_path, "upload", graph)
    publish(tmp_path, "values", scaled(2))
    with uploading(models, tmp_path) as client:
        answer = explained(client, "/v1/models/upload/predict", dict(IRIS.example))
        assert answer["explanation"]["method"] == "sampled"
        assert total(answer["explanation"]) == pytest.approx(answer["probability"], rel=1e-5)
        body = client.post(
            "/v1/models/upload/predict/batch", json=[IRIS.example], params=ASKED
        ).json()
        assert body[0]["explanation"] == answer["explanation"]
        refused = client.post("/v1/models/values/predict", json={"values": [1]}, params=ASKED)
        assert refused.status_code == 422 and "no features to explain" in refused.text
