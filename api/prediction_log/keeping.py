"""A worker sees to it that the process which ships the spool to the database runs."""

import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress

from api.prediction_log.spool import Spool
from api.settings import Settings

SHIPPER = "api.prediction_log.shipper"
LONGEST_PAUSE_SECONDS = 60.0
END_SECONDS = 2.0

logger = logging.getLogger(__name__)


class ShipperKeeper:
    """Starts the shipper of a spool whenever there is none."""

    def __init__(self, spool: Spool, settings: Settings) -> None:
        self._spool = spool
        self._environment = environment_of(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._pause_seconds = 1.0
        self._not_before = 0.0
        self._lock = threading.Lock()

    def look(self) -> None:
        """Start the shipper if none runs; after one that failed, only in a while."""
        with self._lock:
            self._look()

    def _look(self) -> None:
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            self._process = None
            if status == 0:
                self._pause_seconds = 1.0
            else:
                self._pause_seconds = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)
                self._not_before = time.monotonic() + self._pause_seconds
                logger.error("The shipper of the prediction log ended with status %d", status)
        if time.monotonic() >= self._not_before and not self._spool.has_shipper():
            # A session of its own: Ctrl-C must not end it before the workers are done.
            self._process = subprocess.Popen(
                [sys.executable, "-m", SHIPPER],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    def end(self) -> None:
        """See our shipper end, if no worker is left for whom it would go on."""
        if self._process is not None and not self._spool.has_writers():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment of the shipper: of our settings, those it needs, as they are here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("API_")}
    url = settings.prediction_log_url
    given = {
        "API_STATE_DIR": str(settings.state_dir.resolve()),
        "API_PREDICTION_LOG_URL": url.get_secret_value() if url else None,
        "API_PREDICTION_LOG_RETENTION_DAYS": str(settings.prediction_log_retention_days),
        "API_LOG_FORMAT": settings.log_format,
        "API_LOG_LEVEL": settings.log_level,
    }
    return kept | {name: value for name, value in given.items() if value is not None}
