"""An audited graph, opened apart → what answers: behind its own signature, or as a tensor model.

What a graph says of itself is a claim. Its version is computed from its bytes, and takes the place
of the one that a signature carries.
"""

from functools import partial
from typing import Protocol, cast

from api.errors import CIRCUMSTANCES
from api.inference.graph import Contract, GraphFile, TensorModel
from api.inference.images import misfits
from api.inference.record import Predictor
from api.models.cards import check_lengths
from api.models.catalogue import Entry, Origin, Upload
from treeline.artifact import Prediction, Runtime
from treeline.artifact.store import Model, try_example
from treeline.contract.encoding import Encoder, Matrix
from treeline.contract.signature import Signature
from treeline.errors import ArtifactRejectedError

FILE = "model.onnx"


class Running(Protocol):
    """Where graphs are opened and run: `api.inference.graph_pool`, or a trial."""

    def contract(self, graph: GraphFile) -> Contract:
        """Return what a graph takes and gives; raises ArtifactRejectedError."""

    def predict(self, graph: GraphFile, matrix: Matrix) -> Prediction:
        """Predict for a float32 matrix of shape (n_rows, n_features)."""

    async def predict_apart(self, graph: GraphFile, matrix: Matrix) -> Prediction:
        """Predict likewise, and keep nobody waiting meanwhile."""


class GraphRuntime:
    """A graph behind a signature, wherever it runs."""

    def __init__(self, graph: GraphFile, running: Running) -> None:
        self._graph, self._running = graph, running

    def predict(self, matrix: Matrix) -> Prediction:
        """Predict for a float32 matrix of shape (n_rows, n_features)."""
        return self._running.predict(self._graph, matrix)

    def embedded_signature(self) -> str | None:
        """Return None: what it carries was read when it was opened."""
        return None


def opened(
    graph: GraphFile,
    upload: Upload,
    running: Running,
    *,
    origin: Origin = "uploaded",
    signature: Signature | None = None,
) -> Entry:
    """Open a graph under its name, and try its example; raises ArtifactRejectedError.

    `signature` is the one that lies beside the graph, where one does.
    """
    name = graph.name
    contract = running.contract(graph)
    if signature is None:
        if contract.signature is not None:
            signature = Signature.parse(contract.signature, place=f"{name}: signature")
    elif contract.signature is not None and not signature.is_carried_by(contract.signature):
        raise ArtifactRejectedError(
            f"{name}: the signature inside the graph is not the one beside it; export again"
        )
    if signature is not None:
        if contract.signature is None:
            check_features(name, contract)
        predictor = behind(signature, graph, upload, running)
        return Entry(name, predictor.signature, predictor, origin=origin, upload=upload)
    model = TensorModel(name, upload.version, graph, contract.inputs, contract.outputs)
    if upload.image is not None and (reasons := misfits(upload.image, model.inputs)):
        raise ArtifactRejectedError(f"{name}: {'; '.join(reasons)}")
    return Entry(name, tensor=model, origin=origin, upload=upload)


def check_features(name: str, contract: Contract) -> None:
    """Raise ArtifactRejectedError for a graph that takes something else than features."""
    if [spec.name for spec in contract.inputs] != ["features"]:
        raise ArtifactRejectedError(
            f"{name}: a graph with a signature must have one input, `features`"
        )


def behind(carried: Signature, graph: GraphFile, upload: Upload, running: Running) -> Predictor:
    """Return a model behind a signature, under the name and version that are its own here."""
    name = graph.name
    check_lengths(name, carried)
    if carried.runtime != "onnx":
        raise ArtifactRejectedError(
            f"{name}: its signature is one for {carried.runtime[:20]!r}; export the model again"
        )
    if upload.image is not None:
        raise ArtifactRejectedError(
            f"{name}: its signature says that it takes records, so it cannot take pictures; "
            "leave `image` out"
        )
    own = {
        "name": name,
        "version": upload.version,
        "default": False,
        "files": {FILE: upload.sha256},
    }
    if upload.description is not None:
        own["description"] = upload.description
    signature = carried.model_copy(update=own)
    runtime = cast(Runtime, GraphRuntime(graph, running))  # but for `load`: it is opened already
    model = Model(signature=signature, encoder=Encoder(signature.features), runtime=runtime)
    try:
        try_example(model)
        return Predictor(model, apart=partial(running.predict_apart, graph))
    except ArtifactRejectedError as error:
        if isinstance(error.__cause__, CIRCUMSTANCES):  # of what runs graphs: not of this one
            raise error.__cause__ from None
        raise
