"""A worker sees to it that the process which ships the spool to the database runs."""

import os

from api.prediction_log.spool import Spool
from api.processes import Keeper
from api.settings import Settings

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
