"""The models that are served: everything the stores hold, loaded, or the reason why it is not."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from api.errors import CIRCUMSTANCES, NameTakenError
from api.inference.images import ImageInput
from api.inference.record import Predictor
from treeline.contract.features import Closed
from treeline.contract.signature import VERSION_DIGITS, Sha256, Signature
from treeline.errors import (
    ArtifactNotFoundError,
    ArtifactRejectedError,
    Problem,
    SignatureUncheckedError,
    TreelineError,
)
from treeline.jobs.documents import JobLineage

if TYPE_CHECKING:
    from api.inference.graph import TensorModel


Origin = Literal["exported", "uploaded", "registry"]

logger = logging.getLogger(__name__)

DEFAULT_PATH = "/v1/predict"
PATH = "/v1/models/{model}/predict"
NO_MODELS = (  # a clean clone has no remote to fetch from
    "no model is exported; make them with: make repro, or, where a DVC remote is configured, "
    "fetch them with: dvc pull"
)

Description = Annotated[str, Field(max_length=10_000)]


class Changes(Closed):
    """What can be changed of an uploaded model; what is left out stays as it is."""

    description: Description | None = None
    image: ImageInput | None = Field(
        default=None, description="null: it takes pictures no more; left out: as it was"
    )


class Upload(Closed):
    """Which file is served under a name, what its uploader says of it, and what job made it."""

    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]
    uploaded: datetime
    description: str | None = None
    image: ImageInput | None = None
    job: JobLineage | None = None

    @property
    def version(self) -> str:
        """The version of the file: the first digits of its SHA-256."""
        return self.sha256[:VERSION_DIGITS]


def check_owner(name: str, there: Upload | None, owner: str, *, is_there: bool) -> None:
    """Raise NameTakenError for a name that jobs of `owner` may not give a model.

    `there` is what is known of the upload that has it, where `is_there` tells that a model does.
    """
    job = None if there is None else there.job
    if is_there and (job is None or job.owner != owner):
        raise NameTakenError(
            f"{name!r} was uploaded, or made by a job of another key, and jobs of this one do "
            "not replace it; give another name, or delete it."
        )


@dataclass(frozen=True)
class Entry:
    """One model: its contract as far as it can be read, and what answers, or a reason.

    A model with a signature has a predictor, one without it is a tensor model. `upload` is what
    the store knows of an uploaded one. `refused` says why what lies in its place on disk now is
    not served instead. `unloaded` is one that was taken out of service by hand. `declared` is one
    of a registry that a setting names, so that the service is not ready without it. `unchecked` is
    one whose reason passes by itself: it is to be tried again as it is.
    """

    name: str
    signature: Signature | None = None
    predictor: Predictor | None = None
    reason: str = ""
    refused: str = ""
    tensor: "TensorModel | None" = None
    origin: Origin = "exported"
    upload: Upload | None = None
    unloaded: bool = False
    declared: bool = False
    unchecked: bool = False

    @property
    def ready(self) -> bool:
        """Whether it answers."""
        return self.predictor is not None or self.tensor is not None

    @property
    def vital(self) -> bool:
        """Whether the service is ready only if this model is."""
        return self.origin == "exported" or self.declared

    @property
    def version(self) -> str | None:
        """The version of the model, where it is known."""
        if self.tensor is not None:
            return self.tensor.version
        return self.signature.version if self.signature is not None else None

    def or_former(self, former: "Entry | None") -> "Entry":
        """Return itself, or, where only the former one answers, that with the reason why."""
        if self.ready or former is None or not former.ready:
            return self
        return replace(former, refused=self.reason)


class Catalogue:
    """Models by name, and which of them is the default.

    Models on disk change one after the other. Which is the default is settled when all of a change
    are there: in between, one that stays alone for a moment would answer in another one's place.
    """

    def __init__(self, entries: Mapping[str, Entry], *, default: str | None = None) -> None:
        """Offer `entries`; `default` names one of them, None leaves it to their signatures."""
        self._chosen = default
        self._changing = Lock()  # models are exported and uploaded at the same moment
        self._unloaded: frozenset[str] = frozenset()
        self._registry: dict[str, Entry] = {}
        self._awaited: dict[str, str] = {}
        self._declared = declared_default(entries)
        self._declared_above: str | None = None
        self._offer(dict(entries))

    def put(self, entry: Entry) -> None:
        """Offer a model, in the place of the one of that name; a request sees one or the other.

        Which model is the default stays as it is: see settle.
        """
        with self._changing:
            self._offer(dict(sorted({**self._loaded, entry.name: entry}.items())))

    def remove(self, name: str) -> None:
        """Offer a model no more."""
        with self._changing:
            self._offer({other: entry for other, entry in self._loaded.items() if other != name})

    def settle(self, *, gone: Collection[str] = (), missed: Collection[str] = ()) -> None:
        """Offer those that are `gone` no more, and find out which model is the default; one step.

        One that is `missed`, and may come back, gives way to another one that says it is.
        """
        with self._changing:
            left = {name: entry for name, entry in self._loaded.items() if name not in gone}
            there = {name: entry for name, entry in left.items() if name not in missed}
            says_so = any(map(says_default, there.values()))
            self._declared = declared_default(there if says_so else left)
            self._offer(left)

    def withhold(self, names: frozenset[str]) -> None:
        """Offer these models no more, and those again that were withheld before."""
        with self._changing:
            if names != self._unloaded:
                self._unloaded = names
                self._offer(self._loaded)

    def overlay(self, entries: Mapping[str, Entry], *, complete: bool) -> None:
        """Offer these models of the registry in the place of those on disk.

        One that is not ready leaves the one on disk where it is. Until they are `complete`, none of
        them becomes the default.
        """
        with self._changing:
            self._registry = dict(entries)
            if complete:
                self._declared_above = declared_default(self._above(self._loaded))
            self._offer(self._loaded)

    def wait_for(self, place: str, reason: str) -> None:
        """Note why the service is not ready whatever is loaded; an empty reason ends that.

        `place` is what is waited for, and what `/readyz` names.
        """
        with self._changing:
            others = {other: why for other, why in self._awaited.items() if other != place}
            self._awaited = {**others, place: reason} if reason else others

    def find(self, name: str) -> Entry | None:
        """Return what is loaded of a model on disk, offered or not, None where there is none."""
        return self._loaded.get(name)

    def version_in_git(self, name: str) -> str | None:
        """Return the version of a model that was exported, offered or not."""
        entry = self._loaded.get(name)
        return entry.version if entry is not None and entry.origin == "exported" else None

    def registered(self) -> list[str]:
        """Return the names of all models that the registry gives, offered or not."""
        return list(self._registry)

    def exported(self) -> list[str]:
        """Return the names of all models that were exported, offered or not."""
        return [name for name, entry in self._loaded.items() if entry.origin == "exported"]

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
        self._entries = {
            name: withheld(entry) if name in self._unloaded else entry
            for name, entry in sorted({**loaded, **self._above(loaded)}.items())
        }
        self.default_name = self._chosen
        if self._chosen is None:  # what is on disk comes first: a registry may gain a model any day
            self.default_name = self._declared or self._declared_above
        self.by_path = self._paths()

    def _above(self, loaded: Mapping[str, Entry]) -> dict[str, Entry]:
        """Return what is offered of the models of the registry."""
        return {name: laid_over(loaded.get(name), each) for name, each in self._registry.items()}

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
        others = (entry for entry in self._entries.values() if not entry.vital)
        broken = {each.name: each.reason for each in others if not (each.ready or each.unloaded)}
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
        problems = [
            Problem(entry.name, entry.reason)
            for entry in self._entries.values()
            if not (entry.ready or entry.unloaded) and entry.vital
        ]
        problems += [Problem(place, reason) for place, reason in self._awaited.items()]
        if not self._awaited and not self._entries:
            problems.append(Problem("models", NO_MODELS))
        if self._chosen is not None and self._chosen not in self._entries:
            text = f"API_DEFAULT_MODEL is {self._chosen!r}, and there are: {self._known()}"
            problems.append(Problem("default", text))
        return problems


def entry_or_reason(
    name: str,
    origin: Origin,
    load: Callable[[], Entry],
    *,
    later: tuple[type[TreelineError], ...] = CIRCUMSTANCES,
) -> Entry:
    """Load one model, or remember why it cannot be served.

    Raises errors of `later`: they come from what runs graphs, and say nothing of this model.
    """
    try:
        return load()
    except later:
        raise
    except TreelineError as error:
        logger.warning("%s (%s) is not served: %s", name, origin, error)
        unchecked = isinstance(error, SignatureUncheckedError)
        return Entry(name, reason=str(error), origin=origin, unchecked=unchecked)
    except Exception as error:  # whatever one model does, the others must be served
        logger.exception("%s (%s) is not served", name, origin)
        return Entry(name, reason=f"{name}: {type(error).__name__}: {error}", origin=origin)


def withheld(entry: Entry) -> Entry:
    """Return what is offered of a model that was taken out of service by hand."""
    reason = f"{entry.name} is unloaded; load it: POST /v2/repository/models/{entry.name}/load"
    return replace(entry, predictor=None, tensor=None, reason=reason, unloaded=True)


def laid_over(below: Entry | None, entry: Entry) -> Entry:
    """Return what is offered of a model of the registry above one on disk of the same name."""
    if entry.ready or below is None or not below.ready:
        return entry
    return replace(below, refused=below.refused or entry.reason)


def declared_default(entries: Mapping[str, Entry]) -> str | None:
    """Return the one model whose signature says `default`, or the only one there is.

    An upload is never the default unasked: it would take the path from another one.
    """
    declared = [name for name, entry in entries.items() if says_default(entry)]
    others = [name for name, entry in entries.items() if entry.origin != "uploaded"]
    candidates = declared or others
    return candidates[0] if len(candidates) == 1 else None


def says_default(entry: Entry) -> bool:
    """Tell whether the signature of a model that is no upload says `default`."""
    signature = None if entry.origin == "uploaded" else entry.signature
    return signature is not None and signature.default
