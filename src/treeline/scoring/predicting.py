"""A batch of rows → the same rows with their predictions, as Arrow. Pure.

Beside the columns kept: `prediction`, the class or the value; `probability`, of the positive class,
or of several that of the predicted one and `probability_<class>` of each; and `error`, what is
wrong with a bad row.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treeline.artifact import Prediction
from treeline.artifact.store import Model
from treeline.contract.encoding import Matrix
from treeline.contract.signature import Signature
from treeline.contract.texts import text_of
from treeline.errors import ArtifactRejectedError, DataError
from treeline.scoring import Packed, unpacked
from treeline.scoring.reading import read

PREDICTION, PROBABILITY, ERROR = "prediction", "probability", "error"
SHOWN = 5  # bad rows named before the rest is only counted


def fields(signature: Signature) -> list[pa.Field]:
    """Return the columns that scoring adds, in order."""
    added = [pa.field(PREDICTION, _classes(signature).type)]
    if signature.probabilities:
        names = [PROBABILITY]
        if signature.target.task == "multiclass":
            names += [f"{PROBABILITY}_{text_of(each)}" for each in signature.classes]
        added += [pa.field(name, pa.float32()) for name in names]
    return [*added, pa.field(ERROR, pa.string())]


def check_keep(keep: Sequence[str], signature: Signature) -> None:
    """Raise DataError where a kept column would have the name of an added one, or stands twice."""
    added = {field.name for field in fields(signature)}
    for name in keep:
        if name in added or list(keep).count(name) > 1:
            raise DataError(
                f"--keep {name}: the result has another column of that name; leave it out, or "
                "rename it in the rows"
            )


def scored(
    batch: pa.RecordBatch, model: Model, *, keep: Sequence[str], place: Callable[[int], str]
) -> pa.RecordBatch:
    """Return the kept columns of a batch and what the model says of each row.

    `place` tells where the row at a position of the batch comes from. Bad rows have no prediction.
    Raises ArtifactRejectedError where the model gives what its signature does not say.
    """
    matrix, reasons = read(batch, model.signature.features)
    good = np.ones(batch.num_rows, dtype=np.bool_)
    good[list(reasons)] = False
    errors: list[str | None] = [None] * batch.num_rows
    for row, texts in reasons.items():
        errors[row] = f"{place(row)}: {'; '.join(texts)}"
    added = [*_predicted(model, matrix, good), pa.array(errors, pa.string())]
    carried = [batch.column(name) for name in keep]
    schema = pa.schema([*(batch.schema.field(n) for n in keep), *fields(model.signature)])
    return pa.RecordBatch.from_arrays([*carried, *added], schema=schema)


def _predicted(model: Model, matrix: Matrix, good: NDArray[np.bool_]) -> list[pa.Array]:
    """Return what a model says of the good rows, null for the others.

    No model is given rows that its signature refuses, nor none at all: many fail on either.
    """
    signature, count = model.signature, int(good.sum())
    if not count:
        return [pa.nulls(len(good), field.type) for field in fields(signature)[:-1]]
    if count == len(good):
        return _given(model.runtime.predict(matrix), signature, count)
    given = _given(model.runtime.predict(matrix[good]), signature, count)
    places = pa.array(np.cumsum(good) - 1, mask=~good)
    return [column.take(places) for column in given]


WAY_OUT = "correct them, or have them told in the column `error` with --bad-rows report"


def refuse(errors: Sequence[str], *, bad_rows: int, rows: int, way_out: str = WAY_OUT) -> None:
    """Raise DataError naming the bad rows, of which `errors` are the first."""
    lines = list(errors[:SHOWN])
    if bad_rows > len(lines):
        lines.append(f"{bad_rows - len(lines):,} more rows like these")
    raise DataError("\n".join([f"{bad_rows:,} of {rows:,} rows are bad", *lines, way_out]))


def _given(prediction: Prediction, signature: Signature, rows: int) -> list[pa.Array]:
    """Return what a model gave as columns: classes and probabilities, or values."""
    regression, count = signature.target.task == "regression", len(signature.classes)
    answers = prediction.values if regression else prediction.labels
    _expect(answers is not None and answers.shape == (rows,), signature)
    if regression:
        return [pa.array(answers, pa.float64())]
    labels = np.asarray(answers, dtype=np.int64)
    _expect(bool(((labels >= 0) & (labels < count)).all()), signature)
    columns = [_classes(signature).take(pa.array(labels))]
    if not signature.probabilities:
        return columns
    scores = prediction.scores
    _expect(scores is not None and scores.shape == (rows, count), signature)
    shares = np.asarray(scores, dtype=np.float32)
    chosen = [shares[:, -1]]
    if signature.target.task == "multiclass":
        chosen = [shares[np.arange(rows), labels], *shares.T]
    return columns + [pa.array(np.ascontiguousarray(share)) for share in chosen]


def _expect(held: bool, signature: Signature) -> None:
    if not held:
        raise ArtifactRejectedError(
            f"{signature.name}: the artifact does not give what its signature says; export it again"
        )


def _classes(signature: Signature) -> pa.Array:
    """Return the classes in the order of their codes."""
    if signature.target.task == "regression":
        return pa.array([], pa.float64())
    return pa.array(signature.classes)


FILE, ROW = "_treeline_file", "_treeline_row"  # where a row comes from, for messages


def streamed(
    model: Packed, keep: tuple[str, ...], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Score batches that hold their rows' file and position, counted from 0, beside the columns."""
    opened = unpacked(model)
    for batch in batches:
        files, rows = batch.column(FILE), batch.column(ROW)

        def place(row: int, files: Any = files, rows: Any = rows) -> str:
            return f"{files[row].as_py()}, row {rows[row].as_py() + 1}"

        yield scored(batch, opened, keep=keep, place=place)
