"""Declared name → class: a name is looked up in a literal table, or is itself an import path."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from treeline.errors import MissingExtraError, UnknownNameError


def resolve(table: Mapping[str, str], name: str, *, place: str, extra: str | None = None) -> Any:
    """Return the object that `table` names as `package.module:attribute` under `name`.

    `place` is where the name was declared, for the message; `extra` is the extra of this package
    that brings an optional engine. Raises UnknownNameError and MissingExtraError.
    """
    if name not in table:
        raise UnknownNameError(f"{place}: {name!r} is not known; choose from {sorted(table)}")
    module, _, attribute = table[name].partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("treeline"):
            raise
        raise MissingExtraError(
            f"{place}: {name!r} needs the package {error.name!r}; "
            f"install it with: pip install '.[{extra or name}]'"
        ) from error


def load_class(path: str, *, place: str) -> type:
    """Return the class behind a dotted import path such as `sklearn.linear_model.Ridge`.

    Raises UnknownNameError when no such class can be imported from the declared path.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnknownNameError(
            f"{place}: {path!r} cannot be imported ({error}); give the full dotted path of a class "
            "that is installed or that lives in this repository"
        ) from error
    if not isinstance(found, type):
        raise UnknownNameError(f"{place}: {path!r} is not a class; give the dotted path of one")
    return found
