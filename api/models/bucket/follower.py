"""`python -m api.models.bucket.follower`: the process that fetches models, for all workers.

One at a time for each state folder; workers start it, and it ends by itself when they are gone.
"""

import logging
import os
import sys
from pathlib import Path

from api.background import lower_priority
from api.models.bucket.folder import FetchedFolder
from api.models.following import follow
from api.sandbox.limits import hide
from treeline.registry import resolve

# Imported once it is clear that this process is the one: they take a while.
NEEDED = {
    "bucket": "treeline.buckets:bucket_at",
    "fetcher": "api.models.bucket.fetching:BucketFetcher",
    "logs": "api.telemetry.logs:configure",
    "settings": "api.settings:Settings",
}
PLACE = "API_MODELS"
NICENESS = 5  # requests come first; but a new version must not wait for a quiet hour

logger = logging.getLogger("api.models.bucket.follower")


def main() -> int:
    """Follow until no worker is left; return the exit status."""
    folder = FetchedFolder(Path(os.environ["API_STATE_DIR"]))
    lock = folder.follower_lock()
    if lock is None:
        return 0
    lower_priority(NICENESS)
    hide()  # the environment holds passwords
    needed = {name: resolve(NEEDED, name, place=PLACE) for name in NEEDED}
    settings = needed["settings"]()
    needed["logs"](settings)
    bucket = needed["bucket"](settings.models, place=PLACE)
    fetcher = needed["fetcher"](
        folder, bucket, named=settings.models_named, left_out=settings.leave_out
    )
    follow(folder, fetcher.poll, pause_seconds=settings.models_seconds, logger=logger)
    return 0


if __name__ == "__main__":
    sys.exit(main())
