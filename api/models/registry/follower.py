"""`python -m api.models.registry.follower`: the process that asks the registry, for all workers.

One at a time for each state folder; workers start it, and it ends by itself when they are gone. So
that no worker imports MLflow, and a registry that is slow or away keeps no request waiting.
"""

import logging
import os
import sys
from pathlib import Path

from api.background import lower_priority
from api.models.following import follow
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
    follow(
        shelf,
        client.poll,
        between=client.serve_wanted,
        pause_seconds=settings.registry_seconds,
        logger=logger,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
