"""The clock of the machine, as far as it may be believed: what must not follow a jump of it.

A clock that is a hundred days ahead would make the log forget everything, and no correction of a
truth would count for a hundred days. So retention waits after a jump until the clock has gone on
steadily for a day, or is back; and what is ordered by time does not follow a jump at all.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic_core import from_json, to_json

from treeline.files import write_bytes

HOLD_SECONDS = 86_400.0
MOST_STEP_SECONDS = 60.0  # by which a clock is set right without anybody being misled

Reading = Callable[[], float]

logger = logging.getLogger(__name__)


def boot_seconds() -> float:
    """Return the seconds since the machine started, also those it slept; nobody can set them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Clocks:
    """The clock on the wall, which people set, and one that nobody can; both in seconds."""

    wall: Reading = time.time
    steady: Reading = boot_seconds


CLOCKS = Clocks()  # of this machine


@dataclass
class RememberedClock:
    """What is remembered over restarts: the time believed last; one that is doubted, for how long.

    `trusted` and `doubted` are seconds since 1970; `steady_seconds` is how long the doubted clock
    has gone on evenly.
    """

    trusted: float
    doubted: float | None = None
    steady_seconds: float = 0.0


class TrustedClock:
    """Tells the time unless the clock has jumped ahead."""

    def __init__(
        self,
        file: Path,
        *,
        tolerance_seconds: float,
        wall: Reading = time.time,
        steady: Reading = boot_seconds,
    ) -> None:
        """Remember in `file` what is believed; a step ahead of `tolerance_seconds` is no jump."""
        self._file, self._tolerance = file, tolerance_seconds
        self._wall, self._steady = wall, steady
        self._belief: RememberedClock | None = None
        self._read_at = steady()

    def now(self, *, evidence: Callable[[], float | None]) -> float | None:
        """Return the time, or None while it is doubted.

        Where nothing is remembered yet, `evidence` is asked for a time that was believed before.
        """
        wall, steady = self._wall(), self._steady()
        belief = self._belief or self._remembered(wall, evidence)
        elapsed = 0.0 if self._belief is None else steady - self._read_at
        self._belief, self._read_at = belief, steady
        ahead = wall - (belief.trusted + elapsed)
        if ahead <= self._tolerance or self._steady_for(belief, wall, elapsed) >= HOLD_SECONDS:
            if belief.doubted is not None:
                logger.warning("The clock is believed again: it is %s", shown(wall))
            self._belief = RememberedClock(wall)
        else:
            belief.trusted += elapsed
        with suppress(OSError):  # a full disk: it is remembered until the process ends
            write_bytes(self._file, to_json(asdict(self._belief)))
        return wall if self._belief.doubted is None else None

    def _steady_for(self, belief: RememberedClock, wall: float, elapsed: float) -> float:
        """Note that the clock is doubted, and return for how long it has gone on evenly."""
        doubted = belief.doubted
        if doubted is None or abs(wall - doubted - elapsed) > self._tolerance:
            logger.error(
                "The clock has jumped from %s to %s: until it is set right, or has gone on for "
                "%d hours, nothing is removed from the prediction log",
                *(shown(belief.trusted + elapsed), shown(wall), HOLD_SECONDS / 3600),
            )
            belief.steady_seconds = 0.0
        else:
            belief.steady_seconds += elapsed
        belief.doubted = wall
        return belief.steady_seconds

    def _remembered(self, wall: float, evidence: Callable[[], float | None]) -> RememberedClock:
        try:
            return RememberedClock(**from_json(self._file.read_bytes()))
        except (FileNotFoundError, TypeError, ValueError):
            known = evidence()
            return RememberedClock(wall if known is None else known)


class SteadyTime:
    """Tells a time that never goes back, and follows no jump of the clock until the end."""

    def __init__(self, *, wall: Reading = time.time, steady: Reading = boot_seconds) -> None:
        self._wall, self._steady = wall, steady
        self._at, self._since = wall(), steady()
        self._jumped = False

    def now(self) -> float:
        """Return seconds since 1970."""
        wall, steady = self._wall(), self._steady()
        expected = self._at + steady - self._since
        jumped = abs(wall - expected) > MOST_STEP_SECONDS
        if jumped and not self._jumped:
            logger.error(
                "The clock has jumped from %s to %s: truths keep the former time until a restart",
                *(shown(expected), shown(wall)),
            )
        self._jumped = jumped
        self._at, self._since = (expected if jumped else max(wall, self._at)), steady
        return self._at


def shown(seconds: float) -> str:
    """Return a time as text; a clock may say anything."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError):
        return f"{seconds:g} seconds after 1970"
