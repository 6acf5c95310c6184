"""Predictions of rows → the columns of the answer, and from them CSV and JSON.

The same keys and the same numbers as `api.inference.record` gives for one record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from api.contract.schemas import EXPLANATION
from api.errors import UnusableAnswerError
from api.formats import explained as explanations
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

    def rows(self, answered: Answered, numbers: Sequence[int]) -> list[list[bytes]]:
        """Return the parts of each row, as columns of parts."""
        raise NotImplementedError

    def bad(self, text: str) -> bytes:
        """Return the row in the place of one that is bad."""
        raise NotImplementedError

    def written(self, answered: Answered, numbers: NDArray[np.int64], bad: dict[int, str]) -> bytes:
        """Return all rows in their order; `found` is of the good ones alone."""
        good = [at for at in range(len(numbers)) if at not in bad] if bad else []
        counted = (numbers[good] if bad else numbers).tolist()
        parts = self.rows(answered, counted) if counted else []
        if not bad:
            width = len(parts)
            flat: list[Any] = [b""] * (width * len(numbers))
            for place, part in enumerate(parts):
                flat[place::width] = part
            return b"".join(flat)
        rows: list[bytes] = [b""] * len(numbers)
        for at, row in zip(good, zip(*parts, strict=True), strict=True):
            rows[at] = b"".join(row)
        for at, text in bad.items():
            rows[at] = self.bad(text)
        return b"".join(rows)


class CsvForm(Form):
    """Rows of CSV, each ended by a newline."""

    def head(self) -> bytes:
        """Return the header."""
        names = self._columns() + ([ERROR] if self._reporting else [])
        return b",".join(map(quoted, names)) + b"\n"

    def rows(self, answered: Answered, numbers: Sequence[int]) -> list[list[bytes]]:
        """Return the parts of each row, as columns of parts."""
        signature, count = self._signature, len(answered)
        comma = b"," if answered.shares else b""
        targets = target_texts(
            answered, [quoted(text_of(each)) + comma for each in signature.classes]
        )
        between = b"," + self._batch_id + b"-"
        own = b",%b,%b" % (signature.name.encode(), quoted(signature.version))
        end = b",\n" if self._reporting else b"\n"
        parts = [targets]
        for place, share in enumerate(answered.shares.values()):
            parts += [[b","] * count, texts(share)] if place else [texts(share)]
        parts += [[between] * count, texts(numbers)]
        if answered.explained is None:
            return [*parts, [own + end] * count]
        return [*parts, [own] * count, *self._explained(answered.explained), [end] * count]

    def _explained(self, explained: Explained) -> list[list[bytes]]:
        """Return the parts that say how answers came about, each with a comma before it."""
        count, classes = len(explained), self._signature.classes
        parts: list[list[bytes]] = []
        if classes:
            known = [b"," + quoted(text_of(each)) for each in classes]
            parts.append(list(map(known.__getitem__, explained.classes.tolist())))
        parts.append([f",{explained.scale},{explained.method}".encode()] * count)
        for column in explanations.numbers(explained):
            parts.append([b","] * count)
            if column is not None:
                parts.append(texts(column))
        return parts

    def bad(self, text: str) -> bytes:
        """Return the row in the place of one that is bad."""
        return b"," * len(self._columns()) + quoted(text) + b"\n"

    def _columns(self) -> list[str]:
        return columns(self._signature, explaining=self._explaining)


class JsonForm(Form):
    """Objects of JSON, each ended by `end`."""

    end = b"\n"

    def rows(self, answered: Answered, numbers: Sequence[int]) -> list[list[bytes]]:
        """Return the parts of each row, as columns of parts."""
        signature, count = self._signature, len(answered)
        lead = b"{" + key(signature.target.name)
        targets = target_texts(answered, [lead + to_json(label) for label in signature.classes])
        parts = [targets] if answered.labels is not None else [[lead] * count, targets]
        shares = list(answered.shares.values())
        if shares:
            parts += [[b',"probability":'] * count, texts(shares[0])]
        for place, (label, share) in enumerate(zip(signature.classes, shares[1:], strict=False)):
            before = b"," if place else b',"probabilities":{'
            parts += [[before + to_json({label: 0})[1:-2]] * count, texts(share)]
        own = to_json({"model": signature.name, "version": signature.version})[1:]
        closing = b"}" if shares[1:] else b""
        between = closing + b',"id":"' + self._batch_id + b"-"
        parts += [[between] * count, texts(numbers)]
        if answered.explained is None:
            return [*parts, [b'",' + own + self.end] * count]
        documents = map(to_json, answered.explained.documents(signature))
        lead = b'",' + own[:-1] + b"," + key(EXPLANATION)
        return [*parts, [lead] * count, list(documents), [b"}" + self.end] * count]

    def bad(self, text: str) -> bytes:
        """Return the object in the place of a row that is bad."""
        return to_json({self._signature.target.name: None, ERROR: text}) + self.end


class ListForm(JsonForm):
    """Objects of a list of JSON."""

    end = b","


def target_texts(answered: Answered, classes: list[bytes]) -> list[bytes]:
    """Return the text of what is predicted for each row."""
    if answered.labels is None:
        return texts(answered.values)
    return list(map(classes.__getitem__, answered.labels.tolist()))


def texts(numbers: Any) -> list[bytes]:
    """Return numbers as JSON writes them, each by itself."""
    listed = numbers if isinstance(numbers, list) else numbers.tolist()
    return to_json(listed)[1:-1].split(b",")


def key(name: str) -> bytes:
    """Return a key of JSON with its colon."""
    return to_json(name) + b":"


def quoted(text: str) -> bytes:
    """Return the text of a field of CSV, in quotes where it needs them; never a formula."""
    text = without_formula(text)
    if any(mark in text for mark in '",\r\n'):
        text = '"' + text.replace('"', '""') + '"'
    return text.encode()
