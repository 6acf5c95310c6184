"""An infer request for a model that is ready → its answer; what takes long, in a thread."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.bodies import Bodies
from api.catalogue.entries import Entry
from api.errors import BodyTooLargeError
from api.ids import new_id
from api.prediction_log.log import PredictionLog
from api.protocol.bodies import read_body
from api.protocol.messages import HEADER_LENGTH, Question, document_bytes, read, write
from api.protocol.plain import PlainModel, tensors
from api.protocol.recording import Recorder
from api.protocol.tensors import Tensor
from api.protocol.typed import TypedModel
from api.reading import LONG_BYTES, DocumentReaders
from api.sandbox.presence import unless_gone
from api.telemetry.metrics import Metrics
from api.tensors.apart import Graphs
from api.tensors.endpoint import MOST_LOGGED_BYTES, NOTHING, fingerprint
from api.tensors.graph import Array
from api.tensors.values import written
from treeline.artifact.prediction import Prediction
from treeline.contract.encoding import Matrix, Record
from treeline.errors import ArtifactRejectedError, InvalidInputError

SMALL_BYTES = 4096  # of a request: some ten to a hundred rows
MOST_THREADS = 2  # for larger ones, in each worker; each may hold a body and what is read of it

T = TypeVar("T")
Json = dict[str, Any]
Served = TypedModel | PlainModel


def served(entry: Entry) -> Served:
    """Return what answers for an entry of the catalogue.

    Raises ArtifactRejectedError where it is not ready.
    """
    if entry.predictor is not None:
        return TypedModel(entry.predictor)
    if entry.tensor is not None:
        return PlainModel(entry.tensor)
    raise ArtifactRejectedError(entry.reason)


@dataclass(frozen=True)
class InferBody:
    """The body of a request, its header for where the document ends, and what was read of it."""

    body: bytes
    header_length: str | None
    read: Question | None

    def question(self) -> Question:
        """Return what is asked; raises MalformedBodyError and InvalidInputError."""
        return self.read or read(self.body, self.header_length)


class InferEndpoint:
    """Answers infer requests: reading, predicting and writing happen in threads.

    Large requests have a few of their own, so that they hold up nothing but each other.
    """

    def __init__(
        self,
        bodies: Bodies,
        *,
        metrics: Metrics,
        log: PredictionLog | None,
        reading: DocumentReaders,
        graphs: Graphs,
    ) -> None:
        self._bodies = bodies
        self._document_limit = bodies.records.most
        self._recorder = Recorder(log, metrics)
        self._reading = reading
        self._threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="infer")
        self._graphs = graphs

    async def answer(self, model: Served, request: Request) -> Response:
        """Answer a request; raises TreelineError."""
        body = await read_body(request, self._bodies, self._bodies.tensors)
        length = request.headers.get(HEADER_LENGTH)
        if isinstance(model, TypedModel) and document_bytes(body, length) > self._document_limit:
            raise BodyTooLargeError(  # to read it would keep every other request waiting
                f"The JSON is larger than {self._document_limit} bytes; send the tensors as binary "
                "data behind it, or raise API_MAX_BODY_BYTES."
            )
        question = None
        if document_bytes(body, length) > LONG_BYTES:
            question = await self._reading.apart(read, body, length)
        asked = InferBody(body, length, question)
        if isinstance(model, PlainModel):
            return await unless_gone(request.receive, lambda: self._plain(model, asked))
        if model.apart:
            return await unless_gone(request.receive, lambda: self._typed_apart(model, asked))
        return await self._beside(body, _typed, model, asked, self._recorder)

    async def _typed_apart(self, model: TypedModel, asked: InferBody) -> Response:
        """Answer for a model of others, which runs in a process that can be killed."""
        started, recorder = perf_counter(), self._recorder
        rows = await self._beside(asked.body, _encoded, model, asked, recorder)
        prediction = await model.predicted_apart(rows.matrix)
        return await self._beside(
            asked.body, _predicted, model, rows, prediction, recorder, started
        )

    async def _plain(self, model: PlainModel, sent: InferBody) -> Response:
        started, body = perf_counter(), sent.body
        question, wanted, feeds = await self._beside(body, asked_of, model, sent)
        found = await self._graphs.compute(model.graph, feeds, place="inputs")
        told = {"id": new_id(), "model": model.name, "version": model.version}

        def respond() -> Response:
            given = tensors(found, list(wanted))
            answers = [(each, wanted[each.name]) for each in given]
            response = _response(model, question, answers, {"prediction_id": told["id"]})
            asked = body if sent.header_length is None else b""
            if not 0 < len(asked) <= MOST_LOGGED_BYTES:
                hidden = self._recorder.redacted(model.name)
                redacted = not hidden.isdisjoint(question.inputs)
                asked = NOTHING if redacted else to_json(fingerprint(body))
            seconds = perf_counter() - started
            self._recorder.ran(model, asked, told_of(given, told), seconds=seconds)
            return response

        return await self._beside(body, respond)

    async def _beside(self, body: bytes, call: Callable[..., T], *arguments: object) -> T:
        """Do some work for a body in a thread."""
        threads = self._threads if len(body) > SMALL_BYTES else None
        return await asyncio.get_running_loop().run_in_executor(threads, call, *arguments)


def asked_of(
    model: PlainModel, sent: InferBody
) -> tuple[Question, dict[str, bool], dict[str, Array]]:
    """Return what is asked, which outputs are wanted and how, and what the graph is given."""
    question = sent.question()
    model.check_outputs(question.outputs)
    return question, question.chosen(model.outputs()), model.feeds(question.inputs)


def told_of(tensors: Sequence[Tensor], told: dict[str, str]) -> bytes:
    """Return what is recorded of outputs, all by name: their values, or their digests."""
    arrays = {tensor.name: tensor.array for tensor in tensors}
    if sum(array.nbytes for array in arrays.values()) <= MOST_LOGGED_BYTES:
        return written(arrays, told)
    digests = {name: fingerprint(array.tobytes()) for name, array in arrays.items()}
    return to_json({"values": digests, **told})


@dataclass(frozen=True)
class Rows:
    """What a model with a signature is asked, and its rows as it takes them."""

    question: Question
    wanted: dict[str, bool]
    matrix: Matrix
    records: Sequence[Record]


def _typed(model: TypedModel, asked: InferBody, recorder: Recorder) -> Response:
    started = perf_counter()
    rows = _encoded(model, asked, recorder)
    return _predicted(model, rows, model.predicted(rows.matrix), recorder, started)


def _encoded(model: TypedModel, asked: InferBody, recorder: Recorder) -> Rows:
    question = asked.question()
    wanted = question.chosen(model.outputs())
    try:
        return Rows(question, wanted, *model.encoded(question.inputs))
    except InvalidInputError as error:
        recorder.refused(error, model.signature)
        raise


def _predicted(
    model: TypedModel, rows: Rows, prediction: Prediction, recorder: Recorder, started: float
) -> Response:
    answered = model.answered(rows.matrix, rows.records, prediction)
    tensors = model.tensors(answered, list(rows.wanted))
    answers = [(each, rows.wanted[each.name]) for each in tensors]
    response = _response(model, rows.question, answers)
    recorder.answered(answered, model.signature, seconds=perf_counter() - started)
    return response


def _response(
    model: Served,
    question: Question,
    answers: Sequence[tuple[Tensor, bool]],
    parameters: Json | None = None,
) -> Response:
    document: Json = {"model_name": model.name, "model_version": model.version}
    if question.id is not None:
        document["id"] = question.id
    if parameters is not None:
        document["parameters"] = parameters
    body, headers = write(document, answers)
    return Response(body, headers=headers)
