"""`python -m api.models.registry.follower`: the process that asks the registry, for all workers.

One at a time for each state folder; workers start it, and it ends by itself when they are gone. So
that no worker imports MLflow, and a registry that is slow or away keeps no request waiting.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from api.background import lower_priority
from api.models.registry.shelf import Shelf
from api.sandbox.limits import hide
from treeline.registry import resolve

# Imported once it is clear that this process is the one: they take a while.
NEEDED = {
    "logs": "api.telemetry.logs:configure",
    "settings": "api.settings:Settings",
    "client": "api.models.registry.client:RegistryClient",
    "registry": "api.models.registry.mlflow:Registry",
}
PLACE = "API_REGISTRY"
NICENESS = 5  # requests come first; but a new version must not wait for a quiet hour
TICK_SECONDS = 0.1

logger = logging.getLogger("api.models.registry.follower")


def main() -> int:
    """Follow until no worker is left; return the exit status."""
    shelf = Shelf(Path(os.environ["API_STATE_DIR"]))
    lock = shelf.follower_lock()
    if lock is None:
        return 0
    lower_priority(NICENESS)
    hide()  # the environment holds passwords
    needed = {name: resolve(NEEDED, name, place=PLACE, extra="registry") for name in NEEDED}
    settings = needed["settings"]()
    needed["logs"](settings)
    client = needed["client"](shelf, needed["registry"], settings)
    run(shelf, client.poll, client.serve_wanted, pause_seconds=settings.registry_seconds)
    return 0


def run(
    shelf: Shelf, poll: Callable[[], None], serve: Callable[[], None], *, pause_seconds: float
) -> None:
    """Ask again and again, and fetch what somebody waits for in between."""
    due = 0.0
    while shelf.is_read():
        try:
            if time.monotonic() >= due:
                poll()
                due = time.monotonic() + pause_seconds
            serve()
        except Exception:  # of the disk, most likely: it may pass
            if not shelf.folder.is_dir():
                return  # somebody removed the state folder, and with it all there was to follow
            logger.exception("The registry could not be followed")
            due = time.monotonic() + pause_seconds
        time.sleep(TICK_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
