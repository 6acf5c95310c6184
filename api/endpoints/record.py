"""`POST` of one record → its prediction: the one path on which every microsecond counts.

An ASGI application of its own, asked before FastAPI, whose layers take several times as long as
the prediction. What goes over the wire is documented with all the rest: `api.routes.openapi`.
"""

from functools import partial
from time import perf_counter, time

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api.contract.schemas import EXPLANATION, NOTHING, Options, ignored_headers
from api.errors import CallerGoneError, TooBusyError, UnsupportedMediaTypeError
from api.http.auth import Guard
from api.http.bodies import HELD, Bodies
from api.http.deadlines import unless_gone
from api.http.ids import REQUEST_ID, given_id, new_id
from api.http.problems import answer_of, unforeseen
from api.inference.explaining import Explaining
from api.inference.record import Predictor
from api.prediction_log.log import Log
from api.telemetry.logs import about
from api.telemetry.metrics import Metrics, ModelMetrics
from treeline.contract.signature import Signature
from treeline.errors import InvalidInputError, TreelineError

JSON = b"application/json"
PLAIN = Options()
Body = tuple[bytes, tuple[str, ...]]  # and the keys that it has no more
SAFE = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class RecordEndpoint:
    """Answers one record for a model that is ready; counts and records what it answers."""

    def __init__(
        self,
        bodies: Bodies,
        *,
        guard: Guard,
        metrics: Metrics,
        log: Log | None,
        explaining: Explaining,
    ) -> None:
        self._bodies = bodies
        self._explaining = explaining
        self._load = bodies.load
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
        started, load, ignored = perf_counter(), self._load, NOTHING
        prediction_id = new_id(predictor.tag)
        request_id = given_id(scope) or prediction_id
        try:
            self._check(scope)
            body, options = await self._bodies.record(scope, receive, began=started), PLAIN
            if query := scope.get("query_string"):
                options, (body, ignored) = options_of(query, predictor, body)
            if load.under_way >= load.most:
                raise load.busy()
            load.under_way += 1  # not before the record is there
            try:
                answer, predicted = await (
                    predictor.answer(body, prediction_id=prediction_id)
                    if not predictor.apart  # else its run, in another process, can be killed
                    else unless_gone(
                        receive, partial(predictor.answer, body, prediction_id=prediction_id)
                    )
                )
                sent = (
                    await self._explained(predictor, body, answer, receive)
                    if options.explain
                    else answer
                )
            finally:
                load.under_way -= 1
        except CallerGoneError:
            return
        except Exception as error:
            refusal = self._refusal(error, predictor.signature, scope, request_id=request_id)
            await refusal(scope, receive, send)
            return
        finally:
            if HELD in scope:
                self._bodies.release(scope)
        self._keep(predictor.signature, predicted.label, body, answer, started)
        await send(beginning(sent, ignored, request_id))
        await send({"type": "http.response.body", "body": sent})

    async def _explained(
        self, predictor: Predictor, body: bytes, answer: bytes, receive: Receive
    ) -> bytes:
        """Return an answer with how it came about; raises TreelineError.

        It waits among the streams: explanations take hundreds of times as long as predictions, and
        must leave these their slots.
        """
        self._explaining.check(predictor)
        explaining = partial(self._explaining.explained, predictor, predictor.row(body))
        with self._load.streaming():
            explained = await unless_gone(receive, explaining)
        (document,) = explained.documents(predictor.signature)
        return b"%b,%b}" % (answer[:-1], to_json({EXPLANATION: document})[1:-1])

    def _keep(
        self, signature: Signature, label: int | None, body: bytes, answer: bytes, started: float
    ) -> None:
        """Count and record what is answered."""
        seconds = perf_counter() - started
        self._counts(signature).answered(label, seconds)
        if self._log is not None:
            self._log.record(time(), seconds, body, answer, signature.key)

    def _refusal(
        self, error: Exception, signature: Signature, scope: Scope, *, request_id: str
    ) -> Response:
        """Return the problem to answer with, and count it; called while `error` is handled."""
        method, path, counts = scope["method"], scope["path"], self._counts(signature)
        about(scope, request_id=request_id)
        if isinstance(error, TooBusyError):
            self._metrics.busy()
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

    def _check(self, scope: Scope) -> None:
        """Refuse unread what may not ask, or says that it is no JSON, or too large.

        Raises what the guard raises, UnsupportedMediaTypeError and BodyTooLargeError.
        """
        if not self._guard.always_open:
            self._guard.prediction(scope)
        for name, value in scope["headers"]:
            if name == b"content-type" and value != JSON:
                _check_media_type(value)
            elif name == b"content-length":
                self._bodies.records.check(value)


def options_of(query: bytes, predictor: Predictor, body: bytes) -> tuple[Options, Body]:
    """Return what a query asks, and the body without what it says is ignored.

    Raises InvalidInputError.
    """
    options = Options.of(query)
    return options, predictor.without_extra(body, extra=options.extra)


def beginning(answer: bytes, ignored: tuple[str, ...], request_id: str) -> Message:
    """Return the message that comes before an answer."""
    headers = [
        *SAFE,
        *ignored_headers(ignored),
        (b"content-type", JSON),
        (b"content-length", b"%d" % len(answer)),
        (REQUEST_ID, request_id.encode()),
    ]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def _check_media_type(value: bytes) -> None:
    given = value.decode("latin-1")
    media_type = given.partition(";")[0].strip().lower()
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaTypeError(
            f"The Content-Type is {given!r}; send the record as application/json."
        )
