"""The models that are served: everything the store holds, loaded, or the reason why it is not."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from api.prediction.predictor import Predictor
from treeline.artifact.signature import Signature
from treeline.artifact.store import ArtifactStore
from treeline.errors import ArtifactNotFoundError, ArtifactRejectedError, Problem, TreelineError

DEFAULT_PATH = "/v1/predict"
PATH = "/v1/models/{model}/predict"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One exported model: its contract as far as it can be read, and a predictor or a reason.

    `refused` says why what lies in its place on disk now is not served instead.
    """

    name: str
    signature: Signature | None = None
    predictor: Predictor | None = None
    reason: str = ""
    refused: str = ""


class Catalogue:
    """Models by name, and which of them is the default."""

    def __init__(self, entries: Mapping[str, Entry], *, default: str | None = None) -> None:
        """Offer `entries`; `default` names one of them, None leaves it to their signatures."""
        self._chosen = default
        self._offer(dict(entries))

    @classmethod
    def load(cls, store: ArtifactStore, *, default: str | None = None) -> Self:
        """Load every model of a store; one that cannot be served does not stop the others."""
        return cls({name: load_entry(store, name) for name in store.names()}, default=default)

    def put(self, entry: Entry) -> None:
        """Offer a model, in the place of the one of that name; a request sees one or the other."""
        self._offer(dict(sorted({**self._entries, entry.name: entry}.items())))

    def remove(self, name: str) -> None:
        """Offer a model no more."""
        self._offer({other: entry for other, entry in self._entries.items() if other != name})

    def find(self, name: str) -> Entry | None:
        """Return what is known of a model, or None where nothing is."""
        return self._entries.get(name)

    def entries(self) -> list[Entry]:
        """Return all models, served or not, by name."""
        return list(self._entries.values())

    def entry(self, name: str) -> Entry:
        """Return what is known of a model; raises ArtifactNotFoundError naming those there are."""
        if name not in self._entries:
            raise ArtifactNotFoundError(f"There is no model {name!r}; there are: {self._known()}.")
        return self._entries[name]

    def predictor(self, name: str) -> Predictor:
        """Return a model ready to predict; raises ArtifactNotFoundError, ArtifactRejectedError."""
        entry = self.entry(name)
        if entry.predictor is None:
            raise ArtifactRejectedError(entry.reason)
        return entry.predictor

    def default(self) -> Predictor:
        """Return the default model; raises ArtifactNotFoundError, ArtifactRejectedError."""
        if self.default_name is None:
            raise ArtifactNotFoundError(
                "No model is the default: name one in API_DEFAULT_MODEL, or ask for one by its own "
                f"path, /v1/models/{{model}}/predict; there are: {self._known()}."
            )
        return self.predictor(self.default_name)

    def _offer(self, entries: dict[str, Entry]) -> None:
        """Take over a whole new set of models; each attribute is replaced, none is changed."""
        self._entries = entries
        self.default_name = self._chosen if self._chosen is not None else declared_default(entries)
        self.by_path = self._paths()

    def _paths(self) -> dict[str, Predictor]:
        """Return the models that are ready by the paths on which they are asked."""
        ready = {name: entry.predictor for name, entry in self._entries.items() if entry.predictor}
        paths = {PATH.format(model=name): predictor for name, predictor in ready.items()}
        if self.default_name in ready:
            paths[DEFAULT_PATH] = ready[self.default_name]
        return paths

    def _known(self) -> str:
        return ", ".join(self._entries) or "none yet"

    def refusals(self) -> dict[str, str]:
        """Return, by model, why what lies in its place on disk is not served instead."""
        return {entry.name: entry.refused for entry in self._entries.values() if entry.refused}

    def shortcomings(self) -> list[Problem]:
        """Return why the service is not ready, one problem per model; empty when it is."""
        found = [
            Problem(entry.name, entry.reason)
            for entry in self._entries.values()
            if entry.predictor is None
        ]
        if not self._entries:
            found.append(Problem("models", "no model is exported; fetch them with: dvc pull"))
        if self._chosen is not None and self._chosen not in self._entries:
            text = f"API_DEFAULT_MODEL is {self._chosen!r}, and there are: {self._known()}"
            found.append(Problem("default", text))
        return found


def load_entry(store: ArtifactStore, name: str) -> Entry:
    """Load one model, or remember why it cannot be served."""
    signature = None
    try:
        signature = store.signature(name)
        return Entry(name, signature, Predictor(store.load(name)))
    except TreelineError as error:
        logger.warning("%s is not served: %s", name, error)
        return Entry(name, signature, reason=str(error))
    except Exception as error:  # whatever one artifact does, the others must be served
        logger.exception("%s is not served", name)
        return Entry(name, signature, reason=f"{name}: {type(error).__name__}: {error}")


def declared_default(entries: Mapping[str, Entry]) -> str | None:
    """Return the one model whose signature says `default`, or the only one there is."""
    declared = [
        name for name, entry in entries.items() if entry.signature and entry.signature.default
    ]
    candidates = declared or list(entries)
    return candidates[0] if len(candidates) == 1 else None
