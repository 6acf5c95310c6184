"""`python -m api.models.registry.follower`: the process that asks the registry, for all workers.

One at a time for each state folder; workers start it, and it ends by itself when they are gone. So
that no worker imports MLflow, and a registry that is slow or away keeps no request waiting.
"""

import logging
import os
import sys
from pathlib import Path

from api.models.following import begin, follow
from api.models.registry.shelf import Shelf

NEEDED = {
    "client": "api.models.registry.client:RegistryClient",
    "registry": "api.models.registry.mlflow:Registry",
}

logger = logging.getLogger("api.models.registry.follower")


def main() -> int:
    """Follow until no worker is left; return the exit status."""
    shelf = Shelf(Path(os.environ["API_STATE_DIR"]))
    begun = begin(shelf, NEEDED, place="API_REGISTRY", extra="registry")
    if begun is None:
        return 0
    client = begun.needed["client"](shelf, begun.needed["registry"], begun.settings)
    follow(
        shelf,
        client.poll,
        between=client.serve_wanted,
        pause_seconds=begun.settings.registry_seconds,
        logger=logger,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
