"""Models that rest: of all that a worker serves, those asked last are in memory, so many of them.

A model that rests keeps its contract, by which records are read and answers are worded; what takes
memory, its graph, is opened again from disk, checked as at the start, when somebody asks. Every
model is opened and tried once when the service starts, so that it is known to answer.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import cast

from api.errors import VersionAwaitedError
from treeline.artifact import Prediction, Runtime
from treeline.artifact.store import ArtifactStore, Model, Trust
from treeline.contract.encoding import Matrix
from treeline.contract.signature import Signature


class RestingRuntime:
    """An artifact that is in memory while it is asked; it may be asked from any thread."""

    def __init__(self, model: Model, load: Callable[[], Model], store: "RestingStore") -> None:
        self._runtime: Runtime | None = model.runtime
        self._signature: Signature = model.signature
        self._load, self._store = load, store
        self._waking = Lock()

    def rests(self) -> bool:
        """Tell whether to ask it takes as long as to load it."""
        return self._runtime is None

    def rest(self) -> None:
        """Give its memory back; runs under way end with what they have."""
        self._runtime = None

    def predict(self, matrix: Matrix) -> Prediction:
        """Predict for a float32 matrix of shape (n_rows, n_features), loaded first where it rests.

        Raises ArtifactError where it cannot be loaded, and VersionAwaitedError where another
        version is on disk, which is about to be served.
        """
        runtime = self._runtime
        if runtime is None:
            runtime = self._woken()
        self._store.used(self)
        return runtime.predict(matrix)

    def embedded_signature(self) -> str | None:
        """Return None: what it carries was read when it was opened."""
        return None

    def _woken(self) -> Runtime:
        with self._waking:  # who asks meanwhile waits for the same
            if (runtime := self._runtime) is None:
                model = self._load()
                if model.signature != self._signature:
                    name = self._signature.name
                    raise VersionAwaitedError(f"{name}: a new version is being loaded; ask again.")
                runtime = self._runtime = model.runtime
            return runtime


class RestingStore(ArtifactStore):
    """A store whose models rest, but for the `most` that were asked last."""

    def __init__(
        self,
        root: Path,
        *,
        admitted: frozenset[str],
        left_out: Collection[str],
        trust: Trust | None,
        most: int,
    ) -> None:
        super().__init__(root, admitted=admitted, left_out=left_out, trust=trust)
        self._most = most
        self._awake: OrderedDict[RestingRuntime, None] = OrderedDict()
        self._changing = Lock()

    def load(self, name: str) -> Model:
        """Check, open and try a model, which may rest; raises as that of any store does."""
        model = super().load(name)
        runtime = RestingRuntime(model, lambda: ArtifactStore.load(self, name), self)
        self.used(runtime)
        return replace(
            model, runtime=cast(Runtime, runtime)
        )  # but for `load`: it is loaded already

    def used(self, runtime: RestingRuntime) -> None:
        """Note that a model was asked; the one that was asked longest ago may rest."""
        with self._changing:
            self._awake[runtime] = None
            self._awake.move_to_end(runtime)
            others = [self._awake.popitem(last=False)[0] for _ in range(self._excess())]
        for other in others:
            other.rest()

    def _excess(self) -> int:
        return max(0, len(self._awake) - self._most)
