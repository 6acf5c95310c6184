"""`API_ALLOWED_HOSTS` → which names a request may call this service by; none are named: any.

Nothing that is answered repeats the name, so none needs to be known. Where some are, a page of
another name that points here (DNS rebinding) gets no answer.
"""

from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import UnknownHostError
from api.ids import REQUEST_ID, given_id, new_id
from api.problems import answer_of
from api.security.load import ALWAYS

ANY_BELOW = "*."


class AllowedHosts:
    """Passes on what names one of the hosts; supervisors, who ask by address, always get in."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        """`tree.example` is one host, `*.tree.example` any below it; ports do not matter."""
        self._app = app
        names = [each.lower() for each in hosts]
        self._names = frozenset(names)
        self._below = tuple(each[1:] for each in names if each.startswith(ANY_BELOW))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in ALWAYS or self.allowed(host_of(scope)):
            await self._app(scope, receive, send)
            return
        error = UnknownHostError(
            "The Host of the request is none that this service answers to; API_ALLOWED_HOSTS "
            "names those."
        )
        answer = answer_of(error, method=scope["method"], path=scope["path"])
        answer.raw_headers.append((REQUEST_ID, (given_id(scope) or new_id()).encode()))
        await answer(scope, receive, send)

    def allowed(self, host: str) -> bool:
        """Tell whether a host is one of those."""
        return host in self._names or host.endswith(self._below)


def host_of(scope: Scope) -> str:
    """Return the host a request names, without its port; empty where it names none or several."""
    named = [value for name, value in scope["headers"] if name == b"host"]
    if len(named) != 1:
        return ""
    host: str = named[0].decode("latin-1").lower()
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
