"""Who may ask for what, and how often: keys, scopes and rates.

Requests whose key is not valid leave a line in the log now and then, and count against a limit for
their address. A stranger who tries keys is seen, and fills neither the log nor the time of a
worker. Who has a valid key is not held up by others at the same address: only what is refused is
counted.
"""

import logging
import time
from collections import OrderedDict
from ipaddress import ip_network

from starlette.types import Scope

from api.errors import KeyRequiredError, NoKeysError, ScopeMissingError, TooManyRequestsError
from api.http.keyring import PREDICT, SCOPES, Key, Keyring
from api.settings import Settings

MOST_CALLERS = 10_000  # remembered at once; a bucket is two numbers


class Buckets:
    """A token bucket for each caller: so many a second, and as many at once after a pause.

    Of too many callers, those who have not asked for longest are forgotten.
    """

    def __init__(
        self, per_second: float, *, burst: float | None = None, most: int = MOST_CALLERS
    ) -> None:
        """`burst` is how many at once; as many as in a second where none is given."""
        self._per_second = per_second
        self._burst = max(1.0, per_second) if burst is None else burst
        self._most = most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, caller: str, *, now: float) -> float:
        """Take one token and return 0, or how long it takes until there is one."""
        left, since = self._left.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_second)
        allowed = left >= 1
        self._left[caller] = (left - 1 if allowed else left, now)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return 0 if allowed else (1 - left) / self._per_second

    def __len__(self) -> int:
        return len(self._left)


AT_ONCE = 20  # wrong keys from one address: somebody who looks for a mistake needs a few
PER_SECOND = 0.2
LOG_SECONDS = 10.0

logger = logging.getLogger(__name__)


class Refusals:
    """Counts requests whose key is refused."""

    def __init__(self) -> None:
        self._buckets = Buckets(PER_SECOND, burst=AT_ONCE)
        self._log_at = 0.0
        self._unlogged = 0
        self.total = 0
        """How many there were since the start."""

    def count(self, scope: Scope, *, address: str, reason: str) -> None:
        """Count a request whose key is not valid; raises TooManyRequestsError after too many."""
        self.note(scope, address=address, reason=reason)
        seconds = self._buckets.wait_seconds(address, now=time.monotonic())
        if seconds:
            raise TooManyRequestsError(
                "There were too many requests with keys that are not valid from this address. Ask "
                f"again in {seconds:.0f} seconds; with a valid key, at once.",
                seconds=seconds,
            )

    def note(self, scope: Scope, *, address: str, reason: str) -> None:
        """Count a request that is refused, and log it unless another one was just before."""
        self.total += 1
        self._unlogged += 1
        if (now := time.monotonic()) < self._log_at:
            return
        logger.warning(
            "%s %s from %s is refused: %s; %d such requests since the last line like this",
            *(scope["method"], scope["path"], address, reason, self._unlogged),
        )
        self._log_at, self._unlogged = now + LOG_SECONDS, 0


BEARER = b"bearer "
LET_IN = "treeline.let_in"  # where in a scope it is noted that its request was let in


class Guard:
    """Lets requests in."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError when a key is not written as it must be."""
        self.keys = Keyring(settings)
        self.refusals = Refusals()
        self._open = settings.predictions_open
        rate = settings.requests_per_second
        self._buckets = Buckets(rate) if rate else None
        self.always_open = self._open and not rate
        """Whether `prediction` would let everybody in, so that it need not be asked."""

    def prediction(self, scope: Scope) -> None:
        """Let a request for predictions in; one that was let in already counts once.

        Raises KeyRequiredError, NoKeysError, ScopeMissingError and TooManyRequestsError.
        """
        if self.always_open or LET_IN in scope:
            return
        if self._open:
            key = self._key(scope)
            self._count(scope, None if key is None or key.expired() else key.name)
        else:
            self._count(scope, self._valid(scope, PREDICT).name)
        scope[LET_IN] = True

    def require(self, scope: Scope, wanted: str) -> str:
        """Let a request in that needs a key with a scope; return the name of the key.

        Raises KeyRequiredError, NoKeysError, ScopeMissingError and TooManyRequestsError.
        """
        name = self._valid(scope, wanted).name
        self._count(scope, name)
        logger.info("%s %s with the key %s", scope["method"], scope["path"], name)
        return name

    def _key(self, scope: Scope) -> Key | None:
        given = presented(scope)
        return None if given is None else self.keys.find(given)

    def _valid(self, scope: Scope, wanted: str) -> Key:
        key = self._key(scope)
        if key is None:
            if not self.keys.empty and presented(scope) is not None:
                self._refuse(scope, "its key is unknown")
            raise self._unknown(wanted)
        if key.expired():
            self._refuse(scope, f"the key {key.name} has expired")
            raise KeyRequiredError(
                f"The key {key.name} was valid until {key.expires}; ask the operator for a new one."
            )
        if wanted not in key.scopes:
            text = f"the key {key.name} has no scope {wanted}"
            self.refusals.note(scope, address=address(scope), reason=text)
            raise ScopeMissingError(
                f"The key {key.name} has no scope {wanted!r}, which it takes to {SCOPES[wanted]}; "
                f"it has: {', '.join(sorted(key.scopes))}."
            )
        return key

    def _refuse(self, scope: Scope, reason: str) -> None:
        self.refusals.count(scope, address=address(scope), reason=reason)

    def _unknown(self, wanted: str) -> KeyRequiredError | NoKeysError:
        what = f"To {SCOPES[wanted]}"
        if self.keys.empty:
            return NoKeysError(
                f"{what} takes an API key, and this service has none: make one with "
                "`python -m api.keys NAME`, and give its line to API_KEYS or API_KEYS_FILE."
            )
        return KeyRequiredError(
            f"{what} takes an API key that this service knows, with the scope {wanted!r}; send it "
            "as `Authorization: Bearer KEY` or `X-API-Key: KEY`."
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
