"""Models that are fetched from a bucket, as a source: a new set of them is served at once.

The follower writes a folder in the form of `model/`, and replaces it as a whole. The reloader of
exported models reads it: what it refuses, and why, is the same wherever the folder came from. Here
is only what a folder on disk does not have: when to look, and what the store says meanwhile.
"""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.background import Keeper
from api.models.bucket.folder import FetchedFolder
from api.models.exported import ModelReloader
from api.models.following import followed
from api.models.watcher import LOOK_SECONDS
from api.settings import Settings
from treeline.buckets import check_address

PLACE = "models"  # in what `/readyz` says
FOLLOWER = "api.models.bucket.follower"
SILENT_SECONDS = 60.0


class FetchedModels:
    """Keeps a reloader's catalogue equal to what the follower has fetched."""

    def __init__(self, settings: Settings, reloader: ModelReloader) -> None:
        """Serve what was served last; `reloader` is that of the folder.

        Raises ConfigError and MissingExtraError.
        """
        check_address(settings.models, place="API_MODELS")
        self.pause_seconds = LOOK_SECONDS
        self.address = settings.models
        self.folder = FetchedFolder(settings.state_dir)
        self._reloader, self._catalogue = reloader, reloader.catalogue
        reloader.looks = 1  # what is not in a set that is whole is gone
        self._mark = ""
        self._began = time.time()
        self._patience = SILENT_SECONDS + 3 * settings.models_seconds
        self._keeper = Keeper(
            FOLLOWER,
            name="The follower of the bucket",
            environment=environment_of(settings),
            runs=self.folder.has_follower,
        )
        self._await_models()

    def __str__(self) -> str:
        return f"what is fetched from {self.address}"

    def due(self) -> bool:
        """Tell that it is looked at each time: it costs a look at one link."""
        return True

    def current(self) -> bool:
        """Tell whether no request misses a model that another worker serves already."""
        return self.folder.mark() == self._mark

    def holds(self, name: str) -> bool:
        """Tell whether one model is loaded as the set that is served has it."""
        return self._reloader.holds(name)

    def look_at(self, name: str) -> None:
        """Bring one model up to date with the set that is served."""
        self._reloader.look_at(name)

    def look(self) -> None:
        """Bring the catalogue up to date with the set that is served now."""
        mark = self.folder.mark()
        if mark != self._mark:
            self._reloader.look()
            self._mark = mark
        self._await_models()

    def away(self) -> str:
        """Return why what is served may not be what the store names; empty where it is."""
        if reason := self.folder.shortcoming():
            return reason
        at = self.folder.answered_at()
        silent = time.time() - (at if at is not None else self._began)
        if silent <= self._patience:
            return ""
        if self.folder.has_follower():  # a store that is slow, or large models
            return f"what it names has not been fetched within {silent:.0f} seconds, so far"
        return f"nobody has asked it for {silent:.0f} seconds"

    def _await_models(self) -> None:
        """Be not ready until each model that is named is served, in one version or another."""
        if not self._mark:
            why = self.folder.away() or "it is being asked"
            reason = f"{self.address} has named no models yet: {why}"
        else:
            served = self._catalogue.exported()
            problems = self.folder.problems().items()
            reason = "; ".join(why for name, why in problems if name not in served)
        self._catalogue.wait_for(PLACE, reason)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """See to it that somebody fetches."""
        async with followed(self.folder, self._keeper):
            yield


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment of the follower: of our settings, those it needs, as they are here."""
    own = {
        "API_STATE_DIR": str(settings.state_dir.resolve()),
        "API_MODELS": settings.models,
        "API_MODELS_NAMED": ",".join(settings.models_named),
        "API_MODELS_SECONDS": str(settings.models_seconds),
        "API_LEAVE_OUT": ",".join(settings.leave_out),
        "API_UPLOADS": settings.uploads,
        "API_UPLOADS_SECRET": settings.uploads_secret.get_secret_value(),
        "API_MAX_UPLOADS": str(settings.max_uploads),
        "API_MAX_UPLOAD_BYTES": str(settings.max_upload_bytes),
        "API_AUDIT_SECONDS": str(settings.audit_seconds),
        "API_AUDIT_MEMORY_BYTES": str(settings.audit_memory_bytes),
        "API_LOG_FORMAT": settings.log_format,
        "API_LOG_LEVEL": settings.log_level,
    }
    given = {name: value for name, value in os.environ.items() if not name.startswith("API_")}
    return given | own
