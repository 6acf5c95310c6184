"""A batch answers each row as a single request would, in every format, and says what is wrong."""

import csv
import io
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic_core import from_json, to_json
from starlette.testclient import TestClient

from tests.tiny_models import DIABETES, IRIS, SURVIVAL, Recipe

CSV, JSON, LINES = "text/csv", "application/json", "application/x-ndjson"
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
Rows = list[dict[str, Any]]


def whole(rng: random.Random, low: int, high: int) -> float:
    """Return a whole number, as JSON has it that was a float."""
    return float(rng.randint(low, high))


def records(recipe: Recipe, count: int = 20) -> Rows:
    """Return random records of a recipe; what may be missing sometimes is."""
    rng = random.Random(recipe.name)
    found = []
    for _ in range(count):
        record: dict[str, Any] = {}
        for name, feature in recipe.features.items():
            low = -3 if feature.minimum is None else feature.minimum
            high = 9 if feature.maximum is None else feature.maximum
            draws: dict[str, Callable[[], Any]] = {
                "category": partial(rng.choice, feature.categories),
                "boolean": lambda: rng.random() < 0.5,
                "integer": partial(whole, rng, int(low), int(high)),
                "number": partial(rng.uniform, low, high),
            }
            record[name] = draws[feature.type]()
            if feature.optional and rng.random() < 0.3:
                record[name] = None
        found.append(record)
    return found


def text(value: object) -> str:
    """Return what a CSV has for a value."""
    return "" if value is None else to_json(value).decode().strip('"')


def to_csv(rows: Rows, **options: Any) -> bytes:
    written = io.StringIO()
    writer = csv.writer(written, **options)
    writer.writerow(rows[0])
    writer.writerows([text(value) for value in row.values()] for row in rows)
    return written.getvalue().encode()


def to_arrow(rows: Rows) -> bytes:
    table, sink = pa.Table.from_pylist(rows), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=7)
    return sink.getvalue().to_pybytes()


def to_parquet(rows: Rows) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=7)
    return sink.getvalue()


def from_csv(body: bytes) -> Rows:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


WRITE: dict[str, Callable[[Rows], bytes]] = {
    CSV: to_csv,
    JSON: to_json,
    LINES: lambda rows: b"\n".join(map(to_json, rows)),
    ARROW: to_arrow,
    PARQUET: to_parquet,
}
READ: dict[str, Callable[[bytes], Rows]] = {
    CSV: from_csv,
    JSON: from_json,
    LINES: lambda body: [from_json(line) for line in body.splitlines()],
    ARROW: lambda body: pa.ipc.open_stream(body).read_all().to_pylist(),
    PARQUET: lambda body: pq.read_table(io.BytesIO(body)).to_pylist(),
}


def ask(
    client: TestClient,
    body: bytes,
    kind: str,
    *,
    accept: str = "*/*",
    path: str = "/v1/predict/batch",
) -> httpx2.Response:
    return client.post(path, content=body, headers={"Content-Type": kind, "Accept": accept})


def flat(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer as a row of columns, without its id."""
    shares = answer.pop("probabilities", {})
    answer |= {f"probability_{name}": share for name, share in shares.items()}
    return {key: value for key, value in answer.items() if key != "id"}


def refused(answer: httpx2.Response) -> list[tuple[str, object]]:
    assert answer.status_code == 422, answer.text
    return [(error["field"], error["value"]) for error in answer.json()["errors"]]


@pytest.mark.parametrize("kind", WRITE)
@pytest.mark.parametrize("recipe", [SURVIVAL, IRIS, DIABETES], ids=lambda recipe: recipe.name)
def test_each_row_is_answered_as_a_single_record(
    client: TestClient, recipe: Recipe, kind: str
) -> None:
    rows = records(recipe)
    path = f"/v1/models/{recipe.name}/predict"
    answer = ask(client, WRITE[kind](rows), kind, path=f"{path}/batch")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(kind)
    found = READ[kind](answer.content)
    single = [flat(client.post(path, json=row).json()) for row in rows]
    if kind == CSV:
        single = [{key: text(value) for key, value in row.items()} for row in single]
    assert len({row["id"] for row in found}) == len(rows)
    assert [flat(row) for row in found] == single


@pytest.mark.parametrize("accept", WRITE)
def test_the_answer_has_the_format_that_is_accepted(client: TestClient, accept: str) -> None:
    rows = records(SURVIVAL, 3)
    answer = ask(client, to_csv(rows), CSV, accept=f"image/png, {accept};q=0.5")
    assert [row["model"] for row in READ[accept](answer.content)] == ["tree-survival"] * 3


def test_columns_of_json_are_a_table_too(client: TestClient) -> None:
    rows = records(SURVIVAL)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    answers = [ask(client, to_json(body), JSON).json() for body in (rows, columns)]
    assert flat(answers[0][5]) == flat(answers[1][5])


@pytest.mark.parametrize(
    "change",
    [
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: body.replace(b"\r\n", b"\n") + b"\n\n",
        lambda body: body.removesuffix(b"\r\n"),
        lambda body: to_csv(from_csv(body), quoting=csv.QUOTE_ALL),
    ],
    ids=["mark", "blank-end", "no-end", "quoted"],
)
def test_csv_is_read_however_it_is_written(
    client: TestClient, change: Callable[[bytes], bytes]
) -> None:
    body = to_csv(records(SURVIVAL))
    plain, changed = (from_csv(ask(client, each, CSV).content) for each in (body, change(body)))
    assert list(map(flat, plain)) == list(map(flat, changed))


def test_columns_may_come_in_any_order_and_optional_ones_not_at_all(client: TestClient) -> None:
    rows = [row | {"EMF": None, "Phenolics": None} for row in records(SURVIVAL)]
    fewer = [dict(sorted((k, v) for k, v in row.items() if v is not None)) for row in rows]
    whole, part = (from_csv(ask(client, to_csv(each), CSV).content) for each in (rows, fewer))
    assert list(map(flat, whole)) == list(map(flat, part))


@pytest.mark.parametrize("kind", WRITE)
def test_a_bad_row_refuses_the_batch_and_is_named(client: TestClient, kind: str) -> None:
    rows = records(SURVIVAL, 5)
    rows[1]["Light_ISF"], rows[3]["Species"] = 1.5, "Quercus"
    assert refused(ask(client, WRITE[kind](rows), kind)) == [
        ("row 2: Light_ISF", 1.5),
        ("row 4: Species", "Quercus"),
    ]


@pytest.mark.parametrize("kind", WRITE)
def test_bad_rows_are_reported_in_their_place(client: TestClient, kind: str) -> None:
    rows = records(SURVIVAL, 5)
    rows[2]["Light_ISF"] = 1.5
    body = WRITE[kind](rows)
    answer = ask(client, body, kind, path="/v1/predict/batch?bad_rows=report")
    found = READ[kind](answer.content)
    assert len(found) == 5
    assert [bool(row.get("error")) for row in found] == [False, False, True, False, False]
    assert found[2]["error"] == "Light_ISF: 1.5 is not admitted; give a number from 0 to 1"
    assert not found[2]["Event"]
    single = client.post("/v1/predict", json=rows[4]).json()
    assert text(found[4]["probability"]) == text(single["probability"])


def test_a_row_of_another_length_and_an_open_quote_are_bad(client: TestClient) -> None:
    header, *lines = to_csv(records(SURVIVAL, 4)).splitlines()
    body = b"\n".join([header, lines[0], lines[1] + b",1", b'"a\nb",1', lines[2], b'"' + lines[3]])
    places = [place for place, _ in refused(ask(client, body, CSV))]
    assert places == ["row 2", "row 3", "row 5"]


def test_every_problem_of_the_header_is_named(client: TestClient) -> None:
    answer = ask(client, b"Species,Colour,Species,Leaves,Sterile\n", CSV)
    assert [place for place, _ in refused(answer)] == [
        "line 1: Colour",
        "line 1: Species",
        "line 1: Light_ISF",
    ]


def test_only_a_hundred_problems_are_listed_and_the_rest_is_counted(client: TestClient) -> None:
    rows = [row | {"Light_ISF": 2} for row in records(SURVIVAL, 150)]
    errors = ask(client, to_csv(rows), CSV).json()["errors"]
    assert len(errors) == 101
    assert errors[-1]["message"] == "and 50 more problems; 150 of 150 rows are bad"


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (415, "text/plain", b"a"),
        (415, "text/csv; charset=latin-1", b"a"),
        (400, CSV, b""),
        (400, CSV, b"\xff\xfe\n"),
        (400, JSON, b"[{"),
        (422, JSON, b"1"),
        (422, JSON, b'{"Species": ["a"], "Leaves": []}'),
        (422, LINES, b'{"Species":'),
        (400, ARROW, b"ARROW1"),
        (400, PARQUET, b"PAR1"),
        (422, ARROW, to_arrow([{"Species": 1}])),
    ],
)
def test_what_is_no_table_is_refused(
    client: TestClient, status: int, kind: str, body: bytes
) -> None:
    assert ask(client, body, kind).status_code == status


def test_what_cannot_be_accepted_is_refused(client: TestClient) -> None:
    assert ask(client, b"", CSV, accept="image/png").status_code == 406


def test_a_model_there_is_not_is_not_found(client: TestClient) -> None:
    assert ask(client, b"", CSV, path="/v1/models/oak/predict/batch").status_code == 404


def test_an_empty_table_has_an_empty_answer(client: TestClient) -> None:
    header = to_csv(records(SURVIVAL, 1)).splitlines()[0]
    assert ask(client, header, CSV).text == "Event,probability,id,model,version\n"
    assert ask(client, b"[]", JSON).json() == []
    assert ask(client, b"", LINES, accept=CSV).text == "Event,probability,id,model,version\n"


@pytest.mark.parametrize("kind", [CSV, LINES])
def test_a_batch_ends_where_a_hundred_problems_are_found(client: TestClient, kind: str) -> None:
    rows = [row | {"Light_ISF": 2} for row in records(SURVIVAL, 200)]
    answer = ask(client, WRITE[kind](rows * 200), kind)
    *listed, last = answer.json()["errors"]
    assert len(listed) == 100
    assert last["message"].endswith("rows are bad so far; what follows was not read")


def test_the_first_thousand_bad_rows_of_a_part_say_why_and_all_are_answered(
    client: TestClient,
) -> None:
    rows = [row | {"Light_ISF": 2} for row in records(SURVIVAL, 1200)]
    answer = ask(client, to_csv(rows), CSV, path="/v1/predict/batch?bad_rows=report")
    errors = [row["error"] for row in from_csv(answer.content)]
    assert [error.startswith("Light_ISF: 2 is not admitted") for error in errors[:1000]] == [
        True
    ] * 1000
    assert set(errors[1000:]) == {
        "is refused; of each part of a batch, the first 1000 bad rows say why"
    }


@pytest.mark.parametrize("kind", [LINES, JSON])
def test_a_record_of_many_keys_is_refused_in_one_sentence(client: TestClient, kind: str) -> None:
    record = to_json({f"k{place}": 1 for place in range(50_000)})
    body, place = {LINES: (record, "row 1"), JSON: (b"[%b]" % record, "row 1")}[kind]
    (error,) = ask(client, body, kind).json()["errors"]
    assert error["field"] == place
    assert error["message"] == "has 50000 keys or thereabouts; this model has 6 features"


def test_a_csv_with_too_many_columns_or_too_long_a_header_is_refused_at_once(
    client: TestClient,
) -> None:
    few = ask(client, b",".join(b"c%d" % place for place in range(300)), CSV)
    assert few.json()["errors"][0]["message"].startswith(
        "has 300 columns, and the model has 6 features"
    )
    many = ask(client, b",".join(b"c%d" % place for place in range(40_000)) + b"\n", CSV)
    assert many.status_code == 400
    assert "the header is longer than" in many.json()["detail"]


@pytest.mark.parametrize("kind", WRITE)
def test_a_row_that_the_model_has_no_answer_for_is_reported_like_a_bad_one(
    client: TestClient, kind: str
) -> None:
    rows = [{"age": 0.5, "bmi": 0.1}, {"age": 3.4e38, "bmi": 3.4e38}, {"age": 0.1, "bmi": 0.2}]
    path = "/v1/models/diabetes/predict/batch"
    assert ask(client, WRITE[kind](rows), kind, path=path).status_code == 422
    answer = ask(client, WRITE[kind](rows), kind, path=f"{path}?bad_rows=report")
    assert answer.status_code == 200, answer.text
    found = READ[kind](answer.content)
    assert [row.get("error") or None for row in found] == [
        None,
        "the model has no answer to this row",
        None,
    ]
    single = client.post(path.removesuffix("/batch"), json=rows[2]).json()["progression"]
    assert float(found[2]["progression"]) == pytest.approx(single, rel=1e-6)
