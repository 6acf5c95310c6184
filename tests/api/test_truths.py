"""A truth is a class of its model, kept in the type of the class; what is none changes nothing."""

import csv
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.contract.truths import Truths, WrongTruthError, like
from api.prediction_log.database import Database, url_of
from api.settings import Settings
from tests.recorded import HEADERS, KEY_LINE, lines
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, write_model
from tests.waiting import wait_until
from treeline.contract.features import Label

FEEDBACK = "/v1/feedback"
ZERO_ONE, TRUTHS, GRADES, WORDS = (0, 1), (False, True), (3, 5, 7), ("dead", "5", "Alive")
DECIMALS = (0.5, 1.0)
TAKEN: list[tuple[tuple[Label, ...], Any, Label]] = [
    (ZERO_ONE, 1, 1), (ZERO_ONE, 1.0, 1), (ZERO_ONE, "1", 1), (ZERO_ONE, "1.0", 1),
    (ZERO_ONE, True, 1), (ZERO_ONE, "FALSE", 0), (ZERO_ONE, 0, 0), (ZERO_ONE, "0e0", 0),
    (TRUTHS, True, True), (TRUTHS, "true", True), (TRUTHS, 1, True), (TRUTHS, "0", False),
    (GRADES, 5, 5), (GRADES, 5.0, 5), (GRADES, "5", 5), (GRADES, "5.0", 5),
    (WORDS, "dead", "dead"), (WORDS, 5, "5"), (WORDS, 5.0, "5"),
    (DECIMALS, 1, 1.0), (DECIMALS, "0.5", 0.5),
]  # fmt: skip
REFUSED: list[tuple[tuple[Label, ...], Any]] = [
    (ZERO_ONE, "died"), (ZERO_ONE, 2), (ZERO_ONE, 0.5), (ZERO_ONE, -1), (ZERO_ONE, ""),
    (TRUTHS, "yes"), (TRUTHS, 2), (GRADES, True), (GRADES, 4), (GRADES, "five"), (GRADES, 5.5),
    (WORDS, "alive"), (WORDS, "dead "), (WORDS, True), (DECIMALS, 0), (DECIMALS, False),
]  # fmt: skip


def of(classes: tuple[Label, ...]) -> Truths:
    return Truths("m", classes, task="multiclass")


@pytest.mark.parametrize(("classes", "given", "kept"), TAKEN, ids=str)
def test_a_class_is_met_however_it_is_spelt_and_kept_as_it_is(
    classes: tuple[Label, ...], given: Label, kept: Label
) -> None:
    found = of(classes).taken(given)
    assert (found, type(found)) == (kept, type(kept))


@pytest.mark.parametrize(("classes", "given"), REFUSED, ids=str)
def test_what_is_no_class_is_refused_with_those_there_are(
    classes: tuple[Label, ...], given: Label
) -> None:
    with pytest.raises(WrongTruthError, match="is no class of m; its classes are") as error:
        of(classes).taken(given)
    assert error.value.admitted is not None and len(error.value.admitted) == len(classes)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(1, 1.0), (2.5, 2.5), ("2.5", 2.5), ("-1e3", -1000.0), (True, None), ("tall", None),
     ("nan", None), ("1e999", None), ("", None)],
)  # fmt: skip
def test_the_truth_of_a_regression_is_a_finite_number(given: Label, kept: float | None) -> None:
    truths = Truths("m", (), task="regression")
    if kept is None:
        with pytest.raises(WrongTruthError, match="give a finite number"):
            truths.taken(given)
    else:
        assert (truths.taken(given), type(truths.taken(given))) == (kept, float)


@pytest.mark.parametrize(
    ("given", "predicted", "shares", "kept"),
    [("5", 3, {"3": 0.5, "5": 0.5}, 5), ("4", 3, {"3": 0.5, "5": 0.5}, None),
     ("b", "a", {"a": 0.5, "b": 0.5}, "b"), ("c", "a", {"a": 0.5, "b": 0.5}, None),
     (0, 1, None, 0), ("died", 1, None, None), (1, "a", None, None), ("z", "a", None, "z"),
     (True, 1, None, None), (False, True, None, False), ("all", {"x": [1]}, None, "all")],
)  # fmt: skip
def test_without_its_model_a_truth_is_held_against_what_was_predicted(
    given: Label, predicted: Any, shares: dict[str, float] | None, kept: Label | None
) -> None:
    if kept is None:
        with pytest.raises(WrongTruthError):
            like(given, predicted, shares)
    else:
        assert like(given, predicted, shares) == kept


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def client(models: Path, state: Path) -> Iterator[TestClient]:
    settings = Settings(model_dir=models, state_dir=state, keys=KEY_LINE)
    with TestClient(create_app(settings), headers=HEADERS) as client:
        yield client


def truths(client: TestClient) -> dict[str, Any]:
    """Return prediction and truth of each that is exported, as they stand in JSON."""
    return {
        row["id"]: (row["prediction"], row["truth"])
        for row in lines(client.get("/v1/predictions").text)
    }


def refusal(client: TestClient, body: object) -> dict[str, Any]:
    answer = client.post(FEEDBACK, json=body)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    found: dict[str, Any] = error
    return found


def doors(client: TestClient) -> dict[str, str]:
    """Return the id of a prediction of each way to ask for one."""
    single = client.post("/v1/predict", json=SURVIVAL.example).json()["id"]
    batch = client.post("/v1/predict/batch", json=[SURVIVAL.example]).json()[0]["id"]
    inputs = [
        {"name": name, "shape": [1], "datatype": datatype, "data": [SURVIVAL.example[name]]}
        for name, datatype in {
            "Species": "BYTES", "Light_ISF": "FP64", "EMF": "FP64", "Phenolics": "FP64",
            "Leaves": "FP64", "Sterile": "BOOL",
        }.items()
    ]  # fmt: skip
    outputs = client.post("/v2/models/tree-survival/infer", json={"inputs": inputs}).json()
    (ids,) = (each["data"] for each in outputs["outputs"] if each["name"] == "id")
    return {"single": single, "batch": batch, "protocol": ids[0]}


def test_nonsense_is_refused_at_once_and_overwrites_no_truth(client: TestClient) -> None:
    ids = doors(client)
    for name in ids.values():
        error = refusal(client, {"id": name, "truth": "died"})
        assert error["field"] == "truth" and error["admitted"] == ["0", "1"]
        assert "is no class of tree-survival; its classes are 0, 1" in error["message"]
        assert client.post(FEEDBACK, json={"id": name, "truth": "1.0"}).status_code == 202
        refusal(client, {"id": name, "truth": 7})
    refused = refusal(client, [{"id": name, "truth": truth} for name, truth in
                               zip(ids.values(), (0, 0, 2), strict=True)])  # fmt: skip
    assert refused["field"] == "2.truth"

    def every_truth_is_one() -> bool:
        found = truths(client)
        return all(found.get(name, (0, 0))[1] == 1 for name in ids.values())

    wait_until(every_truth_is_one, seconds=15, what="each truth is there, and only the good one")


def test_an_export_joins_without_conversions(client: TestClient) -> None:
    told = {
        "tree-survival": (SURVIVAL, "false"), "iris": (IRIS, "setosa"), "diabetes": (DIABETES, 54),
    }  # fmt: skip
    kept = {"tree-survival": 0, "iris": "setosa", "diabetes": 54.0}
    for model, (recipe, truth) in told.items():
        found = client.post(f"/v1/models/{model}/predict", json=recipe.example).json()["id"]
        client.post(FEEDBACK, json={"id": found, "truth": truth})
    refusal(client, {"id": found, "truth": "far"})

    def exported() -> list[dict[str, Any]]:
        return lines(client.get("/v1/predictions").text)

    wait_until(
        lambda: {row["model"]: row["truth"] for row in exported()} == kept,
        seconds=15,
        what="every truth is there",
    )
    for row in exported():
        assert type(row["truth"]) is type(row["prediction"])
    text = client.get("/v1/predictions?format=csv&model=tree-survival").text
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["prediction"] == row["truth"] == "0"


def test_a_prediction_of_an_earlier_release_is_looked_up(
    client: TestClient, models: Path, state: Path
) -> None:
    """Its id has no tag; its model is served still, in this version or another, or no more."""
    client.get("/v1/predictions")
    database = Database(url_of(None, state))
    version = json.loads((models / "tree-survival" / "signature.json").read_text())["version"]
    own = {"time": time.time(), "features": "{}", "latency_seconds": 0.1, "key": None}
    own |= {"prediction": "1", "probability": None, "probabilities": None}
    rows = [
        own | {"id": "served", "model": "tree-survival", "version": version},
        own | {"id": "before", "model": "tree-survival", "version": "0"},
        own | {"id": "gone", "model": "gone", "version": "0", "prediction": '"a"',
               "probabilities": '{"a":0.5,"b":0.5}'},
    ]  # fmt: skip
    database.add(rows, [])
    for name, truth in (("served", 2), ("served", "x"), ("before", "x"), ("gone", "c")):
        assert refusal(client, {"id": name, "truth": truth})["field"] == "truth"
    told = {"served": "0", "before": 0, "gone": "b", "not-there-yet": "whatever"}
    good = [{"id": name, "truth": truth} for name, truth in told.items()]
    assert client.post(FEEDBACK, json=good).json() == {"accepted": 4}
    wait_until(
        lambda: truths(client) == {"served": (1, 0), "before": (1, 0), "gone": ("a", "b")},
        seconds=15,
        what="every truth is joined",
    )


def test_the_tag_is_that_of_the_classes_and_not_of_the_version(tmp_path: Path) -> None:
    first = write_model(tmp_path, SURVIVAL)
    again = write_model(tmp_path, replace(SURVIVAL, weights={"EMF": 1.0}))
    assert first.version != again.version
    assert Truths.of(first).tag == Truths.of(again).tag
    assert Truths.of(first).tag != Truths.of(write_model(tmp_path, IRIS)).tag
