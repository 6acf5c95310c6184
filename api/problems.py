"""Any error → an `application/problem+json` answer (RFC 9457), always in one shape."""

import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from pydantic_core import from_json, to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from api.errors import (
    STATUS,
    BodyTooLargeError,
    NotReadyError,
    RetryError,
    UnusableAnswerError,
    kind_of,
)
from treeline.errors import InvalidInputError, Problem, ProblemsError, TreelineError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:treeline:problem:"
PROTOCOL = "/v2/"  # below which the shape of problems is that of the Open Inference Protocol
MAX_ECHO = 200  # characters of a refused value that an answer repeats

logger = logging.getLogger(__name__)


class FieldError(BaseModel):
    """One thing wrong with one value."""

    field: str = Field(description="Name of the feature, or `body` for the whole")
    message: str = Field(description="What is wrong, and what would be right")
    value: Any = Field(default=None, description="The value that was sent; null when absent")
    admitted: tuple[str, ...] | None = Field(default=None, description="The categories there are")


class ProblemDocument(BaseModel):
    """Why a request was not answered, as of RFC 9457."""

    type: str = Field(
        description=f"`about:blank`, or `{TYPE_PREFIX}` and one of: "
        + ", ".join(kind.name for kind in STATUS.values())
    )
    title: str = Field(description="The kind of problem in words")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="What is wrong with this very request, and the way out")
    instance: str = Field(description="The path that was asked for")
    errors: tuple[FieldError, ...] | None = Field(
        default=None, description="Everything that is wrong with the input, one entry each"
    )


def respond(document: ProblemDocument, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return the HTTP answer that carries a problem."""
    if f"{document.instance}/".startswith(PROTOCOL):  # whose clients know another shape
        body, status = to_json({"error": document.detail}), document.status
        return Response(body, status, dict(headers or {}), media_type="application/json")
    body = to_json(document.model_dump(exclude_unset=True))
    return Response(body, document.status, dict(headers or {}), media_type=MEDIA_TYPE)


def plain(status: int, *, detail: str, instance: str) -> ProblemDocument:
    """Return a problem that its status alone tells the kind of."""
    title = HTTPStatus(status).phrase
    return ProblemDocument(
        type="about:blank", title=title, status=status, detail=detail, instance=instance
    )


def document_of(error: TreelineError, *, instance: str) -> ProblemDocument:
    """Return the problem behind an error that Treeline raised on purpose."""
    kind = kind_of(error)
    if kind is None:
        return plain(500, detail="The service failed; its log says why.", instance=instance)
    document = ProblemDocument(
        type=f"{TYPE_PREFIX}{kind.name}",
        title=kind.title,
        status=kind.status,
        detail=str(error),
        instance=instance,
    )
    if isinstance(error, ProblemsError):
        errors = tuple(field_error(problem) for problem in error.problems)
        return ProblemDocument(**document.model_dump(exclude_unset=True), errors=errors)
    return document


def answer_of(error: TreelineError, *, method: str, path: str) -> Response:
    """Return the HTTP answer to a request that ended with an error; log it if it may be ours.

    What supervisors ask again and again was logged when it became so.
    """
    document = document_of(error, instance=path)
    failed = document.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    expected = isinstance(error, RetryError | NotReadyError)
    if isinstance(error, UnusableAnswerError) or (failed and not expected):
        logger.error("%s %s: %s", method, path, error)
    headers = dict(getattr(error, "headers", {}))
    if isinstance(error, BodyTooLargeError):
        headers["Connection"] = "close"  # which spares us the rest of it
    return respond(document, headers=headers)


def unforeseen(method: str, path: str, *, request_id: str) -> Response:
    """Log the exception that is being handled, and return an answer that tells nothing of it."""
    logger.exception("%s %s failed, request %s", method, path, request_id)
    detail = f"The service failed; its log says why, under request {request_id}."
    return respond(plain(500, detail=detail, instance=path))


def field_error(problem: Problem) -> FieldError:
    """Return the entry of `errors` for one problem; a long value is cut short."""
    entry = FieldError(field=problem.place, message=problem.message, value=echo(problem.value))
    if problem.admitted is not None:
        return FieldError(**entry.model_dump(exclude_unset=True), admitted=problem.admitted)
    return entry


def echo(value: object) -> object:
    """Return a value that repeats `value`: NaN and infinities as words, long ones cut."""
    text = to_json(value, inf_nan_mode="strings", fallback=str)
    if len(text) <= MAX_ECHO:
        return from_json(text)
    return text.decode()[:MAX_ECHO] + "…"


def install(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Let an application answer every error as a problem; api.middleware answers the unforeseen.

    `routers` are those whose routes it answers with besides its own.
    """

    @app.exception_handler(TreelineError)
    async def treeline_error(request: Request, error: TreelineError) -> Response:
        return answer_of(error, method=request.method, path=request.url.path)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        path, detail, headers = request.url.path, error.detail, dict(error.headers or {})
        if error.status_code == HTTPStatus.NOT_FOUND:
            detail = f"Nothing is served at {path}; /docs shows what is."
        elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(methods_of(request, routers))
            detail = f"{request.method} does not work on {path}; use {headers['Allow']}."
        problem = plain(error.status_code, detail=detail, instance=path)
        return respond(problem, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def parameter_error(request: Request, error: RequestValidationError) -> Response:
        problems = [
            Problem(str(entry["loc"][-1]), entry["msg"], entry["input"]) for entry in error.errors()
        ]
        return respond(document_of(InvalidInputError(problems), instance=request.url.path))


def methods_of(request: Request, routers: Iterable[APIRouter]) -> list[str]:
    """Return the methods that the path of a request is served with, by any route of it."""
    routes = [*request.app.routes, *(route for router in routers for route in router.routes)]
    matching = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted(
        {method for route in matching for method in getattr(route, "methods", None) or ()}
    )
