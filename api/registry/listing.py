"""What the registry says, what is known of its versions, what was served → the new document. Pure.

The version that the registry names is served from when it has passed; until then, and when it is
refused, the one that was served before. A model that lost the alias by which all are followed is
served no more; one that a setting names is served on, and said to be missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from api.registry.fetching import FetchedVersion
from api.registry.offers import Model, Offers, Served, Version
from api.registry.references import Reference, References
from treeline.contract.names import is_slug, slug_of

Key = tuple[str, str, str, datetime]


@dataclass(frozen=True)
class Refused:
    """Why a version cannot be served, and when that was found."""

    reason: str
    at: datetime


Known = Mapping[Key, FetchedVersion | Refused]


@dataclass(frozen=True)
class Found:
    """A registered model with its newest versions, as the registry tells of it."""

    name: str
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    versions: Sequence[Version] = ()


def listed(
    found: Mapping[str, Found], references: References, known: Known, former: Offers
) -> Offers:
    """Return the document for registered models, by name, that follow some references."""
    before = {model.name: model for model in former.models}
    models = [
        followed(found.get(each.registered), each, known, before.get(each.name))
        for each in references.models
    ]
    named = {reference.registered for reference in references.models}
    if references.alias is not None:
        models += [
            unnamed(each, references.alias, known, before.get(name))
            for name, each in found.items()
            if name not in named
        ]
    return Offers(
        complete=former.complete, models=tuple(sorted(models, key=lambda model: model.name))
    )


def followed(
    found: Found | None, reference: Reference, known: Known, former: Model | None
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
    if found is None:
        problem = f"{reference.text}: the registry has no model {reference.registered!r}"
        return model.model_copy(update={"problem": problem})
    number = reference.number or found.aliases.get(reference.alias or "")
    told = described(model, found, known)
    there = {version.number for version in told.versions}
    if number is None or number not in there:
        what = f"version {reference.number}" if reference.number else f"alias {reference.alias!r}"
        problem = f"{reference.text}: {reference.registered!r} has no {what}"
        return told.model_copy(update={"problem": problem})
    return chosen(told, number)


def unnamed(found: Found, alias: str, known: Known, former: Model | None) -> Model:
    """Return what is told of a model that is followed if it has the alias."""
    told = described(Model(name=found.name, registered=found.name), found, known)
    number = found.aliases.get(alias)
    if number is None:
        return told
    told = told.model_copy(update={"reference": f"models:/{found.name}@{alias}"})
    if not is_slug(found.name):
        problem = (
            f"{found.name!r} is no name that a path can have; add to API_REGISTRY: "
            f"{slug_of(found.name)}=models:/{found.name}@{alias}"
        )
        return told.model_copy(update={"problem": problem})
    if former is not None:
        told = told.model_copy(update={"served": former.served})
    return chosen(told, number)


def described(model: Model, found: Found, known: Known) -> Model:
    """Return a model with what the registry says of it, and what is known of its versions."""
    versions = tuple(filled(version, key_of(model, version), known) for version in found.versions)
    update = {"description": found.description, "tags": found.tags, "versions": versions}
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
