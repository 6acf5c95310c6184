"""Tables and queries of real databases → the same rows and types, whichever database it is."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from tests.databases import Filled, opened
from treeline.config.sources import SqlSource
from treeline.errors import SourceError
from treeline.sources.sql.database import Database
from treeline.sources.sql.tables import SqlTables

pytest.importorskip("connectorx", reason="needs connectorx: make setup-dev")

KINDS = ("postgresql", "mysql", "sqlite")
TABLE = """CREATE TABLE trees (
    id integer PRIMARY KEY, alive boolean, species varchar(20), height real, girth decimal(6, 2),
    planted date, seen timestamp NULL, rings smallint, note text)"""
ROWS = (
    "INSERT INTO trees VALUES (2, true, 'Acer''s é', 1.5, 12.25, '2018-05-10', "
    "'2018-05-10 06:07:08.25', 7, 'ok')",
    "INSERT INTO trees (id) VALUES (1)",
)
TYPES = {
    "id": pa.int64(), "alive": pa.bool_(), "species": pa.string(), "height": pa.float64(),
    "girth": pa.float64(), "planted": pa.date32(), "seen": pa.timestamp("us"),
    "rings": pa.int64(), "note": pa.string(),
}  # fmt: skip


@pytest.fixture(scope="module", params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Filled]:
    with opened(request.param, tmp_path_factory.mktemp("database")) as made:
        seen = "datetime(6)" if made.kind == "mysql" else "timestamp"
        made.run(TABLE.replace("timestamp", seen), *ROWS)
        yield made


def source(database: Filled, **declared: Any) -> SqlTables:
    spec = SqlSource(kind="sql", url=database.url, **declared)
    return SqlTables(spec, first_pause_seconds=0)


def rows(database: Filled, **declared: Any) -> pa.Table:
    return pa.concat_tables(source(database, **declared).tables())


def refusal(database: Filled, **declared: Any) -> str:
    with pytest.raises(SourceError) as error:
        rows(database, **declared)
    return str(error.value)


def test_a_table_comes_in_the_order_of_its_key_with_types_that_all_databases_share(
    database: Filled,
) -> None:
    found = rows(database, table="trees")
    assert dict(zip(found.column_names, found.schema.types, strict=True)) == TYPES
    assert found.to_pylist() == [
        dict.fromkeys(TYPES) | {"id": 1},
        {
            "id": 2, "alive": True, "species": "Acer's é", "height": 1.5, "girth": 12.25,
            "planted": date(2018, 5, 10), "seen": datetime(2018, 5, 10, 6, 7, 8, 250_000),
            "rings": 7, "note": "ok",
        },
    ]  # fmt: skip


def test_a_query_comes_as_it_is_ordered_and_says_percent_and_colon_freely(
    database: Filled,
) -> None:
    asked = "SELECT id, note, ':x' AS mark FROM trees WHERE note IS NULL OR note LIKE 'o%';"
    found = rows(database, query=asked, order_by=["mark", "id"])
    assert found.to_pydict() == {"id": [1, 2], "note": [None, "ok"], "mark": [":x", ":x"]}


@pytest.mark.parametrize(
    "end",
    [
        ";",
        " -- all of them",
        ";\n-- all of them",
        " /* all\nof them */ ; \n",
        "\n;;",
        "-- ; --\n--",
    ],
)
@pytest.mark.parametrize("text", ["it''s; -- no comment", "/* nor; */", "--"])
def test_a_query_may_end_in_comments_and_semicolons(database: Filled, text: str, end: str) -> None:
    asked = f"-- first\nSELECT id, '{text}' AS said FROM trees WHERE id = 1{end}"
    found = rows(database, query=asked, order_by=["id"])
    assert found.to_pydict() == {"id": [1], "said": [text.replace("''", "'")]}


def test_a_query_without_rows_still_tells_its_columns(database: Filled) -> None:
    found = rows(database, query="SELECT * FROM trees WHERE id < 0", order_by=["id"])
    assert found.num_rows == 0
    assert found.schema.types == list(TYPES.values())


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"table": "shrubs"}, "the database has no table 'shrubs'"),
        ({"query": "SELECT 1 FROM shrubs", "order_by": ["a"]}, "shrubs"),
        ({"table": "trees", "order_by": ["age"]}, "ordered by 'age', which is no column; there"),
        ({"query": "SELECT 1 AS a UNION ALL SELECT 1", "order_by": ["b"]}, "there are a:"),
        ({"query": "SELECT id, 1 AS a FROM trees", "order_by": ["a"]}, "left to chance"),
        ({"query": "DELETE FROM trees", "order_by": ["id"]}, "correct the declaration"),
    ],
    ids=["table", "query", "order", "column", "tie", "writing"],
)
def test_what_cannot_be_collected_is_told(
    database: Filled, declared: dict[str, Any], told: str
) -> None:
    assert told in refusal(database, **declared)


def test_rows_that_are_alike_throughout_may_come_in_any_order(database: Filled) -> None:
    found = rows(database, query="SELECT 1 AS a UNION ALL SELECT 1", order_by=["a"])
    assert found.to_pydict() == {"a": [1, 1]}


def test_a_table_without_a_key_needs_an_order(database: Filled) -> None:
    database.run("CREATE TABLE loose (a integer)", "INSERT INTO loose VALUES (2), (1)")
    assert "'loose' has no primary key" in refusal(database, table="loose")
    assert rows(database, table="loose", order_by=["a"]).to_pydict() == {"a": [1, 2]}


SPECIAL = {
    "postgresql": (
        """SELECT 1 AS id, '1 day'::interval AS rest, '{1,2}'::int[] AS many, 'a '::char(3) AS word,
        '00000000-0000-0000-0000-000000000001'::uuid AS uid, '{"a": 1}'::jsonb AS doc,
        '10:00'::time AS at, 'infinity'::timestamp AS never, 12345678901234567890 AS large,
        '2020-01-01 02:00+02'::timestamptz AS zoned, '\\x00'::bytea AS raw""",
        {
            "id": 1, "rest": "1 day", "many": "{1,2}", "word": "a", "doc": '{"a": 1}',
            "uid": "00000000-0000-0000-0000-000000000001", "at": "10:00:00", "never": None,
            "large": 12345678901234567890.0, "zoned": datetime(2020, 1, 1, tzinfo=UTC),
            "raw": b"\x00",
        },
    ),
    "mysql": (
        """SELECT 1 AS id, TIME'30:00:00' AS rest, b'1' + 0 AS bits, NULL AS nothing,
        18446744073709551615 / 1 AS large, x'00' AS raw, YEAR('2020-01-01') AS year""",
        {
            "id": 1, "rest": "30:00:00", "bits": 1, "nothing": None,
            "large": 18446744073709551615.0, "raw": b"\x00", "year": 2020,
        },
    ),
    "sqlite": (
        "SELECT 1 AS id, 1.5 AS half, NULL AS empty, 'x' || 1 AS word, x'00' AS raw, "
        "CAST(2 AS INTEGER) AS two",
        {"id": 1, "half": 1.5, "empty": None, "word": "x1", "raw": b"\x00", "two": 2},
    ),
}  # fmt: skip


def test_what_has_no_type_of_its_own_comes_as_text(database: Filled) -> None:
    query, expected = SPECIAL[database.kind]
    assert rows(database, query=query, order_by=["id"]).to_pylist() == [expected]


def test_a_number_too_large_names_its_column() -> None:
    with opened("mysql", Path()) as made:
        made.run(
            "CREATE TABLE t (a bigint unsigned PRIMARY KEY)",
            "INSERT INTO t VALUES (18446744073709551615)",
        )
        assert refusal(made, table="t").startswith("column 'a' cannot be read as int64: ")


def test_a_value_that_sqlite_keeps_against_its_declaration_names_its_column(tmp_path: Path) -> None:
    with opened("sqlite", tmp_path) as made:
        made.run("CREATE TABLE t (id integer PRIMARY KEY, day date)")
        made.run("INSERT INTO t VALUES (1, 'soon')")
        assert refusal(made, table="t").startswith("column 'day' holds what is no date32[day], as")


def test_a_password_comes_from_the_environment_and_is_in_no_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TREES_PASSWORD", "hunter2 &%")
    spec = SqlSource(
        kind="sql", url="postgresql://a@127.0.0.1:1/b", password="TREES_PASSWORD", table="t"
    )
    with pytest.raises(SourceError, match="Connection refused") as error:
        list(SqlTables(spec, first_pause_seconds=0).tables())
    assert "(3 attempts)" in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql+psycopg2", "postgresql+psycopg"),
        ("postgresql", "postgresql+psycopg"),
        ("mysql+mysqldb", "mysql+pymysql"),
        ("mariadb", "mysql+pymysql"),
    ],
)
def test_whatever_driver_a_url_names_the_one_that_is_here_is_used(given: str, used: str) -> None:
    found = Database(f"{given}://a@127.0.0.1:1/b", password="NONE", place="source.url")
    assert found.url.drivername == used


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"url": "postgresql://a:secret@b/c", "table": "t"}, "set the environment variable"),
        ({"url": "mysql://a@b/c?password=secret", "table": "t"}, "set the environment variable"),
        ({"url": "oracle://a@b/c", "table": "t"}, "give a URL such as postgresql://"),
        ({"url": "postgres://a@b/c", "table": "t"}, "give a URL such as postgresql://"),
        ({"url": "sqlite:///a.sqlite"}, "give either `table` or `query`"),
        ({"url": "sqlite:///a.sqlite", "query": "SELECT 1"}, "list columns in `order_by`"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(declared: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as error:
        SqlSource(kind="sql", **declared)
    assert told in str(error.value)


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "none.sqlite"
    spec = SqlSource(kind="sql", url=f"sqlite:///{missing}", table="t")
    with pytest.raises(SourceError, match="unable to open database file"):
        list(SqlTables(spec).tables())
    assert not missing.exists()
