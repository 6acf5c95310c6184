"""`python -m api.models.trial`: a file and its name → whether it can be served, as JSON.

It runs as a process of its own, with limits on memory and time, so that whatever a model does
while it is read, opened and run for the first time, it does to nobody else. The audit comes first;
a model with faults is not opened. A tensor model has its first run on values as dull as can be.
"""

import json
import resource
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from api.inference import sessions
from api.inference.graph import STRING, Array, Contract, GraphFile, TensorSpec
from api.inference.onnx_file import model_class
from api.inference.sessions import OpenGraph, one_line
from api.inference.tensors import sizes as sizes_of
from api.models.audit import audit, limits_of
from api.models.catalogue import Upload
from api.models.opening import opened
from api.models.trials import Fault, Outcome
from api.sandbox.limits import drop_privileges, lower, occupied_bytes
from api.sandbox.wire import starved
from treeline.artifact import Prediction
from treeline.contract.encoding import Matrix
from treeline.contract.signature import Signature
from treeline.errors import ArtifactRejectedError, Problem, TreelineError

# What free dimensions are tried as: a network may have to shrink a picture a few times.
SIZES = (1, 2, 8, 32, 224)
COUNTS = [size for size in range(3, 129) if size not in SIZES]  # of features, which may be free too
RANKS = (2, 1, 4, 3, 0)  # what is tried where a graph says none


def dry_run(model: OpenGraph) -> None:
    """Run a model on zeros and ones; raises ArtifactRejectedError where none of them pass.

    Where the graph says nothing of the shape of an input, nobody can know which ones would.
    """
    refusal = ""
    for given in trials(model):
        try:
            model.run(given)
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime raises a class for each kind of fault
            refusal = one_line(error)
        else:
            return
    if all(spec.shape is not None for spec in model.contract.inputs):
        raise ArtifactRejectedError(
            f"its dry run failed, with free dimensions of 1 to {COUNTS[-1]} and {SIZES[-1]}: "
            f"{refusal}; declare dimensions that must have another size as fixed"
        )


def trials(model: OpenGraph) -> Iterator[dict[str, Array]]:
    """Return all that a model is given until it runs."""
    for inputs in with_ranks(model.contract.inputs):
        for sizes in attempts(model, inputs):
            for value in (0, 1):
                yield feeds(model, inputs, sizes, value)


def with_ranks(inputs: Sequence[TensorSpec]) -> Iterator[Sequence[TensorSpec]]:
    """Return inputs with ranks for those of which none is known, all alike."""
    if all(spec.shape is not None for spec in inputs):
        yield inputs
        return
    for rank in RANKS:
        shape = (None,) * rank
        yield [spec if spec.shape is not None else replace(spec, shape=shape) for spec in inputs]


def attempts(model: OpenGraph, inputs: Sequence[TensorSpec]) -> Iterator[dict[str, int]]:
    """Return sizes of the free dimensions to try, by their name; one name has one size.

    First as a batch of one, whose first axis is 1 while the others grow; then all alike; then as
    one row of each number of features.
    """
    free = [axes_of(model, spec) for spec in inputs]
    names = {name for axes in free for name in axes.values()}
    batch = {axes[0] for axes in free if 0 in axes}
    if not names:
        yield {}
        return
    for size in SIZES:
        yield {name: 1 if name in batch else size for name in names}
    for size in SIZES[1:4]:
        yield dict.fromkeys(names, size)
    for size in COUNTS:
        yield {name: 1 if name in batch else size for name in names}


def axes_of(model: OpenGraph, spec: TensorSpec) -> dict[int, str]:
    """Return the names of the free dimensions of an input by axis."""
    named = model.free[spec.name]
    return {
        axis: named.get(axis, f"{spec.name}.{axis}")
        for axis, size in enumerate(sizes_of(spec))
        if size is None
    }


def feeds(
    model: OpenGraph, inputs: Sequence[TensorSpec], sizes: dict[str, int], value: int
) -> dict[str, Array]:
    """Return arrays full of one value, for all inputs."""
    given = {}
    for spec in inputs:
        axes = axes_of(model, spec)
        shape = [
            sizes[axes[axis]] if size is None else size for axis, size in enumerate(sizes_of(spec))
        ]
        if spec.dtype == STRING:
            given[spec.name] = np.full(shape, "", dtype=object)
        else:
            given[spec.name] = np.full(shape, value, dtype=spec.dtype)
    return given


REASON_CHARACTERS = 2000  # characters of a reason, which may repeat what the file says


class Question(BaseModel):
    """What is to be tried, and the limits."""

    name: str
    file: Path
    upload: Upload
    signature: Path | None = None
    memory_bytes: int
    seconds: int


def main(question: Question) -> Outcome:
    """Audit, open and run a model."""
    lower(resource.RLIMIT_CPU, question.seconds)
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_FSIZE, 0)
    drop_privileges()
    lower(resource.RLIMIT_AS, occupied_bytes() + question.memory_bytes)
    signature = None
    try:
        problems, signature = judged(question)
    except MemoryError:
        problems = [without_memory(question)]
    except TreelineError as error:
        refusal = Problem("model", str(error)[:REASON_CHARACTERS])
        problems = [without_memory(question) if starved(error) else refusal]
    return Outcome(faults=[Fault(**fault_of(problem)) for problem in problems], signature=signature)


def judged(question: Question) -> tuple[list[Problem], str | None]:
    """Return what is wrong with a model, and the signature it carries.

    Raises TreelineError and MemoryError.
    """
    graph = GraphFile(question.name, str(question.file), question.upload.sha256)
    payload = sessions.read(graph)
    parser = model_class()
    problems = audit(payload, parser, limits_of(parser))
    if problems:
        return problems, None
    running = sessions.OpenGraph(question.name, payload)
    signature = Signature.read(question.signature) if question.signature is not None else None
    entry = opened(graph, question.upload, Here(running), signature=signature)
    if entry.tensor is not None:
        dry_run(running)
    return [], running.contract.signature


class Here:
    """Runs the graph of this trial in this process."""

    def __init__(self, graph: sessions.OpenGraph) -> None:
        self._graph = graph

    def contract(self, graph: GraphFile) -> Contract:
        """Return what it takes and gives."""
        return self._graph.contract

    def predict(self, graph: GraphFile, matrix: Matrix) -> Prediction:
        """Predict for a float32 matrix of shape (n_rows, n_features)."""
        return self._graph.predict(matrix)

    async def predict_apart(self, graph: GraphFile, matrix: Matrix) -> Prediction:
        """Predict likewise."""
        return self.predict(graph, matrix)


def fault_of(problem: Problem) -> dict[str, object]:
    """Return what the service tells of a problem."""
    return {"place": problem.place, "message": problem.message, "value": problem.value}


def without_memory(question: Question) -> Problem:
    """Return the problem of a model that needs more memory than it may have."""
    return Problem(
        "model",
        f"needs more than {question.memory_bytes} bytes of memory to be tried; make it smaller, "
        "or raise API_AUDIT_MEMORY_BYTES",
    )


if __name__ == "__main__":
    outcome = main(Question.model_validate_json(sys.argv[1]))
    sys.stdout.write(json.dumps(outcome.model_dump()) + "\n")
