"""How many requests are under way → whether another one is taken on."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Receive, Scope, Send

from api.errors import BodiesFullError, TooBusyError
from api.http.ids import REQUEST_ID, given_id, new_id
from api.http.problems import answer_of

ALWAYS = frozenset({"/healthz", "/readyz", "/metrics"})  # whoever supervises must get an answer


class Load:
    """Counts what a worker process has under way; a prediction costs it two additions.

    A request has a slot while the service works for it, and none while its body comes: those who
    send slowly, or not at all, keep nobody else out.
    """

    __slots__ = ("most", "most_streams", "streams", "under_way")

    def __init__(self, most: int, *, most_streams: int) -> None:
        self.most = most
        self.most_streams = most_streams
        self.under_way = 0
        self.streams = 0

    def full(self, path: str) -> bool:
        """Tell whether a request for `path` must be turned away."""
        return self.under_way >= self.most and path not in ALWAYS

    def busy(self) -> TooBusyError:
        """Return the error for a request for which there is no slot."""
        return TooBusyError(
            f"The service has {self.most} requests under way; ask again in a moment. "
            "API_MAX_REQUESTS is the limit of each worker process."
        )

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Leave the slot of a request to others meanwhile; raises TooBusyError when all are taken.

        It is counted again in any case.
        """
        self.under_way -= 1
        try:
            yield
        finally:
            self.under_way += 1
        if self.under_way > self.most:
            raise self.busy()

    @contextmanager
    def returned(self) -> Iterator[None]:
        """Give the slot of a request back: what is called meanwhile takes one of its own."""
        self.under_way -= 1
        try:
            yield
        finally:
            self.under_way += 1

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Have a request among the streams instead, of which there are fewer.

        Raises BodiesFullError when there are too many.
        """
        if self.streams >= self.most_streams:
            raise BodiesFullError(
                f"The service has {self.streams} large bodies, logs and explanations under way; "
                "ask again in a moment. API_MAX_STREAMS is the limit of each worker process."
            )
        self.streams += 1
        self.under_way -= 1
        try:
            yield
        finally:
            self.under_way += 1
            self.streams -= 1


async def turn_away(load: Load, scope: Scope, receive: Receive, send: Send) -> None:
    """Tell a request to come back; nothing of it is read."""
    answer = answer_of(load.busy(), method=scope["method"], path=scope["path"])
    answer.raw_headers.append((REQUEST_ID, (given_id(scope) or new_id()).encode()))
    await answer(scope, receive, send)
