"""`POST` of one record → its prediction: the one path that every microsecond counts on.

An ASGI application of its own, asked before FastAPI's router, which would take several times as
long as the prediction itself. What goes over the wire is documented with the rest: `api.openapi`.
"""

from uuid import uuid4

from starlette.types import ASGIApp, Receive, Scope, Send

from api.catalogue import Catalogue
from api.errors import BodyTooLargeError, UnsupportedMediaTypeError
from api.predictor import Predictor
from api.problems import answer_of
from treeline.errors import TreelineError

CONTENT_TYPE = (b"content-type", b"application/json")


class Predicting:
    """Answers one record for a model that is ready."""

    def __init__(self, *, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes

    async def answer(
        self, predictor: Predictor, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Read the record, predict, answer. Computed here and now: a thread would cost more."""
        try:
            body = await self._body(scope, receive)
            if body is None:
                return
            answer = predictor.answer(body, prediction_id=uuid4().hex)
        except TreelineError as error:
            refusal = answer_of(error, method=scope["method"], path=scope["path"])
            await refusal(scope, receive, send)
            return
        length = (b"content-length", str(len(answer)).encode())
        start = {"type": "http.response.start", "status": 200, "headers": [CONTENT_TYPE, length]}
        await send(start)
        await send({"type": "http.response.body", "body": answer})

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """Read a JSON body, or None when the caller has gone before its end.

        A body that says it is too large is refused unread, one that does not as soon as it is.
        Raises UnsupportedMediaTypeError and BodyTooLargeError.
        """
        for name, value in scope["headers"]:
            if name == b"content-type" and value != CONTENT_TYPE[1]:
                _check_media_type(value)
            elif name == b"content-length" and value.isdigit():
                self._check_length(int(value))
        message = await receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body", False):
            self._check_length(len(body))
            message = await receive()
            body += message.get("body", b"")
        self._check_length(len(body))
        return None if message["type"] == "http.disconnect" else body

    def _check_length(self, length: int) -> None:
        if length > self._max_body_bytes:
            raise BodyTooLargeError(
                f"The body is larger than {self._max_body_bytes} bytes; send less, or raise "
                "API_MAX_BODY_BYTES."
            )


class PredictionMiddleware:
    """Answers what asks a ready model for a prediction, and leaves all else to the application."""

    def __init__(self, app: ASGIApp, *, catalogue: Catalogue, predicting: Predicting) -> None:
        self._app = app
        self._catalogue = catalogue
        self._predicting = predicting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a prediction, or pass the request on."""
        if scope["type"] == "http" and scope["method"] == "POST":
            predictor = self._catalogue.by_path.get(scope["path"])
            if predictor is not None:
                await self._predicting.answer(predictor, scope, receive, send)
                return
        await self._app(scope, receive, send)


def _check_media_type(value: bytes) -> None:
    given = value.decode("latin-1")
    media_type = given.partition(";")[0].strip().lower()
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaTypeError(
            f"The Content-Type is {given!r}; send the record as application/json."
        )
