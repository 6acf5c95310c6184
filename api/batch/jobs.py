"""What a worker and the processes beside it say to each other of a batch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from treeline.contract.encoding import Matrix
from treeline.contract.signature import Signature
from treeline.errors import Problem

SPOOLED = frozenset({"arrow", "parquet"})
PART_ROWS = 65_536
PART_CELLS = 1 << 21  # of the rows of a part and of their answers
Payload = bytes | bytearray


@dataclass(frozen=True)
class Job:
    """What is the same for all parts of one batch.

    `names` are the columns of a CSV; `extra` says what becomes of columns that are no features.
    `path` is the file of a table that is read in parts, which is empty where the table is held in
    memory. A table may have `most_rows` rows, and take `memory_bytes` while it is read. `redacted`
    features reach no disk. An `exported` model is one of git's, which is below `model_dir`.
    """

    model_dir: Path
    admitted: frozenset[str]
    name: str
    version: str
    batch_id: str
    given: str
    wanted: str
    most_rows: int
    memory_bytes: int
    part_rows: int = PART_ROWS
    names: tuple[str, ...] = ()
    path: str = ""
    extra: str = "auto"
    reporting: bool = False
    exported: bool = True
    logged: bool = False
    redacted: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Part:
    """What becomes of one part: bytes of the answer, what is wrong with its bad rows, its log."""

    answer: bytes = b""
    rows: int = 0
    bad_rows: int = 0
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    frame: bytes = b""
    ended: bool = False
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class EncodedPart:
    """The rows of a part on their way to a model: float32 codes of the good ones, n_good rows.

    `numbers` of shape (n_rows,) are what people count the rows by, `bad` of shape (n_bad,) the
    positions of bad ones, `reasons` a JSON list of what is wrong with each of these. `started` is
    when it was begun, in seconds since 1970. `keys` is a JSON list of the callers' own of the good
    rows, empty where the model takes none.
    """

    counts: Part
    matrix: Matrix
    numbers: NDArray[np.int64]
    bad: NDArray[np.int64]
    reasons: bytes
    started: float
    keys: bytes = b""


@dataclass(frozen=True)
class ModelAbsent:
    """The very model is not on disk, where a process beside the worker looks for it."""


def rows_of_part(signature: Signature) -> int:
    """Return how many rows a part may have: fewer where features or classes are many."""
    width = len(signature.features) + len(signature.classes) + 1
    return max(1, min(PART_ROWS, PART_CELLS // width))
