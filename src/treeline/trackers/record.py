"""What is recorded of one training: plain data, the same whatever the tracker."""

from typing import Any, Literal

from treeline.contract.features import Closed
from treeline.contract.names import Slug
from treeline.contract.signature import Sha256

Folds = dict[str, tuple[float, ...]]


class Dataset(Closed):
    """One split: where it lies, DVC's digest of it (MD5), rows, and the type of each column."""

    name: str
    context: Literal["training", "testing"]
    path: str
    digest: str
    rows: int
    columns: dict[str, str]


class Trial(Closed):
    """One setting of one candidate, and each metric on each fold; `key` is unique in a record."""

    key: str
    hyperparameters: dict[str, Any]
    folds: Folds
    tags: dict[str, str]


class Exported(Closed):
    """What the training exported: the version of the model, and the digest of its signature."""

    version: str
    signature: Sha256
    metrics: dict[str, float]


class Origin(Closed):
    """What may differ when the same training is recorded again.

    Times are milliseconds since 1970; `seconds` is what each candidate took; `commit` is the one
    that was checked out.
    """

    began: int
    ended: int
    seconds: dict[str, float] = {}
    commit: str = ""


class Record(Closed):
    """One training of one model.

    `digest` is the SHA-256 over all the rest but the origin, the bytes of the recorded files
    among it: the same training has the same digest on every machine.
    """

    model: Slug
    description: str
    params: dict[str, Any]
    metrics: dict[str, float]
    folds: Folds
    tags: dict[str, str]
    note: str
    datasets: tuple[Dataset, ...]
    trials: tuple[Trial, ...]
    files: dict[str, Sha256]
    exported: Exported | None = None
    digest: str = ""
    origin: Origin
