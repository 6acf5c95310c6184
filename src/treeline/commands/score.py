"""A table and an exported model → Parquet with a prediction for each row.

OUTPUT is replaced in one step when every row is scored. Columns that are no features are let be.
Where rows break the signature nothing is written, unless they are to be reported.
"""

from pathlib import Path

from treeline.registry import resolve
from treeline.scoring import SCORERS, Job, Scorer, packed

MODELS = Path("model")
RUNTIME = "onnx"
ENGINE = "local"


def score(
    model: str, job: Job, *, models: Path = MODELS, runtime: str = RUNTIME, engine: str = ENGINE
) -> int:
    """Score the job by the model exported below `models`; return how many rows there were.

    With the engine `spark` the cluster that SPARK_MASTER names scores; the paths of the job are
    then such that all its workers see, and the target is a folder. Raises TreelineError.
    """
    scorer: Scorer = resolve(SCORERS, engine, place="--engine")
    return scorer(packed(models, model, admitted=frozenset({runtime})), job)
