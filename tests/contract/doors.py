"""Every door through which a value reaches a model, each as a function of one value.

A door takes a column of one row, in the form in which the door's format has it, and says what
becomes of it: the code that the model is given, or the field and the words of the refusal.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from api.errors import MalformedBodyError
from api.formats import v2
from api.formats.cutting import header
from api.formats.rows import Contract, Job, check_header
from api.inference import parts
from api.inference.record import Predictor, Records
from api.inference.v2 import TypedModel
from tests.tiny_models import Recipe, write_model
from treeline.artifact.store import ArtifactStore
from treeline.config.models import ModelSpec
from treeline.config.sources import FileSource
from treeline.contract.encoding import Matrix
from treeline.contract.features import Feature, Target
from treeline.errors import DataError, ProblemsError, SourceError
from treeline.preparation.checking import check
from treeline.preparation.columns import declared_columns, filled
from treeline.preparation.encoding import encoded
from treeline.scoring.reading import check_columns, csv_rows, read
from treeline.sources.files import read_tables
from treeline.tables import read_frame, write_tables

TREES = ("oak", "Tilia cordata", "H\u00eatre", "1")  # the third composed, as NFC has it
FEATURES = {
    "number": Feature(type="number"),
    "share": Feature(type="number", minimum=0, maximum=1),
    "nullable number": Feature(type="number", nullable=True),
    "integer": Feature(type="integer"),
    "filled integer": Feature(type="integer", minimum=-5, maximum=5, fill=3),
    "boolean": Feature(type="boolean"),
    "nullable boolean": Feature(type="boolean", nullable=True),
    "category": Feature(type="category", categories=TREES),
    "nullable category": Feature(type="category", categories=TREES, nullable=True),
}
EXAMPLE: dict[str, Any] = {
    "number": 0.5,
    "share": 0.5,
    "nullable number": 0.5,
    "integer": 4,
    "filled integer": 4,
    "boolean": True,
    "nullable boolean": True,
    "category": "oak",
    "nullable category": "oak",
}
TYPES = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_()}
DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "category": "BYTES"}
RECIPE = Recipe(
    name="door",
    target=Target(name="height", task="regression"),
    features=FEATURES,
    example=EXAMPLE,
    missing=("NA",),
)
JSON = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True)
class Given:
    """One value as each format has it; None where a format cannot say it.

    `token` is its JSON, `field` that of a CSV, `array` one element of Arrow, and `tensor` the
    datatype of the inference protocol with one element, None being null. An `absent` value has no
    key and no column, a `repeated` one stands twice, the second time as the example, and `extra`
    adds a key or column that is no feature.
    """

    token: str | None = None
    field: str | None = None
    array: pa.Array | None = None
    tensor: tuple[str, Any] | None = None
    absent: bool = False
    repeated: bool = False
    extra: bool = False


@dataclass(frozen=True)
class Outcome:
    """The code that the model is given, or the field and the words of the refusal."""

    code: float | None = None
    field: str = ""
    words: str = ""

    def __str__(self) -> str:
        if self.field:
            return f"refused: {self.field}: {self.words}"
        return f"code {self.code!r}"


class Doors:
    """All doors of one tiny model."""

    def __init__(self, root: Path) -> None:
        """Export the model below `root`."""
        self._root = root
        self._signature = write_model(root / "model", RECIPE)
        self._model = ArtifactStore(root / "model").load(RECIPE.name)
        self._contract = Contract(self._signature, self._model.encoder)
        self._records = Records(self._signature)
        self._typed = TypedModel(Predictor(self._model))
        self._paths = count()
        self._job = Job(
            model_dir=root,
            admitted=frozenset(),
            name=RECIPE.name,
            version="",
            batch_id="b",
            given="json",
            wanted="csv",
            most_rows=10,
            memory_bytes=1 << 28,
        )
        self.all: dict[str, Callable[[str, Given], Matrix | None]] = {
            "/v1/predict": self.predict,
            "batch, JSON records": self.json_records,
            "batch, JSON lines": self.json_lines,
            "batch, JSON columns": self.json_columns,
            "batch, CSV": self.csv,
            "batch, Arrow": self.arrow,
            "batch, Parquet": self.parquet,
            "/v2, JSON": self.tensors,
            "/v2, binary": self.binary,
            "score, Parquet": self.score,
            "score, CSV": self.score_csv,
            "prepare, Parquet": self.prepare,
            "prepare, CSV": self.prepare_csv,
        }

    def outcome(self, door: str, name: str, given: Given) -> Outcome | None:
        """Return what becomes of a value of the feature `name`; None where it cannot be sent."""
        try:
            matrix = self.all[door](name, given)
        except ProblemsError as error:
            problem = error.problems[0]
            place = problem.place.removeprefix("line 1: ").removeprefix("row 1: ")
            return Outcome(field=place, words=problem.message)
        except (DataError, SourceError) as error:
            return outcome_of(str(error))
        except MalformedBodyError as error:
            return Outcome(field="body", words=str(error))
        if matrix is None:
            return None
        assert matrix.shape == (1, len(FEATURES))
        return Outcome(code=float(matrix[0, list(FEATURES).index(name)]))

    def predict(self, name: str, given: Given) -> Matrix | None:
        body = record_of(name, given)
        if body is None:
            return None
        row = self._model.encoder.row(self._records.read(body.encode()))
        return np.array([row], dtype=np.float32)

    def json_records(self, name: str, given: Given) -> Matrix | None:
        body = record_of(name, given)
        return None if body is None else self._batch("json", body.encode())

    def json_lines(self, name: str, given: Given) -> Matrix | None:
        body = record_of(name, given)
        return None if body is None else self._batch("lines", body.encode() + b"\n")

    def json_columns(self, name: str, given: Given) -> Matrix | None:
        body = record_of(name, given, listed=True)
        if body is None:
            return None
        path = f"{self._root}/no file {next(self._paths)}"
        return self._batch("json", body.encode(), path=path, first=0)

    def csv(self, name: str, given: Given) -> Matrix | None:
        text = csv_of(name, given)
        if text is None:
            return None
        first, _, rest = text.partition("\n")
        names = header(first.encode())
        check_header(names, self._signature, place="line 1: ", extra="auto")
        return self._batch("csv", rest.encode(), names=tuple(names))

    def arrow(self, name: str, given: Given) -> Matrix | None:
        table = table_of(name, given)
        if table is None:
            return None
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return self._batch("arrow", bytes(sink.getvalue()), first=0)

    def parquet(self, name: str, given: Given) -> Matrix | None:
        table = table_of(name, given)
        return None if table is None else self._batch("parquet", parquet_of(table), first=0)

    def tensors(self, name: str, given: Given) -> Matrix | None:
        return self._infer(name, given, binary=False)

    def binary(self, name: str, given: Given) -> Matrix | None:
        return self._infer(name, given, binary=True)

    def score(self, name: str, given: Given) -> Matrix | None:
        table = table_of(name, given)
        if table is None:
            return None
        with parquet.ParquetFile(io.BytesIO(parquet_of(table))) as file:
            check_columns(file.schema_arrow, FEATURES, keep=())
            (batch,) = file.iter_batches()
        return good(*read(batch, FEATURES))

    def score_csv(self, name: str, given: Given) -> Matrix | None:
        text = csv_of(name, given)
        if text is None:
            return None
        path = self._root / "rows.csv"
        path.write_text(text, encoding="utf-8")
        (batch,) = [each for each in csv_rows(path, self._model, ()) if each.num_rows]
        return good(*read(batch, FEATURES))

    def prepare(self, name: str, given: Given) -> Matrix | None:
        table = table_of(name, given)
        return None if table is None else self._prepared(table)

    def prepare_csv(self, name: str, given: Given) -> Matrix | None:
        text = csv_of(name, given)
        if text is None:
            return None
        path = self._root / "rows.csv"
        path.write_text(text, encoding="utf-8")
        (table,) = read_tables(path, suffix=".csv", spec=spec().source, name="rows.csv")  # type: ignore[arg-type]
        return self._prepared(table)

    def _prepared(self, table: pa.Table) -> Matrix:
        table = table.append_column("height", pa.array([1.0]))
        write_tables(path := self._root / "raw.parquet", [table])
        frame = read_frame(path)
        checked = check(declared_columns(frame, spec()), spec())
        return encoded(filled(checked, FEATURES), FEATURES).to_numpy()

    def _batch(self, kind: str, payload: bytes, *, first: int = 1, **others: Any) -> Matrix:
        job = replace(self._job, given=kind, **others)
        parts.inspect(self._contract, job, payload)
        rows = parts.read(self._contract, job, payload, first)
        assert rows is not None
        if not first:  # what is read in parts is read to its end
            assert parts.read(self._contract, job, payload, 1) is None
        for fault in rows.bad.values():
            raise ProblemsError(list(fault.problems))
        return rows.matrix

    def _infer(self, name: str, given: Given, *, binary: bool) -> Matrix | None:
        sent = tensors_of(name, given, binary=binary)
        if sent is None:
            return None
        inputs, raw = sent
        document = JSON({"inputs": inputs})
        for number in (
            "NaN",
            "Infinity",
            "-Infinity",
            "1e400",
        ):  # of which JSON in Python knows no spelling
            document = document.replace(f'"{number}"', number)
        body = document.encode()
        question = v2.read(body + raw, str(len(body)) if raw else None)
        matrix, _ = self._typed.encoded(question.inputs)
        return matrix


@cache
def spec() -> ModelSpec:
    """Return the declaration of the tiny model."""
    source = FileSource(kind="file", path="dataset/sources/file/rows.csv", missing=("", "NA"))
    return ModelSpec.model_validate(
        {
            "source": source.model_dump(),
            "target": {"name": "height", "task": "regression"},
            "features": {name: each.model_dump() for name, each in FEATURES.items()},
            "split": {},
            "candidates": {"ridge": {"estimator": "sklearn.linear_model.Ridge"}},
            "search": {},
            "champion": {"metric": "rmse"},
            "gate": {},
        }
    )


def record_of(name: str, given: Given, *, listed: bool = False) -> str | None:
    """Return the JSON of a record, or of columns of one row."""
    if given.token is None and not given.absent:
        return None
    pairs = [(each, JSON(value)) for each, value in EXAMPLE.items() if each != name]
    if not given.absent:
        pairs.append((name, str(given.token)))
    if given.repeated:
        pairs.append((name, JSON(EXAMPLE[name])))
    if given.extra:
        pairs.append(("stranger", "7"))
    if listed:
        pairs = [(each, f"[{value}]") for each, value in pairs]
    return "{" + ",".join(f"{JSON(each)}:{value}" for each, value in pairs) + "}"


def csv_of(name: str, given: Given) -> str | None:
    """Return a CSV of one row."""
    if given.field is None and not given.absent:
        return None
    pairs = [(each, str(value)) for each, value in EXAMPLE.items() if each != name]
    if not given.absent:
        pairs.append((name, str(given.field)))
    if given.repeated:
        pairs.append((name, str(EXAMPLE[name])))
    if given.extra:
        pairs.append(("stranger", "7"))
    return "".join(",".join(line) + "\n" for line in zip(*pairs, strict=True))


def table_of(name: str, given: Given) -> pa.Table | None:
    """Return an Arrow table of one row."""
    if given.array is None and not given.absent:
        return None
    pairs = [(each, usual(each, value)) for each, value in EXAMPLE.items() if each != name]
    if not given.absent:
        pairs.append((name, given.array))
    if given.repeated:
        pairs.append((name, usual(name, EXAMPLE[name])))
    if given.extra:
        pairs.append(("stranger", pa.array([7])))
    return pa.table([array for _, array in pairs], names=[each for each, _ in pairs])


def usual(name: str, value: Any) -> pa.Array:
    """Return a value in the type that its feature usually has."""
    return pa.array([value], TYPES.get(FEATURES[name].type, pa.string()))


def parquet_of(table: pa.Table) -> bytes:
    """Return the bytes of a Parquet file."""
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, store_schema=True)
    return bytes(sink.getvalue())


def tensors_of(name: str, given: Given, *, binary: bool) -> tuple[list[Any], bytes] | None:
    """Return the inputs of an infer request, and the bytes behind its document."""
    pairs = tensor_pairs(name, given)
    if pairs is None:
        return None
    inputs: list[Any] = []
    raws = b""
    for each, (datatype, value) in pairs:
        described = {"name": each, "shape": [1], "datatype": datatype}
        if not binary and datatype == "FP16":
            return None
        raw = raw_of(datatype, value) if binary else b""
        if raw is None:
            return None
        sent = {"parameters": {"binary_data_size": len(raw)}} if binary else {"data": [value]}
        inputs.append(described | sent)
        raws += raw
    return inputs, raws


def tensor_pairs(name: str, given: Given) -> list[tuple[str, tuple[str, Any]]] | None:
    """Return datatype and element of each input."""
    if given.tensor is None and not given.absent:
        return None
    usual = {each: (DATATYPES[FEATURES[each].type], value) for each, value in EXAMPLE.items()}
    pairs = [(each, tensor) for each, tensor in usual.items() if each != name]
    if given.tensor is not None:
        pairs.append((name, given.tensor))
    if given.repeated:
        pairs.append((name, usual[name]))
    return [*pairs, ("stranger", ("FP64", 7.0))] if given.extra else pairs


def raw_of(datatype: str, value: Any) -> bytes | None:
    """Return an element as binary data, None where there is no such."""
    if value is None or value == "1e400":
        return None
    if datatype == "BYTES":
        text = str(value).encode()
        return len(text).to_bytes(4, "little") + text
    kinds = {"FP64": "<f8", "FP16": "<f2", "INT64": "<i8", "BOOL": "u1"}
    return (
        np.array([value], dtype="<f8" if isinstance(value, str) else None)
        .astype(kinds[datatype])
        .tobytes()
    )


def good(matrix: Matrix, reasons: dict[int, list[str]]) -> Matrix:
    """Return the codes of rows of which none is bad; raises DataError."""
    for told_reasons in reasons.values():
        raise DataError(f"reason {told_reasons[0]}")
    return matrix


def outcome_of(text: str) -> Outcome:
    """Return the outcome that the first line of a refusal tells."""
    line = text.splitlines()[0]
    if line.startswith("column '"):
        place, _, words = line.partition(": ")
        return Outcome(field=place.split("'")[1], words=words)
    if line.startswith("reason "):
        field, _, words = line.removeprefix("reason ").partition(": ")
        return Outcome(field=field, words=words)
    return Outcome(field="(table)", words=line)
