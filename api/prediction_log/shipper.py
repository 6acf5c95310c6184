"""`python -m api.prediction_log.shipper`: the process that takes the spool to the database.

One at a time for each state folder; workers start it and see to it that it runs, and it ends by
itself when they are gone and nothing is left to do. A process of its own takes nothing from the
workers' interpreters.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from api.background import Keeper, lower_priority
from api.prediction_log.spool import Spool
from api.private import keep_private
from api.sandbox.limits import hide
from api.settings import Settings
from treeline.registry import resolve

# Imported once it is clear that this process is the one: they take a while.
NEEDED = {
    "database": "api.prediction_log.database:Database",
    "logs": "api.telemetry.logs:configure",
    "recent": "api.prediction_log.recent:Recent",
    "redaction": "api.prediction_log.writing:Redaction",
    "settings": "api.settings:Settings",
    "shipping": "api.prediction_log.shipping:LogShipper",
    "signatures": "api.prediction_log.recent:Signatures",
    "url": "api.prediction_log.database:url_of",
}
PLACE = "the shipper of the prediction log"
NICENESS = 19  # whatever else runs comes first; the spool can wait
IDLE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
TELL_SECONDS = 60

logger = logging.getLogger("api.prediction_log.shipper")


def main() -> int:
    """Ship until no worker is left; return the exit status."""
    keep_private()
    spool = Spool(Path(os.environ["API_STATE_DIR"]))
    lock = spool.shipper_lock()
    if lock is None:
        return 0
    lower_priority(NICENESS)
    hide()  # the environment holds passwords
    needed = {name: resolve(NEEDED, name, place=PLACE) for name in NEEDED}
    settings = needed["settings"]()
    needed["logs"](settings)
    url = settings.prediction_log_url
    database = needed["database"](
        needed["url"](url.get_secret_value() if url else None, settings.state_dir)
    )
    recent = needed["recent"](
        settings.state_dir,
        needed["signatures"](settings.model_dir, settings.state_dir),
        needed["redaction"](settings.prediction_log_redact).of,
    )
    days = settings.prediction_log_retention_days
    run(spool, needed["shipping"](spool, database, recent=recent, retention_days=days).step)
    return 0


def run(spool: Spool, step: Callable[[], bool]) -> None:
    """Take step after step, with pauses while the database is away; end where the spool is gone."""
    pause, logged_at = IDLE_SECONDS, -float(TELL_SECONDS)
    spool.note(away=False)
    has_writers = True
    while has_writers:
        has_writers = spool.has_writers()  # asked first, so that the steps see what the last left
        try:
            while step():
                pass
            if pause > IDLE_SECONDS:
                spool.note(away=False)
            pause = IDLE_SECONDS
        except Exception as error:  # of SQLAlchemy, of a driver, of the disk: all may pass
            if not spool.folder.is_dir():
                return  # somebody removed the state folder, and with it all there was to ship
            spool.note(away=True)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            if time.monotonic() - logged_at > TELL_SECONDS:
                logged_at = time.monotonic()
                logger.error("Predictions wait in the spool, %d bytes: %s", spool.bytes(), error)
        rest(spool, seconds=pause)


def rest(spool: Spool, *, seconds: float) -> None:
    """Wait, but not when there is no worker any more."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and spool.has_writers():
        time.sleep(IDLE_SECONDS)


if __name__ == "__main__":
    sys.exit(main())


SHIPPER = "api.prediction_log.shipper"


class ShipperKeeper:
    """Starts the shipper of a spool whenever there is none."""

    def __init__(self, spool: Spool, settings: Settings) -> None:
        self._spool = spool
        self._keeper = Keeper(
            SHIPPER,
            name="The shipper of the prediction log",
            environment=environment_of(settings),
            runs=spool.has_shipper,
        )

    def look(self) -> None:
        """Start the shipper if none runs; after one that failed, only in a while."""
        self._keeper.look()

    def end(self) -> None:
        """See our shipper end, if no worker is left for whom it would go on."""
        if self._spool.has_writers():
            self._keeper.leave()
        else:
            self._keeper.end()


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment of the shipper: of our settings, those it needs, as they are here."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("API_")}
    url = settings.prediction_log_url
    given = {
        "API_MODEL_DIR": str(settings.served_dir.absolute()),
        "API_STATE_DIR": str(settings.state_dir.resolve()),
        "API_PREDICTION_LOG_REDACT": ", ".join(settings.prediction_log_redact),
        "API_PREDICTION_LOG_URL": url.get_secret_value() if url else None,
        "API_PREDICTION_LOG_RETENTION_DAYS": str(settings.prediction_log_retention_days),
        "API_LOG_FORMAT": settings.log_format,
        "API_LOG_LEVEL": settings.log_level,
    }
    return others | {name: value for name, value in given.items() if value is not None}
