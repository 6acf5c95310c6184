"""Any error → an `application/problem+json` answer (RFC 9457), always in one shape."""

import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from api.errors import (
    STATUS,
    BodiesFullError,
    BodyLateError,
    BodyTooLargeError,
    NotReadyError,
    RetryError,
    UnusableAnswerError,
    kind_of,
)
from api.http.echoes import MAX_MESSAGE, FieldError, cut, detail_of, field_errors
from treeline.errors import InvalidInputError, Problem, ProblemsError, TreelineError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:treeline:problem:"
PROTOCOL = "/v2/"  # below which the shape of problems is that of the Open Inference Protocol
UNREAD = (BodyTooLargeError, BodyLateError, BodiesFullError)  # the body may go on and on

logger = logging.getLogger(__name__)


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
        detail=cut(str(error), MAX_MESSAGE),
        instance=instance,
    )
    if isinstance(error, ProblemsError):
        document.detail = detail_of(error.problems)
        errors = field_errors(error.problems)
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
        logger.error("%s %s: %s", method, path, document.detail)
    headers = dict(getattr(error, "headers", {}))
    if isinstance(error, UNREAD):
        headers["Connection"] = "close"  # which spares us the rest of it
    return respond(document, headers=headers)


def unforeseen(method: str, path: str, *, request_id: str) -> Response:
    """Log the exception that is being handled, and return an answer that tells nothing of it."""
    logger.exception("%s %s failed, request %s", method, path, request_id)
    detail = f"The service failed; its log says why, under request {request_id}."
    return respond(plain(500, detail=detail, instance=path))


def install(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Let an application answer every error as a problem; api.middleware answers the unforeseen.

    `routers` are those whose routes it answers with besides its own.
    """

    @app.exception_handler(TreelineError)
    async def treeline_error(request: Request, error: TreelineError) -> Response:
        return answer_of(error, method=request.method, path=request.scope["path"])

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        path, detail, headers = request.scope["path"], error.detail, dict(error.headers or {})
        if error.status_code == HTTPStatus.NOT_FOUND:
            if (place := without_slash(request, routers)) is not None:
                return Response(status_code=307, headers={"Location": place})
            detail = f"Nothing is served at {path}; /docs shows what is."
        elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = methods_of(request.scope, app, routers)
            headers["Allow"] = ", ".join(
                sorted(allowed | ({"HEAD"} if "GET" in allowed else set()))
            )
            detail = f"{request.method} does not work on {path}; use {headers['Allow']}."
        problem = plain(error.status_code, detail=detail, instance=path)
        return respond(problem, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def parameter_error(request: Request, error: RequestValidationError) -> Response:
        problems = [
            Problem(str(entry["loc"][-1]), entry["msg"], entry["input"]) for entry in error.errors()
        ]
        return respond(document_of(InvalidInputError(problems), instance=request.scope["path"]))


def without_slash(request: Request, routers: Iterable[APIRouter]) -> str | None:
    """Return where a path with a slash too many is served, if it is; without the host.

    Which host a caller names is the caller's: an answer does not repeat it.
    """
    scope = request.scope
    path = "/" + scope["path"].strip("/")
    if path == scope["path"] or not served({**scope, "path": path}, request.app, routers):
        return None
    query = scope["query_string"].decode("latin-1")
    return quote(path, safe="/@:") + (f"?{query}" if query else "")


def methods_of(scope: Scope, app: FastAPI, routers: Iterable[APIRouter]) -> set[str]:
    """Return the methods that the path of a request is served with, by any route of it."""
    matching = served(scope, app, routers)
    return {method for route in matching for method in getattr(route, "methods", None) or ()}


def served(scope: Scope, app: FastAPI, routers: Iterable[APIRouter]) -> list[BaseRoute]:
    """Return the routes that a path is served with."""
    routes = [*app.routes, *(route for router in routers for route in router.routes)]
    return [route for route in routes if route.matches(scope)[0] is not Match.NONE]
