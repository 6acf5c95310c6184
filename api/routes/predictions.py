"""`GET /v1/predictions`: what was predicted, as JSON lines, CSV or Parquet, with the truth."""

import asyncio
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from api.errors import NotAcceptableError
from api.openapi import failures
from api.prediction_log.asking import MEDIA_TYPES, Asked, format_of
from api.prediction_log.deps import LogDep
from api.prediction_log.log import PredictionLog
from api.security.deps import KeyRequired
from treeline.errors import MissingExtraError
from treeline.registry import resolve

WRITERS = {
    "jsonl": "api.prediction_log.formats:json_lines",
    "csv": "api.prediction_log.formats:csv_lines",
    "parquet": "api.prediction_log.parquet:parquet_chunks",
}
SETTLE_SECONDS = 3.0  # for what has just been answered to reach the database

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The predictions, the oldest first",
        "content": {each: {"schema": {"type": "string"}} for each in MEDIA_TYPES.values()},
    }
}
RESPONSES.update(failures((401, 403, 406, 409, 422, 429, 503)).items())

router = APIRouter(tags=["log"], dependencies=[KeyRequired])


@router.get(
    "/v1/predictions",
    summary="Export what was predicted",
    response_class=StreamingResponse,
    responses=RESPONSES,
)
async def read_predictions(
    request: Request, log: LogDep, asked: Annotated[Asked, Query()]
) -> StreamingResponse:
    """Each prediction with its record, its probabilities and, where it was told, the truth.

    What was answered a moment before is waited for, up to three seconds; what still waits in the
    spool then, as after an outage of the database, comes with a later export.
    """
    name = format_of(asked, ",".join(request.headers.getlist("accept")))
    chunks = await asyncio.to_thread(opened, log, asked, name)
    told = {"Content-Disposition": f'inline; filename="predictions.{name}"'}
    return StreamingResponse(chunks, headers=told, media_type=MEDIA_TYPES[name])


def opened(log: PredictionLog, asked: Asked, name: str) -> Iterator[bytes]:
    """Return the chunks of an export, of which the first page is read already.

    So what is wrong is told by the status. Raises NotAcceptableError and LogUnavailableError.
    """
    try:
        write = resolve(WRITERS, name, place="format", extra="arrow")
    except MissingExtraError as error:
        raise NotAcceptableError(str(error)) from error
    reader = log.reader()
    reader.check()
    log.settle(seconds=SETTLE_SECONDS)
    pages = reader.pages(asked)
    chunks: Iterator[bytes] = write(chain([next(pages, [])], pages), log.spool.folder.parent)
    return chunks
