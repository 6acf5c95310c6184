"""`GET /v1/predictions`: what was predicted, as JSON lines, CSV or Parquet, with the truth."""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from api.errors import NotAcceptableError
from api.prediction_log.exports import MEDIA_TYPES, PredictionQuery, format_of
from api.prediction_log.log import PredictionLog
from api.routes.deps import LogDep, ReadKey
from api.routes.openapi import failures
from treeline.errors import MissingExtraError
from treeline.registry import resolve

WRITERS = {
    "jsonl": "api.prediction_log.exports:json_lines",
    "csv": "api.prediction_log.exports:csv_lines",
    "parquet": "api.prediction_log.parquet:parquet_chunks",
}
SETTLE_SECONDS = 3.0  # for what has just been answered to reach the database

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The predictions, the oldest first",
        "content": {  # bytes first: generated clients take every answer for the first kind
            MEDIA_TYPES["parquet"]: {"schema": {"type": "string", "format": "binary"}},
            MEDIA_TYPES["jsonl"]: {"schema": {"type": "string"}},
            MEDIA_TYPES["csv"]: {"schema": {"type": "string"}},
        },
        "headers": {
            name: {"description": text, "schema": {"type": "integer", "minimum": 0}}
            for name, text in {
                "X-Waiting-Segments": "Files that wait for the database, and are not in it",
                "X-Waiting-Bytes": "Their size",
                "X-Set-Aside-Files": "Files of what the database cannot take",
            }.items()
        },
    }
}
RESPONSES.update(failures((401, 403, 406, 409, 422, 429, 503)).items())

Headers = dict[str, str]

router = APIRouter(tags=["log"], dependencies=[ReadKey])


@router.get(
    "/v1/predictions",
    summary="Export what was predicted",
    response_class=StreamingResponse,
    responses=RESPONSES,
)
async def read_predictions(
    request: Request, log: LogDep, query: Annotated[PredictionQuery, Query()]
) -> StreamingResponse:
    """Each prediction with its record, its probabilities and, where it was told, the truth.

    What was answered a moment before is waited for, up to three seconds; what still waits in the
    spool then, as after an outage of the database, comes with a later export: the headers
    `X-Waiting-Segments` and `X-Waiting-Bytes` tell how much, `X-Set-Aside-Files` what never will.
    """
    name = format_of(query, ",".join(request.headers.getlist("accept")))
    chunks, lacking = await log.apart(opened, log, query, name)
    headers = {"Content-Disposition": f'inline; filename="predictions.{name}"', **lacking}
    return StreamingResponse(log.streamed(chunks), headers=headers, media_type=MEDIA_TYPES[name])


def opened(
    log: PredictionLog, query: PredictionQuery, name: str
) -> tuple[Iterator[bytes], Headers]:
    """Return the chunks of an export, of which the first page is read already, and what it lacks.

    So what is wrong is told by the status. Raises NotAcceptableError and LogUnavailableError.
    """
    try:
        write = resolve(WRITERS, name, place="format", extra="arrow")
    except MissingExtraError as error:
        raise NotAcceptableError(str(error)) from error
    reader = log.reader()
    reader.check()
    waiting = log.settle(seconds=SETTLE_SECONDS)
    lacking = {
        "X-Waiting-Segments": str(waiting.count()),
        "X-Waiting-Bytes": str(waiting.bytes if waiting.count() else 0),
        "X-Set-Aside-Files": str(log.set_aside()),
    }
    pages = reader.pages(query)
    chunks: Iterator[bytes] = write(chain([next(pages, [])], pages), log.spool.folder.parent)
    return chunks, lacking
