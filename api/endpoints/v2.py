"""An infer request for a model that is ready becomes its answer; what takes long, in a thread.

A row of a small request is recorded as if it were alone, those of a large one all together. Either
way a row is in the log under the id that its caller gets.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter, time
from typing import Any, TypeVar

import numpy as np
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints.tensors import MOST_LOGGED_BYTES, NOTHING, fingerprint
from api.errors import BodyTooLargeError
from api.formats.tensors import Tensor
from api.formats.v2 import HEADER_LENGTH, Question, document_bytes, read, write
from api.http.bodies import Bodies, read_body
from api.http.deadlines import unless_gone
from api.http.documents import LONG_BYTES, DocumentReaders
from api.http.ids import new_id
from api.inference.graph import Array
from api.inference.graph_pool import Graphs
from api.inference.micro_batching import Predicted
from api.inference.record import Answers
from api.inference.tensors import written
from api.inference.v2 import PredictedRows, TypedModel
from api.inference.v2_plain import PlainModel, tensors
from api.models.catalogue import Entry
from api.prediction_log.log import Log, PredictionLog
from api.prediction_log.rows import RowsFrame
from api.telemetry.metrics import Metrics, ModelMetrics
from treeline.artifact import Prediction
from treeline.contract.encoding import Matrix, Record
from treeline.contract.signature import Signature
from treeline.errors import ArtifactRejectedError, InvalidInputError


@dataclass(frozen=True)
class Recorder:
    """Records and counts what is answered; called from threads."""

    log: Log | None
    metrics: Metrics

    def answered(self, answered: PredictedRows, signature: Signature, *, seconds: float) -> None:
        """Record the rows of a request that took so many seconds."""
        each_seconds = seconds / len(answered.matrix)
        if answered.records:
            self._one_by_one(answered, signature, seconds=each_seconds)
            return
        self.metrics.batch_rows(signature.name, signature.version, "answered", len(answered.matrix))
        if self.log is not None:
            draft = self.log.batch()
            frame = frame_of(answered, time=time(), latency_seconds=each_seconds)
            try:
                draft.add(frame.to_bytes(signature, redact=self.log.redacted(signature.name)))
                draft.commit()
            finally:
                draft.discard()

    def redacted(self, model: str) -> frozenset[str]:
        """Return the names of inputs that are not recorded of a model."""
        return frozenset() if self.log is None else self.log.redacted(model)

    def ran(self, model: PlainModel, question: bytes, answer: bytes, *, seconds: float) -> None:
        """Record a run of a model without a signature: the JSON of what was asked and answered."""
        self.metrics.model(model.name, model.version, ()).answered(None, seconds)
        if self.log is not None:
            self.log.record(time(), seconds, question, answer)

    def refused(self, error: InvalidInputError, signature: Signature) -> None:
        """Count what was wrong with the tensors of a request."""
        self._counters(signature).refused(problem.place for problem in error.problems)

    def _one_by_one(self, answered: PredictedRows, signature: Signature, *, seconds: float) -> None:
        counters = self._counters(signature)
        answers = Answers(signature)
        rows = zip(answered.ids(), answered.records, predicted_rows(answered), strict=True)
        for prediction_id, record, predicted in rows:
            counters.answered(predicted.label, seconds)
            if self.log is not None:
                answer = answers.written(predicted, prediction_id=prediction_id)
                self.log.record(time(), seconds, to_json(record), answer)

    def _counters(self, signature: Signature) -> ModelMetrics:
        return self.metrics.model(
            signature.name, signature.version, signature.classes, features=signature.features
        )


def frame_of(answered: PredictedRows, *, time: float, latency_seconds: float) -> RowsFrame:
    """Return the frame in which many rows are recorded."""
    return RowsFrame(
        time=time,
        latency_seconds=latency_seconds,
        id_prefix=answered.id_prefix,
        numbers=np.arange(1, len(answered.matrix) + 1, dtype=np.int64),
        matrix=answered.matrix,
        labels=answered.prediction.labels,
        scores=answered.prediction.scores,
        values=answered.prediction.values,
    )


def predicted_rows(answered: PredictedRows) -> list[Predicted]:
    """Return what was predicted for each row."""
    prediction = answered.prediction
    columns: list[list[Any]] = [
        [None] * len(answered.matrix) if each is None else each.tolist()
        for each in (prediction.labels, prediction.scores, prediction.values)
    ]
    return [Predicted(*row) for row in zip(*columns, strict=True)]


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
        sent = InferBody(body, length, question)
        if isinstance(model, PlainModel):
            return await unless_gone(request.receive, lambda: self._plain(model, sent))
        if model.apart:
            return await unless_gone(request.receive, lambda: self._typed_apart(model, sent))
        return await self._beside(body, _typed, model, sent, self._recorder)

    async def _typed_apart(self, model: TypedModel, sent: InferBody) -> Response:
        """Answer for a model of others, which runs in a process that can be killed."""
        started, recorder = perf_counter(), self._recorder
        rows = await self._beside(sent.body, _encoded, model, sent, recorder)
        prediction = await model.predicted_apart(rows.matrix)
        return await self._beside(sent.body, _predicted, model, rows, prediction, recorder, started)

    async def _plain(self, model: PlainModel, sent: InferBody) -> Response:
        started, body = perf_counter(), sent.body
        question, wanted, feeds = await self._beside(body, question_of, model, sent)
        outputs = await self._graphs.compute(model.graph, feeds, place="inputs")
        head = {"id": new_id(), "model": model.name, "version": model.version}

        def respond() -> Response:
            given = tensors(outputs, list(wanted))
            answers = [(each, wanted[each.name]) for each in given]
            response = _response(model, question, answers, {"prediction_id": head["id"]})
            document = body if sent.header_length is None else b""
            if not 0 < len(document) <= MOST_LOGGED_BYTES:
                hidden = self._recorder.redacted(model.name)
                redacted = not hidden.isdisjoint(question.inputs)
                document = NOTHING if redacted else to_json(fingerprint(body))
            seconds = perf_counter() - started
            self._recorder.ran(model, document, logged_outputs(given, head), seconds=seconds)
            return response

        return await self._beside(body, respond)

    async def _beside(self, body: bytes, call: Callable[..., T], *arguments: object) -> T:
        """Do some work for a body in a thread."""
        threads = self._threads if len(body) > SMALL_BYTES else None
        return await asyncio.get_running_loop().run_in_executor(threads, call, *arguments)


def question_of(
    model: PlainModel, sent: InferBody
) -> tuple[Question, dict[str, bool], dict[str, Array]]:
    """Return what is asked, which outputs are wanted and how, and what the graph is given."""
    question = sent.question()
    model.check_outputs(question.outputs)
    return question, question.chosen(model.outputs()), model.feeds(question.inputs)


def logged_outputs(tensors: Sequence[Tensor], head: dict[str, str]) -> bytes:
    """Return what is recorded of outputs, all by name: their values, or their digests."""
    arrays = {tensor.name: tensor.array for tensor in tensors}
    if sum(array.nbytes for array in arrays.values()) <= MOST_LOGGED_BYTES:
        return written(arrays, head)
    digests = {name: fingerprint(array.tobytes()) for name, array in arrays.items()}
    return to_json({"values": digests, **head})


@dataclass(frozen=True)
class Rows:
    """What a model with a signature is asked, and its rows as it takes them."""

    question: Question
    wanted: dict[str, bool]
    matrix: Matrix
    records: Sequence[Record]


def _typed(model: TypedModel, sent: InferBody, recorder: Recorder) -> Response:
    started = perf_counter()
    rows = _encoded(model, sent, recorder)
    return _predicted(model, rows, model.predicted(rows.matrix), recorder, started)


def _encoded(model: TypedModel, sent: InferBody, recorder: Recorder) -> Rows:
    question = sent.question()
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
