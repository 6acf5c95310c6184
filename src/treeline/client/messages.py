"""What is sent to the service and what it answers, without the connection between. Pure.

An answer that is an error becomes one of `treeline.errors`: InvalidInputError names each field.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal
from urllib.parse import quote, urlencode

from treeline import __version__
from treeline.contract.features import ANSWER_KEYS
from treeline.errors import (
    AccessError,
    InvalidInputError,
    Problem,
    ServiceAwayError,
    ServiceError,
    UnknownModelError,
)

JSON, LINES = "application/json", "application/x-ndjson"
PROBLEM = "application/problem+json"
MOST_TRUTHS = 10_000  # that the service takes at once
CHUNK_ROWS = 10_000
EXPLAINED_ROWS = 1000  # of a batch that is explained, as a service has it if it says nothing else
EXPLANATION = "explanation"
SHOWN_BYTES = 300  # of an answer that is no document
ROW = re.compile(r"^row (\d+)(?=:|$)")
NO_MODEL = "model-not-found"  # the end of the type of a problem
LATER = frozenset({429, 502, 503, 504})
CLASSES: dict[int, type[ServiceError]] = {
    401: AccessError,
    403: AccessError,
    **dict.fromkeys(LATER, ServiceAwayError),
}

BadRows = Literal["refuse", "report"]
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Message:
    """A request: its method, its path with the query, and its body, if it has one."""

    method: str
    path: str
    body: bytes | None = None
    media_type: str = JSON

    @property
    def headers(self) -> dict[str, str]:
        """The headers that say what is sent and what is to come back."""
        accepted = {"Accept": f"{self.media_type}, {PROBLEM}"}
        sent = {} if self.body is None else {"Content-Type": self.media_type}
        return {**accepted, **sent, "User-Agent": f"treeline-client/{__version__}"}


@dataclass(frozen=True)
class Answer:
    """What a model says of one record.

    `prediction` is the class or the value; `probability` that of the positive class, or of several
    that of the predicted one, and `probabilities` that of each. `id` is what a truth is told by.
    `explanation` has the `contributions` of the features, the `base` and the `value` that they add
    up to, and its `scale`, where it was asked for (docs/explanations.md).
    """

    prediction: Any
    target: str
    probability: float | None
    probabilities: Mapping[str, float] | None
    id: str
    model: str
    version: str
    explanation: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Answer":
        """Read the answer to a record; raises ServiceError where it is none."""
        names = [name for name in document if name not in ANSWER_KEYS]
        explained = len(names) > 1 and EXPLANATION in names  # a target may have that name
        if explained:
            names.remove(EXPLANATION)
        try:
            (target,) = names
            return cls(
                prediction=document[target],
                target=target,
                probability=document.get("probability"),
                probabilities=document.get("probabilities"),
                id=document["id"],
                model=document["model"],
                version=document["version"],
                explanation=document[EXPLANATION] if explained else None,
            )
        except (KeyError, ValueError):
            raise ServiceError(
                f"the answer is no prediction of a record: it has {', '.join(document)}; a model "
                "that takes values or pictures is asked by other means (docs/uploads.md)"
            ) from None


@dataclass(frozen=True)
class ServedModel:
    """A model of the service in a few words; `reason` says why it does not answer."""

    name: str
    description: str
    kind: str | None
    origin: str
    task: str | None
    target: str | None
    version: str | None
    default: bool
    ready: bool
    reason: str | None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "ServedModel":
        """Read an entry of the list; keys that are not known here are left alone."""
        return cls(**{name: document.get(name) for name in cls.__dataclass_fields__})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Truth:
    """What proved to be true of a prediction: by its `id`, or by the caller's `key` of a record.

    With a key, `model` is the one that was asked, the default one where it is not named.
    """

    truth: Any
    id: str | None = None
    key: str | int | None = None
    model: str | None = None


def prediction(record: Record, *, model: str | None, extra: str | None, explain: bool) -> Message:
    """Return the question for one record."""
    said = {"explain": "true" if explain else None, "extra": extra}
    query = urlencode({name: value for name, value in said.items() if value is not None})
    path = f"{_place(model)}/predict" + (f"?{query}" if query else "")
    return Message("POST", path, _encoded(dict(record)))


@dataclass(frozen=True)
class Table:
    """How rows are asked for: of which model, and what becomes of bad rows and other columns.

    With `explain` each is explained.
    """

    model: str | None = None
    bad_rows: BadRows = "refuse"
    extra: str = "auto"
    explain: bool = False

    def chunk(self, records: Sequence[Record], label: Callable[[int], str]) -> Message:
        """Return the question for several records; `label` names one by its number from 1."""
        body = b"\n".join(
            _encoded_row(record, number, label) for number, record in enumerate(records, 1)
        )
        said = {"bad_rows": self.bad_rows, "extra": self.extra}
        query = urlencode({**said, **({"explain": "true"} if self.explain else {})})
        return Message("POST", f"{_place(self.model)}/predict/batch?{query}", body, LINES)


def feedback(truths: Sequence[Truth]) -> Message:
    """Return the message that tells truths, at most MOST_TRUTHS of them."""
    listed = [
        {name: value for name, value in vars(truth).items() if value is not None}
        for truth in truths
    ]
    return Message("POST", "/v1/feedback", _encoded(listed))


def models() -> Message:
    """Return the question for all models."""
    return Message("GET", "/v1/models")


def model(name: str) -> Message:
    """Return the question for the signature of one model."""
    return Message("GET", f"/v1/models/{quote(name, safe='')}")


def document_of(body: bytes) -> dict[str, Any]:
    """Return the document of an answer; raises ServiceError where it is none."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise ServiceError(
            f"the answer is no JSON: {error}; is the URL that of a service?"
        ) from error
    if not isinstance(document, dict):
        raise ServiceError("the answer is no document; is the URL right?")
    return document


def lines_of(body: bytes) -> list[dict[str, Any]]:
    """Return the rows of an answer, one for each line."""
    return [json.loads(line) for line in body.splitlines() if line.strip()]


def row_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of an answer: `prediction` first, a probability each, `id`, `version`.

    A bad row that is reported has `error` in the place of all else.
    """
    if "error" in document:
        return {"error": document["error"]}
    answer = Answer.of(document)
    columns: dict[str, Any] = {"prediction": answer.prediction}
    if answer.probability is not None:
        columns["probability"] = answer.probability
    for name, share in (answer.probabilities or {}).items():
        columns[f"probability_{name}"] = share
    columns |= {"id": answer.id, "version": answer.version}
    if (explanation := answer.explanation) is not None:
        for name in ("scale", "base", "value"):
            columns[f"explanation_{name}"] = explanation[name]
        for name, share in explanation["contributions"].items():
            columns[f"contribution_{name}"] = share
    return columns


def failure(status: int, body: bytes, *, label: Callable[[int], str] | None = None) -> Exception:
    """Return the error behind an answer that is none; `label` names a row by its number from 1."""
    known = CLASSES.get(status, ServiceError)
    try:
        document = json.loads(body)
        detail, errors = str(document["detail"]), document.get("errors") or ()
    except (ValueError, KeyError, TypeError):
        detail = " ".join(body[:SHOWN_BYTES].decode(errors="replace").split())
        return known(f"the service answered {status}: {detail}", status=status)
    if status == 422 and errors:
        return InvalidInputError([_problem(each, label) for each in errors])
    if str(document.get("type", "")).endswith(NO_MODEL):
        known = UnknownModelError
    return known(f"the service answered {status}: {detail}", status=status)


def relabelled(text: str, label: Callable[[int], str] | None) -> str:
    """Return a place or a reason with the row that it names by the caller's own label."""
    match = None if label is None else ROW.match(text)
    return text if match is None or label is None else label(int(match[1])) + text[match.end() :]


def wait_seconds(status: int, headers: Mapping[str, str]) -> float | None:
    """Return after how many seconds a request may be sent again; None where it may not."""
    if status not in LATER:
        return None
    said = headers.get("retry-after", "")
    return float(said) if said.isdecimal() else None


def chunks(n_rows: int, size: int) -> Iterable[tuple[int, int]]:
    """Yield start and end of each chunk of so many rows."""
    for start in range(0, n_rows, size):
        yield start, min(start + size, n_rows)


def _problem(entry: Mapping[str, Any], label: Callable[[int], str] | None) -> Problem:
    admitted = entry.get("admitted")
    problem = Problem(
        str(entry.get("field", "")),
        str(entry.get("message", "")),
        entry.get("value"),
        None if admitted is None else tuple(admitted),
    )
    return replace(problem, place=relabelled(problem.place, label))


def _place(model: str | None) -> str:
    return "/v1" if model is None else f"/v1/models/{quote(model, safe='')}"


def _encoded(document: Any) -> bytes:
    """Return a document as JSON; raises InvalidInputError, which names each key that is none."""
    try:
        return _json(document)
    except (TypeError, ValueError) as error:
        keys = document if isinstance(document, dict) else {}
        wrong = {str(name): why for name, each in keys.items() if (why := _no_json(each))}
        reasons = wrong or {"record": str(error)}
        raise InvalidInputError(
            [Problem(place, f"cannot be sent as JSON: {why}") for place, why in reasons.items()]
        ) from error


def _encoded_row(record: Record, number: int, label: Callable[[int], str]) -> bytes:
    try:
        return _encoded(dict(record))
    except InvalidInputError as error:
        row = label(number)
        raise InvalidInputError(
            [replace(each, place=f"{row}: {each.place}") for each in error.problems]
        ) from error


def _json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, default=_plain).encode()


def _no_json(value: Any) -> str:
    try:
        _json(value)
    except (TypeError, ValueError) as error:
        return f"{value!r}: {error}"
    return ""


def _plain(value: Any) -> Any:
    """Return what JSON holds of a number of NumPy, or of a time; raises TypeError."""
    if isinstance(value, date):
        return value.isoformat()
    if getattr(value, "shape", None) == ():  # NumPy itself is none of the client's
        return value.item()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
