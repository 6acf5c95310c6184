"""The contract of a model: `signature.json`, written by export, read by the service.

It says what a record must hold, what comes back, which files make the prediction, how good the
model was, and where it came from. A copy without the digests of files travels inside `model.onnx`.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError

from treeline.artifact.features import Closed, Feature, Target, Value
from treeline.errors import ArtifactRejectedError

FORMAT: Literal[1] = (
    1  # raise it when an older reader could misread the file, and keep reading the older ones
)
VERSION_DIGITS = 12

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=63)]


class Distribution(Closed):
    """How one feature was spread over the training rows: the baseline that drift is told from.

    `edges` are the inner limits of the bins of a number, in its own unit; `shares` are fractions
    of the rows that have a value, one per bin or per category in declared order, and sum to 1.
    """

    missing: float
    shares: tuple[float, ...]
    edges: tuple[float, ...] = ()
    mean: float | None = None
    deviation: float | None = None
    minimum: float | None = None
    maximum: float | None = None


class Verdict(Closed):
    """What the gate decided, and why, in plain words."""

    passed: bool
    reasons: tuple[str, ...]


class Parity(Closed):
    """How closely the artifact repeated the estimator on the test split."""

    rows: int
    largest_difference: float
    tolerance: float
    labels_differing: int = 0
    note: str = ""


class Lineage(Closed):
    """What the model was made from: digests of data, declaration and code, library versions."""

    data: dict[str, Sha256]
    params: Sha256
    code: Sha256
    libraries: dict[str, str]
    champion: str
    estimator: str
    hyperparameters: dict[str, object]


class Example(Closed):
    """One test record and the scores it got, for documentation and as a trial when loading.

    `scores` holds one probability per class, or the one predicted value of a regression.
    """

    record: dict[str, Value | None]
    scores: tuple[float, ...]


class Signature(Closed):
    """Everything a caller, a server or a reviewer needs to know of an exported model."""

    format: Literal[1] = FORMAT
    name: Slug
    version: str
    default: bool = False
    description: str = ""
    notes: str = ""
    target: Target
    classes: tuple[Value, ...] = ()
    probabilities: bool = False
    features: dict[str, Feature]
    runtime: str
    files: dict[str, Sha256] = {}
    example: Example
    metrics: dict[str, float]
    verdict: Verdict
    parity: Parity
    lineage: Lineage
    reference: dict[str, Distribution]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `signature.json`; raises ArtifactRejectedError naming the file and the key."""
        return cls.parse(path.read_bytes(), place=str(path))

    @classmethod
    def parse(cls, document: bytes | str, *, place: str) -> Self:
        """Parse the JSON of a signature that stands at `place`."""
        try:
            return cls.model_validate_json(document)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(map(str, first["loc"]))
            raise ArtifactRejectedError(
                f"{place}: {key or 'document'}: {first['msg']}; export the model again"
            ) from error

    def document(self) -> str:
        """Return the JSON of the whole signature, indented, in declared order."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"

    def embedded(self) -> str:
        """Return the copy that travels inside the artifact: compact, without file digests."""
        return self.model_copy(update={"files": {}}).model_dump_json()


def version_of(payload: bytes, *, features: Mapping[str, Feature], target: Target) -> str:
    """Return the version: the first 12 digits of the SHA-256 of contract and model bytes together.

    The bytes are those of the graph before the signature is embedded in it (or of the pickle), so
    that the same model under the same contract always has the same version.
    """
    contract = {
        "features": {name: feature.model_dump(mode="json") for name, feature in features.items()},
        "order": list(features),
        "target": target.model_dump(mode="json"),
    }
    sha256 = hashlib.sha256(json.dumps(contract, sort_keys=True).encode())
    sha256.update(payload)
    return sha256.hexdigest()[:VERSION_DIGITS]
