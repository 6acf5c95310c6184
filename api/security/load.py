"""How many requests are under way → whether another one is taken on."""

from starlette.types import Receive, Scope, Send

from api.errors import TooBusyError
from api.ids import REQUEST_ID, given_id, new_id
from api.problems import answer_of

ALWAYS = frozenset({"/healthz", "/readyz", "/metrics"})  # whoever supervises must get an answer


class Load:
    """Counts what a worker process has under way; a prediction costs it two additions."""

    __slots__ = ("most", "under_way")

    def __init__(self, most: int) -> None:
        self.most = most
        self.under_way = 0

    def full(self, path: str) -> bool:
        """Tell whether a request for `path` must be turned away."""
        return self.under_way >= self.most and path not in ALWAYS


async def turn_away(load: Load, scope: Scope, receive: Receive, send: Send) -> None:
    """Tell a request to come back; nothing of it is read."""
    error = TooBusyError(
        f"The service has {load.most} requests under way; ask again in a moment. "
        "API_MAX_REQUESTS is the limit of each worker process."
    )
    answer = answer_of(error, method=scope["method"], path=scope["path"])
    answer.raw_headers.append((REQUEST_ID, (given_id(scope) or new_id()).encode()))
    await answer(scope, receive, send)
