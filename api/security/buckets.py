"""Who asks, and when → whether they ask too often; in bounded memory."""

from collections import OrderedDict

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
