"""The explainers of a process beside a worker: each reads the graph of its model once."""

import hashlib
from pathlib import Path

from api.formats.explained import Explained
from api.formats.rows import Job
from api.inference.explanations.background import Background
from api.inference.explanations.explainer import Explainer, Predict, run
from treeline.artifact.store import Model
from treeline.contract.encoding import Matrix
from treeline.contract.signature import Signature
from treeline.registry import resolve

READERS = {"onnx": "api.inference.explanations.exact:exact_of"}
MOST_EXPLAINERS = 4  # in the memory of one process: that of a forest has all of its leaves
EXPLAINERS: dict[tuple[Path, str, str], Explainer] = {}


def explained(job: Job, model: Model, matrix: Matrix, predict: Predict) -> Explained:
    """Explain the answers of a model to rows, float32 of shape (n_rows, n_features).

    `predict` is how the model predicts rows.
    """
    key = (job.model_dir, job.name, job.version)
    if key not in EXPLAINERS:
        while len(EXPLAINERS) >= MOST_EXPLAINERS:
            EXPLAINERS.pop(next(iter(EXPLAINERS)))
        EXPLAINERS[key] = explainer_of(job.model_dir / job.name, model.signature, predict)
    return run(EXPLAINERS[key].of(matrix), predict)


def explainer_of(folder: Path, signature: Signature, predict: Predict) -> Explainer:
    """Return what explains a model whose files lie in a folder."""
    background = Background.of(signature)
    if signature.runtime not in READERS or (graph := graph_of(folder, signature)) is None:
        return Explainer(signature, background=background)
    exact_of = resolve(READERS, signature.runtime, place=f"{signature.name}: runtime")
    exact = exact_of(graph, signature, background, predict)
    return Explainer(signature, background=background, exact=exact)


def graph_of(folder: Path, signature: Signature) -> bytes | None:
    """Return the bytes of the graph that was loaded, None where others lie there by now."""
    for name, digest in signature.files.items():
        if name.endswith(".onnx"):
            payload = (folder / name).read_bytes()
            return payload if hashlib.sha256(payload).hexdigest() == digest else None
    return None
