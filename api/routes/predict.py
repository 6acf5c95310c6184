"""Predictions as routes: batches, and single records that `api.endpoints` leaves, such as tensors.

A batch is a table in the body and a table of predictions in the answer, one row for each.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.contract.schemas import IGNORED, IGNORED_SCHEMA, ignored_header
from api.errors import CallerGoneError
from api.formats.rows import Job, rows_of_part
from api.http.bodies import Limit
from api.http.ids import new_id
from api.http.media_types import (
    FORMATS,
    MULTIPART,
    Format,
    FormFile,
    format_for,
    format_of,
    media_type,
)
from api.inference.batch_pool import Draft
from api.inference.batches import Batch
from api.inference.explanations.explainer import check_explained
from api.inference.record import Predictor
from api.models.catalogue import DEFAULT_PATH, PATH
from api.routes.deps import CatalogueDep, DefaultDep, prediction_key, services_of
from api.routes.openapi import failures
from api.services import Services


class PredictionRoute:
    """The ASGI application behind a path that predicts, with or without the name of a model."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; raises ArtifactNotFoundError and ArtifactRejectedError."""
        services: Services = scope["app"].services
        name, models = scope["path_params"].get("model"), services.catalogue
        if name is None and models.default_name is None:
            await services.watcher.everything()  # it may have come meanwhile
        name = name or models.default_name
        if name is None:
            raise models.no_default()
        await services.watcher.model(name)
        known = models.entry(name)
        if known.tensor is not None:
            await services.tensor_endpoint.answer(known, scope, receive, send)
            return
        predictor = models.predictor(name)
        with services.load.returned():  # it takes a slot when the record is there
            await services.record_endpoint.answer(predictor, scope, receive, send)


def install(app: FastAPI) -> None:
    """Add both routes; `api.routes.openapi` describes them once per model, with its own schema."""
    route = PredictionRoute()
    for path in (DEFAULT_PATH, PATH):
        app.router.routes.append(Route(path, route, methods=["POST"], include_in_schema=False))


PIECE_BYTES = 1 << 19
GONE = 499  # nobody reads it; what nginx logs for a caller that has gone
TABLE: dict[str, Any] = {
    "csv": {"type": "string", "description": "A header, then one line for each row"},
    "json": {
        "anyOf": [
            {"type": "array", "items": {"type": "object", "additionalProperties": True}},
            {"type": "object", "additionalProperties": {"type": "array", "items": {}}},
        ],
        "description": "A list of records, or (of a request) an object with a list per column",
    },
    "lines": {"type": "string", "description": "A record in JSON on each line"},
    "arrow": {"type": "string", "format": "binary", "description": "A stream of record batches"},
    "parquet": {"type": "string", "format": "binary", "description": "A Parquet file"},
}
# The order is for generated clients. Some take all answers for what the first one is: so that is
# bytes. Some send whatever is bytes as the last one: so that is CSV.
ANSWERS = {each: TABLE[each] for each in ("arrow", "parquet", "csv", "json", "lines")}
QUESTIONS = {
    # one class: these clients cannot tell a list from other kinds of bodies
    "json": {"allOf": [TABLE["json"]], "description": "A table"},
    **{each: TABLE[each] | {"format": "binary"} for each in ("lines", "arrow", "parquet", "csv")},
}
MEDIA_TYPES = {each.name: each.media_type for each in FORMATS}
FORM: dict[str, Any] = {
    "schema": {
        "type": "object",
        "properties": {"file": {"type": "string", "format": "binary"}},
        "required": ["file"],
        "description": "A form with one file, whose name ends in .csv, .json, .parquet, …",
    }
}
RESPONSES: dict[str, Any] = {
    "200": {
        "description": "One row for each row, in their order",
        "content": {MEDIA_TYPES[name]: {"schema": each} for name, each in ANSWERS.items()},
        "headers": {
            IGNORED: IGNORED_SCHEMA,
        },
    },
    **failures((400, 401, 403, 404, 406, 413, 415, 422, 429, 500, 503)),
}
DOCUMENTED: dict[str, Any] = {
    "response_class": Response,
    "responses": RESPONSES,
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                **{MEDIA_TYPES[name]: {"schema": each} for name, each in QUESTIONS.items()},
                MULTIPART: FORM,
            },
        }
    },
}
BadRows = Annotated[
    Literal["refuse", "report"],
    Query(description="Refuse the whole batch, or answer the good rows and say what is wrong"),
]

Extra = Annotated[
    Literal["auto", "ignore", "refuse"],
    Query(
        description="What becomes of columns that are no features: ignored, refused, or (auto) "
        "ignored where every feature has a column, optional ones too"
    ),
]

Explain = Annotated[
    bool,
    Query(
        description="Say of each row what each feature added to the answer. Such a batch may have "
        "fewer rows"
    ),
]


@dataclass(frozen=True)
class TableOptions:
    """What the query of a request for a table says."""

    reporting: bool
    extra: str
    explaining: bool


def table_options(
    bad_rows: BadRows = "refuse", extra: Extra = "auto", explain: Explain = False
) -> TableOptions:
    """Take the query of a request for a table."""
    return TableOptions(bad_rows == "report", extra, explain)


OptionsDep = Annotated[TableOptions, Depends(table_options)]

router = APIRouter(tags=["predict"], dependencies=[Depends(prediction_key)])


class DraftResponse(Response):
    """An answer that is read from a file, which is removed afterwards."""

    def __init__(self, draft: Draft, *, media_type: str, ignored: Iterable[str] = ()) -> None:
        headers = {"content-length": str(draft.size)}
        if named := ignored_header(ignored):
            headers[IGNORED] = named
        super().__init__(media_type=media_type, headers=headers)
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


@router.post(
    "/v1/predict/batch",
    summary="Predict a table with the default model",
    operation_id="batch",
    **DOCUMENTED,
)
async def predict_batch(
    request: Request,
    catalogue: DefaultDep,
    options: OptionsDep,
) -> Response:
    """CSV, JSON, JSON lines, Arrow or Parquet by Content-Type; the same kind back, or by Accept."""
    return await answer(request, catalogue.default(), options)


@router.post(
    "/v1/models/{model}/predict/batch",
    summary="Predict a table",
    operation_id="model_batch",
    **DOCUMENTED,
)
async def predict_batch_of(
    request: Request,
    model: Annotated[str, Path(description="Name of the model")],
    catalogue: CatalogueDep,
    options: OptionsDep,
) -> Response:
    """CSV, JSON, JSON lines, Arrow or Parquet by Content-Type; the same kind back, or by Accept."""
    return await answer(request, catalogue.predictor(model), options)


async def answer(request: Request, predictor: Predictor, options: TableOptions) -> Response:
    """Answer the table in the body, or in a form; raises TreelineError."""
    settings = services_of(request).settings
    limit = Limit.of_batches(settings)
    if options.explaining:
        check_explained(predictor.signature, most_rows=settings.max_explained_rows)
    async with aclosing(services_of(request).bodies.pieces(request, limit)) as pieces:
        if media_type(request) != MULTIPART:
            given = format_of(request.headers)
            return await answer_table(request, predictor, Sent(given, pieces), options)
        try:
            file = FormFile(pieces, request.headers["content-type"])
            given = await file.format()
        except CallerGoneError:
            return Response(status_code=GONE)
        return await answer_table(request, predictor, Sent(given, file.pieces()), options)


@dataclass(frozen=True)
class Sent:
    """A table as it was sent: its format, and its bytes as they come."""

    given: Format
    pieces: AsyncIterator[bytes]


async def answer_table(
    request: Request, predictor: Predictor, sent: Sent, options: TableOptions
) -> Response:
    """Compute a batch, record it, and answer; raises TreelineError."""
    services, given = services_of(request), sent.given
    wanted = format_for(request.headers, otherwise=given)
    check_length(request, given)
    job = job_of(request, predictor, given, wanted, options)
    log = services.log.batch() if services.log is not None else None
    batch = Batch(
        job,
        predictor,
        pools=services.pools,
        settings=services.settings,
        log=log,
    )
    draft, gone = None, False
    try:
        draft = await unless_gone(request, batch, sent)
        if log is not None:
            await asyncio.to_thread(log.commit)
    except (CallerGoneError, ClientDisconnect):
        gone = True
        return Response(status_code=GONE)
    finally:
        if draft is None:
            await batch.give_up(at_once=gone)
            if log is not None:
                log.discard()
        count_rows(request, job, batch, answered=draft is not None)
    return DraftResponse(draft, media_type=wanted.media_type, ignored=batch.tally.ignored)


def check_length(request: Request, given: Format) -> None:
    """Raise BodyTooLargeError for a body that says it is too large, before any of it is read."""
    settings = services_of(request).settings
    Limit.of_batches(settings).check_length(request.scope)
    if given.cut == "whole":
        Limit.of_whole_tables(settings).check_length(request.scope)


def job_of(
    request: Request, predictor: Predictor, given: Format, wanted: Format, options: TableOptions
) -> Job:
    """Return what is the same for all parts of a batch, under a new id."""
    services, signature = services_of(request), predictor.signature
    settings, log, explaining = services.settings, services.log, options.explaining
    most = settings.max_batch_rows
    return Job(
        model_dir=settings.served_dir.absolute(),
        admitted=frozenset({signature.runtime}),  # it is served, so it is admitted
        exported=not predictor.apart,
        trust=services.trust,
        name=signature.name,
        version=signature.version,
        batch_id=new_id(predictor.tag),
        given=given.name,
        wanted=wanted.name,
        part_rows=rows_of_part(signature, explaining=explaining),
        most_rows=min(most, settings.max_explained_rows) if explaining else most,
        extra=options.extra,
        reporting=options.reporting,
        explaining=explaining,
        memory_bytes=settings.request_memory_bytes,
        logged=log is not None,
        redacted=frozenset() if log is None else log.redacted(signature.name),
    )


async def unless_gone(request: Request, batch: Batch, sent: Sent) -> Draft:
    """Return the answer of a batch; raises ClientDisconnect as soon as nobody waits for it."""
    ended = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        async for piece in sent.pieces:
            yield piece
        ended.set()

    async def gone() -> None:
        await ended.wait()
        while (await request.receive())["type"] != "http.disconnect":
            pass

    work, watch = asyncio.create_task(batch.answer(body(), sent.given)), asyncio.create_task(gone())
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
    tally, metrics = batch.tally, services_of(request).metrics
    good = tally.rows - tally.bad_rows if answered else 0
    for outcome, rows in (("answered", good), ("refused", tally.rows - good)):
        if rows:
            metrics.batch_rows(job.name, job.version, outcome, rows)
