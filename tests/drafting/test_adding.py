"""A drafted block is read as it is meant, and every other byte of `params.yaml` stays."""

import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from ruamel.yaml import YAML

from tests.checkout import PARAMS, ROOT
from treeline.commands.add import Addition, DatabaseRows, addition, summary, write
from treeline.config import read_params
from treeline.config.sources import FileSource, SqlSource
from treeline.drafting.hints import Hints
from treeline.errors import ConfigError, SourceError, TreelineError
from treeline.preparation.whole import prepare
from treeline.sources.sql.tables import SqlTables

NOTHING = Hints()
MOODS = ("low", "medium", "high")


def _rows(count: int = 120) -> list[tuple[str, ...]]:
    return [
        (str(18 + n * 7 % 47), MOODS[n % 3], f"{n * 13 % 97},5", "ja" if n * 5 % 7 < 3 else "nein")
        for n in range(count)
    ]


@pytest.fixture
def table(tmp_path: Path) -> str:
    """A table as a German spreadsheet writes it, with names that YAML has to quote."""
    lines = ["Alter;Mood: now;'#1 {x}';left", *(";".join(row) for row in _rows())]
    path = tmp_path / "Staff of 2024.csv"
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    return str(path)


def _added(table: str, params: Path, *, name: str | None = None, target: str = "left") -> Addition:
    return addition(table, target, name=name, hints=NOTHING, params=params)


LAYOUTS = {
    "this repository's": (ROOT / "params.yaml").read_text(encoding="utf-8"),
    "of small models": PARAMS,
    "no line end at the end": PARAMS.rstrip(),
    "line ends of Windows": PARAMS.replace("\n", "\r\n"),
    "keys and comments behind the models": PARAMS
    + "  # about sugar\n\n# what records trainings\ntracker: mlflow # of the team\n",
    "a wider indent": re.sub(r"(?m)^( +)", r"\1\1", PARAMS),
    "odd spaces": PARAMS.replace("default: flowers", "default:   flowers   # served"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_other_byte_stays(layout: str, table: str, tmp_path: Path) -> None:
    before = LAYOUTS[layout].encode()
    params = tmp_path / "params.yaml"
    params.write_bytes(before)
    added = _added(table, params)
    after = added.text.encode()
    start = next(at for at in range(len(after)) if after[: at + 1] != before[: at + 1])
    end = len(before) - start
    assert after[:start] == before[:start] and (not end or after.endswith(before[start:]))
    assert params.read_bytes() == before
    params.write_bytes(after)
    declared = read_params(params)
    assert list(declared.models) == [*_models(before, tmp_path), "staff-of-2024"]
    assert set(declared.models["staff-of-2024"].features) == {"Alter", "Mood: now", "'#1 {x}'"}


def _models(payload: bytes, folder: Path) -> list[str]:
    """Return the models that a declaration has."""
    path = folder / "before.yaml"
    path.write_bytes(payload)
    return list(read_params(path).models)


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS, encoding="utf-8")
    return path


def test_a_table_is_stored_as_the_pipeline_reads_it(table: str, params: Path) -> None:
    added = _added(table, params)
    assert added.path == Path("dataset/sources/file/staff-of-2024.csv")
    lines = added.payload.decode().splitlines()
    assert lines[:2] == ["Alter,Mood: now,'#1 {x}',left", "18,low,0.5,ja"]
    notes = "\n".join(added.notes)
    assert "120 rows, 4 columns" in notes
    assert "separated by a semicolon" in notes
    assert "'#1 {x}': '0,5' is read as 0.5" in notes


def test_a_table_that_is_read_as_it_is_stays_as_it_is(tmp_path: Path, params: Path) -> None:
    lines = ['"a","mood","left"', *(f'"{age}",{mood},{left}' for age, mood, _, left in _rows())]
    path = tmp_path / "plain.csv"
    path.write_bytes("\r\n".join(lines).encode())
    assert _added(str(path), params).payload == path.read_bytes()


def test_words_for_a_missing_value_are_declared(tmp_path: Path, params: Path) -> None:
    rows = [
        f"{'?' if n % 9 == 0 else age},{'none' if n % 4 == 0 else mood},{left}"
        for n, (age, mood, _, left) in enumerate(_rows())
    ]
    path = tmp_path / "gaps.csv"
    path.write_text("\n".join(["age,mood,left", *rows]), encoding="utf-8")
    added = _added(str(path), params)
    assert isinstance(added.spec.source, FileSource)
    assert added.spec.source.missing == ("", "NA", "NaN", "null", "?")
    assert added.spec.features["age"].nullable
    assert "none" in added.spec.features["mood"].categories
    assert added.payload == path.read_bytes()


def test_parquet_has_types_and_stays_as_it_is(tmp_path: Path, params: Path) -> None:
    rows = _rows()
    columns = {
        "age": [int(row[0]) for row in rows],
        "pay": [None if n % 8 == 0 else 1.234 + n for n in range(len(rows))],
        "new": [n % 3 == 0 for n in range(len(rows))],
        "left": [row[3] for row in rows],
    }
    path = tmp_path / "staff.parquet"
    parquet.write_table(pa.table(columns), path)
    added = _added(str(path), params)
    assert added.payload == path.read_bytes() and str(added.path).endswith("staff.parquet")
    types = {name: feature.type for name, feature in added.spec.features.items()}
    assert types == {"age": "integer", "pay": "number", "new": "boolean"}


def test_a_set_of_a_library_is_drafted_without_its_codes(params: Path) -> None:
    added = _added("library:wine", params, target="cultivar")
    assert added.path is None and added.spec.source.kind == "library"
    assert "target" not in added.spec.features and len(added.spec.features) == 13
    assert summary(added, written=False) == "\n".join(added.lines)


def test_a_name_that_is_taken_is_refused_with_the_way_out(table: str, params: Path) -> None:
    with pytest.raises(ConfigError, match=r"another name by --name, or remove .* forget sugar"):
        _added(table, params, name="sugar")
    with pytest.raises(ConfigError, match="Staff!"):
        _added(table, params, name="Staff!")
    with pytest.raises(SourceError, match=r"none\.csv: not a file"):
        _added("none.csv", params)


def test_models_in_braces_take_no_block(table: str, params: Path) -> None:
    yaml = YAML()
    yaml.default_flow_style = True
    with params.open("w", encoding="utf-8") as stream:
        yaml.dump(YAML(typ="safe", pure=True).load(PARAMS), stream)
    with pytest.raises(ConfigError, match="models: written in braces"):
        _added(table, params)


def test_an_option_decides(table: str, params: Path) -> None:
    hints = replace(NOTHING, leave_out=("Alter",), positive="nein")
    added = addition(table, "left", name="other", hints=hints, params=params)
    assert added.name == "other" and added.spec.target.positive == "nein"
    assert "      # left out: Alter: by --leave-out" in added.lines


def test_another_table_keeps_its_place(
    table: str, params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(params.parent)
    added = _added(table, params)
    assert added.path is not None
    added.path.parent.mkdir(parents=True)
    added.path.write_text("a,b\n", encoding="utf-8")
    with pytest.raises(SourceError, match="there already, with another content"):
        write(added, params=params)
    assert added.path.read_text(encoding="utf-8") == "a,b\n"
    assert params.read_text(encoding="utf-8") == PARAMS


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The URL of a database with the same rows, and some that a draft must ask about."""
    pytest.importorskip("connectorx", reason="needs connectorx: make setup-dev")
    path = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(path)) as opened, opened:
        opened.execute(
            "CREATE TABLE staff (id INTEGER PRIMARY KEY, age INTEGER, mood VARCHAR(9), "
            'pay DOUBLE, since DATE, coded VARCHAR(9), "left" VARCHAR(9))'
        )
        opened.executemany(
            "INSERT INTO staff VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (at, int(row[0]), row[1], at * 0.5 if at % 9 else None, f"2024-01-{at % 28 + 1:02}",
                 "NA" if at % 5 == 0 else f"c{at % 2}", row[3])
                for at, row in enumerate(_rows())
            ],
        )  # fmt: skip
    return f"sqlite:///{path}"


def test_a_table_of_a_database_is_drafted_by_its_types(database: str, params: Path) -> None:
    query = 'SELECT id, age, mood, pay, "left" FROM staff'
    for rows in (
        DatabaseRows(database, query=query, order_by=("id",)),
        DatabaseRows(database, table="staff"),
    ):
        hints = replace(NOTHING, leave_out=("coded", "since") if rows.table else ())
        hints = replace(hints, values=("NA",) if rows.table else ())
        added = addition(rows, "left", name="staff", hints=hints, params=params)
        types = {name: feature.type for name, feature in added.spec.features.items()}
        assert types == {"age": "integer", "mood": "category", "pay": "number"}
        assert added.spec.features["pay"].nullable
        assert isinstance(added.spec.source, SqlSource)
        assert (added.spec.source.table, added.spec.source.query) == (rows.table, rows.query)
        assert added.path is None and any("left out: id" in note for note in added.notes)


def test_a_drafted_database_is_collected_and_prepared_as_drafted(
    database: str, params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(params.parent)
    rows = DatabaseRows(database, query='SELECT id, age, mood, "left" FROM staff', order_by=("id",))
    added = addition(rows, "left", name="staff", hints=NOTHING, params=params)
    write(added, params=params)
    spec = read_params(params).models["staff"]
    assert isinstance(spec.source, SqlSource)
    (collected,) = SqlTables(spec.source).tables()
    prepared = prepare(collected.to_pandas(), spec)
    assert len(prepared.train) + len(prepared.test) == 120


SECRET = "postgresql://reader:hunter2@127.0.0.1/shop"


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (DatabaseRows("DATABASE", table="staff"), "'coded': 'NA' looks like a missing value"),
        (DatabaseRows("DATABASE"), "give either `table` or `query`"),
        (DatabaseRows("DATABASE", query="SELECT 1"), "list columns in `order_by`"),
        (DatabaseRows("DATABASE", table="none"), "has no table 'none'"),
        (DatabaseRows("oracle://reader@db/shop", table="staff"), "give a URL such as postgresql"),
        (DatabaseRows(SECRET, table="staff"), "a URL with a password would be read by all"),
    ],
)
def test_what_cannot_be_drafted_from_a_database_says_the_way_out(
    rows: DatabaseRows, complaint: str, database: str, params: Path
) -> None:
    rows = replace(rows, url=database if rows.url == "DATABASE" else rows.url)
    with pytest.raises(TreelineError) as error:
        addition(rows, "left", name=None, hints=NOTHING, params=params)
    assert complaint in str(error.value)
    assert "hunter2" not in str(error.value)
    assert "staff" not in read_params(params).models
