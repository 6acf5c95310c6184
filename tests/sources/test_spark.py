"""The Spark source: a path, a table or a query → the same rows in the same order on any cluster."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import ValidationError

pytest.importorskip("pyspark", reason="needs pyspark: make setup-engines")

from tests import spark
from treeline.config.sources import SparkSource
from treeline.errors import SourceError
from treeline.sources.spark import SparkTables

pytestmark = [pytest.mark.xdist_group("spark"), spark.NEEDS_JAVA]

N = 60


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[Any]:
    yield from spark.shared()


def rows() -> pa.Table:
    """Return rows of many types, of which some are missing and some come twice."""
    numbers = np.arange(N)
    return pa.table(
        {
            "no": pa.array(numbers // 2),
            "light (%)": pa.array([None if n % 7 == 0 else n / 4 for n in numbers // 2]),
            "species": pa.array([("Acer", "Quercus", None)[n % 3] for n in numbers // 2]),
            "price": pa.array([Decimal(f"{n}.25") for n in numbers // 2], pa.decimal128(9, 2)),
            "planted": pa.array([date(2018, 5, 1 + n % 20) for n in numbers // 2]),
            "dead": pa.array(numbers // 2 % 5 == 0),
        }
    )


def write(folder: Path, *, files: int, seed: int) -> Path:
    """Write the rows in an order drawn by a seed, as so many files."""
    shuffled = rows().take(np.random.default_rng(seed).permutation(N))
    folder.mkdir()
    for number, part in enumerate(np.array_split(np.arange(N), files)):
        parquet.write_table(shuffled.take(part), folder / f"part-{number}.parquet")
    return folder


def read(**declared: Any) -> pa.Table:
    spec = SparkSource.model_validate({"kind": "spark", **declared})
    return pa.concat_tables(SparkTables(spec).tables())


def test_the_order_of_rows_depends_on_what_they_hold_only(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", files=1, seed=0)
    parts = write(tmp_path / "parts", files=4, seed=1)
    table = read(path=str(whole))
    assert table.equals(read(path=str(parts)))
    assert table["no"].to_pylist() == [n // 2 for n in range(N)]
    assert table["light (%)"].null_count == 10
    assert dict(zip(table.column_names, map(str, table.schema.types), strict=True)) == {
        "no": "int64",
        "light (%)": "double",
        "species": "string",
        "price": "double",
        "planted": "date32[day]",
        "dead": "bool",
    }
    assert table["price"].to_pylist()[:3] == [0.25, 0.25, 1.25]


def test_a_query_is_ordered_as_declared(tmp_path: Path) -> None:
    folder = write(tmp_path / "rows", files=2, seed=2)
    query = f"SELECT species, no, count(*) AS n FROM parquet.`{folder}` GROUP BY species, no"
    table = read(query=query, order_by=["species"])
    assert table.column_names == ["species", "no", "n"]
    found = table.to_pylist()
    key = lambda row: (row["species"] is not None, row["species"] or "", row["no"])  # noqa: E731
    assert found == sorted(found, key=key)
    assert set(table["n"].to_pylist()) == {2}


def test_a_table_of_the_catalogue_is_read_by_name(session: Any) -> None:
    session.range(3).createOrReplaceTempView("seedlings")
    assert read(table="seedlings").to_pydict() == {"id": [0, 1, 2]}


def test_a_csv_folder_is_read_with_options(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a;b\n2;x\n1;y\n")
    options = {"header": True, "sep": ";", "inferSchema": True}
    table = read(path=str(tmp_path / "rows.csv"), format="csv", options=options)
    assert table.to_pydict() == {"a": [1, 2], "b": ["y", "x"]}


def test_many_rows_come_in_tables_of_one_size() -> None:
    spec = SparkSource.model_validate({"kind": "spark", "query": "SELECT id FROM range(1100000)"})
    tables = list(SparkTables(spec).tables())
    assert [table.num_rows for table in tables] == [500_000, 500_000, 100_000]
    assert pa.concat_tables(tables)["id"].to_numpy().tolist() == list(range(1_100_000))


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"path": "nowhere"}, "source.path 'nowhere': Spark cannot read it: [PATH_NOT_FOUND]"),
        (
            {"path": "x", "format": "exel"},
            "source.path 'x': Spark cannot read it: [DATA_SOURCE_NOT",
        ),
        (
            {"table": "nothing"},
            "source.table 'nothing': Spark cannot read it: [TABLE_OR_VIEW_NOT_F",
        ),
        (
            {"query": "SELEC 1"},
            "source.query 'SELEC 1': Spark cannot read it: [PARSE_SYNTAX_ERROR]",
        ),
        (
            {"query": "SELECT array(1) AS a"},
            "source.query 'SELECT array(1) AS a': column 'a' is of",
        ),
        (
            {"query": "SELECT 1 AS a", "order_by": ["b"]},
            "source.order_by: 'b' is no column of source.query 'SELECT 1 AS a'; there are a",
        ),
        (
            {"query": "SELECT INT(raise_error('bad luck')) AS a"},
            "source.query \"SELECT INT(raise_error('bad luck')) AS a\": Spark cannot read it: [U",
        ),
    ],
)
def test_what_cannot_be_read_is_told(declared: dict[str, Any], told: str) -> None:
    with pytest.raises(SourceError) as error:
        read(**declared)
    assert str(error.value).startswith(told)


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({}, "give one of `table`, `path` and `query`"),
        ({"table": "a", "path": "b"}, "give one of `table`, `path` and `query`"),
        ({"table": "a", "options": {"header": True}}, "`options` go with a `path`; remove them"),
        (
            {"path": "a", "options": {"Password": "x"}},
            "put it into Spark's own spark-defaults.conf",
        ),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(declared: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        SparkSource.model_validate({"kind": "spark", **declared})
