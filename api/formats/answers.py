"""Predictions of rows → the columns of the answer, and from them CSV and JSON.

The same keys and the same numbers as `api.inference.record` gives for one record.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from api.contract.schemas import EXPLANATION
from api.errors import UnusableAnswerError
from api.formats import explained as explanations
from api.formats.cells import Cells, chosen, constant, joined, listed, numbered
from api.formats.explained import Explained
from api.http.echoes import without_formula
from treeline.artifact import Prediction
from treeline.contract.signature import Signature
from treeline.contract.texts import text_of

ERROR = "error"


@dataclass(frozen=True)
class Answered:
    """What good rows got: positions in the classes, or values; and columns of probabilities.

    `explained` is how they came about, where that is asked for.
    """

    labels: NDArray[Any] | None
    values: NDArray[Any] | None
    shares: dict[str, NDArray[Any]]
    explained: Explained | None = None

    def __len__(self) -> int:
        rows = self.values if self.labels is None else self.labels
        return 0 if rows is None else len(rows)


def answered(prediction: Prediction, signature: Signature) -> Answered:
    """Check what a model gave; raises UnusableAnswerError."""
    if signature.target.task == "regression":
        if prediction.values is None:
            raise UnusableAnswerError(f"{signature.name}: the model gave no value")
        values = prediction.values
        finite(values, signature)
        return Answered(None, values, {})
    labels, count = prediction.labels, len(signature.classes)
    if labels is None or not ((labels >= 0) & (labels < count)).all():
        raise UnusableAnswerError(f"{signature.name}: the model gave none of its {count} classes")
    if not signature.probabilities:
        return Answered(labels, None, {})
    scores = prediction.scores
    if scores is None or scores.shape != (len(labels), count):
        raise UnusableAnswerError(f"{signature.name}: the model gave no probability for each class")
    finite(scores, signature)
    if signature.target.task == "binary":
        return Answered(labels, None, {"probability": scores[:, -1]})
    own = scores[np.arange(len(labels)), labels]
    each = {
        f"probability_{text_of(label)}": scores[:, i] for i, label in enumerate(signature.classes)
    }
    return Answered(labels, None, {"probability": own, **each})


def usable(prediction: Prediction, signature: Signature) -> NDArray[np.bool_] | None:
    """Tell which rows a model has an answer for; None where no row of it can be told apart."""
    if signature.target.task == "regression":
        return None if prediction.values is None else np.isfinite(prediction.values)
    labels, scores, count = prediction.labels, prediction.scores, len(signature.classes)
    if labels is None:
        return None
    known: NDArray[np.bool_] = (labels >= 0) & (labels < count)
    if signature.probabilities and scores is not None and scores.shape == (len(labels), count):
        known &= np.isfinite(scores).all(axis=1)
    return known


def of_no_rows(signature: Signature) -> Answered:
    """Return what no rows got: every column that an answer has, and nothing in it."""
    count = len(signature.classes)
    return answered(
        Prediction(
            labels=np.zeros(0, dtype=np.int64),
            scores=np.zeros((0, count), dtype=np.float32),
            values=np.zeros(0, dtype=np.float32),
        ),
        signature,
    )


def finite(numbers: NDArray[Any], signature: Signature) -> None:
    """Raise UnusableAnswerError where a model gave what is no number."""
    if not (known := np.isfinite(numbers)).all():
        first = numbers[~known][0]
        raise UnusableAnswerError(f"{signature.name}: the model gave {first}, no number")


def columns(signature: Signature, *, explaining: bool = False) -> list[str]:
    """Return the names of the columns of an answer, without that of errors."""
    shares: list[str] = []
    if signature.probabilities and signature.target.task != "regression":
        shares.append("probability")
        if signature.target.task != "binary":
            shares += [f"probability_{text_of(label)}" for label in signature.classes]
    more = explanations.columns(signature) if explaining else []
    return [signature.target.name, *shares, "id", "model", "version", *more]


class Form:
    """How a row is written: constant texts, and between them what differs from row to row."""

    def __init__(
        self, signature: Signature, *, batch_id: str, reporting: bool, explaining: bool = False
    ) -> None:
        """Write rows of one batch; `reporting` adds what is wrong with bad ones."""
        self._signature = signature
        self._batch_id = batch_id.encode()
        self._reporting, self._explaining = reporting, explaining

    def head(self) -> bytes:
        """Return what stands before all rows."""
        return b""

    def rows(self, answered: Answered, numbers: NDArray[np.int64]) -> list[Cells]:
        """Return the texts that make each row, as columns; there is at least one row."""
        raise NotImplementedError

    def bad(self, text: str) -> bytes:
        """Return the row in the place of one that is bad."""
        raise NotImplementedError

    def written(self, answered: Answered, numbers: NDArray[np.int64], bad: dict[int, str]) -> bytes:
        """Return all rows in their order; `answered` is of the good ones alone."""
        count = len(numbers) - len(bad)
        good = numbers
        if bad:
            selected = np.ones(len(numbers), dtype=np.bool_)
            selected[list(bad)] = False
            good = numbers[selected]
        rows = joined(self.rows(answered, good) if count else [], count)
        if not bad:
            return rows.text
        parts: list[bytes] = []
        written = 0
        for above, (at, text) in enumerate(sorted(bad.items())):
            parts += [rows.between(written, at - above), self.bad(text)]
            written = at - above
        return b"".join([*parts, rows.between(written, count)])


class CsvForm(Form):
    """Rows of CSV, each ended by a newline."""

    def head(self) -> bytes:
        """Return the header."""
        names = self._columns() + ([ERROR] if self._reporting else [])
        return b",".join(map(quoted, names)) + b"\n"

    def rows(self, answered: Answered, numbers: NDArray[np.int64]) -> list[Cells]:
        """Return the texts that make each row, as columns; there is at least one row."""
        signature = self._signature
        comma = b"," if answered.shares else b""
        cells = [targets(answered, [quoted(text_of(each)) + comma for each in signature.classes])]
        for place, share in enumerate(answered.shares.values()):
            cells += [constant(b","), numbered(share)] if place else [numbered(share)]
        cells += [constant(b"," + self._batch_id + b"-"), numbered(numbers)]
        own = b",%b,%b" % (signature.name.encode(), quoted(signature.version))
        end = b",\n" if self._reporting else b"\n"
        if answered.explained is None:
            return [*cells, constant(own + end)]
        return [*cells, constant(own), *self._explained(answered.explained), constant(end)]

    def _explained(self, explained: Explained) -> list[Cells]:
        """Return the texts that say how answers came about, each with a comma before it."""
        classes = self._signature.classes
        cells: list[Cells] = []
        if classes:
            known = [b"," + quoted(text_of(each)) for each in classes]
            cells.append(chosen(known, explained.classes))
        cells.append(constant(f",{explained.scale},{explained.method}".encode()))
        for column in explanations.numbers(explained):
            cells.append(constant(b","))
            if column is not None:
                cells.append(numbered(column))
        return cells

    def bad(self, text: str) -> bytes:
        """Return the row in the place of one that is bad."""
        return b"," * len(self._columns()) + quoted(text) + b"\n"

    def _columns(self) -> list[str]:
        return columns(self._signature, explaining=self._explaining)


class JsonForm(Form):
    """Objects of JSON, each ended by `end`."""

    end = b"\n"

    def rows(self, answered: Answered, numbers: NDArray[np.int64]) -> list[Cells]:
        """Return the texts that make each row, as columns; there is at least one row."""
        signature = self._signature
        lead = b"{" + key(signature.target.name)
        own = targets(answered, [lead + to_json(label) for label in signature.classes])
        cells = [own] if answered.labels is not None else [constant(lead), own]
        shares = list(answered.shares.values())
        if shares:
            cells += [constant(b',"probability":'), numbered(shares[0])]
        for place, (label, share) in enumerate(zip(signature.classes, shares[1:], strict=False)):
            before = b"," if place else b',"probabilities":{'
            cells += [constant(before + to_json({label: 0})[1:-2]), numbered(share)]
        named = to_json({"model": signature.name, "version": signature.version})[1:]
        closing = b"}" if shares[1:] else b""
        cells += [constant(closing + b',"id":"' + self._batch_id + b"-"), numbered(numbers)]
        if answered.explained is None:
            return [*cells, constant(b'",' + named + self.end)]
        documents = listed([to_json(each) for each in answered.explained.documents(signature)])
        lead = b'",' + named[:-1] + b"," + key(EXPLANATION)
        return [*cells, constant(lead), documents, constant(b"}" + self.end)]

    def bad(self, text: str) -> bytes:
        """Return the object in the place of a row that is bad."""
        return to_json({self._signature.target.name: None, ERROR: text}) + self.end


class ListForm(JsonForm):
    """Objects of a list of JSON."""

    end = b","


def targets(answered: Answered, classes: list[bytes]) -> Cells:
    """Return the text of what is predicted for each row."""
    if answered.labels is None:
        assert answered.values is not None  # there are values or labels
        return numbered(answered.values)
    return chosen(classes, answered.labels)


def key(name: str) -> bytes:
    """Return a key of JSON with its colon."""
    return to_json(name) + b":"


def quoted(text: str) -> bytes:
    """Return the text of a field of CSV, in quotes where it needs them; never a formula."""
    text = without_formula(text)
    if any(mark in text for mark in '",\r\n'):
        text = '"' + text.replace('"', '""') + '"'
    return text.encode()
