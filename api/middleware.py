"""Around every request: an id for its answer, and an answer when something unforeseen fails."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.ids import REQUEST_ID, given_id, new_id
from api.problems import unforeseen


class RequestIdMiddleware:
    """Take over or make a request id; answer 500 and log when the application fails."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back with the id in its headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = given_id(scope) or new_id()
        told = (REQUEST_ID, request_id.encode())
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = [each for each in message.get("headers", ()) if each[0] != REQUEST_ID]
                message["headers"] = [*headers, told]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            answer = unforeseen(scope["method"], scope["path"], request_id=request_id)
            if started:  # half an answer is out: only closing the connection tells the caller
                raise
            await answer(scope, receive, send_with_id)
