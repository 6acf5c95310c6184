"""A small body that is large once it is unpacked takes no more memory than a request may take."""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import httpx2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import calling
from tests.api.any_tree import ANY_TREE
from tests.api.memory import most_taken, taken_bytes
from tests.serving import Service, serving
from tests.tiny_models import DIABETES, write_model

PATH = "/v1/models/{}/predict/batch"
REPORT, TREE = "?bad_rows=report", "any-tree"
HEADER, ROW = b"age,bmi\n", b"0,0\n"
BUDGET = 192 << 20
WORKER = 96 << 20  # what the worker itself may take besides: bodies and parts under way
CSV, JSON, LINES = "text/csv", "application/json", "application/x-ndjson"
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
WAIT_SECONDS = 120


@dataclass(frozen=True)
class Bomb:
    """A body of few bytes, and how it is answered."""

    name: str
    kind: str
    make: Callable[[], bytes]
    status: int
    model: str = "diabetes"
    query: str = ""
    problem: str = ""


@cache
def arrow(compression: str) -> bytes:
    """Return zeros that take a gigabyte unpacked."""
    sink = pa.BufferOutputStream()
    column = pa.array(np.zeros(8 << 20))
    batch = pa.record_batch({"age": column, "bmi": column})
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as file:
        for _ in range(2):
            file.write_batch(batch)
    return bytes(sink.getvalue())


def written(column: pa.Array, **options: object) -> bytes:
    """Return a Parquet file with that column, and a good one."""
    sink = io.BytesIO()
    table = pa.table({"Leaves": pa.array(np.zeros(len(column))), "Species": column})
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def texts(count: int, size: int) -> pa.Array:
    """Return one long text in very many rows."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array(["x" * size]))


def plain(count: int, size: int, **options: object) -> bytes:
    """Return long texts that are packed well, each by itself."""
    column = pa.array(["x" * size] * count)
    return written(column, use_dictionary=False, data_page_size=1 << 30, **options)


BOMBS = (
    Bomb(
        "a text in many rows of Parquet",
        PARQUET,
        lambda: written(texts(60_000, 20_000)),
        422,
        TREE,
        problem="invalid-input",  # it is read, as a dictionary
    ),
    Bomb(
        "packed texts of Parquet",
        PARQUET,
        lambda: plain(20, 16 << 20, compression="zstd"),
        422,
        TREE,
    ),
    Bomb(
        "texts of Parquet that begin alike",
        PARQUET,
        lambda: plain(
            16,
            16 << 20,
            compression="none",
            column_encoding={"Species": "DELTA_BYTE_ARRAY", "Leaves": "PLAIN"},
        ),
        422,
        TREE,
    ),
    Bomb("packed zeros of Arrow, zstd", ARROW, lambda: arrow("zstd"), 413),
    Bomb("packed zeros of Arrow, lz4", ARROW, lambda: arrow("lz4"), 413),
    Bomb("empty records", JSON, lambda: b"[" + b"{}," * 1_000_000 + b"{}]", 422),
    Bomb("empty records on lines", LINES, lambda: b"{}\n" * 1_000_000, 422),
    Bomb(
        "empty records, reported", LINES, lambda: b"{}\n" * 300_000, 200, query="?bad_rows=report"
    ),
    Bomb("empty records as values", JSON, lambda: b'{"age":[' + b"{}," * 5_000_000 + b"{}]}", 413),
    Bomb(
        "a record of many keys",
        LINES,
        lambda: b"{%b}" % b",".join(b'"k%d":1' % key for key in range(80_000)),
        422,
    ),
    Bomb("lists in lists", JSON, lambda: b"[" * 5_000_000, 400),
    Bomb("a list without an end", JSON, lambda: b"[" + b"1," * 2_000_000, 422),
    Bomb("rows of CSV without values", CSV, lambda: b"age,bmi\n" + b",\n" * 2_000_000, 422),
    Bomb("rows of CSV of no length", CSV, lambda: b"age,bmi\n" + b"1\n" * 2_000_000, 422),
    Bomb("a row of CSV of many fields", CSV, lambda: b"age,bmi\n" + b"," * 900_000 + b"\n", 422),
    Bomb(
        "a header of many columns",
        CSV,
        lambda: b",".join(b"c%d" % place for place in range(40_000)) + b"\n1",
        400,
    ),
    Bomb(
        "a header of some columns too many",
        CSV,
        lambda: b",".join(b"c%d" % place for place in range(400)) + b"\n1",
        422,
    ),
    Bomb("quotes without an end", CSV, lambda: b'age,bmi\n"' + b"\n" * 3_000_000, 400),
)


def ask(
    service: Service, body: bytes, kind: str, *, model: str, query: str = ""
) -> httpx2.Response:
    """Post a batch."""
    url = service.url + PATH.format(model) + query
    return calling.post(url, content=body, headers={"Content-Type": kind}, timeout=WAIT_SECONDS)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {
        "API_PREDICTION_LOG": "false",
        "API_REQUEST_MEMORY_BYTES": str(BUDGET),
        "WEB_CONCURRENCY": "1",
    }
    folder = tmp_path_factory.mktemp("memory")
    for recipe in (DIABETES, ANY_TREE):
        write_model(folder / "models", recipe)
    with serving(folder / "models", folder / "log.txt", **settings) as service:
        for model, body in (("diabetes", HEADER + ROW), ("any-tree", b"Leaves\n1\n")):
            assert ask(service, body, CSV, model=model).status_code == 200
        yield service


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_memory_stays_within_the_budget_of_a_request(service: Service, bomb: Bomb) -> None:
    body = bomb.make()
    before = taken_bytes(service.process.pid)
    with most_taken(service.process.pid) as most:
        start = time.monotonic()
        answer = ask(service, body, bomb.kind, model=bomb.model, query=bomb.query)
        seconds = time.monotonic() - start
    taken = most[0] - before
    print(f"{len(body):,} bytes, {answer.status_code}, {taken >> 20} MiB, {seconds:.1f} s")
    assert answer.status_code == bomb.status, answer.text[:1000]
    assert bomb.problem in answer.text[:1000]
    assert taken < BUDGET + WORKER
    assert ask(service, HEADER + ROW, CSV, model="diabetes").status_code == 200
