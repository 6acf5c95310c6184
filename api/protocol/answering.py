"""An infer request for a model that is ready → its answer; what takes long, in a thread."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

from pydantic_core import to_json
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response

from api.catalogue.entries import Entry
from api.errors import BodyTooLargeError
from api.ids import new_id
from api.protocol.bodies import read_body
from api.protocol.messages import HEADER_LENGTH, Question, document_bytes, read, write
from api.protocol.plain import PlainModel
from api.protocol.recording import Recorder
from api.protocol.tensors import Tensor
from api.protocol.typed import TypedModel
from api.tensors.answering import MOST_LOGGED_BYTES, fingerprint
from api.tensors.values import written
from treeline.errors import ArtifactRejectedError, InvalidInputError

SMALL_BYTES = 4096  # of a request: some ten to a hundred rows
MOST_THREADS = 2  # for larger ones, in each worker; each may hold a body and what is read of it

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


class Inferring:
    """Answers infer requests: reading, predicting and writing happen in threads.

    Large requests have a few of their own, so that they hold up nothing but each other.
    """

    def __init__(self, state: State) -> None:
        """Take settings, metrics and log from the state of the application."""
        self._document_limit = state.settings.max_body_bytes
        self._limit = state.settings.max_whole_bytes
        self._recorder = Recorder(state.log, state.metrics)
        self._threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="infer")

    async def answer(self, model: Served, request: Request) -> Response:
        """Answer a request; raises TreelineError."""
        body = await read_body(request, limit=self._limit, setting="API_MAX_WHOLE_BYTES")
        length = request.headers.get(HEADER_LENGTH)
        if isinstance(model, TypedModel) and document_bytes(body, length) > self._document_limit:
            raise BodyTooLargeError(  # to read it would keep every other request waiting
                f"The JSON is larger than {self._document_limit} bytes; send the tensors as binary "
                "data behind it, or raise API_MAX_BODY_BYTES."
            )
        threads = self._threads if len(body) > SMALL_BYTES else None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads, _answered, model, body, length, self._recorder)


def _answered(model: Served, body: bytes, length: str | None, recorder: Recorder) -> Response:
    if isinstance(model, TypedModel):
        return _typed(model, body, length, recorder)
    return _plain(model, body, length, recorder)


def _plain(
    model: PlainModel, body: bytes, header_length: str | None, recorder: Recorder
) -> Response:
    started = perf_counter()
    question = read(body, header_length)
    wanted = question.chosen(model.outputs())
    tensors = model.infer(question.inputs, list(wanted))
    told = {"id": new_id(), "model": model.name, "version": model.version}
    answers = [(each, wanted[each.name]) for each in tensors]
    response = _response(model, question, answers, {"prediction_id": told["id"]})
    asked = body if header_length is None else b""
    if not 0 < len(asked) <= MOST_LOGGED_BYTES:
        asked = to_json(fingerprint(body))
    recorder.ran(model, asked, told_of(tensors, told), seconds=perf_counter() - started)
    return response


def told_of(tensors: Sequence[Tensor], told: dict[str, str]) -> bytes:
    """Return what is recorded of outputs, all by name: their values, or their digests."""
    arrays = {tensor.name: tensor.array for tensor in tensors}
    if sum(array.nbytes for array in arrays.values()) <= MOST_LOGGED_BYTES:
        return written(arrays, told)
    digests = {name: fingerprint(array.tobytes()) for name, array in arrays.items()}
    return to_json({"values": digests, **told})


def _typed(
    model: TypedModel, body: bytes, header_length: str | None, recorder: Recorder
) -> Response:
    started = perf_counter()
    question = read(body, header_length)
    wanted = question.chosen(model.outputs())
    try:
        answered = model.answered(question.inputs)
    except InvalidInputError as error:
        recorder.refused(error, model.signature)
        raise
    tensors = model.tensors(answered, list(wanted))
    response = _response(model, question, [(each, wanted[each.name]) for each in tensors])
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
