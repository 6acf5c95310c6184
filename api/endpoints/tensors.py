"""`POST` to a tensor model → its outputs: values as JSON, or a picture where that was declared.

The body is read, and the graph run, in a process apart: `api.inference.graph_pool`.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from time import perf_counter, time

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.contract.schemas import EXPLAIN, asks_to_explain
from api.errors import UnsupportedMediaTypeError, kind_of
from api.http.auth import Guard
from api.http.bodies import Bodies
from api.http.deadlines import unless_gone
from api.http.ids import new_id
from api.http.media_types import MULTIPART, media_type
from api.inference.graph import TensorModel
from api.inference.graph_pool import Graphs
from api.inference.images import MEDIA_TYPES, ImageInput
from api.models.catalogue import Entry
from api.prediction_log.log import Log
from api.telemetry.metrics import Metrics, ModelMetrics
from treeline.errors import InvalidInputError, Problem, ProblemsError, TreelineError

NOTHING = b"null"
NOT_EXPLAINED = "a model that takes values has no features to explain; ask without `explain`"
MOST_LOGGED_BYTES = 64 << 10  # of a question or an answer; of longer ones only the digest is kept


@dataclass(frozen=True)
class TensorBody:
    """The body of a request, and how it is a picture, where it is one; that is not recorded."""

    body: bytes
    image: ImageInput | None = None


class TensorEndpoint:
    """Answers for tensor models; counts and records what it answers."""

    def __init__(
        self,
        bodies: Bodies,
        *,
        guard: Guard,
        metrics: Metrics,
        log: Log | None,
        graphs: Graphs,
    ) -> None:
        self._bodies = bodies
        self._guard, self._metrics, self._log = guard, metrics, log
        self._graphs = graphs

    async def answer(self, entry: Entry, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, run the graph, answer; raises TreelineError."""
        started = perf_counter()
        self._guard.prediction(scope)
        model = entry.tensor
        if model is None:
            raise TypeError(f"{entry.name} is no tensor model")
        if asks_to_explain(scope.get("query_string", b"")):
            raise InvalidInputError([Problem(EXPLAIN, NOT_EXPLAINED)])
        try:
            sent = await self._read(entry, model, Request(scope, receive))
            head = {"id": new_id(), "model": model.name, "version": model.version}
            answer = await unless_gone(receive, lambda: self._answer(model, sent, head))
        except TreelineError as error:
            self._refused(model, error)
            raise
        seconds = perf_counter() - started
        self._counts(model).answered(None, seconds)
        if self._log is not None:
            names = frozenset(spec.name for spec in model.inputs)
            hidden = names & self._log.redacted(model.name)
            alone = len(names) == 1
            recorded = await asyncio.to_thread(logged, sent, answer, head, hidden, alone)
            self._log.record(time(), seconds, *recorded)
        await Response(answer, media_type="application/json")(scope, receive, send)

    async def _read(self, entry: Entry, model: TensorModel, request: Request) -> TensorBody:
        """Return what is asked; raises UnsupportedMediaTypeError and BodyTooLargeError."""
        kind, bodies = media_type(request), self._bodies
        if not kind or kind == "application/json" or kind.endswith("+json"):
            return TensorBody(await bodies.whole(request, bodies.tensors))
        image = entry.upload.image if entry.upload is not None else None
        admitted = ["application/json", *((*MEDIA_TYPES, MULTIPART) if image else ())]
        if image is None or kind not in admitted:
            declare = "" if image else "; it takes pictures once PATCH has declared its `image`"
            raise UnsupportedMediaTypeError(
                f"The Content-Type is {kind!r}; send one of: {', '.join(admitted)}{declare}."
            )
        if kind == MULTIPART:
            body = await bodies.part(request, bodies.tensors)
        else:
            body = await bodies.whole(request, bodies.tensors)
        return TensorBody(body, image)

    async def _answer(self, model: TensorModel, sent: TensorBody, head: dict[str, str]) -> bytes:
        """Return the JSON of an answer; raises what the body and its run deserve."""
        if sent.image is None:
            return await self._graphs.answer_values(model.graph, sent.body, head)
        return await self._graphs.answer_picture(model.graph, sent.body, sent.image, head)

    def _counts(self, model: TensorModel) -> ModelMetrics:
        names = [spec.name for spec in model.inputs]
        return self._metrics.model(model.name, model.version, (), features=names)

    def _refused(self, model: TensorModel, error: TreelineError) -> None:
        counts = self._counts(model)
        if isinstance(error, ProblemsError):
            counts.refused(problem.place for problem in error.problems)
        if (kind := kind_of(error)) is not None:
            counts.failed(kind.status)


def logged(
    sent: TensorBody, answer: bytes, head: dict[str, str], hidden: frozenset[str], alone: bool
) -> tuple[bytes, bytes]:
    """Return what is recorded of a question and its answer: themselves, or their digests.

    `hidden` are the inputs that may not be recorded; `alone` is whether there is one input only.
    Of a question that holds a hidden one, only what the log can redact by name is: no
    values without a name, and no digest, from which few values can be guessed.
    """
    question = sent.body
    if sent.image is not None or len(question) > MOST_LOGGED_BYTES:
        question = NOTHING if hidden else to_json(fingerprint(question))
    elif hidden and alone:
        question = NOTHING
    if len(answer) > MOST_LOGGED_BYTES:
        answer = to_json({"values": fingerprint(answer), **head})
    return question, answer


def fingerprint(payload: bytes) -> dict[str, str | int]:
    """Return what tells a payload from others."""
    return {"sha256": hashlib.sha256(payload).hexdigest(), "bytes": len(payload)}
