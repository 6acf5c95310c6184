"""Logged rows as columns: what readers give, and what is counted. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from treeline.artifact import Prediction
from treeline.contract.features import Feature, Label
from treeline.contract.kinds import Holds
from treeline.contract.signature import Signature

Array = NDArray[Any]
Cell = TypeVar("Cell")

TYPES: dict[Holds, pa.DataType] = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
}
NO_CLASS = -1  # the code of what is no class of the model, and of a truth that is not known
LARGEST_LINE = 1 << 20  # bytes


@dataclass(frozen=True)
class LoggedPrediction:
    """One prediction as the log has it; `time` and `truth_time` are seconds since 1970.

    `features`, `prediction`, `probabilities` and `truth` are what their JSON says. `features` are
    null where they are redacted as a whole, `truth` where none has come in.
    """

    id: str
    time: float
    model: str
    version: str
    features: Any
    prediction: Any
    probability: float | None
    probabilities: Mapping[str, float] | None
    truth: Any
    truth_time: float | None
    key: str | None


@dataclass(frozen=True)
class Logged:
    """Columns of n_rows logged predictions, as texts of JSON where the log has documents.

    `times` and `truth_times` are seconds since 1970, NaN where there is no truth yet.
    """

    times: Array
    versions: Sequence[str]
    features: Sequence[str]
    predictions: Sequence[str]
    probabilities: Sequence[str | float | None]
    truths: Sequence[str | None]
    truth_times: Array

    def of_version(self, version: str) -> "Logged":
        """Return the rows that one version answered."""
        positions = [place for place, each in enumerate(self.versions) if each == version]
        if len(positions) == len(self.versions):
            return self

        def part(column: Sequence[Cell]) -> list[Cell]:
            return [column[place] for place in positions]

        return Logged(
            self.times[positions],
            part(self.versions),
            part(self.features),
            part(self.predictions),
            part(self.probabilities),
            part(self.truths),
            self.truth_times[positions],
        )


@dataclass(frozen=True)
class Rows:
    """The same, typed: `features` has a column per feature, float64 of numbers and else text.

    `answers` are those of the service. `truth` has class codes, or float64, of shape (n_rows,);
    NO_CLASS or NaN where it is not known. Rows whose answer is none of the model are left out, and
    counted in `strange`.
    """

    times: Array
    features: pa.Table
    answers: Prediction
    truth: Array
    truth_times: Array
    strange: int = 0

    def __len__(self) -> int:
        return len(self.times)

    @property
    def labelled(self) -> Array:
        """Whether the truth of a row is known, shape (n_rows,)."""
        if self.answers.values is not None:
            return np.isfinite(self.truth)
        return np.asarray(self.truth >= 0)

    def where(self, mask: Array) -> "Rows":
        """Return the rows that a mask of shape (n_rows,) keeps."""
        return Rows(
            self.times[mask],
            self.features.filter(pa.array(mask)),
            part(self.answers, mask),
            self.truth[mask],
            self.truth_times[mask],
        )


def part(prediction: Prediction, index: Array) -> Prediction:
    """Return the predictions of some rows, by mask or by position."""
    given = (prediction.labels, prediction.scores, prediction.values)
    return Prediction(*(None if each is None else each[index] for each in given))


def joined(parts: Sequence[Prediction]) -> Prediction:
    """Return predictions, at least one, behind each other."""
    columns = zip(*((each.labels, each.scores, each.values) for each in parts), strict=True)
    return Prediction(
        *(None if any(part is None for part in each) else np.concatenate(each) for each in columns)
    )


def typed(logged: Logged, signature: Signature) -> Rows:
    """Return the rows of a log as columns of a model's features, classes and probabilities."""
    known, answers = _answers(logged, signature)
    truth = _truths(logged.truths, signature)
    rows = Rows(
        logged.times,
        features_of(logged.features, signature.features),
        answers,
        truth,
        logged.truth_times,
    )
    if known.all():
        return rows
    left = rows.where(known)
    return Rows(
        left.times, left.features, left.answers, left.truth, left.truth_times,
        strange=int(np.sum(~known)),
    )  # fmt: skip


def _answers(logged: Logged, signature: Signature) -> tuple[Array, Prediction]:
    """Return whether each answer is one of the model, and the answers."""
    if signature.target.task == "regression":
        values = _numbers(logged.predictions)
        return np.isfinite(values), Prediction(values=values)
    labels = codes_of(logged.predictions, signature.classes)
    known = labels >= 0
    if not signature.probabilities:
        return known, Prediction(labels=labels)
    if len(signature.classes) == 2:
        positive = np.array(logged.probabilities, dtype=np.float64)
        scores = np.column_stack([1 - positive, positive])
    else:
        scores = _shares(logged.probabilities, len(signature.classes))
    known &= np.isfinite(scores).all(axis=1)
    return known, Prediction(labels=labels, scores=scores.astype(np.float32))


def _truths(truths: Sequence[str | None], signature: Signature) -> Array:
    if signature.target.task == "regression":
        return _numbers(truths)
    return codes_of(truths, signature.classes)


def codes_of(texts: Sequence[str | None], classes: Sequence[Label]) -> Array:
    """Return the class code of each JSON text, NO_CLASS of another value, shape (n,)."""
    column = pa.array(texts, pa.string()).dictionary_encode()
    codes = [_code(text, tuple(classes)) for text in column.dictionary.to_pylist()]
    places = column.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)
    return np.asarray(np.array([*codes, NO_CLASS], dtype=np.int64)[places])


@lru_cache(maxsize=10_000)
def _code(text: str, classes: tuple[Label, ...]) -> int:
    try:
        value = from_json(text)
    except ValueError:
        return NO_CLASS
    for code, each in enumerate(classes):
        if each == value and isinstance(each, str) == isinstance(value, str):
            return code
    return NO_CLASS


def _numbers(texts: Sequence[str | None]) -> Array:
    """Return the number in each JSON text, NaN where there is none, shape (n,)."""
    column = pa.array(texts, pa.string())
    try:
        return np.asarray(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        return np.array([_number(text) for text in texts], dtype=np.float64)


def _number(text: str | None) -> float:
    try:
        value = from_json(text or "null")
    except ValueError:
        return np.nan
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else np.nan


def _shares(texts: Sequence[Any], classes: int) -> Array:
    """Return the probabilities in JSON objects, in the order of classes, shape (n, classes)."""
    matrix = np.full((len(texts), classes), np.nan)
    for place, text in enumerate(texts):
        shares = list(from_json(text).values()) if text else []
        if len(shares) == classes:
            matrix[place] = shares
    return matrix


def features_of(texts: Sequence[str], features: dict[str, Feature]) -> pa.Table:
    """Return a column per feature of JSON objects, null where there is no value.

    At once where all values have their type, else value by value: then what is no number is NaN,
    and what is no text its JSON.
    """
    schema = pa.schema([(name, _type(feature)) for name, feature in features.items()])
    lines = "\n".join(text if text.startswith("{") else "{}" for text in texts)
    try:
        table = pa.json.read_json(
            pa.BufferReader(lines.encode()),
            read_options=pa.json.ReadOptions(use_threads=False, block_size=len(lines) + 1024),
            parse_options=pa.json.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="ignore"
            ),
        )
    except pa.ArrowInvalid:
        table = None
    if table is None or table.num_rows != len(texts):
        return _one_by_one(texts, features)
    return pa.table({name: _as_text(table[name]) for name in features})


def _type(feature: Feature) -> pa.DataType:
    return TYPES[feature.kind.holds]


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(column, pa.string()) if pa.types.is_boolean(column.type) else column


def _one_by_one(texts: Iterable[str], features: dict[str, Feature]) -> pa.Table:
    rows = [_object(text) for text in texts]
    columns: dict[str, pa.Array] = {}
    for name, feature in features.items():
        values: Iterator[Any] = (row.get(name) for row in rows)
        is_number = feature.kind.holds == "number"
        cell: Callable[[Any], Any] = _cell_of_number if is_number else _cell_of_text
        made = [cell(value) for value in values]
        columns[name] = pa.array(made, pa.float64() if is_number else pa.string())
    return pa.table(columns)


def _object(text: str) -> dict[str, Any]:
    try:
        value = from_json(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _cell_of_number(value: Any) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else np.nan


def _cell_of_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return to_json(value).decode()
