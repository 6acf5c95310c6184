"""`python -m api.uploads.trial`: a file and its name → whether it can be served, as JSON.

It runs as a process of its own, with limits on memory and time, so that whatever a model does
while it is read, opened and run for the first time, it does to nobody else. The audit comes first;
a model with faults is not opened.
"""

import json
import resource
import sys
from pathlib import Path

from pydantic import BaseModel

from api.catalogue.declaration import Upload
from api.sandbox.limits import drop_privileges, lower, occupied_bytes
from api.sandbox.wire import starved
from api.tensors import sessions
from api.tensors.graph import Contract, GraphFile
from api.tensors.protobuf import model_class
from api.uploads.audit import audit
from api.uploads.dry_run import dry_run
from api.uploads.limits import limits_of
from api.uploads.opening import opened
from api.uploads.outcome import Fault, Outcome
from treeline.artifact.prediction import Prediction
from treeline.contract.encoding import Matrix
from treeline.contract.signature import Signature
from treeline.errors import Problem, TreelineError

MOST_TOLD = 2000  # characters of a reason, which may repeat what the file says


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
        problems, signature = found(question)
    except MemoryError:
        problems = [without_memory(question)]
    except TreelineError as error:
        told = Problem("model", str(error)[:MOST_TOLD])
        problems = [without_memory(question) if starved(error) else told]
    return Outcome(faults=[Fault(**fault_of(problem)) for problem in problems], signature=signature)


def found(question: Question) -> tuple[list[Problem], str | None]:
    """Return what is wrong with a model, and the signature it carries.

    Raises TreelineError and MemoryError.
    """
    graph = GraphFile(question.name, str(question.file), question.upload.sha256)
    payload = sessions.read(graph)
    parser = model_class()
    problems = audit(payload, parser, limits_of(parser))
    if problems:
        return problems, None
    found = sessions.OpenGraph(question.name, payload)
    signature = Signature.read(question.signature) if question.signature is not None else None
    entry = opened(graph, question.upload, Here(found), signature=signature)
    if entry.tensor is not None:
        dry_run(found)
    return [], found.contract.signature


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
