"""`GET /v1/predictions`: what was predicted, with the truth, and why one of them is what it is."""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from pydantic_core import from_json
from starlette.responses import StreamingResponse

from api.errors import NotAcceptableError, PredictionUnknownError
from api.models.catalogue import Catalogue, Origin
from api.prediction_log.exports import (
    MEDIA_TYPES,
    TEXT_PATTERN,
    PredictionQuery,
    Row,
    format_of,
    json_line,
)
from api.prediction_log.log import PredictionLog
from api.routes.deps import LogDep, ReadKey, SoonDep
from api.routes.openapi import failures
from treeline.contract.signature import Learnt, Lineage, Verdict
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


class RecordedPrediction(BaseModel):
    """One prediction as the log has it; times are ISO 8601, in UTC."""

    id: str
    time: str
    model: str
    version: str
    features: Any = Field(description="What the caller sent, without what is redacted")
    prediction: Any
    probability: float | None
    probabilities: dict[str, float] | None
    latency_seconds: float | None
    truth: Any = Field(description="What proved to be true, null where nobody said")
    truth_time: str | None
    key: str | None


class ModelOrigin(BaseModel):
    """What the version that answered was made from, as its signature says."""

    origin: Origin
    claimed: bool = Field(description="Whether only the uploader says so")
    metrics: dict[str, float]
    verdict: Verdict
    learnt: Learnt | None
    lineage: Lineage


class Explanation(BaseModel):
    """A prediction and what is known here of the model that made it."""

    prediction: RecordedPrediction
    model: ModelOrigin | None
    missing: list[str] = Field(description="What cannot be said here, and where it can be read")


@router.get(
    "/v1/predictions/{id:path}/why",
    summary="Read what is behind a prediction",
    responses=dict(failures((401, 403, 404, 409, 422, 429, 503)).items()),
)
async def read_why(
    id: Annotated[str, Path(description="The `id` of an answer", pattern=TEXT_PATTERN)],
    log: LogDep,
    catalogue: SoonDep,
) -> Explanation:
    """The record, the answer and the truth; data, parameters and code behind the model.

    The service has the signatures of what it serves. `treeline why` in a clone of the repository
    goes on from there: to the commit, the release, the deployment and whoever signed.
    """
    row = await log.apart(recorded, log, PredictionQuery(id=id))
    prediction = RecordedPrediction.model_validate(from_json(json_line(row)))
    model, missing = origin_of(prediction, catalogue)
    return Explanation(prediction=prediction, model=model, missing=missing)


def recorded(log: PredictionLog, query: PredictionQuery) -> Row:
    """Return the one row that a query names; waits for what was answered a moment ago.

    Raises PredictionUnknownError and LogUnavailableError.
    """
    reader = log.reader()
    reader.check()
    row = next(reader.pages(query), None)
    if row is None:
        log.settle(seconds=SETTLE_SECONDS)
        row = next(reader.pages(query), None)
    if row is None:
        raise PredictionUnknownError(
            f"{query.id}: no such prediction is in the log; it may wait for the database, be older "
            "than the log goes back, or be another service's."
        )
    return row[0]


def origin_of(
    prediction: RecordedPrediction, catalogue: Catalogue
) -> tuple[ModelOrigin | None, list[str]]:
    """Return what is known of the version that answered, and what is not."""
    name, version = prediction.model, prediction.version
    entry = next((each for each in catalogue.entries() if each.name == name), None)
    if entry is None or entry.version != version:
        return None, [
            f"{name} {version} is not served here any more: `treeline why` in a clone reads git"
        ]
    if entry.signature is None:
        return None, [f"{name} has no signature: it is an uploaded graph, and says nothing"]
    signature = entry.signature
    origin = ModelOrigin(
        origin=entry.origin,
        claimed=entry.origin == "uploaded",
        metrics=signature.metrics,
        verdict=signature.verdict,
        learnt=signature.learnt,
        lineage=signature.lineage,
    )
    return origin, []
