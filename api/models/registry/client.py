"""Looks at the registry: what it names is fetched, and offered to the workers.

Nothing that happens to the registry takes back what is served: while it is away all stays as it
was. The version that the registry names is served from when it has passed; until then, and when it
is refused, the one that was served before. A model that lost the alias by which all are followed
is served no more; one that a setting names is served on, and its problem is shown. `listed`
computes the new document from the answers, what is known and what was served, and is pure.
"""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from api.models.following import Away
from api.models.registry.fetching import (
    DRAFT,
    FetchedVersion,
    RegistryFetcher,
    RequestedVersion,
    StatementFollower,
)
from api.models.registry.shelf import (
    Model,
    Offers,
    Reference,
    References,
    Served,
    Shelf,
    Version,
    Wanted,
    address,
    age_seconds,
    look_for,
    references_in,
    shown,
)
from api.settings import Settings
from treeline.contract.texts import is_slug, slug_of
from treeline.errors import ArtifactRejectedError

if TYPE_CHECKING:
    from api.models.registry.mlflow import Registered, Registry


Key = tuple[str, str, str, datetime]


@dataclass(frozen=True)
class Refused:
    """Why a version cannot be served, and when that was found."""

    reason: str
    at: datetime


Known = Mapping[Key, FetchedVersion | Refused]


@dataclass(frozen=True)
class NamedModel:
    """A registered model with its newest versions, as the registry tells of it."""

    name: str
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    versions: Sequence[Version] = ()


def listed(
    offered: Mapping[str, NamedModel], references: References, known: Known, former: Offers
) -> Offers:
    """Return the document for registered models, by name, that follow some references."""
    before = {model.name: model for model in former.models}
    models = [
        followed(offered.get(each.registered), each, known, before.get(each.name))
        for each in references.models
    ]
    named = {reference.registered for reference in references.models}
    if references.alias is not None:
        models += [
            unnamed(each, references.alias, known, before.get(name))
            for name, each in offered.items()
            if name not in named
        ]
    return Offers(
        complete=former.complete, models=tuple(sorted(models, key=lambda model: model.name))
    )


def followed(
    named: NamedModel | None, reference: Reference, known: Known, former: Model | None
) -> Model:
    """Return what is told of a model that a setting names."""
    served = former.served if former is not None else None
    model = Model(
        name=reference.name,
        registered=reference.registered,
        reference=reference.text,
        declared=True,
        served=served,
    )
    if named is None:
        problem = f"{reference.text}: the registry has no model {reference.registered!r}"
        return model.model_copy(update={"problem": problem})
    number = reference.number or named.aliases.get(reference.alias or "")
    next_model = described(model, named, known)
    there = {version.number for version in next_model.versions}
    if number is None or number not in there:
        what = f"version {reference.number}" if reference.number else f"alias {reference.alias!r}"
        problem = f"{reference.text}: {reference.registered!r} has no {what}"
        return next_model.model_copy(update={"problem": problem})
    return chosen(next_model, number)


def unnamed(named: NamedModel, alias: str, known: Known, former: Model | None) -> Model:
    """Return what is told of a model that is followed if it has the alias."""
    model = described(Model(name=named.name, registered=named.name), named, known)
    number = named.aliases.get(alias)
    if number is None:
        return model
    model = model.model_copy(update={"reference": f"models:/{named.name}@{alias}"})
    if not is_slug(named.name):
        problem = (
            f"{named.name!r} is no name that a path can have; add to API_REGISTRY: "
            f"{slug_of(named.name)}=models:/{named.name}@{alias}"
        )
        return model.model_copy(update={"problem": problem})
    if former is not None:
        model = model.model_copy(update={"served": former.served})
    return chosen(model, number)


def described(model: Model, named: NamedModel, known: Known) -> Model:
    """Return a model with what the registry says of it, and what is known of its versions."""
    versions = tuple(filled(version, key_of(model, version), known) for version in named.versions)
    update = {"description": named.description, "tags": named.tags, "versions": versions}
    return model.model_copy(update=update)


def filled(version: Version, key: Key, known: Known) -> Version:
    """Return a version with what is known of it besides."""
    outcome = known.get(key)
    if isinstance(outcome, FetchedVersion):
        update = {"version": outcome.version, "artifact": outcome.artifact}
        return version.model_copy(update=update)
    if outcome is not None:
        return version.model_copy(update={"refused": outcome.reason, "refused_at": outcome.at})
    return version


def chosen(model: Model, number: str) -> Model:
    """Return a model that serves the version of a number, if that has passed."""
    version = next((each for each in model.versions if each.number == number), None)
    model = model.model_copy(update={"named": number})
    if version is None or version.artifact is None or version.version is None:
        refused = version.refused if version is not None else ""
        problem = f"version {number} is refused: {refused}" if refused else ""
        return model.model_copy(update={"problem": problem})
    served = Served(
        number=number,
        version=version.version,
        artifact=version.artifact,
        created=version.created,
    )
    return model.model_copy(update={"served": served})


def key_of(model: Model, version: Version) -> Key:
    """Return what tells a version from all others, also from one of a deleted namesake."""
    return (model.name, model.registered, version.number, version.created)


def known_from(offers: Offers) -> dict[Key, FetchedVersion | Refused]:
    """Return what a document tells of versions that were fetched or refused."""
    known: dict[Key, FetchedVersion | Refused] = {}
    for model in offers.models:
        for version in model.versions:
            key = key_of(model, version)
            if version.artifact is not None and version.version is not None:
                known[key] = FetchedVersion(version.artifact, version.version)
            elif version.refused_at is not None:
                known[key] = Refused(version.refused, version.refused_at)
    return known


VERSIONS_SECONDS = 60.0  # between two looks at the versions of a model that has not changed
AGAIN_SECONDS = 300.0  # after which a refused version that is named or wanted is tried once more
WANTED_SECONDS = 60.0  # for so long somebody may wait for a version
FAILED_SECONDS = 5.0  # after which a version that could not be fetched is tried once more
GRACE_SECONDS = 60.0  # a worker may have read the former document just now
METRICS_AT_ONCE = 20  # runs that are asked for their metrics in one look

logger = logging.getLogger("api.models.registry.follower")


class RegistryClient:
    """Keeps the shelf equal to what the registry names."""

    def __init__(self, shelf: Shelf, opened: Callable[[], "Registry"], settings: Settings) -> None:
        """Go on from what is on the shelf; `opened` opens the registry, and may raise anything."""
        self._shelf, self._opened = shelf, opened
        self._source: Registry | None = None
        self._fetching = RegistryFetcher(shelf, settings)
        self._statements = StatementFollower(self._fetching)
        self._most_requested = settings.registry_versions
        self._references = references_in(settings.registry)
        self._offers = shelf.offers() or Offers()
        self._known = known_from(self._offers)
        self._named: dict[str, NamedModel] = {}
        self._changed: dict[str, tuple[int, float]] = {}
        self._metrics: dict[str, dict[str, float]] = {}
        self._failed: dict[Key, float] = {}
        words = "The registry cannot be asked; all is served as it was"
        self._away = Away(shelf, words, logger=logger)
        for draft in shelf.folder.glob(f"{DRAFT}*"):
            shutil.rmtree(draft, ignore_errors=True)  # of a follower that was killed

    def poll(self) -> None:
        """Ask the registry once, and fetch what it names."""
        try:
            source = self._registry()
            self._named = dict(self._looked_up(source))
        except Exception as error:  # of MLflow, SQLAlchemy, sockets: all may pass
            self._silent(error)
            return
        self._publish()
        named = {}
        for model in self._offers.models:
            version = version_of(model, model.named)
            if version is not None:
                self._bring(source, model, version)
                outcome = self._known.get(key_of(model, version))
                if isinstance(outcome, FetchedVersion):
                    named[RequestedVersion.of(model, version)] = outcome
        self._statements.follow(source, named)
        self._clean()
        if self._failed:
            return
        self._shelf.answered()
        if not self._offers.complete:
            self._offers = self._offers.model_copy(update={"complete": True})
            self._shelf.publish(self._offers)

    def serve_wanted(self) -> None:
        """Fetch the versions that somebody waits for."""
        if self._source is None:
            return
        by_name = {model.name: model for model in self._offers.models}
        for (name, number), age in self._shelf.wanted():
            model = by_name.get(name)
            version = version_of(model, number) if model is not None else None
            if model is not None and version is not None and age < WANTED_SECONDS:
                self._bring(self._source, model, version)

    def _registry(self) -> "Registry":
        """Return the registry, opened when it can be reached."""
        look_for(address(os.environ))
        if self._source is None:
            self._source = self._opened()
        return self._source

    def _silent(self, error: Exception) -> None:
        reason = f"{type(error).__name__}: {' '.join(shown(str(error)).split())[:300]}"
        self._away.say(reason)

    def _looked_up(self, source: "Registry") -> Iterator[tuple[str, NamedModel]]:
        """Yield the models that the references may mean, with their versions."""
        models: dict[str, Registered] = {}
        if self._references.alias is not None:
            models = {model.name: model for model in source.models()}
        for reference in self._references.models:
            name = reference.registered
            if name not in models and (model := source.model(name)) is not None:
                models[name] = model
        left = METRICS_AT_ONCE
        for name, model in models.items():
            versions = self._versions(source, model)
            filled, left = self._measured(source, versions, left)
            yield name, NamedModel(name, model.description, model.tags, model.aliases, filled)

    def _versions(self, source: "Registry", model: "Registered") -> list[Version]:
        """Return the versions of a model: asked for when it changed, and now and then."""
        changed, at = self._changed.get(model.name, (-1, 0.0))
        former = self._named.get(model.name)
        fresh = time.monotonic() - at < VERSIONS_SECONDS
        if former is not None and fresh and changed == model.changed:
            there = {version.number for version in former.versions}
            if set(model.aliases.values()) <= there:
                return [renamed(version, model.aliases) for version in former.versions]
        versions = source.versions(model)
        self._changed[model.name] = (model.changed, time.monotonic())
        return versions

    def _measured(
        self, source: "Registry", versions: list[Version], left: int
    ) -> tuple[tuple[Version, ...], int]:
        """Return versions with the metrics of their runs; a few runs are asked at a time."""
        for version in versions:
            if version.run is not None and version.run not in self._metrics and left > 0:
                self._metrics[version.run] = source.metrics(version.run)
                left -= 1
        known = [self._metrics.get(version.run or "", {}) for version in versions]
        pairs = zip(versions, known, strict=True)
        return tuple(each.model_copy(update={"metrics": metrics}) for each, metrics in pairs), left

    def _publish(self) -> None:
        """Tell the workers what there is now, where it is not what they know."""
        former = self._offers
        self._offers = listed(self._named, self._references, self._known, former)
        if self._offers == former and self._shelf.mark() is not None:
            return
        before = {model.name: model.served for model in former.models}
        for model in self._offers.models:
            served = before.get(model.name)
            if served is not None and model.served is not None and served != model.served:
                self._shelf.want(model.name, served.number)  # it is kept a while, to go back to
        self._shelf.publish(self._offers)

    def _bring(self, source: "Registry", model: Model, version: Version) -> None:
        """Fetch a version, unless that is settled already, and tell what became of it."""
        key = key_of(model, version)
        if not self._is_due(key):
            return
        try:
            self._known[key] = self._fetching.fetch(source, RequestedVersion.of(model, version))
        except ArtifactRejectedError as error:
            self._known[key] = Refused(str(error), datetime.now(UTC))
            logger.warning("%s, version %s, is refused: %s", model.name, version.number, error)
        except Exception as error:  # the registry went away, or its store of files, or the disk
            self._failed[key] = time.monotonic()
            self._silent(error)
            return
        self._failed.pop(key, None)
        self._publish()

    def _is_due(self, key: Key) -> bool:
        outcome = self._known.get(key)
        if isinstance(outcome, FetchedVersion):
            return False
        if outcome is not None:
            return (datetime.now(UTC) - outcome.at).total_seconds() > AGAIN_SECONDS
        return time.monotonic() - self._failed.get(key, -FAILED_SECONDS) >= FAILED_SECONDS

    def _clean(self) -> None:
        """Forget versions that nobody needs, and remove what was fetched of them a while later."""
        for pair, age in self._shelf.wanted()[self._most_requested :]:
            if age > WANTED_SECONDS:
                self._shelf.forget(*pair)
        wanted = {pair for pair, _ in self._shelf.wanted()}
        self._known = {
            key: self._known[key]
            for model in self._offers.models
            for version in model.versions
            if (key := key_of(model, version)) in self._known
            and (version.artifact is None or is_needed(model, version, wanted))
        }
        self._failed = {
            key: self._failed[key]
            for model in self._offers.models
            for version in model.versions
            if (key := key_of(model, version)) in self._failed and is_needed(model, version, wanted)
        }
        self._publish()
        served = {each.served.artifact for each in self._offers.models if each.served is not None}
        fetched = (each for each in self._known.values() if isinstance(each, FetchedVersion))
        self._remove_all_but(served | {each.artifact for each in fetched})

    def _remove_all_but(self, needed: set[str]) -> None:
        for folder in list(self._shelf.artifacts.iterdir()):
            if folder.name in needed:
                with suppress(OSError):
                    os.utime(folder)  # it waits from when nobody needs it any more
            elif age_seconds(folder) > GRACE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def version_of(model: Model, number: str | None) -> Version | None:
    """Return the version of a number, or None."""
    return next((each for each in model.versions if each.number == number), None)


def is_needed(model: Model, version: Version, wanted: set[Wanted]) -> bool:
    """Tell whether a version is named, or served, or was asked for."""
    served = model.served.number if model.served is not None else None
    return version.number in (model.named, served) or (model.name, version.number) in wanted


def renamed(version: Version, aliases: dict[str, str]) -> Version:
    """Return a version with the aliases that it has now."""
    own = tuple(alias for alias, number in aliases.items() if number == version.number)
    return version.model_copy(update={"aliases": own})
