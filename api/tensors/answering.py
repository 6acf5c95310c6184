"""`POST` to a tensor model → its outputs: values as JSON, or a picture where that was declared.

What takes long happens elsewhere: `api.tensors.computing`.
"""

import hashlib
from dataclasses import dataclass
from time import perf_counter, time
from weakref import WeakKeyDictionary

from pydantic_core import to_json
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.catalogue.entries import Entry
from api.errors import UnsupportedMediaTypeError, kind_of
from api.ids import new_id
from api.telemetry.metrics import Metrics, ModelMetrics
from api.tensors.bodies import MULTIPART, limited, media_type, part, whole
from api.tensors.computing import Computing, Feeds
from api.tensors.graph import TensorModel
from api.tensors.images import MEDIA_TYPES, array_of
from api.tensors.values import Values
from treeline.errors import ProblemsError, TreelineError

MOST_LOGGED_BYTES = 64 << 10  # of a question or an answer; of longer ones only the digest is kept


@dataclass(frozen=True)
class Asked:
    """The body of a request, and the arrays that are made of it; a picture is not recorded."""

    body: bytes
    feeds: Feeds
    pictured: bool = False


class Answering:
    """Answers for tensor models; counts and records what it answers."""

    def __init__(self, state: State) -> None:
        """Take settings, guard, metrics and log from the state of the application."""
        self._state = state
        self._computing = Computing(state.batch_pool)
        self._values: WeakKeyDictionary[TensorModel, Values] = WeakKeyDictionary()

    async def answer(self, entry: Entry, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, run the graph, answer; raises TreelineError."""
        started = perf_counter()
        self._state.guard.prediction(scope)
        model = entry.tensor
        if model is None:
            raise TypeError(f"{entry.name} is no tensor model")
        try:
            asked = await self._asked(entry, model, Request(scope, receive))
            told = {"id": new_id(), "model": model.name, "version": model.version}
            answer = await self._computing.answer(model, asked.feeds, told)
        except TreelineError as error:
            self._refused(model, error)
            raise
        seconds = perf_counter() - started
        self._counts(model).answered(None, seconds)
        if self._state.log is not None:
            recorded = await self._computing.apart(logged, asked, answer, told)
            self._state.log.record(time(), seconds, *recorded)
        await Response(answer, media_type="application/json")(scope, receive, send)

    async def _asked(self, entry: Entry, model: TensorModel, request: Request) -> Asked:
        """Return what is asked; raises UnsupportedMediaTypeError and BodyTooLargeError."""
        kind, most = media_type(request), self._state.settings.max_whole_bytes
        request = limited(request, most, setting="API_MAX_WHOLE_BYTES")
        if not kind or kind == "application/json" or kind.endswith("+json"):
            values = self._values.setdefault(model, Values(model.inputs))
            body = await whole(request)
            return Asked(body, await self._computing.values(values, body))
        image = entry.upload.image if entry.upload is not None else None
        admitted = ["application/json", *((*MEDIA_TYPES, MULTIPART) if image else ())]
        if image is None or kind not in admitted:
            declare = "" if image else "; it takes pictures once PATCH has declared its `image`"
            raise UnsupportedMediaTypeError(
                f"The Content-Type is {kind!r}; send one of: {', '.join(admitted)}{declare}."
            )
        (spec,) = model.inputs
        body = await (part(request, "image") if kind == MULTIPART else whole(request))
        array = await self._computing.apart(array_of, body, image, spec)
        return Asked(body, {spec.name: array}, pictured=True)

    def _counts(self, model: TensorModel) -> ModelMetrics:
        metrics: Metrics = self._state.metrics
        names = [spec.name for spec in model.inputs]
        return metrics.model(model.name, model.version, (), features=names)

    def _refused(self, model: TensorModel, error: TreelineError) -> None:
        counts = self._counts(model)
        if isinstance(error, ProblemsError):
            counts.refused(problem.place for problem in error.problems)
        if (kind := kind_of(error)) is not None:
            counts.failed(kind.status)


def logged(asked: Asked, answer: bytes, told: dict[str, str]) -> tuple[bytes, bytes]:
    """Return what is recorded of a question and its answer: themselves, or their digests."""
    question = asked.body
    if asked.pictured or len(question) > MOST_LOGGED_BYTES:
        question = to_json(fingerprint(question))
    if len(answer) > MOST_LOGGED_BYTES:
        answer = to_json({"values": fingerprint(answer), **told})
    return question, answer


def fingerprint(payload: bytes) -> dict[str, str | int]:
    """Return what tells a payload from others."""
    return {"sha256": hashlib.sha256(payload).hexdigest(), "bytes": len(payload)}
