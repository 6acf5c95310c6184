"""Uploads that live in a bucket, as the workers see them: whoever changes one asks the follower.

The follower alone speaks to the store. It fills a folder of uploads, which the workers serve as
they serve that of their own machine, and answers orders. A change is answered when the store has
it, and is served here by then; other replicas follow.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from api.errors import StoreAwayError
from api.models.bucket.files import Choice
from api.models.bucket.orders import Order, StoredFolder
from api.models.catalogue import Catalogue, Changes, Upload
from api.models.uploaded import UploadStore, writing
from api.models.watcher import LOOK_SECONDS
from api.settings import Settings
from treeline.contract.texts import is_slug
from treeline.errors import ArtifactNotFoundError, ConfigError

PLACE = "uploads"  # in what `/readyz` says
TICK_SECONDS = 0.02
ALIVE_SECONDS = 1.0  # between two looks whether there is a follower
TAKE_SECONDS = 20.0  # for which an order may lie there; the follower may just have been started
GONE_SECONDS = 30.0  # for which there may be no follower while an order is under way
SILENT_SECONDS = 600.0  # a first look may fetch and try a hundred models

logger = logging.getLogger(__name__)


class StoredUploads:
    """The uploads of a bucket: what is known of the store, and changes that are asked for."""

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        """Serve what was served last; raises ConfigError."""
        check_settings(settings)
        self.pause_seconds = LOOK_SECONDS
        self.folder = StoredFolder(settings.state_dir)
        self.address = settings.models
        self._left_behind = UploadStore(settings.state_dir / "uploads")
        self._catalogue = catalogue
        self._choice = Choice.of(settings.models_named, settings.leave_out)
        self._retry_seconds = settings.models_seconds
        self._patience = SILENT_SECONDS + 3 * settings.models_seconds
        self._began = time.time()
        self.look()

    @property
    def store(self) -> UploadStore:
        """The folder that the follower fills."""
        return self.folder.uploads

    def __str__(self) -> str:
        return f"the uploads of {self.address}"

    def due(self) -> bool:
        """Tell that it is looked at each time: it costs a look at one file."""
        return True

    def current(self) -> bool:
        """Tell that no request looks at it first: the models themselves have a source."""
        return True

    def holds(self, name: str) -> bool:
        """Tell the same of one model."""
        return True

    def look_at(self, name: str) -> None:
        """Look at the store as a whole."""
        self.look()

    def look(self) -> None:
        """Be not ready until the store has been looked through, once."""
        reason = ""
        if self.folder.answered_at() is None:
            why = self.folder.away() or "they are being looked for"
            reason = f"the uploads of {self.address} are not here yet: {why}"
        self._catalogue.wait_for(PLACE, reason)

    def away(self) -> str:
        """Return why what is served may not be what the store names; empty where it is."""
        if reason := self.folder.shortcoming():
            return reason
        at = self.folder.answered_at()
        silent = time.time() - (at if at is not None else self._began)
        return "" if silent <= self._patience else f"nobody has looked for {silent:.0f} seconds"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the folder there for the follower, which is that of the models."""
        if former := await asyncio.to_thread(self._left_behind.pointers):
            logger.warning(
                "%d uploads of this machine alone are not served, as API_UPLOADS is 'store': %s; "
                "upload them again, or set API_UPLOADS=folder",
                *(len(former), ", ".join(former)),
            )
        alive = await asyncio.to_thread(self.folder.enter)
        try:
            yield
        finally:
            alive.release()

    async def check(self, name: str) -> None:
        """Refuse before a body is read what would be refused after it.

        Raises ArtifactNotFoundError for what can be no name, NameElsewhereError, StoreAwayError.
        """
        if not is_slug(name):
            raise ArtifactNotFoundError(f"There is no model {name!r}.")
        self._choice.check(name)
        if reason := await asyncio.to_thread(self.folder.away):
            raise self._away(f"nothing is changed while it is away: {reason}")

    async def bring(self, name: str) -> None:
        """Have what the store says of a model here now; raises StoreAwayError."""
        await self._ordered(Order(id=uuid4().hex, action="bring", name=name))

    async def publish(self, name: str, draft: Path, upload: Upload) -> bool:
        """Serve a draft everywhere from now on, and tell whether it replaced another one.

        Raises StoreAwayError, UploadConflictError, UploadsFullError, NameTakenError and others.
        """
        order = Order(id=uuid4().hex, action="publish", name=name, upload=upload)
        return await self._ordered(order, draft)

    async def describe(self, name: str, sha256: str, given: Mapping[str, Any]) -> None:
        """Say something else of a model, which must still have that file; raises likewise."""
        said = Changes(**given)
        await self._ordered(
            Order(id=uuid4().hex, action="describe", name=name, sha256=sha256, said=said)
        )

    async def remove(self, name: str) -> None:
        """Serve a model nowhere any more, known here or not; raises likewise."""
        await self._ordered(Order(id=uuid4().hex, action="remove", name=name))

    async def _ordered(self, order: Order, draft: Path | None = None) -> bool:
        """Ask for a change, and wait until it is made; raises what came of it otherwise."""
        with writing(self.folder.folder):
            await asyncio.to_thread(self.folder.place, order, draft)
        began = alive = looked = time.monotonic()
        while True:
            if (answer := self.folder.answer(order.id)) is not None:
                return answer.result()
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            if now - looked < ALIVE_SECONDS:
                continue
            looked = now
            if await asyncio.to_thread(self.folder.has_follower):
                alive = now
            if now - began > TAKE_SECONDS and self.folder.withdraw(order.id):
                raise self._away("nobody has taken the change up, and nothing was changed")
            if now - alive > GONE_SECONDS:
                raise self._away(
                    f"whether {order.name!r} was changed is not known: look at it before you try "
                    "again"
                )

    def _away(self, reason: str) -> StoreAwayError:
        return StoreAwayError(
            f"The store of uploads takes no change now; {reason}", seconds=self._retry_seconds
        )


def check_settings(settings: Settings) -> None:
    """Raise ConfigError where uploads cannot live in a store as the settings are."""
    if not settings.models:
        raise ConfigError(
            "API_UPLOADS: 'store' is where API_MODELS says, and that is not set; set it to "
            "s3://BUCKET/PREFIX, or API_UPLOADS=folder"
        )
    if settings.trusted_signers and not settings.uploads_secret.get_secret_value():
        raise ConfigError(
            "API_UPLOADS: with API_TRUSTED_SIGNERS, what lies in a store must be vouched for; set "
            "API_UPLOADS_SECRET to a long random text, the same at all replicas: openssl rand -hex "
            "32"
        )
