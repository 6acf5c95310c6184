"""`POST` of one record → its prediction: the one path on which every microsecond counts.

An ASGI application of its own, asked before FastAPI, whose layers take several times as long as
the prediction. What goes over the wire is documented with all the rest: `api.openapi`.
"""

from time import perf_counter, time
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.errors import BodyTooLargeError, UnsupportedMediaTypeError
from api.ids import REQUEST_ID, given_id, new_id
from api.prediction.predictor import Predictor
from api.problems import answer_of, unforeseen
from api.security.guard import Guard
from api.telemetry.logs import about
from api.telemetry.metrics import Metrics, ModelMetrics
from treeline.artifact.signature import Signature
from treeline.errors import InvalidInputError, TreelineError

JSON = b"application/json"
SAFE = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class Records(Protocol):
    """Where predictions are recorded."""

    def record(self, time: float, latency_seconds: float, features: bytes, answer: bytes) -> None:
        """Take over the JSON of a record and of its answer, without waiting."""


class Predicting:
    """Answers one record for a model that is ready; counts and records what it answers."""

    def __init__(
        self, *, max_body_bytes: int, guard: Guard, metrics: Metrics, log: Records | None
    ) -> None:
        self._max_body_bytes = max_body_bytes
        self._guard = guard
        self._metrics = metrics
        self._log = log

    async def answer(
        self, predictor: Predictor, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Read the record, predict, answer. A thread would cost more than the prediction.

        Where the caller gave no id to the request, it has that of the prediction. What is answered
        is handed to the log before it is sent.
        """
        started = perf_counter()
        prediction_id = new_id()
        request_id = given_id(scope) or prediction_id
        try:
            if not self._guard.always_open:
                self._guard.prediction(scope)
            body = await self._body(scope, receive)
            if body is None:
                return
            answer, predicted = await predictor.answer(body, prediction_id=prediction_id)
        except Exception as error:
            refusal = self._refusal(error, predictor.signature, scope, request_id=request_id)
            await refusal(scope, receive, send)
            return
        seconds = perf_counter() - started
        self._counts(predictor.signature).answered(predicted.label, seconds)
        if self._log is not None:
            self._log.record(time(), seconds, body, answer)
        headers = [
            *SAFE,
            (b"content-type", JSON),
            (b"content-length", b"%d" % len(answer)),
            (REQUEST_ID, request_id.encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _refusal(
        self, error: Exception, signature: Signature, scope: Scope, *, request_id: str
    ) -> Response:
        """Return the problem to answer with, and count it; called while `error` is handled."""
        method, path, counts = scope["method"], scope["path"], self._counts(signature)
        about(scope, request_id=request_id)
        if isinstance(error, InvalidInputError):
            counts.refused(problem.place for problem in error.problems)
        if isinstance(error, TreelineError):
            refusal = answer_of(error, method=method, path=path)
        else:
            refusal = unforeseen(method, path, request_id=request_id)
        counts.failed(refusal.status_code)
        refusal.raw_headers.append((REQUEST_ID, request_id.encode()))
        return refusal

    def _counts(self, signature: Signature) -> ModelMetrics:
        return self._metrics.model(
            signature.name, signature.version, signature.classes, features=signature.features
        )

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """Read a JSON body, or None when the caller has gone before its end.

        A body that says it is too large is refused unread, one that does not as soon as it is.
        Raises UnsupportedMediaTypeError and BodyTooLargeError.
        """
        for name, value in scope["headers"]:
            if name == b"content-type" and value != JSON:
                _check_media_type(value)
            elif name == b"content-length" and value.isdigit():
                self._check_length(int(value))
        message = await receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body", False):
            self._check_length(len(body))
            message = await receive()
            body += message.get("body", b"")
        self._check_length(len(body))
        return None if message["type"] == "http.disconnect" else body

    def _check_length(self, length: int) -> None:
        if length > self._max_body_bytes:
            raise BodyTooLargeError(
                f"The body is larger than {self._max_body_bytes} bytes; send less, or raise "
                "API_MAX_BODY_BYTES."
            )


def _check_media_type(value: bytes) -> None:
    given = value.decode("latin-1")
    media_type = given.partition(";")[0].strip().lower()
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaTypeError(
            f"The Content-Type is {given!r}; send the record as application/json."
        )
