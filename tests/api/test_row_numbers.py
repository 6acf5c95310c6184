"""A row has one number wherever it is: rows with data are counted from 1, the header is none."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.commanding import treeline
from tests.recorded import HEADERS, KEY_LINE, lines
from tests.tiny_models import SURVIVAL, write_model
from tests.waiting import wait_until
from treeline.config.models import ModelSpec
from treeline.errors import DataError
from treeline.preparation.whole import prepare

BATCH = "/v1/predict/batch"
GOOD = dict(SURVIVAL.example)
ROWS = [GOOD, GOOD | {"Light_ISF": 7.0}, GOOD, GOOD | {"Light_ISF": 8.0}, GOOD]
PLACES = ["row 2: Light_ISF", "row 4: Light_ISF"]
TABLE = pa.Table.from_pylist(ROWS)


def csv_lines(quoted: bool = False) -> list[str]:
    mark = '"' if quoted else ""
    rows: list[list[Any]] = [[*GOOD], *([*row.values()] for row in ROWS)]
    return [",".join(f"{mark}{value}{mark}" for value in row) for row in rows]


def with_a_column(texts: list[str]) -> str:
    """Return the CSV with a column whose fields, in quotes, go over three lines each."""
    header, *others = csv_lines()
    rows = [f'{line},"{text}"' for line, text in zip(others, texts, strict=True)]
    return "\n".join([f"{header},note", *rows])


def binary(write: Callable[[io.BytesIO], None]) -> bytes:
    sink = io.BytesIO()
    write(sink)
    return sink.getvalue()


def stream(sink: io.BytesIO) -> None:
    with pa.ipc.new_stream(sink, TABLE.schema) as written:
        for batch in TABLE.to_batches(max_chunksize=2):
            written.write_batch(batch)


JSON, CSV, LINES = "application/json", "text/csv", "application/x-ndjson"
JSON_ROWS = [json.dumps(row) for row in ROWS]
DOORS: dict[str, tuple[str, bytes]] = {
    "CSV": (CSV, "\n".join(csv_lines()).encode()),
    "CSV with line ends of Windows": (CSV, "\r\n".join(csv_lines()).encode()),
    "CSV in quotes": (CSV, "\n".join(csv_lines(quoted=True)).encode()),
    "CSV with blank lines": (CSV, "\n\n\n".join(csv_lines()).encode()),
    "CSV with line ends in fields": (CSV, with_a_column(["a\n\nb"] * 5).encode()),
    "JSON lines": (LINES, "\n".join(JSON_ROWS).encode()),
    "JSON lines with blank ones": (LINES, ("\n" + "\n \n".join(JSON_ROWS)).encode()),
    "JSON records": (JSON, json.dumps(ROWS).encode()),
    "JSON columns": (JSON, json.dumps({n: [r[n] for r in ROWS] for n in GOOD}).encode()),
    "Arrow": ("application/vnd.apache.arrow.stream", binary(stream)),
    "Parquet": (
        "application/vnd.apache.parquet",
        binary(lambda sink: parquet.write_table(TABLE, sink, row_group_size=2)),
    ),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    root = tmp_path_factory.mktemp("numbers")
    write_model(root / "model", replace(SURVIVAL, default=True))
    settings = Settings(model_dir=root / "model", state_dir=root / "state", keys=KEY_LINE)
    with TestClient(create_app(settings), headers=HEADERS) as client:
        yield client


def places(answer: Any) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [each["field"] for each in answer.json()["errors"]]


@pytest.mark.parametrize("door", DOORS)
def test_a_bad_row_has_its_number_in_every_format(client: TestClient, door: str) -> None:
    media_type, body = DOORS[door]
    answer = client.post(BATCH, content=body, headers={"content-type": media_type})
    assert places(answer) == PLACES


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "parquet"])
def test_a_bad_row_of_a_form_has_it_too(client: TestClient, suffix: str) -> None:
    door = {"csv": "CSV", "json": "JSON records", "jsonl": "JSON lines", "parquet": "Parquet"}
    file = (f"table.{suffix}", DOORS[door[suffix]][1], "application/octet-stream")
    assert places(client.post(BATCH, files={"file": file})) == PLACES


@pytest.mark.parametrize("door", DOORS)
def test_the_id_of_a_row_ends_with_its_number_and_the_log_has_it(
    client: TestClient, door: str
) -> None:
    media_type, body = DOORS[door]
    headers = {"content-type": media_type, "accept": JSON}
    answer = client.post(f"{BATCH}?bad_rows=report", content=body, headers=headers)
    found = [row.get("id") or "" for row in answer.json()]
    assert [name.partition("-")[2] for name in found] == ["1", "", "3", "", "5"]
    kept = {name for name in found if name}

    def recorded() -> bool:
        rows = lines(client.get("/v1/predictions").text)
        return kept <= {row["id"] for row in rows}

    wait_until(recorded, seconds=15, what="the good rows are recorded")


def test_the_inference_protocol_counts_alike(client: TestClient) -> None:
    kinds = {str: "BYTES", float: "FP64", bool: "BOOL"}
    inputs = [
        {"name": name, "shape": [5], "datatype": kinds[type(value)],
         "data": [row[name] for row in ROWS]}
        for name, value in GOOD.items()
    ]  # fmt: skip
    error = client.post("/v2/models/tree-survival/infer", json={"inputs": inputs}).json()["error"]
    assert all(place in error for place in PLACES)
    good = [{**each, "shape": [1], "data": each["data"][:1]} for each in inputs]
    answer = client.post("/v2/models/tree-survival/infer", json={"inputs": good}).json()
    (ids,) = (each["data"] for each in answer["outputs"] if each["name"] == "id")
    assert [name.partition("-")[2] for name in ids] == ["1"]


def test_a_row_has_the_number_beyond_the_first_part(client: TestClient) -> None:
    header, good = csv_lines()[:2]
    bad = good.replace("0.25", "7.0")
    rows = [good, "", good] * 20_000
    body = "\n".join([header, *rows, bad, good, '"' + bad.replace(",", '","') + '"']).encode()
    answer = client.post(BATCH, content=body, headers={"content-type": CSV})
    assert len(body) > 1 << 20
    assert places(answer) == ["row 40001: Light_ISF", "row 40003: Light_ISF"]
    listed = "\n".join([*([JSON_ROWS[0], ""] * 20_000), JSON_ROWS[1]]).encode()
    answer = client.post(BATCH, content=listed, headers={"content-type": LINES})
    assert places(answer) == ["row 20001: Light_ISF"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_command_score_says_the_same(tmp_path: Path, suffix: str) -> None:
    write_model(tmp_path / "model", SURVIVAL)
    source = tmp_path / f"rows.{suffix}"
    source.write_bytes(DOORS["CSV" if suffix == "csv" else "Parquet"][1])
    target = str(tmp_path / "scored.parquet")
    with pytest.raises(DataError) as error:
        treeline("score", SURVIVAL.name, str(source), target, "--models", str(tmp_path / "model"))
    assert all(f"rows.{suffix}, {place}" in str(error.value) for place in PLACES)


def test_what_a_training_says_of_its_rows_is_the_same(declaration: dict[str, Any]) -> None:
    declaration["features"] = {"Light_ISF": {"type": "number", "minimum": 0, "maximum": 1}}
    declaration["source"] = {"kind": "library", "dataset": "iris"}
    declaration["target"] = {"name": "Event", "task": "binary", "positive": 1}
    declaration["split"] = {"test": 0.5}
    frame = pd.DataFrame(ROWS)[["Light_ISF"]].assign(Event=[0, 1, 0, 1, 0])
    with pytest.raises(DataError) as error:
        prepare(frame, ModelSpec.model_validate(declaration))
    said = str(error.value).splitlines()
    assert [line.split(":")[0] for line in said[:2]] == [
        "column 'Light_ISF', row 2",
        "column 'Light_ISF', row 4",
    ]
