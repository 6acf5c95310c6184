"""Waiting for something to become true: never for a fixed time, never for ever."""

import time
from collections.abc import Callable

STEP_SECONDS = 0.02


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Return as soon as `condition` is true; fail, naming `what`, when it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} seconds still not: {what}")
        time.sleep(STEP_SECONDS)
