"""Requests whose key is not valid → a line in the log now and then, and a limit for each address.

A stranger who tries keys must be seen, and must fill neither the log nor the time of a worker. Who
has a valid key is not held up by others at the same address: only what is refused is counted.
"""

import logging
import time

from starlette.types import Scope

from api.errors import TooManyRequestsError
from api.security.buckets import Buckets

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
