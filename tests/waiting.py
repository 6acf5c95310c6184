"""Waiting for something to become true: never for a fixed time, never for ever."""

import time
from collections.abc import Callable

STEP_SECONDS, LONGEST_STEP_SECONDS = 0.02, 0.2
SHARE = 0.03  # of the time that has passed: what took long is looked at less often


def wait_until(
    condition: Callable[[], bool], *, seconds: float, what: str, step_seconds: float | None = None
) -> None:
    """Return as soon as `condition` is true; fail, naming `what`, when it is not in time."""
    start = time.monotonic()
    while not condition():
        passed = time.monotonic() - start
        if passed > seconds:
            raise AssertionError(f"after {seconds} seconds still not: {what}")
        growing = max(STEP_SECONDS, min(SHARE * passed, LONGEST_STEP_SECONDS))
        time.sleep(growing if step_seconds is None else step_seconds)
