"""One part of a batch → its part of the answer: what the processes beside a worker do.

Where such a process has the model, it does all. Where not, the model of the worker predicts between
two calls: what a stranger has sent is read apart in any case.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from api.batch import reading, writing
from api.batch.jobs import EncodedPart, Job, ModelAbsent, Part, Payload
from api.batch.predicting import predict
from api.batch.rows import Contract
from treeline.artifact.prediction import Prediction
from treeline.artifact.store import ArtifactStore, Model
from treeline.contract.encoding import Encoder
from treeline.contract.signature import Signature
from treeline.errors import ArtifactError
from treeline.registry import resolve

MOST_MODELS = 8  # in the memory of one process
ARROW = {"prepare": "api.batch.arrow:prepare"}
MODELS: dict[tuple[Path, str, str], tuple[Model, Contract]] = {}


def prepare() -> None:
    """Make a new process ready to read batches, before it is limited."""
    if find_spec("pyarrow") is not None:
        resolve(ARROW, "prepare", place="Content-Type", extra="arrow")()


def compute_here(job: Job, payload: Payload, first: int) -> Part | ModelAbsent:
    """Read, predict and write a part, where the model is here; raises TreelineError."""
    found = model_of(job)
    if found is None:
        return ModelAbsent()
    model, contract = found
    taken = reading.take(contract, job, payload, first)
    if isinstance(taken, Part):
        return taken
    return writing.finish(model.signature, job, taken, predict(model, taken.matrix))


def begin_here(signature: str, job: Job, payload: Payload) -> bytes:
    """Check the columns of a table, and return the head of the answer; raises TreelineError."""
    contract = contract_of(signature)
    reading.inspect(contract, job, payload)
    return writing.head(contract.signature, job)


def take_here(signature: str, job: Job, payload: Payload, first: int) -> EncodedPart | Part:
    """Read a part whose model is elsewhere; raises TreelineError."""
    return reading.take(contract_of(signature), job, payload, first)


def finish_here(signature: str, job: Job, taken: EncodedPart, prediction: Prediction) -> Part:
    """Write a part whose model is elsewhere; raises UnusableAnswerError."""
    return writing.finish(contract_of(signature).signature, job, taken, prediction)


def model_of(job: Job) -> tuple[Model, Contract] | None:
    """Return the model of a job in this process, None where the very one is not on disk."""
    key = (job.model_dir, job.name, job.version)
    if key not in MODELS:
        try:
            model = ArtifactStore(job.model_dir, admitted=job.admitted).load(job.name)
        except (ArtifactError, OSError):
            return None
        if model.signature.version != job.version:
            return None
        while len(MODELS) >= MOST_MODELS:
            MODELS.pop(next(iter(MODELS)))
        MODELS[key] = model, Contract(model.signature, model.encoder)
    return MODELS[key]


@lru_cache(maxsize=MOST_MODELS)
def contract_of(signature: str) -> Contract:
    """Return what a signature promises; it is made once for each."""
    read = Signature.model_validate_json(signature)
    return Contract(read, Encoder(read.features))
