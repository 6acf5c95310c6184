"""What callers change of the uploaded models: one is admitted, described, removed."""

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from api.bodies import Bodies
from api.catalogue.declaration import Changes
from api.catalogue.entries import Catalogue, Entry
from api.catalogue.freshness import Freshness
from api.errors import NameTakenError, NotRemovableError
from api.settings import Settings
from api.tensors.images import misfits
from api.uploads.receiving import changes_in, received
from api.uploads.reloading import UploadReloader
from api.uploads.store import writing
from api.uploads.trials import Trials
from treeline.contract.names import twin_of
from treeline.errors import ArtifactRejectedError, InvalidInputError, Problem


class UploadManager:
    """Changes the store of uploads, and what this process serves of it at once."""

    def __init__(
        self,
        uploads: UploadReloader,
        catalogue: Catalogue,
        settings: Settings,
        freshness: Freshness,
        bodies: Bodies,
    ) -> None:
        self._uploads = uploads
        self._freshness = freshness
        self._bodies = bodies
        self._store = uploads.store
        self._catalogue = catalogue
        self._settings = settings
        self._trials = Trials(settings)

    async def admit(self, name: str, request: Request) -> bool:
        """Receive, audit, try and serve a model, and tell whether it replaced another one.

        Raises NotRemovableError, UploadsFullError, UploadRejectedError and what the body deserves.
        """
        await self._freshness.model(name)
        self._check_origin(name)
        await asyncio.to_thread(self._check_room, name)
        with self._store.draft() as draft:
            with writing(draft.parent):
                most = self._settings.max_upload_bytes
                upload = await received(request, self._bodies, draft, most_bytes=most)
            await self._trials.run(name, draft, upload)
            self._check_origin(name)
            most = self._settings.max_uploads
            replaced = await asyncio.to_thread(self._store.publish, name, draft, upload, most=most)
        await asyncio.to_thread(self._uploads.look_at, name)
        entry = self._catalogue.find(name)
        if entry is not None and (not entry.ready or entry.refused):  # its trial went well
            raise ArtifactRejectedError(entry.refused or entry.reason)
        return replaced

    async def describe(self, name: str, request: Request) -> None:
        """Change what is said of a model; raises NotRemovableError and InvalidInputError."""
        changes = await changes_in(request, self._bodies)
        entry = await self._uploaded(name)
        if entry.upload is None or not entry.ready:  # broken, or unloaded by hand
            raise ArtifactRejectedError(entry.reason)
        given = given_by(changes, entry)
        await asyncio.to_thread(self._store.describe, name, entry.upload.sha256, given)
        await asyncio.to_thread(self._uploads.look_at, name)

    async def remove(self, name: str) -> None:
        """Serve a model no more; requests under way end with it."""
        await self._uploaded(name)
        await asyncio.to_thread(self._store.remove, name)
        await asyncio.to_thread(self._uploads.look_at, name)

    async def _uploaded(self, name: str) -> Entry:
        """Return what is known of an upload; raises NotRemovableError, ArtifactNotFoundError."""
        await self._freshness.model(name)
        self._check_origin(name)
        return self._catalogue.entry(name)

    def _check_origin(self, name: str) -> None:
        if name in self._catalogue.exported():
            raise NotRemovableError(
                f"{name!r} is a model that was exported, and only git changes those; upload "
                "under another name."
            )
        if name in self._catalogue.registered():
            raise NotRemovableError(
                f"{name!r} is a model of the registry, and only the registry changes those; upload "
                "under another name."
            )

    def _check_twin(self, name: str) -> None:
        served = [entry.name for entry in self._catalogue.entries()]
        if (twin := twin_of(name, [*served, *self._store.pointers()])) is not None:
            raise NameTakenError(
                f"There is a model {twin!r}, from which {name!r} differs in hyphens and "
                "underscores only; replace that one, or give another name."
            )

    def _check_room(self, name: str) -> None:
        """Refuse before a body is read what `publish` would refuse after it."""
        with writing(self._settings.state_dir / "uploads"):
            self._check_twin(name)
            self._store.check_room(name, most=self._settings.max_uploads)


def given_by(changes: Changes, entry: Entry) -> Mapping[str, Any]:
    """Return what is to be changed of a model, by name; raises InvalidInputError."""
    if changes.image is not None:
        if entry.tensor is None:
            text = "the model takes records, as its signature says, so it cannot take pictures"
            raise InvalidInputError([Problem("image", text)])
        if reasons := misfits(changes.image, entry.tensor.inputs):
            problems = [Problem("image", each.removeprefix("image: ")) for each in reasons]
            raise InvalidInputError(problems)
    return {name: getattr(changes, name) for name in changes.model_fields_set}
