"""Small JSON documents of any shape → the same with few unknown keys, before they are validated.

Whoever validates lists each key that it does not know, and each item that it does not admit: of a
hundred thousand, some are enough.
"""

from collections.abc import Collection
from typing import Any

from pydantic_core import from_json, to_json

MAX_UNKNOWN = 20
MAX_ITEMS = 20  # the longest list of a declaration has three
FEW_BYTES = 1024  # in which not many keys have room


def narrowed(value: Any, known: Collection[str]) -> Any:
    """Return an object with its known keys, and the first few of any others; so those within it.

    Lists are left as they are.
    """
    if not isinstance(value, dict):
        return value
    strangers = 0
    kept: dict[str, Any] = {}
    for name, each in value.items():
        strangers += name not in known
        if name in known or strangers <= MAX_UNKNOWN:
            kept[name] = narrowed(each, known) if name in known else each
    return kept


def shortened(value: Any) -> Any:
    """Return a document with the first items of each list, where none that is right has as many."""
    if isinstance(value, dict):
        return {name: shortened(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shortened(each) for each in value[:MAX_ITEMS]]
    return value


def narrow_json(body: bytes, known: Collection[str]) -> bytes:
    """Return the JSON of a document with short lists likewise; one that is none as it is."""
    if len(body) <= FEW_BYTES:
        return body
    try:
        document = from_json(body)
    except ValueError:
        return body
    return to_json(shortened(narrowed(document, known)), inf_nan_mode="constants")
