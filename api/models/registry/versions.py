"""A model and a version → what answers, also of a version that is not the one that is served.

What the registry offers and is not here is fetched by the follower while the request waits; so many
versions are kept loaded, and the one that was asked for longest ago goes first.
"""

import asyncio
import time
from collections import OrderedDict
from threading import Lock

from api.errors import VersionAwaitedError
from api.models.catalogue import Catalogue, Entry
from api.models.registered import RegistryReloader
from api.models.registry.shelf import Model, Version
from api.settings import Settings
from treeline.contract.texts import is_slug
from treeline.errors import ArtifactNotFoundError, ArtifactRejectedError

LOOK_SECONDS = 0.1
MOST_WAITING = 32  # requests, in each worker; the others are told to come back at once
RETRY_SECONDS = 5
MOST_NAMED = 10  # versions in a message

VersionKey = tuple[str, str]


class Versions:
    """Finds versions of models; `following` is None where no registry is followed."""

    def __init__(
        self, catalogue: Catalogue, following: RegistryReloader | None, settings: Settings
    ) -> None:
        self._catalogue, self._following = catalogue, following
        self._most = settings.registry_versions
        self._wait_seconds = settings.registry_wait_seconds
        self._loaded: OrderedDict[VersionKey, Entry] = OrderedDict()
        self._loading, self._changing = Lock(), Lock()
        self._waiting = 0
        if following is not None:
            following.retired = self._keep

    def loaded(self) -> list[Entry]:
        """Return what is loaded beside what is served."""
        with self._changing:
            return list(self._loaded.values())

    async def entry(self, name: str, number: str) -> Entry:
        """Return what answers for a version: ours, its number in the registry, or `@` and an alias.

        Raises ArtifactNotFoundError, ArtifactRejectedError and VersionAwaitedError.
        """
        model = self._model(name)
        if model is None or self._following is None:
            return self._on_disk(name, number)
        served = next((each for each in self._catalogue.entries() if each.name == name), None)
        if served is not None and served.unloaded:
            raise ArtifactRejectedError(served.reason)
        if served is not None and served.ready and served.version == number:
            return served
        version = version_in(model, number)
        if served is not None and version.artifact == self._following.artifact(name):
            return served
        if not self._most:
            raise ArtifactNotFoundError(
                f"Version {number!r} of {name} is not the one that is served, and "
                "API_REGISTRY_VERSIONS is 0; raise it."
            )
        return await self._brought(self._following, model, version)

    def _on_disk(self, name: str, version: str) -> Entry:
        """Return a model that the registry does not give; there is one version of it."""
        entry = self._catalogue.entry(name)
        if not entry.ready:
            raise ArtifactRejectedError(entry.reason)
        if entry.version != version:
            raise ArtifactNotFoundError(
                f"There is no version {version!r} of {name}; it is served in {entry.version}."
            )
        return entry

    def _model(self, name: str) -> Model | None:
        if self._following is None or not is_slug(name):
            return None
        models = self._following.offers.models
        return next((model for model in models if model.name == name), None)

    async def _brought(self, following: RegistryReloader, model: Model, version: Version) -> Entry:
        """Return a version, loaded or fetched first; raises what `entry` raises."""
        await asyncio.to_thread(following.shelf.want, model.name, version.number)
        if version.artifact is None:
            version = await self._awaited(following, model, version)
        if version.artifact is None:
            raise ArtifactRejectedError(
                f"Version {version.number} of {model.name} is refused: {version.refused}"
            )
        key = (model.name, version.artifact)
        entry = self._used(key)
        if entry is None:
            entry = await asyncio.to_thread(self._load, following, key, version)
        return entry

    def _used(self, key: VersionKey) -> Entry | None:
        """Return what is loaded, and note that it was asked for."""
        with self._changing:
            if key in self._loaded:
                self._loaded.move_to_end(key)
            return self._loaded.get(key)

    def _load(self, following: RegistryReloader, key: VersionKey, version: Version) -> Entry:
        with self._loading:
            if (entry := self._used(key)) is not None:  # another request was faster
                return entry
            name, artifact = key
            entry = following.loaded(name, artifact, created=version.created)
            if not entry.ready:
                raise ArtifactRejectedError(entry.reason)
            self._keep(entry, artifact)
            return entry

    def _keep(self, entry: Entry, artifact: str) -> None:
        """Keep a version loaded, in the place of the one that was asked for longest ago."""
        with self._changing:
            self._loaded[entry.name, artifact] = entry
            self._loaded.move_to_end((entry.name, artifact))
            while len(self._loaded) > self._most:
                self._loaded.popitem(last=False)

    async def _awaited(
        self, following: RegistryReloader, model: Model, version: Version
    ) -> Version:
        """Wait until a version is fetched or refused; raises VersionAwaitedError."""
        if version.refused:
            return version
        deadline = time.monotonic() + self._wait_seconds
        self._waiting += 1
        try:
            while self._waiting <= MOST_WAITING and time.monotonic() < deadline:
                await asyncio.sleep(LOOK_SECONDS)
                await asyncio.to_thread(following.look)
                now = self._now(model.name, version)
                if now.artifact is not None or now.refused:
                    return now
        finally:
            self._waiting -= 1
        away = following.shelf.away()
        raise VersionAwaitedError(
            f"Version {version.number} of {model.name} is not fetched yet"
            f"{f', as the registry is away: {away}' if away else ''}; ask again.",
            seconds=RETRY_SECONDS,
        )

    def _now(self, name: str, version: Version) -> Version:
        model = self._model(name)
        there = model.versions if model is not None else ()
        return next((each for each in there if each.number == version.number), version)


def version_in(model: Model, number: str) -> Version:
    """Return the newest version that is meant; raises ArtifactNotFoundError naming what there is.

    `asked` is a number of the registry, a version of ours, or `@` and an alias.
    """
    for version in model.versions:
        aliases = (f"@{alias}" for alias in version.aliases)
        if number in (version.number, version.version, *aliases):
            return version
    names = ", ".join(version.number for version in model.versions[:MOST_NAMED]) or "none"
    more = " and older ones" if len(model.versions) > MOST_NAMED else ""
    raise ArtifactNotFoundError(
        f"The registry offers no version {number!r} of {model.name}; it offers {names}{more}, or "
        "ask with `@` and an alias."
    )
