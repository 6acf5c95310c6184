"""`POST /v1/feedback`: what proved to be true, by the id of the prediction."""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from api.contract.validation import shown
from api.errors import BodyTooLargeError, MalformedBodyError, UnsupportedMediaTypeError
from api.openapi import failures
from api.prediction_log.deps import LogDep
from api.security.deps import KeyRequired
from treeline.errors import InvalidInputError, Problem, TreelineError

MOST = 10_000
MAX_TEXT = 200
MAX_PROBLEMS = 100
WANTED = f"give one object with `id` and `truth`, or a list of 1 to {MOST} of them"
LARGEST = 1e300  # well within what every reader of JSON takes for a number
NUMBER = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
TEXT = {"type": "string", "maxLength": MAX_TEXT}
VALUE: dict[str, Any] = {"anyOf": [{"type": "boolean"}, NUMBER, TEXT]}


def _value(given: object) -> object:
    """Return a truth as it is, if it is one."""
    is_number = isinstance(given, (int, float)) and abs(given) <= LARGEST  # so no NaN either
    if not is_number and not (isinstance(given, str) and len(given) <= MAX_TEXT):
        raise PydanticCustomError(
            "truth",
            f"Input should be a number, a boolean or a text of at most {MAX_TEXT} characters",
        )
    return given


class Feedback(BaseModel):
    """The truth for one prediction."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = Field(
        pattern=r"^[A-Za-z0-9._:/+=@-]{1,200}$", description="The `id` of the prediction's answer"
    )
    truth: Annotated[Any, AfterValidator(_value)] = Field(
        description="What proved to be true, as the target of the model has it",
        json_schema_extra=VALUE,
    )


class Accepted(BaseModel):
    """What was taken."""

    accepted: int = Field(description="How many truths")


ONE = TypeAdapter(Feedback)
MANY = TypeAdapter(Annotated[list[Feedback], Field(min_length=1, max_length=MOST)])
ITEMS = {"type": "array", "items": ONE.json_schema(), "minItems": 1, "maxItems": MOST}
CONTENT = {
    "schema": {"anyOf": [ONE.json_schema(), ITEMS]},
    "example": {"id": "0123456789abcdef0123456789abcdef", "truth": 1},
}

router = APIRouter(tags=["log"], dependencies=[KeyRequired])


@router.post(
    "/v1/feedback",
    status_code=202,
    summary="Tell what proved to be true",
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": CONTENT}}},
    responses=dict(failures((400, 401, 403, 409, 413, 415, 422, 429, 503)).items()),
)
async def give_feedback(request: Request, log: LogDep) -> Accepted:
    """Take the truth for one prediction or many; it is joined to them by the id.

    It may come before its prediction is in the database, or again: the latest one counts.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in ("", "application/json"):
        raise UnsupportedMediaTypeError(
            f"The Content-Type is {media_type!r}; send the truth as application/json."
        )
    body = await body_of(request, most_bytes=request.app.state.settings.max_body_bytes)
    truths = [(each.id, each.truth) for each in parse(body)]
    await asyncio.to_thread(log.feedback, truths, at=time.time())
    return Accepted(accepted=len(truths))


async def body_of(request: Request, *, most_bytes: int) -> bytes:
    """Read a body; raises BodyTooLargeError."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > most_bytes:
            raise BodyTooLargeError(
                f"The body is larger than {most_bytes} bytes; send fewer truths at a time."
            )
    return body


def parse(body: bytes) -> list[Feedback]:
    """Read the JSON of truths; raises MalformedBodyError and InvalidInputError."""
    try:
        if body.lstrip()[:1] == b"[":
            return MANY.validate_json(body)
        return [ONE.validate_json(body)]
    except ValidationError as error:
        raise explain(error.errors(include_url=False, include_context=False)) from error


def explain(found: list[ErrorDetails]) -> TreelineError:
    """Return the error to raise for a body that holds no truths."""
    if found[0]["type"] == "json_invalid":
        reason = found[0]["msg"].removeprefix("Invalid JSON: ")
        return MalformedBodyError(f"The body is not JSON: {reason}; {WANTED}.")
    problems: list[Problem] = []
    for entry in found[:MAX_PROBLEMS]:
        place = ".".join(map(str, entry["loc"])) or "body"
        is_absent = entry["type"] == "missing"
        value = None if is_absent else entry["input"]
        said = "is missing" if is_absent else f"{shown(value)}: {entry['msg']}"
        problems.append(Problem(place, said if problems else f"{said}; {WANTED}", value))
    if len(found) > MAX_PROBLEMS:
        problems.append(Problem("body", f"and {len(found) - MAX_PROBLEMS} more problems"))
    return InvalidInputError(problems)
