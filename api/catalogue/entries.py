"""The models that are served: everything the stores hold, loaded, or the reason why it is not."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Literal, Self

from api.catalogue.declaration import Upload
from api.prediction.predictor import Predictor
from treeline.artifact.signature import Signature
from treeline.artifact.store import ArtifactStore
from treeline.errors import ArtifactNotFoundError, ArtifactRejectedError, Problem, TreelineError

if TYPE_CHECKING:  # api.welcome reads this module, and must not load onnxruntime
    from api.tensors.graph import TensorModel

DEFAULT_PATH = "/v1/predict"
PATH = "/v1/models/{model}/predict"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One model: its contract as far as it can be read, and what answers, or a reason.

    A model with a signature has a predictor, one without it is a tensor model. `upload` is what
    the store knows of an uploaded one. `refused` says why what lies in its place on disk now is
    not served instead. `unloaded` is one that was taken out of service by hand.
    """

    name: str
    signature: Signature | None = None
    predictor: Predictor | None = None
    reason: str = ""
    refused: str = ""
    tensor: "TensorModel | None" = None
    origin: Literal["exported", "uploaded"] = "exported"
    upload: Upload | None = None
    unloaded: bool = False

    @property
    def ready(self) -> bool:
        """Whether it answers."""
        return self.predictor is not None or self.tensor is not None

    @property
    def version(self) -> str | None:
        """The version of the model, where it is known."""
        if self.tensor is not None:
            return self.tensor.version
        return self.signature.version if self.signature is not None else None


class Catalogue:
    """Models by name, and which of them is the default."""

    def __init__(self, entries: Mapping[str, Entry], *, default: str | None = None) -> None:
        """Offer `entries`; `default` names one of them, None leaves it to their signatures."""
        self._chosen = default
        self._changing = Lock()  # models are exported and uploaded at the same moment
        self._unloaded: frozenset[str] = frozenset()
        self._offer(dict(entries))

    @classmethod
    def load(cls, store: ArtifactStore, *, default: str | None = None) -> Self:
        """Load every model of a store; one that cannot be served does not stop the others."""
        return cls({name: load_entry(store, name) for name in store.names()}, default=default)

    def put(self, entry: Entry) -> None:
        """Offer a model, in the place of the one of that name; a request sees one or the other."""
        with self._changing:
            self._offer(dict(sorted({**self._loaded, entry.name: entry}.items())))

    def remove(self, name: str) -> None:
        """Offer a model no more."""
        with self._changing:
            self._offer({other: entry for other, entry in self._loaded.items() if other != name})

    def withhold(self, names: frozenset[str]) -> None:
        """Offer these models no more, and those again that were withheld before."""
        with self._changing:
            if names != self._unloaded:
                self._unloaded = names
                self._offer(self._loaded)

    def find(self, name: str) -> Entry | None:
        """Return what is loaded of a model, withheld or not, or None where nothing is known."""
        return self._loaded.get(name)

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
        if entry.tensor is not None:
            raise ArtifactNotFoundError(
                f"{name} takes tensors, not records: POST its values to {PATH.format(model=name)}."
            )
        if entry.predictor is None:
            raise ArtifactRejectedError(entry.reason)
        return entry.predictor

    def default(self) -> Predictor:
        """Return the default model; raises ArtifactNotFoundError, ArtifactRejectedError."""
        if self.default_name is None:
            raise self.no_default()
        return self.predictor(self.default_name)

    def no_default(self) -> ArtifactNotFoundError:
        """Return the error to raise where no model is the default."""
        return ArtifactNotFoundError(
            "No model is the default: name one in API_DEFAULT_MODEL, or ask for one by its own "
            f"path, /v1/models/{{model}}/predict; there are: {self._known()}."
        )

    def _offer(self, loaded: dict[str, Entry]) -> None:
        """Take over a whole new set of models; each attribute is replaced, none is changed."""
        self._loaded = loaded
        self._entries = entries = {
            name: withheld(entry) if name in self._unloaded else entry
            for name, entry in loaded.items()
        }
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
        uploads = (entry for entry in self._entries.values() if entry.origin == "uploaded")
        broken = {each.name: each.reason for each in uploads if not (each.ready or each.unloaded)}
        return broken | {name: each.refused for name, each in self._entries.items() if each.refused}

    def unloaded(self) -> list[str]:
        """Return the names of the models that were taken out of service by hand."""
        return [entry.name for entry in self._entries.values() if entry.unloaded]

    def versions(self) -> dict[str, str]:
        """Return the version of each model that is ready, by name."""
        ready = (entry for entry in self._entries.values() if entry.ready)
        return {entry.name: entry.version or "" for entry in ready}

    def shortcomings(self) -> list[Problem]:
        """Return why the service is not ready, one problem per model; empty when it is.

        An upload that is broken is told by `refusals`: it must not take the others out of service.
        """
        found = [
            Problem(entry.name, entry.reason)
            for entry in self._entries.values()
            if not (entry.ready or entry.unloaded) and entry.origin == "exported"
        ]
        if not self._entries:
            found.append(Problem("models", "no model is exported; fetch them with: dvc pull"))
        if self._chosen is not None and self._chosen not in self._entries:
            text = f"API_DEFAULT_MODEL is {self._chosen!r}, and there are: {self._known()}"
            found.append(Problem("default", text))
        return found


def withheld(entry: Entry) -> Entry:
    """Return what is offered of a model that was taken out of service by hand."""
    reason = f"{entry.name} is unloaded; load it: POST /v2/repository/models/{entry.name}/load"
    return replace(entry, predictor=None, tensor=None, reason=reason, unloaded=True)


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
    """Return the one model whose signature says `default`, or the only one there is.

    An upload is never the default unasked: it would take the path from another one.
    """
    exported = {name: entry for name, entry in entries.items() if entry.origin == "exported"}
    declared = [
        name for name, entry in exported.items() if entry.signature and entry.signature.default
    ]
    candidates = declared or list(exported)
    return candidates[0] if len(candidates) == 1 else None
