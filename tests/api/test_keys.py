"""A caller's own key: admitted at every door, recorded, joined with the truth; no model sees it."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from pyarrow import parquet
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.recorded import HEADERS, KEY_LINE, lines
from tests.tiny_models import IRIS, SURVIVAL, Recipe, write_model
from tests.waiting import wait_until

KEY = "transaction_id"
KEYED = replace(SURVIVAL, key=KEY, missing=("NA",))
FEEDBACK, BATCH = "/v1/feedback", "/v1/predict/batch"
KEYS: list[Any] = ["tx-1", "a:b/c=d@e+f_g.h", 7, None]
SHOWN = ["tx-1", "a:b/c=d@e+f_g.h", "7", None]
ROWS = [{**SURVIVAL.example, KEY: key} for key in KEYS]
BAD: list[Any] = ["", "two words", "x" * 101, "ü", "a\nb", 1.5, True, 2**53, ["a"], {"a": 1}]


def as_csv(rows: list[dict[str, Any]], *, quoted: bool = False) -> bytes:
    sink = io.StringIO()
    style: Literal[0, 1] = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    writer = csv.DictWriter(sink, list(rows[0]), quoting=style, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode()


def as_columns(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps({name: [row[name] for row in rows] for name in rows[0]}).encode()


def as_table(rows: list[dict[str, Any]]) -> pa.Table:
    texts = [{**row, KEY: None if row[KEY] is None else str(row[KEY])} for row in rows]
    return pa.Table.from_pylist(texts)


def as_stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def as_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    return sink.getvalue()


def whole_numbers(kind: pa.DataType) -> bytes:
    return as_stream(as_table(ROWS).set_column(
        as_table(ROWS).column_names.index(KEY), KEY, pa.array([1, 22, None, 4], kind)
    ))  # fmt: skip


ARROW = "application/vnd.apache.arrow.stream"
DOORS: dict[str, tuple[str, bytes, list[str | None]]] = {
    "CSV": ("text/csv", as_csv(ROWS), SHOWN),
    "CSV in quotes": ("text/csv", as_csv(ROWS, quoted=True), SHOWN),
    "CSV, a word for missing": ("text/csv", as_csv(ROWS[:1]) + as_csv([{**ROWS[0], KEY: "NA"}])
                                .split(b"\n", 1)[1], ["tx-1", None]),
    "JSON": ("application/json", json.dumps(ROWS).encode(), SHOWN),
    "JSON, some without": ("application/json",
                           json.dumps([SURVIVAL.example, *ROWS[:2]]).encode(), [None, *SHOWN[:2]]),
    "JSON columns": ("application/json", as_columns(ROWS), SHOWN),
    "JSON lines": ("application/x-ndjson",
                   b"\n".join(json.dumps(row).encode() for row in ROWS), SHOWN),
    "JSON lines, an extra key": ("application/x-ndjson",
                                 json.dumps({**ROWS[0], "EMF": 1, "plot": 2}).encode(), ["tx-1"]),
    "Arrow": (ARROW, as_stream(as_table(ROWS)), SHOWN),
    "Arrow by dictionary": (ARROW, as_stream(pa.table({
        name: column.dictionary_encode() if name == KEY else column
        for name, column in zip(as_table(ROWS).column_names, as_table(ROWS).columns, strict=True)
    })), SHOWN),
    "Arrow whole numbers": (ARROW, whole_numbers(pa.int64()), ["1", "22", None, "4"]),
    "Arrow floats": (ARROW, whole_numbers(pa.float64()), ["1", "22", None, "4"]),
    "Parquet": ("application/vnd.apache.parquet", as_parquet(as_table(ROWS)), SHOWN),
    "no column of it": ("text/csv", as_csv([dict(SURVIVAL.example)] * 2), [None, None]),
}  # fmt: skip


def served(folder: Path, *recipes: Recipe, **settings: Any) -> TestClient:
    for recipe in recipes:
        write_model(folder / "model", recipe)
    made = Settings(model_dir=folder / "model", state_dir=folder / "state", keys=KEY_LINE)
    return TestClient(create_app(made.model_copy(update=settings)), headers=HEADERS)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with served(tmp_path_factory.mktemp("keys"), KEYED, replace(IRIS, default=False)) as client:
        yield client


def exported(client: TestClient, batch: str, count: int) -> list[dict[str, Any]]:
    """Return what is exported of the ids that begin so, once there is so much."""
    found: list[dict[str, Any]] = []

    def all_there() -> bool:
        rows = lines(client.get("/v1/predictions").text)
        found[:] = [row for row in rows if row["id"].startswith(batch)]
        return len(found) == count

    wait_until(all_there, seconds=20, what="they are in the database")
    return found


@pytest.mark.parametrize(("media_type", "body", "keys"), DOORS.values(), ids=DOORS)
def test_every_format_of_a_batch_carries_the_key_to_the_log(
    client: TestClient, media_type: str, body: bytes, keys: list[str | None]
) -> None:
    headers = {"content-type": media_type, "accept": "application/json"}
    answer = client.post(BATCH, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert KEY not in answer.headers.get("Ignored-Columns", "")
    ids = [row["id"] for row in answer.json()]
    rows = exported(client, ids[0].partition("-")[0], len(keys))
    assert [row["key"] for row in sorted(rows, key=lambda row: ids.index(row["id"]))] == keys
    assert all(KEY not in row["features"] for row in rows)


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/models/tree-survival/predict"])
@pytest.mark.parametrize(("key", "shown"), list(zip(KEYS, SHOWN, strict=True)), ids=str)
def test_a_single_record_may_have_its_key(
    client: TestClient, path: str, key: Any, shown: str | None
) -> None:
    with_key = client.post(path, json={**SURVIVAL.example, KEY: key}).json()
    without = client.post(path, json=SURVIVAL.example).json()
    assert with_key.keys() == without.keys()
    assert with_key["probability"] == without["probability"]
    (row,) = exported(client, with_key["id"], 1)
    assert row["key"] == shown
    assert row["features"] == SURVIVAL.example
    assert exported(client, without["id"], 1)[0]["key"] is None


@pytest.mark.parametrize("key", BAD, ids=lambda key: str(key)[:20])
def test_what_is_no_key_is_refused_with_what_one_is(client: TestClient, key: Any) -> None:
    record = {**SURVIVAL.example, KEY: key}
    wanted = "give a text of 1 to 100 plain characters, or a whole number, or leave it out"
    for body in (client.post("/v1/predict", json=record), client.post(BATCH, json=[record])):
        assert body.status_code == 422
        (error,) = body.json()["errors"]
        assert error["field"] in (KEY, f"row 1: {KEY}") and wanted in error["message"]
    if isinstance(key, str) and key:
        for content in (as_csv([record]), as_csv([record], quoted=True)):
            answer = client.post(BATCH, content=content, headers={"content-type": "text/csv"})
            (error,) = answer.json()["errors"]
            assert error["field"] == f"row 1: {KEY}" and wanted in error["message"]
        stream = as_stream(as_table([record]))
        answer = client.post(BATCH, content=stream, headers={"content-type": ARROW})
        assert answer.json()["errors"][0]["field"] == f"row 1: {KEY}"


def test_of_bad_rows_that_are_reported_the_keys_of_the_good_ones_stay(client: TestClient) -> None:
    rows = [ROWS[0], {**ROWS[1], "Leaves": -1}, {**ROWS[2], KEY: "no key"}, {**ROWS[0], KEY: 9}]
    for content, media_type in (
        (json.dumps(rows).encode(), "application/json"), (as_csv(rows), "text/csv"),
    ):  # fmt: skip
        answer = client.post(
            f"{BATCH}?bad_rows=report",
            content=content,
            headers={"content-type": media_type, "accept": "application/json"},
        )
        found = answer.json()
        assert ["error" not in row for row in found] == [True, False, False, True]
        kept = exported(client, found[0]["id"].partition("-")[0], 2)
        assert [row["key"] for row in kept] == ["tx-1", "9"]


def test_the_truth_is_told_by_the_key_before_or_after_the_prediction(client: TestClient) -> None:
    early = client.post(FEEDBACK, json={"key": "early", "truth": "1"})
    named = {"key": 77, "model": "tree-survival", "truth": 0}
    assert (early.status_code, client.post(FEEDBACK, json=named).status_code) == (202, 202)
    ids = {
        key: client.post("/v1/predict", json={**SURVIVAL.example, KEY: key}).json()["id"]
        for key in ("early", 77, "twice")
    }
    again = client.post("/v1/predict", json={**SURVIVAL.example, KEY: "twice"}).json()["id"]
    client.post(FEEDBACK, json=[{"key": "twice", "truth": 1}, {"key": "nobody", "truth": 1}])
    expected = {ids["early"]: 1, ids[77]: 0, ids["twice"]: 1, again: 1}

    def told() -> dict[str, Any]:
        rows = lines(client.get("/v1/predictions").text)
        return {row["id"]: row["truth"] for row in rows if row["id"] in expected}

    wait_until(lambda: told() == expected, seconds=20, what="every truth is joined")
    client.post(FEEDBACK, json={"id": again, "truth": 0})  # later, and of this one alone
    expected[again] = 0
    wait_until(lambda: told() == expected, seconds=20, what="the later one counts")
    client.post(FEEDBACK, json={"key": "twice", "truth": 1})
    expected[again] = 1
    wait_until(lambda: told() == expected, seconds=20, what="the last one counts")
    for name in ("csv", "parquet"):
        content = client.get(f"/v1/predictions?format={name}").content
        table = (
            list(csv.DictReader(io.StringIO(content.decode())))
            if name == "csv"
            else parquet.read_table(io.BytesIO(content)).to_pylist()
        )
        by_id = {row["id"]: row for row in table}
        assert (by_id[again]["key"], by_id[again]["truth"]) == ("twice", "1")


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"key": "a b", "truth": 1}, "key", "1 to 100 plain characters"),
        ({"key": None, "truth": 1}, "key", "1 to 100 plain characters"),
        ({"key": "a", "truth": 2}, "truth", "its classes are 0, 1"),
        ({"key": "a"}, "truth", "is missing"),
        ({"key": "a", "truth": 1, "model": "iris"}, "model", "declares no key; models that do: t"),
        ({"key": "a", "truth": 1, "model": "gone"}, "model", "is not served here"),
        ({"key": "a", "truth": 1, "id": "b"}, "key", "Extra inputs"),
        ([{"key": "a", "truth": 1}, {"key": "b", "truth": "x"}], "1.truth", "is no class"),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_a_truth_by_key_is_held_against_its_model(
    client: TestClient, body: object, field: str, reason: str
) -> None:
    answer = client.post(FEEDBACK, json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field and reason in error["message"]


def test_the_document_tells_of_the_key_where_there_is_one(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    found = schemas["tree-survival.record"]
    assert found["properties"][KEY]["type"] == ["string", "integer", "null"]
    assert "No model sees it" in found["properties"][KEY]["description"]
    assert KEY not in found["required"]
    assert KEY not in schemas["iris.record"]["properties"]
    body = document["paths"][FEEDBACK]["post"]["requestBody"]["content"]["application/json"]
    assert "FeedbackByKey" in json.dumps(body["schema"])
    assert "key" in schemas["FeedbackByKey"]["properties"]


def test_a_model_without_a_key_takes_none(client: TestClient) -> None:
    record = {**IRIS.example, KEY: "tx-1"}
    answer = client.post("/v1/models/iris/predict", json=record)
    assert answer.json()["errors"][0]["field"] == KEY


def test_a_key_that_is_redacted_never_reaches_the_disk(tmp_path: Path) -> None:
    redact = {"prediction_log_redact": [KEY]}
    with served(tmp_path, KEYED, **redact) as client:
        record = {**SURVIVAL.example, KEY: "secret-1"}
        ids = [client.post("/v1/predict", json=record).json()["id"]]
        for body, media_type in (
            (as_csv([record]), "text/csv"), (as_parquet(as_table([record])), DOORS["Parquet"][0]),
        ):  # fmt: skip
            answer = client.post(
                BATCH,
                content=body,
                headers={"content-type": media_type, "accept": "application/json"},
            )
            ids.append(answer.json()[0]["id"])
        for name in ids:
            (row,) = exported(client, name, 1)
            assert row["key"] is None
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert files and not any(b"secret-1" in path.read_bytes() for path in files)
