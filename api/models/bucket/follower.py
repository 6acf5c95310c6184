"""`python -m api.models.bucket.follower`: the process that asks a bucket, for all workers.

One at a time for each state folder; workers start it, and it ends by itself when they are gone. It
fetches models, and, where uploads live in the bucket too, follows those and carries out what the
workers ask for. Each of these three has a thread of its own: whoever uploads does not wait until
large models are fetched.
"""

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from api.models.bucket.folder import FetchedFolder
from api.models.bucket.orders import StoredFolder
from api.models.following import Begun, begin, beside_each_other, follow
from treeline.buckets import Bucket

PLACE = "API_MODELS"
NEEDED = {
    "bucket": "treeline.buckets:bucket_at",
    "changer": "api.models.bucket.changing:UploadChanger",
    "choice": "api.models.bucket.files:Choice",
    "fetcher": "api.models.bucket.fetching:BucketFetcher",
    "mirror": "api.models.bucket.mirror:Mirror",
    "mirrorer": "api.models.bucket.mirroring:UploadMirrorer",
    "unload": "api.models.exported:forget_unloaded",
}
CLEAN_SECONDS = 600.0

logger = logging.getLogger("api.models.bucket.follower")


def main() -> int:
    """Follow until no worker is left; return the exit status."""
    state_dir = Path(os.environ["API_STATE_DIR"])
    folder = FetchedFolder(state_dir)
    begun = begin(folder, NEEDED, place=PLACE)
    if begun is None:
        return 0
    settings, needed = begun.settings, begun.needed
    bucket = needed["bucket"](settings.models, place=PLACE)
    choice = needed["choice"].of(settings.models_named, settings.leave_out)
    fetcher = needed["fetcher"](folder, bucket, choice=choice)
    pause = settings.models_seconds
    follows: dict[str, Callable[[], None]] = {
        "fetching models": partial(
            follow, folder, fetcher.poll, pause_seconds=pause, logger=logger
        ),
    }
    if settings.uploads == "store":
        follows |= following_uploads(StoredFolder(state_dir), bucket, begun)
    beside_each_other(follows)
    return 0


def following_uploads(
    folder: StoredFolder, bucket: Bucket, begun: Begun
) -> dict[str, Callable[[], None]]:
    """Return what follows uploads, and what carries out what workers ask for, by their names."""
    settings, needed = begun.settings, begun.needed
    mirror = needed["mirror"](folder.uploads, partial(needed["unload"], settings.state_dir))
    mirrorer = needed["mirrorer"](folder, mirror, bucket, settings)
    changer = needed["changer"](folder, mirror, mirrorer, bucket, settings)
    follows = partial(follow, folder, logger=logger)
    return {
        "looking at uploads": partial(
            follows, mirrorer.poll, pause_seconds=settings.models_seconds
        ),
        "changing uploads": partial(
            follows, folder.clean, between=changer.step, pause_seconds=CLEAN_SECONDS
        ),
    }


if __name__ == "__main__":
    sys.exit(main())
