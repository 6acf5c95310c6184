"""Treeline ships tabular models from git: declare one, reproduce it, serve it.

What a notebook needs is here by name; `docs/library.md` shows it. Importing this package imports
nothing else: a name brings its module, and what that needs, when it is used for the first time.
"""

from typing import TYPE_CHECKING, Any

from treeline.registry import resolve

if TYPE_CHECKING:
    from treeline.client.asynchronous import AsyncClient
    from treeline.client.messages import Truth
    from treeline.client.synchronous import Client
    from treeline.library.artifacts import Artifact
    from treeline.library.comparing import compare
    from treeline.library.declarations import Declaration, declared, draft, read
    from treeline.library.training import collect, evaluate, prepare, train

__version__ = "0.2.0"

__all__ = [
    "Artifact",
    "AsyncClient",
    "Client",
    "Declaration",
    "Truth",
    "collect",
    "compare",
    "declared",
    "draft",
    "evaluate",
    "prepare",
    "read",
    "train",
]

CLIENT = {
    "AsyncClient": "treeline.client.asynchronous:AsyncClient",
    "Client": "treeline.client.synchronous:Client",
    "Truth": "treeline.client.messages:Truth",
}
LIBRARY = {
    "Artifact": "treeline.library.artifacts:Artifact",
    "Declaration": "treeline.library.declarations:Declaration",
    "collect": "treeline.library.training:collect",
    "compare": "treeline.library.comparing:compare",
    "declared": "treeline.library.declarations:declared",
    "draft": "treeline.library.declarations:draft",
    "evaluate": "treeline.library.training:evaluate",
    "prepare": "treeline.library.training:prepare",
    "read": "treeline.library.declarations:read",
    "train": "treeline.library.training:train",
}


def __getattr__(name: str) -> Any:
    if name in CLIENT:
        return resolve(CLIENT, name, place=__name__, extra="client")
    if name not in LIBRARY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return resolve(LIBRARY, name, place=__name__, extra="train")


def __dir__() -> list[str]:
    return sorted({*globals(), *CLIENT, *LIBRARY})
