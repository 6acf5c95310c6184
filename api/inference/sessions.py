"""A stranger's graph, opened and run: in the processes beside a worker, and in a trial.

No worker calls what is here; it has it called by `api.inference.graph_pool`. Arrays have the dtype
that their `TensorSpec` names; strings are arrays of objects.
"""

import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime

from api.inference.graph import (
    Array,
    Contract,
    GraphFile,
    Output,
    TensorSpec,
    free_axes,
)
from api.inference.images import ImageInput, array_of
from api.inference.tensors import VALUES, Values, written
from api.sandbox.wire import starved
from treeline.artifact import Prediction
from treeline.artifact.onnx import SIGNATURE_KEY
from treeline.contract.encoding import Matrix
from treeline.errors import ArtifactRejectedError, InvalidInputError, Problem
from treeline.registry import resolve

# As in treeline.artifact.onnx: asked for once, when onnxruntime is imported; so this comes first.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


T = TypeVar("T")
READERS = {"contract": "api.inference.onnx_file:contract_of"}
MOST_OPEN = 8
# Where in its own source onnxruntime found a fault, with the signature of a function of it.
OWN_PLACES = re.compile(r"/\S+?:\d+ [^\n]*?\)(?: const)? (?=[A-Z(])")
# It would compute, and keep, what a few bytes say at the moment they are read.
DISABLED = ["ConstantFolding"]


class OpenGraph:
    """A graph in memory, on one thread."""

    def __init__(self, name: str, payload: bytes) -> None:
        """Raises ArtifactRejectedError for what cannot be opened, or no plain array can carry."""
        self._session = open_session(payload, place=name)
        carried = self._session.get_modelmeta().custom_metadata_map.get(SIGNATURE_KEY)
        if carried is not None:
            self.contract = Contract(signature=carried)
            self._check_typed(name)
            return
        self.free = {each.name: free_axes(each) for each in self._session.get_inputs()}
        """By input, the names of its free dimensions by axis; those of one name have one size."""
        read_contract = resolve(READERS, "contract", place="graph")
        self.contract = read_contract(name, self._session, payload)
        if not self.contract.inputs:
            raise ArtifactRejectedError(f"{name}: its graph has no input to give values to")

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Output]:
        """Return all outputs by name; whatever onnxruntime refuses is raised as it is."""
        outputs = self._session.run(None, dict(feeds))
        return {
            spec.name: unzipped(each, spec) if spec.classes else each
            for spec, each in zip(self.contract.outputs, outputs, strict=True)
        }

    def predict(self, matrix: Matrix) -> Prediction:
        """Predict for a float32 matrix of shape (n_rows, n_features)."""
        names = [output.name for output in self._session.get_outputs()]
        outputs = dict(zip(names, self._session.run(None, {"features": matrix}), strict=True))
        return Prediction(
            labels=outputs.get("label"), scores=outputs.get("scores"), values=outputs.get("value")
        )

    def _check_typed(self, name: str) -> None:
        if [entry.name for entry in self._session.get_inputs()] != ["features"]:
            raise ArtifactRejectedError(
                f"{name}: a graph with a signature must have one input, `features`"
            )


OPEN: OrderedDict[str, OpenGraph] = OrderedDict()


def opened(graph: GraphFile) -> OpenGraph:
    """Return a graph, opened unless it is already; raises ArtifactRejectedError."""
    if graph.sha256 not in OPEN:
        while len(OPEN) >= MOST_OPEN:
            OPEN.popitem(last=False)
        OPEN[graph.sha256] = OpenGraph(graph.name, read(graph))
    OPEN.move_to_end(graph.sha256)
    return OPEN[graph.sha256]


def read(graph: GraphFile) -> bytes:
    """Return the bytes of a graph, read once; raises ArtifactRejectedError."""
    try:
        payload = Path(graph.path).read_bytes()
    except OSError as error:
        raise ArtifactRejectedError(
            f"{graph.name}: its file cannot be read ({type(error).__name__}); upload it again"
        ) from error
    if hashlib.sha256(payload).hexdigest() != graph.sha256:
        raise ArtifactRejectedError(
            f"{graph.name}: its file is not what was uploaded; upload it again"
        )
    return payload


def with_room(graph: GraphFile, work: Callable[[OpenGraph], T]) -> T:
    """Do some work with a graph; where memory is wanting, once more without any other one."""
    try:
        return work(opened(graph))
    except Exception as error:
        if not starved(error) or set(OPEN) <= {graph.sha256}:
            raise
    OPEN.clear()
    return work(opened(graph))


def contract(graph: GraphFile) -> Contract:
    """Return what a graph takes and gives, of the file as it is now.

    Raises ArtifactRejectedError.
    """
    if graph.sha256 in OPEN:
        read(graph)
    return with_room(graph, lambda opened: opened.contract)


def contract_now(graph: GraphFile) -> Contract:
    """Return what a graph takes and gives, of the file as it was opened.

    Raises ArtifactRejectedError.
    """
    return with_room(graph, lambda opened: opened.contract)


def compute(graph: GraphFile, feeds: Mapping[str, Array], place: str) -> dict[str, Output]:
    """Return the outputs by name; raises InvalidInputError at `place`, as only inputs can be wrong.

    What is wrong with the graph itself its trial has shown.
    """

    def work(opened: OpenGraph) -> dict[str, Output]:
        try:
            return opened.run(feeds)
        except Exception as error:  # onnxruntime raises a class of its own for each kind of fault
            shapes = ", ".join(f"{name} {list(each.shape)}" for name, each in feeds.items())
            text = f"the model cannot compute {shapes}: {one_line(error)}; give what fits its graph"
            raise InvalidInputError([Problem(place, text)]) from error

    return with_room(graph, work)


def predict(graph: GraphFile, matrix: Matrix) -> Prediction:
    """Predict for a float32 matrix of shape (n_rows, n_features)."""
    return with_room(graph, lambda outputs: outputs.predict(matrix))


def answer_values(graph: GraphFile, body: bytes, head: Mapping[str, str]) -> bytes:
    """Return the JSON of an answer to one of values.

    Raises MalformedBodyError and InvalidInputError.
    """
    known = contract_now(graph)
    outputs = compute(graph, Values(known.inputs).feeds(body), VALUES)
    return written(outputs, head, known.outputs)


def answer_picture(
    graph: GraphFile, body: bytes, image: ImageInput, head: Mapping[str, str]
) -> bytes:
    """Return the JSON of an answer to a picture.

    Raises MalformedBodyError, UnsupportedMediaTypeError and InvalidInputError.
    """
    known = contract_now(graph)
    (spec,) = known.inputs
    feeds = {spec.name: array_of(body, image, spec)}
    return written(compute(graph, feeds, VALUES), head, known.outputs)


def open_session(payload: bytes, *, place: str) -> onnxruntime.InferenceSession:
    """Open the bytes of a graph that stand at `place`; raises ArtifactRejectedError."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # processes are the parallelism
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep the memory of the largest request for ever
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            payload, options, providers=["CPUExecutionProvider"], disabled_optimizers=DISABLED
        )
    except Exception as error:  # onnxruntime raises a class of its own for each kind of fault
        raise ArtifactRejectedError(
            f"{place}: onnxruntime cannot open it: {one_line(error)}"
        ) from error


def unzipped(rows: list[dict[Any, float]], spec: TensorSpec) -> Array:
    """Return the numbers of a ZipMap, float32 of shape (n_rows, n_classes)."""
    table = [[row[name] for name in spec.classes] for row in rows]
    return np.array(table, dtype=np.float32).reshape(len(rows), len(spec.classes))


def one_line(error: Exception) -> str:
    """Return what onnxruntime says of a fault, on one line of bearable length."""
    text = " ".join(OWN_PLACES.sub("", str(error)).split())
    return text if len(text) <= 400 else text[:400] + "…"
