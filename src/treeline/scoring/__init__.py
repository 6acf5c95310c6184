"""Parquet + an exported model → Parquet with a prediction for each row: which engines can."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from treeline.artifact import RUNTIMES
from treeline.artifact.store import ArtifactStore, Model
from treeline.contract.encoding import Encoder
from treeline.contract.signature import Signature
from treeline.registry import resolve

SCORERS = {
    "local": "treeline.scoring.locally:score",
    "spark": "treeline.scoring.on_spark:score",
}


@dataclass(frozen=True)
class Packed:
    """A model as it travels to another process: the JSON of its signature and its checked files."""

    document: str
    files: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Job:
    """What is to be scored: a table in, Parquet out, and the columns that go along.

    `source` is a file (Parquet or CSV) or a folder of Parquet files, `target` what is replaced once
    every row is scored. With `reporting` a bad row gets its reasons in place of a prediction;
    without, it refuses all.
    """

    source: Path
    target: Path
    keep: tuple[str, ...] = ()
    reporting: bool = False


class Scorer(Protocol):
    """Scores a job on its engine."""

    def __call__(self, model: Packed, job: Job) -> int:
        """Return the number of rows scored; raises SourceError, DataError and EngineError."""


def packed(root: Path, name: str, *, admitted: frozenset[str]) -> Packed:
    """Return a model exported under `root`, checked and tried as the service does when it starts.

    Raises ArtifactNotFoundError and ArtifactRejectedError.
    """
    signature = ArtifactStore(root, admitted=admitted).load(name).signature
    files = tuple((file, (root / name / file).read_bytes()) for file in signature.files)
    return Packed(signature.document(), files)


@lru_cache(maxsize=1)
def unpacked(model: Packed) -> Model:
    """Return the model in memory: one session for each process, however many its tasks."""
    signature = Signature.parse(model.document, place="signature.json")
    files: Mapping[str, bytes] = dict(model.files)
    runtime = resolve(RUNTIMES, signature.runtime, place=f"{signature.name}: runtime").load(files)
    return Model(signature=signature, encoder=Encoder(signature.features), runtime=runtime)
