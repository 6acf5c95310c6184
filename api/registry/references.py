"""API_REGISTRY → what is followed: one model by its URI, or every model that has an alias."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from treeline.contract.names import WORDS, is_slug, slug_of
from treeline.errors import ConfigError

ALIAS = re.compile(r"[A-Za-z0-9_-]{1,255}")
URI = re.compile(
    rf"(?:(?P<name>{WORDS})=)?models:/(?P<registered>[^/@:]+)"
    r"(?:@(?P<alias>[A-Za-z0-9_-]{1,255})|/(?P<number>[1-9][0-9]{0,8}))"
)
FORMS = (
    "an alias such as `champion`, for every model that has it, or `models:/NAME@ALIAS`, or "
    "`models:/NAME/NUMBER`, or either after `SERVED-NAME=`"
)


@dataclass(frozen=True)
class Reference:
    """One model of the registry, and the name under which it is served."""

    text: str
    name: str
    registered: str
    alias: str | None
    number: str | None


@dataclass(frozen=True)
class References:
    """What is followed: models by name, or all that have an alias."""

    models: tuple[Reference, ...] = ()
    alias: str | None = None


def references_in(items: Iterable[str]) -> References:
    """Return what the items of API_REGISTRY ask for; raises ConfigError."""
    models: dict[str, Reference] = {}
    alias = None
    for item in items:
        if ALIAS.fullmatch(item):
            if alias is not None:
                raise ConfigError(f"API_REGISTRY: two aliases, {alias!r} and {item!r}; give one")
            alias = item
            continue
        found = reference(item)
        if found.name in models:
            raise ConfigError(f"API_REGISTRY: two models are to be served as {found.name!r}")
        models[found.name] = found
    return References(tuple(models.values()), alias)


def reference(item: str) -> Reference:
    """Return what one item asks for; raises ConfigError."""
    found = URI.fullmatch(item)
    if found is None:
        raise ConfigError(f"API_REGISTRY: {item!r} is none of: {FORMS}")
    registered = found["registered"]
    name = found["name"] or registered
    if not is_slug(name):
        raise ConfigError(
            f"API_REGISTRY: {registered!r} is no name that a path can have; say how it is to be "
            f"served: {slug_of(registered)}={item}"
        )
    return Reference(item, name, registered, found["alias"], found["number"])
