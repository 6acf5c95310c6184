"""Whatever an Arrow stream or a Parquet file says of itself, nothing beyond its bytes is read."""

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api.app import create_app
from api.errors import BodyTooLargeError, MalformedBodyError
from api.formats.arrow_lengths import Lengths
from api.formats.rows import InMemory
from api.settings import Settings
from tests.api.any_tree import ANY_TREE
from tests.api.arrow_attacks import ATTACKS, Attack, by_dictionary, decimals, numbers, stream, texts
from tests.api.test_batch import ARROW, PARQUET, ask, records, to_arrow
from tests.tiny_models import IRIS, SURVIVAL, write_model

KEPT = 64 << 20


def checked(body: bytes, *, most_rows: int = 10_000_000, most_bytes: int = KEPT) -> None:
    Lengths(InMemory(body), most_rows=most_rows, most_bytes=most_bytes).check()


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service whose model takes tables of any one column."""
    root = tmp_path_factory.mktemp("lenient")
    write_model(root, ANY_TREE)
    with TestClient(create_app(Settings(model_dir=root, prediction_log=False))) as client:
        yield client


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_patched_stream_is_refused_and_says_nothing_of_the_memory(
    lenient: TestClient, attack: Attack
) -> None:
    answer = ask(lenient, attack.make(), ARROW, path="/v1/predict/batch")
    assert (answer.status_code, attack.says in answer.text) == (attack.status, True), answer.text
    assert len(answer.content) < 1000


@pytest.mark.parametrize(
    "make",
    [
        numbers,
        decimals,
        lambda: numbers(compression="zstd"),
        lambda: numbers(compression="lz4"),
        lambda: texts(pa.string()),
        lambda: texts(pa.large_string()),
        by_dictionary,
        lambda: stream(
            {"a": pa.nulls(5), "b": pa.array([True, None]).take(pa.array([0, 1, 0, 1, 1]))}
        ),
        lambda: stream({"a": pa.array([], pa.string()), "b": pa.array([], pa.float16())}),
    ],
)
def test_what_the_library_writes_passes(make: Callable[[], bytes]) -> None:
    checked(make())


def test_a_dictionary_that_is_replaced_counts_once_and_one_that_grows_as_a_whole() -> None:
    texts = [[f"{batch}-{row}" for row in range(100)] for batch in range(20)]

    def body(*, growing: bool) -> bytes:
        sink = pa.BufferOutputStream()
        seen: list[str] = []
        schema = pa.schema([("Species", pa.dictionary(pa.int32(), pa.string()))])
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=growing)
        with pa.ipc.new_stream(sink, schema, options=options) as file:
            for values in texts:
                seen = [*seen, *values] if growing else values
                column = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array(seen))
                file.write_batch(pa.record_batch([column], schema=schema))
        return bytes(sink.getvalue())

    checked(body(growing=False), most_bytes=3000)
    with pytest.raises(BodyTooLargeError, match="API_REQUEST_MEMORY_BYTES"):
        checked(body(growing=True), most_bytes=3000)


@settings(max_examples=200)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8), st.sampled_from(range(5)))
def test_whatever_is_changed_in_a_stream_it_passes_or_is_refused(
    place: int, patch: bytes, which: int
) -> None:
    made = (
        numbers(),
        by_dictionary(),
        texts(pa.large_string()),
        numbers(compression="lz4"),
        decimals(),
    )
    body = bytearray(made[which][:2000])
    start = place % len(body)
    body[start : start + len(patch)] = patch
    with suppress(MalformedBodyError, BodyTooLargeError):
        checked(bytes(body))


NESTED = {
    "a list": pa.list_(pa.int64()),
    "a structure": pa.struct([("a", pa.string())]),
    "a map": pa.map_(pa.string(), pa.int64()),
    "a view": pa.string_view(),
    "bytes": pa.binary(),
    "a dictionary of lists": pa.dictionary(pa.int8(), pa.list_(pa.int8())),
}


@pytest.mark.parametrize("kind", NESTED.values(), ids=NESTED)
def test_other_types_are_refused_from_the_schema_alone(
    client: TestClient, kind: pa.DataType
) -> None:
    names = records(SURVIVAL, 1)[0]
    schema = pa.schema([(name, kind) for name in names])
    body = schema.serialize().to_pybytes() + b"\xff\xff\xff\xff\x40\0\0\0 and no batch at all"
    answer = ask(client, body, ARROW)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == list(names)
    assert "holds" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("kind", [ARROW, PARQUET])
def test_more_columns_than_features_are_refused_before_any_is_looked_at(
    client: TestClient, kind: str
) -> None:
    table = pa.table({f"c{place}": pa.array([1]) for place in range(1000)})
    sink = io.BytesIO()
    if kind == PARQUET:
        pq.write_table(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as file:
            file.write_table(table)
    (error,) = ask(client, sink.getvalue(), kind).json()["errors"]
    assert error["message"].startswith("has 1000 columns, and the model has 6 features")


def test_a_text_that_many_rows_have_is_read_once(client: TestClient) -> None:
    rows = records(SURVIVAL, 3)
    table = pa.Table.from_pylist(rows).to_pydict()
    count = 60_000
    wide = pa.DictionaryArray.from_arrays(
        pa.array([0] * count, pa.int32()), pa.array(["x" * 20_000])
    )
    columns = {name: pa.array(values[:1] * count) for name, values in table.items()}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns | {"Species": wide}), sink)
    answer = ask(client, sink.getvalue(), PARQUET)
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 101
    assert len(answer.content) < 200_000


@pytest.mark.parametrize("footer", [b"\0\0\0\0PAR1", b"\xff\xff\xff\x7fPAR1", b"\x10\0\0\0PARE"])
def test_a_footer_that_cannot_be_one_is_refused(client: TestClient, footer: bytes) -> None:
    answer = ask(client, b"PAR1" + b"x" * 100 + footer, PARQUET)
    assert answer.status_code == 400
    assert "it ends with no footer" in answer.json()["detail"]


@pytest.mark.parametrize("kind", [ARROW, PARQUET])
@pytest.mark.parametrize("place", [b"Species", b"Quercus alba"], ids=["a name", "a value"])
def test_a_text_that_is_no_utf_8_is_refused(client: TestClient, kind: str, place: bytes) -> None:
    table, sink = pa.Table.from_pylist([SURVIVAL.example]), pa.BufferOutputStream()
    table = table.set_column(
        table.column_names.index("Species"), "Species", pa.array(["Quercus alba"])
    )
    if kind == ARROW:
        with pa.ipc.new_stream(sink, table.schema) as file:
            file.write_table(table)
    else:
        pq.write_table(table, sink, store_schema=False, compression="none")
    body = bytes(sink.getvalue())
    assert ask(client, body, kind).status_code == 200
    answer = ask(client, body.replace(place, b"\xff" + place[1:]), kind)
    assert answer.status_code == 400, answer.text
    assert answer.json()["type"] == "urn:treeline:problem:malformed-body"


def test_one_bad_row_of_a_classifier_is_reported_in_arrow(client: TestClient) -> None:
    for recipe in (IRIS, SURVIVAL):
        (row,) = records(recipe, 1)
        bad = row | dict.fromkeys(list(row)[-1:], None)
        path = f"/v1/models/{recipe.name}/predict/batch?bad_rows=report"
        answer = ask(client, to_arrow([bad]), ARROW, path=path)
        assert answer.status_code == 200, answer.text
        (written,) = pa.ipc.open_stream(answer.content).read_all().to_pylist()
        assert "is missing" in written.pop("error")
        assert set(written.values()) == {None}


NUMBERS_BY_TYPE = {
    "decimals": pa.array([Decimal("0.25"), Decimal("0.50")]),
    "wide decimals": pa.array([Decimal("0.25"), Decimal("0.50")], pa.decimal256(40, 2)),
    "half floats": pa.array([0.25, 0.5], pa.float16()),
    "a dictionary": pa.array([0.25, 0.5]).dictionary_encode(),
}


@pytest.mark.parametrize("body_kind", [ARROW, PARQUET])
@pytest.mark.parametrize("column", NUMBERS_BY_TYPE.values(), ids=NUMBERS_BY_TYPE)
def test_numbers_are_taken_in_any_type_that_holds_them(
    client: TestClient, column: pa.Array, body_kind: str
) -> None:
    rows = [
        row | {"Light_ISF": light}
        for row, light in zip(records(SURVIVAL, 2), (0.25, 0.5), strict=True)
    ]
    table = pa.Table.from_pylist(rows)
    place = table.column_names.index("Light_ISF")
    sink = pa.BufferOutputStream()
    table = table.set_column(place, "Light_ISF", column)
    if body_kind == PARQUET:
        pq.write_table(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as file:
            file.write_table(table)
    headers = {"Content-Type": body_kind, "Accept": "application/json"}
    path = f"/v1/models/{SURVIVAL.name}/predict/batch"
    answer = client.post(path, content=bytes(sink.getvalue()), headers=headers)
    assert answer.status_code == 200, answer.text
    alone = [client.post(f"/v1/models/{SURVIVAL.name}/predict", json=row).json() for row in rows]
    assert [row["probability"] for row in answer.json()] == [row["probability"] for row in alone]
