"""Batches: a table in the body, a table of predictions in the answer, one row for each."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.batch.answering import Batch
from api.batch.bodies import too_large
from api.batch.computing import Job
from api.batch.drafts import Draft
from api.batch.formats import FORMATS, Format, format_for, format_of
from api.deps import CatalogueDep
from api.ids import new_id
from api.openapi import failures
from api.prediction.predictor import Predictor
from api.security.deps import prediction_key

PIECE_BYTES = 1 << 18
GONE = 499  # nobody reads it; what nginx logs for a caller that has gone
TABLE: dict[str, Any] = {
    "csv": {"type": "string", "description": "A header, then one line for each row"},
    "json": {
        "anyOf": [
            {"type": "array", "items": {"type": "object"}},
            {"type": "object", "additionalProperties": {"type": "array"}},
        ],
        "description": "A list of records, or (of a request) an object with a list per column",
    },
    "lines": {"type": "string", "description": "A record in JSON on each line"},
    "arrow": {"type": "string", "format": "binary", "description": "A stream of record batches"},
    "parquet": {"type": "string", "format": "binary", "description": "A Parquet file"},
}
CONTENT = {each.media_type: {"schema": TABLE[each.name]} for each in FORMATS}
RESPONSES: dict[str, Any] = {
    "200": {"description": "One row for each row, in their order", "content": CONTENT},
    **failures((400, 401, 403, 404, 406, 413, 415, 422, 429, 500, 503)),
}
DOCUMENTED: dict[str, Any] = {
    "response_class": Response,
    "responses": RESPONSES,
    "openapi_extra": {"requestBody": {"required": True, "content": CONTENT}},
}
BadRows = Annotated[
    Literal["refuse", "report"],
    Query(description="Refuse the whole batch, or answer the good rows and say what is wrong"),
]

router = APIRouter(tags=["predict"], dependencies=[Depends(prediction_key)])


class DraftResponse(Response):
    """An answer that is read from a file, which is removed afterwards."""

    def __init__(self, draft: Draft, *, media_type: str) -> None:
        super().__init__(media_type=media_type, headers={"content-length": str(draft.size)})
        self._draft = draft

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file piece by piece."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            with self._draft.path.open("rb", buffering=0) as file:
                await send(start)
                while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._draft.remove()


@router.post("/v1/predict/batch", summary="Predict a table with the default model", **DOCUMENTED)
async def predict_batch(
    request: Request, catalogue: CatalogueDep, bad_rows: BadRows = "refuse"
) -> Response:
    """CSV, JSON, JSON lines, Arrow or Parquet by Content-Type; the same kind back, or by Accept."""
    return await answer(request, catalogue.default(), reporting=bad_rows == "report")


@router.post("/v1/models/{model}/predict/batch", summary="Predict a table", **DOCUMENTED)
async def predict_batch_of(
    request: Request,
    model: Annotated[str, Path(description="Name of the model")],
    catalogue: CatalogueDep,
    bad_rows: BadRows = "refuse",
) -> Response:
    """CSV, JSON, JSON lines, Arrow or Parquet by Content-Type; the same kind back, or by Accept."""
    return await answer(request, catalogue.predictor(model), reporting=bad_rows == "report")


async def answer(request: Request, predictor: Predictor, *, reporting: bool) -> Response:
    """Compute a batch, record it, and answer; raises TreelineError."""
    state = request.app.state
    given = format_of(request.headers)
    wanted = format_for(request.headers, otherwise=given)
    check_length(request, given)
    job = job_of(request, predictor, given, wanted)
    log = state.log.batch() if state.log is not None else None
    batch = Batch(
        replace(job, reporting=reporting),
        predictor.model,
        pool=state.batch_pool,
        settings=state.settings,
        log=log,
    )
    draft = None
    try:
        draft = await unless_gone(request, batch, given)
        if log is not None:
            await asyncio.to_thread(log.commit)
    except ClientDisconnect:
        return Response(status_code=GONE)
    finally:
        if draft is None:
            await batch.give_up()
            if log is not None:
                log.discard()
        count_rows(request, job, batch, answered=draft is not None)
    return DraftResponse(draft, media_type=wanted.media_type)


def check_length(request: Request, given: Format) -> None:
    """Raise BodyTooLargeError for a body that says it is too large, before any of it is read."""
    length, settings = request.headers.get("content-length", ""), request.app.state.settings
    for most, whole in ((settings.max_batch_bytes, False), (settings.max_whole_bytes, True)):
        concerned = not whole or given.cut == "whole"
        if concerned and length.isdecimal() and int(length) > most:
            raise too_large(most, whole=whole)


def job_of(request: Request, predictor: Predictor, given: Format, wanted: Format) -> Job:
    """Return what is the same for all parts of a batch, under a new id."""
    state, signature = request.app.state, predictor.signature
    settings, log = state.settings, state.log
    return Job(
        model_dir=(predictor.root or settings.model_dir).absolute(),
        admitted=frozenset({signature.runtime}),  # it is served, so it is admitted
        name=signature.name,
        version=signature.version,
        batch_id=new_id(),
        given=given.name,
        wanted=wanted.name,
        logged=log is not None,
        redacted=frozenset() if log is None else log.redacted(signature.name),
    )


async def unless_gone(request: Request, batch: Batch, given: Format) -> Draft:
    """Return the answer of a batch; raises ClientDisconnect as soon as nobody waits for it."""
    ended = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        async for piece in request.stream():
            yield piece
        ended.set()

    async def gone() -> None:
        await ended.wait()
        while (await request.receive())["type"] != "http.disconnect":
            pass

    work, watch = asyncio.create_task(batch.answer(body(), given)), asyncio.create_task(gone())
    try:
        await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise ClientDisconnect
    finally:
        for task in (work, watch):
            task.cancel()
        await asyncio.gather(work, watch, return_exceptions=True)


def count_rows(request: Request, job: Job, batch: Batch, *, answered: bool) -> None:
    """Count good and bad rows, once what becomes of them is settled."""
    tally, metrics = batch.tally, request.app.state.metrics
    good = tally.rows - tally.bad_rows if answered else 0
    for outcome, rows in (("answered", good), ("refused", tally.rows - good)):
        if rows:
            metrics.batch_rows(job.name, job.version, outcome, rows)
