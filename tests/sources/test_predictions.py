"""What a service predicted, and what proved to be true → rows to learn from."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.prediction_log import database as api_tables
from api.prediction_log.addresses import SCHEMA_VERSION
from api.prediction_log.database import Database, url_of
from tests.databases import opened
from tests.recorded import HEADERS, KEY_LINE
from tests.serving import serving
from tests.tiny_models import SURVIVAL, write_model
from tests.waiting import wait_until
from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.config.sources import PredictionsSource
from treeline.errors import SourceError
from treeline.sources import predictions
from treeline.sources.predictions import PredictionTables
from treeline.stages.collect import collect
from treeline.tables import read_frame

DECLARED = {"kind": "predictions", "model": "tree-survival", "target": "Event"}
FEATURES = list(SURVIVAL.features)


def source(url: str, **declared: Any) -> PredictionsSource:
    return PredictionsSource.model_validate(DECLARED | {"url": url} | declared)


def rows(url: str, **declared: Any) -> list[dict[str, Any]]:
    found = PredictionTables(source(url, **declared)).tables()
    return [row for table in found for row in table.to_pylist()]


def logged(number: int, features: Any, **more: Any) -> dict[str, Any]:
    row = {"time": float(number), "model": "tree-survival", "version": "1", "prediction": "1.0"}
    row |= {"latency_seconds": 0.001, "probability": None, "probabilities": None, "key": None}
    return row | {"id": f"p{number}", "features": json.dumps(features)} | more


def log_in(url: str) -> Database:
    """Return the log that a service would make in a database."""
    database = Database(url_of(url, Path()))
    database.prepare()
    return database


@pytest.fixture
def log(tmp_path: Path) -> tuple[Database, str]:
    url = f"sqlite:///{tmp_path}/log.sqlite"
    return log_in(url), url


def test_the_tables_are_those_of_the_service() -> None:
    assert SCHEMA_VERSION == predictions.LOG_VERSION
    known = {name: {*table.c.keys()} for name, table in api_tables.metadata.tables.items()}
    for name, columns in predictions.LOG.items():
        assert {*columns} <= known[name]


def test_what_a_service_answered_becomes_rows_once_the_truth_is_told(
    tmp_path: Path, declaration: dict[str, Any]
) -> None:
    models, example = tmp_path / "model", dict(SURVIVAL.example)
    write_model(models, SURVIVAL)
    settings = {"API_KEYS": KEY_LINE, "API_PREDICTION_LOG_REDACT": "Leaves"}
    with serving(models, tmp_path / "service.log", **settings) as service:
        client = httpx2.Client(base_url=service.url, headers=HEADERS)
        with client:
            asked = [example, example | {"Phenolics": None}, example | {"Light_ISF": 0.5}]
            ids = [client.post("/v1/predict", json=each).json()["id"] for each in asked]
            for place, truth in ((0, 1), (2, 1), (2, 0)):  # the second one never proves true
                client.post("/v1/feedback", json={"id": ids[place], "truth": truth})
            url = f"sqlite:///{tmp_path}/state/predictions.sqlite"

            def told() -> list[int]:
                with suppress(SourceError):  # the database is not there at once
                    return [row["Event"] for row in rows(url)]
                return []

            wait_until(lambda: told() == [1, 0], seconds=20, what="both truths are told")
    declaration["source"] = DECLARED | {"url": url, "columns": {"Plot": "integer"}}
    spec = ModelSpec.model_validate(declaration)
    paths = Layout("seedlings", tmp_path)
    assert collect(spec, paths) == "2 rows from predictions"
    frame = read_frame(paths.raw)
    assert frame["Light_ISF"].tolist() == [0.25, 0.5]
    assert frame["Sterile"].tolist() == [False, False]
    assert frame["Leaves"].isna().all()
    assert {*frame.columns} == {*FEATURES, "Event"}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_rows_come_by_time_with_types_that_hold_all_values(kind: str, tmp_path: Path) -> None:
    with opened(kind, tmp_path) as made:
        log = log_in(made.url)
        log.add(
            [
                logged(3, {"a": 2.5, "b": "x", "c": None}),
                logged(1, {"a": 1, "b": None}),
                logged(2, {"a": 7}, model="another"),
            ],
            [{"id": f"p{number}", "time": 1.0, "truth": "true"} for number in (1, 2, 3)],
        )
        log.engine.dispose()
        assert rows(made.url) == [
            {"a": 1.0, "b": None, "c": None, "Event": True},
            {"a": 2.5, "b": "x", "c": None, "Event": True},
        ]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_truth_by_key_and_the_key_itself_come_along(kind: str, tmp_path: Path) -> None:
    with opened(kind, tmp_path) as made:
        log = log_in(made.url)
        log.add(
            [
                logged(1, {"a": 1}, key="x"),
                logged(2, {"a": 2}, key="y"),
                logged(3, {"a": 3}),
                logged(4, {"a": 4}, key="of-no-truth"),
            ],
            [
                {"model": "tree-survival", "key": "x", "time": 2.0, "truth": "1"},
                {"model": "another", "key": "y", "time": 9.0, "truth": "0"},
                {"model": "tree-survival", "key": "y", "time": 2.0, "truth": "0"},
                {"id": "p2", "time": 1.0, "truth": "1"},
                {"id": "p3", "time": 1.0, "truth": "1"},
            ],
        )
        log.engine.dispose()
        declared = {"key": "tx", "columns": {"tx": "text"}}
        assert rows(made.url, **declared) == [
            {"a": 1, "tx": "x", "Event": 1},
            {"a": 2, "tx": "y", "Event": 0},
            {"a": 3, "tx": None, "Event": 1},
        ]
        assert "tx" not in rows(made.url)[0]


def test_they_follow_the_rows_of_a_base_in_its_columns(log: tuple[Database, str]) -> None:
    database, url = log
    features = {"sepal length (cm)": 5, "petal width (cm)": 0.25, "colour": "blue"}
    database.add([logged(1, features)], [{"id": "p1", "time": 1.0, "truth": "2"}])
    base = {"kind": "library", "dataset": "iris"}
    found = rows(url, target="target", base=base, constants={"petal length (cm)": 1.5})
    assert len(found) == 151
    assert found[-1] == {
        "sepal length (cm)": 5.0, "sepal width (cm)": None, "petal length (cm)": 1.5,
        "petal width (cm)": 0.25, "target": 2,
    }  # fmt: skip
    assert rows(url, target="target", base=base, model="another") == found[:-1]


@pytest.mark.parametrize(
    ("features", "told"),
    [({"a": [1, 2]}, "feature 'a' of a logged prediction is no plain value"),
     ({"sepal length (cm)": "wide"}, "logged values of 'sepal length (cm)' do not fit")],
    ids=["tensor", "other type"],
)  # fmt: skip
def test_what_cannot_be_learnt_from_is_told(
    log: tuple[Database, str], features: dict[str, Any], told: str
) -> None:
    database, url = log
    database.add([logged(1, features)], [{"id": "p1", "time": 1.0, "truth": "2"}])
    with pytest.raises(SourceError) as error:
        rows(url, target="target", base={"kind": "library", "dataset": "iris"})
    assert told in str(error.value)


def test_a_log_of_another_release_is_refused(log: tuple[Database, str]) -> None:
    database, url = log
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE prediction_log_schema SET version = 99")
    with pytest.raises(SourceError, match="tables of version 99, and this release reads 2"):
        rows(url)


def test_what_belongs_beside_the_base_is_refused_in_it() -> None:
    with pytest.raises(ValueError, match="belong beside `base`"):
        source("sqlite:///a", base={"kind": "library", "dataset": "iris", "where": {"a": 1}})
