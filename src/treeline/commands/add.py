"""A table and the name of its target → a model's block in `params.yaml`, and the table stored.

What was read as what is said, a file that is written in another way than the pipeline reads is
stored in UTF-8 with commas and decimal points, and the block is held against what `treeline params`
checks before anything is written.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from pydantic import ValidationError

from treeline.commands.adopt import track
from treeline.commands.declaration import declared_before, declared_by
from treeline.commands.params import mistakes
from treeline.config import PARAMS, Params
from treeline.config.models import ModelSpec
from treeline.config.sources import FILES, LibrarySource, SqlSource
from treeline.contract.texts import slug_of, text_of
from treeline.drafting.blocks import block_lines, with_block
from treeline.drafting.choices import Draft, draft
from treeline.drafting.columns import ColumnReading, read_columns
from treeline.drafting.hints import Hints
from treeline.drafting.sheets import Sheet, read_sheet
from treeline.errors import ConfigError, DataError, SourceError
from treeline.files import write_bytes, write_text
from treeline.registry import resolve
from treeline.sources import SOURCES
from treeline.sources.library import LibraryTables
from treeline.tables import read_frame

LIBRARY = "library:"
PARQUET = ".parquet"
SHOWN = 4  # columns that a line names


@dataclass(frozen=True)
class Addition:
    """A drafted model: its lines in `params.yaml`, what was read as what, and what is stored.

    `payload` are the bytes of the table below `path`; there is none for a set of a library.
    """

    name: str
    lines: tuple[str, ...]
    notes: tuple[str, ...]
    text: str
    spec: ModelSpec
    path: Path | None
    payload: bytes


@dataclass(frozen=True)
class DatabaseRows:
    """Rows of a database: those of a `table`, or of a `query`, which name the columns of an order.

    `url` is one of SQLAlchemy without a password, which an environment variable holds.
    """

    url: str
    table: str | None = None
    query: str | None = None
    order_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Name the rows; the URL may hold a password, if by mistake."""
        return f"table {self.table}" if self.table is not None else "the query"


def addition(
    table: str | DatabaseRows, target: str, *, name: str | None, hints: Hints, params: Path = PARAMS
) -> Addition:
    """Return what `add` would write. Raises ConfigError, SourceError and DataError.

    `table` is the path of a CSV or Parquet file, `library:` and a set that comes along, or rows of
    a database.
    """
    name = name or _name(table)
    declared = declared_before(params)
    if declared is not None and name in declared.models:
        raise ConfigError(
            f"{params}: models.{name}: declared already; give another name by --name, or remove "
            f"that model by `treeline forget {name}`"
        )
    given = _given(table, target, name, hints)
    sheet, payload, suffix = given.sheet, given.payload, given.suffix
    if suffix != ".csv":  # it has types, which are spelt with points
        hints = replace(hints, decimal="point")
    path = Path(FILES) / f"{name}{suffix}" if suffix else None
    try:
        columns = read_columns(sheet.columns, hints)
        if path is None:
            _check_as_it_is(columns)
        drafted = draft(columns, target, source=given.source, hints=hints)
    except DataError as error:
        raise DataError(f"{table}: {error}") from None
    if path is not None and not _is_read_as_it_is(sheet, columns, drafted):
        path = path.with_suffix(".csv")
        drafted.block["source"]["path"] = str(path)
        payload = _canonical(columns)
    text = params.read_bytes().decode("utf-8")
    lines = block_lines(name, drafted)
    text = with_block(text, name, lines)
    after = declared_by(text, params)
    _check(after, name, drafted.block, declared)
    notes = (*sheet.notes, *_notes(columns, drafted))
    rows = f"{table}: {sheet.n_rows:,} rows, {len(sheet.columns)} columns"
    return Addition(name, tuple(lines), (rows, *notes), text, after.models[name], path, payload)


def write(added: Addition, *, params: Path = PARAMS) -> None:
    """Store the table, let DVC track it, and write the declaration, which is replaced last.

    Raises SourceError where another table has its place, and ConfigError for what `treeline params`
    refuses; nothing is changed then.
    """
    path = added.path
    if path is not None and path.exists() and path.read_bytes() != added.payload:
        raise SourceError(f"{path}: is there already, with another content; give another --name")
    before = path is not None and path.exists()
    if path is not None:
        write_bytes(path, added.payload)
    try:
        alone = Params(default=added.name, models={added.name: added.spec})
        if wrong := mistakes(alone):
            raise ConfigError("\n".join(f"{params}: {mistake}" for mistake in wrong))
        if path is not None:
            track(path)
    except BaseException:
        if path is not None and not before:
            path.unlink(missing_ok=True)
        raise
    write_text(params, added.text)


def summary(added: Addition, *, written: bool) -> str:
    """Return the block, and where it is and what comes next, where it is written."""
    block = "\n".join(added.lines)
    if not written:
        return block
    stored = f"; {added.path} is tracked by DVC" if added.path is not None else ""
    return (
        f"{block}\n\n{added.name} is declared in {PARAMS}{stored}. Correct the words there, then:\n"
        f"  make train MODEL={added.name}"
    )


@dataclass(frozen=True)
class _Given:
    """A table as texts, the source that gives it, and, of a file, its bytes and its suffix."""

    sheet: Sheet
    source: dict[str, Any]
    payload: bytes = b""
    suffix: str = ""


def _name(table: str | DatabaseRows) -> str:
    """Return what a model is called after its table."""
    if isinstance(table, DatabaseRows):
        return slug_of(table.table or urlsplit(table.url).path)
    return slug_of(table.removeprefix(LIBRARY) if _is_library(table) else Path(table).stem)


def _is_library(table: str) -> bool:
    return table.startswith(LIBRARY)


def _given(table: str | DatabaseRows, target: str, name: str, hints: Hints) -> _Given:
    """Return a table, and where it is from; raises SourceError, ConfigError and DataError."""
    if isinstance(table, DatabaseRows):
        return _of_database(table)
    if _is_library(table):
        return _of_library(table.removeprefix(LIBRARY), target)
    file = Path(table)
    if not file.is_file():
        raise SourceError(
            f"{table}: not a file; give a CSV or Parquet file, library:iris, or the URL of a "
            "database"
        )
    payload, is_parquet = file.read_bytes(), file.suffix.lower() == PARQUET
    suffix = PARQUET if is_parquet else ".csv"
    source = {"kind": "file", "path": f"{FILES}/{name}{suffix}"}
    if is_parquet:
        return _Given(typed(read_frame(file), "Parquet, with its types"), source, payload, suffix)
    try:
        return _Given(read_sheet(payload, hints), source, payload, suffix)
    except DataError as error:
        raise DataError(f"{table}: {error}") from None


def _of_library(dataset: str, target: str) -> _Given:
    labels = None if target == "target" else target
    spec = LibrarySource(kind="library", dataset=dataset, labels=labels)
    tables = [each.to_pandas() for each in LibraryTables(spec).tables()]
    sheet = typed(tables[0], "rows of a library, with their types")
    return _Given(sheet, spec.model_dump(include={"kind", "dataset", "labels"}, exclude_none=True))


def _of_database(rows: DatabaseRows) -> _Given:
    """Return the rows of a database as its source gives them; no message repeats the URL."""
    said = {"url": rows.url, "table": rows.table, "query": rows.query}
    block: dict[str, Any] = {"kind": "sql"}
    block |= {key: value for key, value in said.items() if value is not None}
    if rows.order_by:
        block["order_by"] = list(rows.order_by)
    try:
        spec = SqlSource.model_validate(block)
    except ValidationError as error:
        why = "; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors())
        raise ConfigError(f"the database: {why}; see --table, --query, --order-by") from None
    reader = resolve(SOURCES, spec.kind, place="TABLE", extra=spec.kind)
    frame = pa.concat_tables(reader(spec).tables()).to_pandas()
    return _Given(typed(frame, "rows of a database, with their types"), block)


def _check_as_it_is(columns: Sequence[ColumnReading]) -> None:
    """Raise DataError for what is no file, and holds values that only a file would be rid of."""
    for column in columns:
        if column.respelt is not None:
            raise DataError(
                f"column {column.name!r}: '{column.respelt[0]}' is a number that is written as a "
                "text; convert it in a --query (CAST)"
            )
        if column.missing_words:
            word = column.missing_words[0]
            raise DataError(
                f"column {column.name!r}: {word!r} looks like a missing value; make it one in a "
                f"--query (NULLIF), or say that it is a value: --values {word}"
            )


def typed(frame: Any, note: str) -> Sheet:
    """Return a table that has types as texts: 1.5, true, 2026-01-31T00:00:00, or empty."""
    columns = {
        str(name): ["" if value is None else text_of(value) for value in _plain(frame[name])]
        for name in frame.columns
    }
    return Sheet(columns, (note,), canonical=True)


def _plain(column: Any) -> Iterable[object]:
    """Yield the values of a column as plain Python, None for none."""
    if column.dtype.kind == "M":
        column = column.astype("str")
    for value, missing in zip(column.tolist(), column.isna(), strict=True):
        yield None if missing else value


def _is_read_as_it_is(sheet: Sheet, columns: Sequence[ColumnReading], drafted: Draft) -> bool:
    """Tell whether the pipeline reads the file as it was read here."""
    missing = drafted.block["source"].get("missing")
    words = {word for column in columns for word in column.missing_words}
    usual = missing is None or words <= set(missing)
    return sheet.canonical and usual and not any(column.respelt for column in columns)


def _canonical(columns: Sequence[ColumnReading]) -> bytes:
    """Return the table as CSV in UTF-8: commas, decimal points, empty for a missing value."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    values = [column.values.fillna("") for column in columns]
    writer.writerows(zip(*values, strict=True))
    return stream.getvalue().encode()


def _check(declared: Params, name: str, block: Mapping[str, Any], before: Params | None) -> None:
    """Raise ConfigError unless what is declared is what was before, and the block besides."""
    expected = {**(before.models if before else {}), name: ModelSpec.model_validate(block)}
    default = before.default if before else name
    if dict(declared.models) != expected or declared.default != default:
        raise ConfigError(
            f"{PARAMS}: the block of {name} is not read as it is meant; write it by hand, after "
            "--dry-run"
        )


def _notes(columns: Sequence[ColumnReading], drafted: Draft) -> list[str]:
    """Return what was read as what, and what is left out."""
    notes = []
    respelt = [column for column in columns if column.respelt is not None]
    for column in respelt:
        assert column.respelt is not None  # the line above
        unit = f" {column.unit}" if column.unit else ""
        notes.append(f"{column.name}: '{column.respelt[0]}' is read as {column.respelt[1]}{unit}")
    words: dict[str, list[str]] = {}
    for column in columns:
        for word in column.missing_words:
            words.setdefault(word, []).append(column.name)
    for word, names in words.items():
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        notes.append(f"{word!r} is no value in {', '.join(names[:SHOWN])}{more}")
    notes += [f"left out: {each.name}: {each.reason}" for each in drafted.left_out]
    notes += [f"{'.'.join(place)}: {said}" for place, said in drafted.comments.items()]
    return notes
