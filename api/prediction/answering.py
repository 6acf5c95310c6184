"""`POST` of one record → its prediction: the one path on which every microsecond counts.

An ASGI application of its own, asked before FastAPI, whose layers take several times as long as
the prediction. What goes over the wire is documented with all the rest: `api.openapi`.
"""

from starlette.types import Receive, Scope, Send

from api.errors import BodyTooLargeError, UnsupportedMediaTypeError
from api.ids import REQUEST_ID, given_id, new_id
from api.prediction.predictor import Predictor
from api.problems import answer_of, unforeseen
from treeline.errors import TreelineError

JSON = b"application/json"


class Predicting:
    """Answers one record for a model that is ready."""

    def __init__(self, *, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes

    async def answer(
        self, predictor: Predictor, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Read the record, predict, answer. A thread would cost more than the prediction.

        Where the caller gave no id to the request, it has that of the prediction.
        """
        prediction_id = new_id()
        request_id = given_id(scope) or prediction_id
        try:
            body = await self._body(scope, receive)
            if body is None:
                return
            answer = await predictor.answer(body, prediction_id=prediction_id)
        except Exception as error:
            method, path = scope["method"], scope["path"]
            if isinstance(error, TreelineError):
                refusal = answer_of(error, method=method, path=path)
            else:
                refusal = unforeseen(method, path, request_id=request_id)
            refusal.raw_headers.append((REQUEST_ID, request_id.encode()))
            await refusal(scope, receive, send)
            return
        headers = [
            (b"content-type", JSON),
            (b"content-length", b"%d" % len(answer)),
            (REQUEST_ID, request_id.encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """Read a JSON body, or None when the caller has gone before its end.

        A body that says it is too large is refused unread, one that does not as soon as it is.
        Raises UnsupportedMediaTypeError and BodyTooLargeError.
        """
        for name, value in scope["headers"]:
            if name == b"content-type" and value != JSON:
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


def _check_media_type(value: bytes) -> None:
    given = value.decode("latin-1")
    media_type = given.partition(";")[0].strip().lower()
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaTypeError(
            f"The Content-Type is {given!r}; send the record as application/json."
        )
