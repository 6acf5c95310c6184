"""One record in, its prediction out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.api.conftest import Serve
from tests.recorded import HEADERS, KEY_LINE, lines
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, Recipe, write_model
from tests.waiting import wait_until
from treeline.contract.features import Feature, Target

ABSENT = object()


def admitted(feature: Feature) -> st.SearchStrategy[object]:
    """Every kind of value that a feature admits."""
    lowest, highest = feature.kind.bounds(feature) or (0, 0)
    whole = st.integers(int(lowest), int(min(highest, 2**53)))
    values: st.SearchStrategy[object] = {
        "category": st.sampled_from(feature.categories or ("",)),
        "boolean": st.booleans(),
        "number": st.floats(lowest, highest) | whole,
        "integer": whole | whole.map(float),
    }[feature.type]
    return values | st.sampled_from([None, ABSENT]) if feature.optional else values


def refused(feature: Feature) -> st.SearchStrategy[object]:
    """Every kind of value that a feature does not admit."""
    values = [st.just([]), st.just({}), st.floats(allow_nan=True).filter(lambda x: x - x != 0)]
    if not feature.optional:
        values += [st.none(), st.just(ABSENT)]
    if feature.type != "boolean":
        values.append(st.booleans())
    if feature.type in {"boolean", "category"}:
        values.append(st.integers())
    if feature.type == "integer":
        values.append(st.floats(0, 1, exclude_min=True, exclude_max=True))
    if feature.minimum is not None:
        values.append(st.floats(max_value=feature.minimum, exclude_max=True))
    if feature.maximum is not None:
        values.append(st.floats(min_value=feature.maximum, exclude_min=True))
    return st.one_of(*values, st.text().filter(lambda text: text not in feature.categories))


def body_of(values: dict[str, object]) -> str:
    """JSON as a careless client writes it: NaN and Infinity are let through."""
    return json.dumps({name: value for name, value in values.items() if value is not ABSENT})


records = st.fixed_dictionaries(
    {name: admitted(feature) for name, feature in SURVIVAL.features.items()}
)


@given(record=records)
def test_every_record_that_the_contract_admits_is_answered(
    client: TestClient, record: dict[str, object]
) -> None:
    answer = client.post("/v1/predict", content=body_of(record))
    assert answer.status_code == 200, answer.text
    assert answer.json()["Event"] in (0.0, 1.0)
    assert 0 <= answer.json()["probability"] <= 1


@given(record=records, name=st.sampled_from(list(SURVIVAL.features)), data=st.data())
def test_one_value_that_it_does_not_admit_is_refused_by_name(
    client: TestClient, record: dict[str, object], name: str, data: st.DataObject
) -> None:
    record[name] = data.draw(refused(SURVIVAL.features[name]))
    answer = client.post("/v1/predict", content=body_of(record))
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [name]


def test_a_binary_answer_tells_the_probability_of_the_positive_class(client: TestClient) -> None:
    answer = client.post("/v1/predict", json=SURVIVAL.example).json()
    assert list(answer) == ["Event", "probability", "id", "model", "version"]
    assert answer["Event"] == 0.0
    assert answer["probability"] == pytest.approx(0.4133824)
    assert answer["model"] == "tree-survival"


def test_a_whole_number_that_names_a_class_is_answered_without_a_point(client: TestClient) -> None:
    assert '"Event":0,' in client.post("/v1/predict", json=SURVIVAL.example).text


def test_more_classes_are_answered_with_the_probability_of_each(client: TestClient) -> None:
    answer = client.post("/v1/models/iris/predict", json=IRIS.example).json()
    assert answer["species"] == "setosa"
    assert set(answer["probabilities"]) == set(IRIS.classes)
    assert answer["probability"] == max(answer["probabilities"].values())
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


def test_a_regression_answers_the_value_alone(client: TestClient) -> None:
    answer = client.post("/v1/models/diabetes/predict", json=DIABETES.example).json()
    assert list(answer) == ["progression", "id", "model", "version"]
    assert answer["progression"] == pytest.approx(54.4)


def test_a_model_without_probabilities_leaves_them_out(tmp_path: Path, serve: Serve) -> None:
    write_model(tmp_path, replace(SURVIVAL, probabilities=False))
    answer = serve(tmp_path).post("/v1/predict", json=SURVIVAL.example).json()
    assert list(answer) == ["Event", "id", "model", "version"]


@pytest.mark.parametrize("classes", [("no", "yes"), (False, True), (1, 2), (0.5, 2.0)], ids=str)
def test_classes_are_answered_as_they_were_declared(
    tmp_path: Path, serve: Serve, classes: tuple[str | bool | float, ...]
) -> None:
    target = Target(name="Event", task="binary", positive=classes[1])
    write_model(tmp_path, replace(SURVIVAL, target=target, classes=classes))
    answer = serve(tmp_path).post("/v1/predict", json=SURVIVAL.example).json()
    assert answer["Event"] == classes[0]
    assert type(answer["Event"]) is type(classes[0])


@pytest.mark.parametrize("recipe", [SURVIVAL, IRIS, DIABETES], ids=lambda recipe: recipe.name)
def test_every_model_answers_under_its_own_name(client: TestClient, recipe: Recipe) -> None:
    answer = client.post(f"/v1/models/{recipe.name}/predict", json=recipe.example)
    assert answer.status_code == 200
    assert answer.json()["model"] == recipe.name


def test_the_default_model_gives_the_same_answer_by_its_name(client: TestClient) -> None:
    by_default = client.post("/v1/predict", json=SURVIVAL.example).json()
    by_name = client.post("/v1/models/tree-survival/predict", json=SURVIVAL.example).json()
    assert by_default.pop("id") != by_name.pop("id")
    assert by_default == by_name


@pytest.mark.parametrize("left_out", ["absent", "null"])
def test_a_value_that_is_left_out_counts_as_its_fill(client: TestClient, left_out: str) -> None:
    record = {**SURVIVAL.example, "EMF": None}
    if left_out == "absent":
        del record["EMF"]
    filled = {**SURVIVAL.example, "EMF": 0}
    answers = [client.post("/v1/predict", json=each).json() for each in (record, filled)]
    assert answers[0]["probability"] == answers[1]["probability"]


def test_a_column_may_have_any_name(tmp_path: Path, serve: Serve) -> None:
    names = ["copy", "model_config", "_", "class", "feature_0", "a b\n'\"<é>", "__proto__", "body"]
    features = {name: Feature(type="number") for name in names}
    example = dict.fromkeys(names, 0.5)
    write_model(tmp_path, replace(DIABETES, features=features, example=example, weights={"_": 2}))
    answer = serve(tmp_path).post("/v1/predict", json=example)
    assert answer.status_code == 200, answer.text
    assert answer.json()["progression"] == 1.0


@pytest.mark.parametrize(
    "media_type", ["application/json", "application/json; charset=utf-8", "application/ld+json", ""]
)
def test_json_is_read_under_each_of_its_media_types(client: TestClient, media_type: str) -> None:
    body, headers = json.dumps(SURVIVAL.example), {"Content-Type": media_type} if media_type else {}
    assert client.post("/v1/predict", content=body, headers=headers).status_code == 200


def test_a_request_keeps_the_id_that_it_came_with(client: TestClient) -> None:
    answer = client.post("/v1/predict", json={}, headers={"X-Request-ID": "cart-17/retry.2"})
    assert answer.headers["X-Request-ID"] == "cart-17/retry.2"


@pytest.mark.parametrize("given", ["", "x" * 129, "two words", "<script>"])
def test_a_request_without_a_sane_id_is_given_one(client: TestClient, given: str) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert len(answer.headers["X-Request-ID"]) == 32


BESIDES = {"Plot": 3, "Núm": [1, {"a": 2}], "Event": None}
FULL = {**SURVIVAL.example, **BESIDES}
SPARSE = {name: value for name, value in FULL.items() if name != "EMF"}  # which may be left out


@pytest.mark.parametrize(
    ("query", "record", "status"),
    [
        ("?extra=ignore", FULL, 200), ("?extra=ignore", SPARSE, 200),
        ("?extra=auto", FULL, 200), ("?extra=auto", SPARSE, 422),
        ("?extra=refuse", FULL, 422), ("", FULL, 422), ("?other=1", FULL, 422),
        ("?extra=ignore", {**SURVIVAL.example, "Leaves": -1}, 422),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/models/tree-survival/predict"])
def test_keys_that_are_no_features_are_ignored_where_that_is_asked(
    client: TestClient, path: str, query: str, record: dict[str, object], status: int
) -> None:
    answer = client.post(path + query, json=record)
    assert answer.status_code == status
    if status == 200:
        assert answer.headers["ignored-columns"].split(",") == ["Plot", "N%C3%BAm", "Event"]
        known = {name: value for name, value in record.items() if name not in BESIDES}
        alone = client.post(path + query, json=known)
        assert alone.json()["probability"] == answer.json()["probability"]
        assert "ignored-columns" not in alone.headers
    elif record.keys() > SURVIVAL.features.keys():
        first = answer.json()["errors"][0]
        assert first["field"] == "Plot"
        assert first["message"].endswith("Leave it out, or have it ignored with ?extra=ignore")


@pytest.mark.parametrize("extra", ["", "yes", "IGNORE", "x" * 5000])
def test_another_word_for_it_is_refused_with_those_there_are(
    client: TestClient, extra: str
) -> None:
    answer = client.post("/v1/predict", params={"extra": extra}, json=SURVIVAL.example)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "extra" and "one of auto, ignore, refuse" in error["message"]
    assert len(answer.content) < 1000


@pytest.mark.parametrize(
    "body",
    [b"[1]", b'{"a": ', b"7", b"{%b}" % b",".join(b'"u%d":0' % at for at in range(60_000)),
     b'{"Light_ISF": 1e400, "a": 1}'],
    ids=["list", "half", "number", "very many keys", "infinite"],
)  # fmt: skip
def test_what_is_no_record_is_refused_as_without_it(client: TestClient, body: bytes) -> None:
    with_it = client.post("/v1/predict?extra=ignore", content=body)
    without = client.post("/v1/predict", content=body)
    assert with_it.status_code == without.status_code >= 400


def test_what_is_ignored_is_not_recorded(models: Path, tmp_path: Path) -> None:
    settings = Settings(model_dir=models, state_dir=tmp_path, keys=KEY_LINE)
    with TestClient(create_app(settings), headers=HEADERS) as client:
        client.post("/v1/predict?extra=ignore", json=FULL)
        wait_until(
            lambda: [
                row["features"] for row in lines(client.get("/v1/predictions").text)
            ] == [SURVIVAL.example],
            seconds=15,
            what="the features alone are recorded",
        )  # fmt: skip
