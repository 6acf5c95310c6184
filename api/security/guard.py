"""Request → nothing, or the error that says why it is not let in: key unknown, rate exceeded."""

import logging
import time
from ipaddress import ip_network

from starlette.types import Scope

from api.errors import KeyRequiredError, NoKeysError, TooManyRequestsError
from api.security.buckets import Buckets
from api.security.keyring import Keyring
from api.settings import Settings

BEARER = b"bearer "
LET_IN = "treeline.let_in"  # where in a scope it is noted that its request was let in

logger = logging.getLogger(__name__)


class Guard:
    """Lets requests in."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError when a key is not written as it must be."""
        self.keys = Keyring(settings)
        self._open = settings.predictions_open
        rate = settings.requests_per_second
        self._buckets = Buckets(rate) if rate else None
        self.always_open = self._open and not rate
        """Whether `prediction` would let everybody in, so that it need not be asked."""

    def prediction(self, scope: Scope) -> None:
        """Let a request for predictions in; one that was let in already counts once.

        Raises KeyRequiredError, NoKeysError and TooManyRequestsError.
        """
        if self.always_open or LET_IN in scope:
            return
        name = self._named(scope)
        if name is None and not self._open:
            raise self._unknown("Predictions")
        self._count(scope, name)
        scope[LET_IN] = True

    def change(self, scope: Scope) -> None:
        """Let a request in that changes or exports something: only with a key.

        Raises KeyRequiredError, NoKeysError and TooManyRequestsError.
        """
        name = self._named(scope)
        if name is None:
            raise self._unknown("What changes or exports something")
        self._count(scope, name)
        logger.info("%s %s with the key %s", scope["method"], scope["path"], name)

    def _named(self, scope: Scope) -> str | None:
        key = presented(scope)
        return None if key is None else self.keys.name_of(key)

    def _unknown(self, what: str) -> KeyRequiredError | NoKeysError:
        if self.keys.empty:
            return NoKeysError(
                f"{what} needs an API key, and this service has none: make one with "
                "`python -m api.keys NAME`, and give its line to API_KEYS or API_KEYS_FILE."
            )
        return KeyRequiredError(
            f"{what} needs an API key that this service knows; send it as "
            "`Authorization: Bearer KEY` or `X-API-Key: KEY`."
        )

    def _count(self, scope: Scope, name: str | None) -> None:
        if self._buckets is None:
            return
        caller = f"key {name}" if name is not None else address(scope)
        seconds = self._buckets.wait_seconds(caller, now=time.monotonic())
        if seconds:
            raise TooManyRequestsError(
                "There were too many requests from this caller; API_REQUESTS_PER_SECOND is the "
                f"limit. Ask again in {seconds:.1f} seconds.",
                seconds=seconds,
            )


def presented(scope: Scope) -> bytes | None:
    """Return the key that came with a request, known or not."""
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            key: bytes = value
            return key.strip()
        if name == b"authorization" and value[: len(BEARER)].lower() == BEARER:
            key = value[len(BEARER) :]
            return key.strip()
    return None


def address(scope: Scope) -> str:
    """Return the address of a caller; of one that has a whole IPv6 network, that network."""
    host: str = (scope.get("client") or ("unknown", 0))[0]
    if ":" not in host:
        return host
    try:
        return str(ip_network((host.partition("%")[0], 64), strict=False))
    except ValueError:
        return host
