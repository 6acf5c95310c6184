"""The contract of a model: `signature.json`, written by export, read by the service.

It says what a record must hold, what comes back, which files make the prediction, how good the
model was, and where it came from. A copy without the digests of files travels inside `model.onnx`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from treeline.contract.features import Closed, Feature, Labels, Name, Target, Value
from treeline.contract.texts import Slug
from treeline.errors import ArtifactRejectedError

FORMAT: Literal[1] = (
    1  # raise it when an older reader could misread the file, and keep reading the older ones
)
VERSION_DIGITS = 12

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


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
    """How closely the artifact repeated the estimator on the test split.

    It repeated it as closely on `admitted_rows` more, made from some of these: with missing values,
    values at the bounds and at splits of trees, each category.
    """

    rows: int
    admitted_rows: int = 0
    largest_difference: float
    tolerance: float
    labels_differing: int = 0
    note: str = ""


class Learnt(Closed):
    """Which rows the exported model learnt from, and how many.

    With `refit` "all" the champion, judged on the test split, was fitted again on the rows of both
    splits: a later model is not to be compared with it on any of them.
    """

    rows: int
    refit: Literal["train", "all"] = "train"


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
    """Everything a caller, a server or a reviewer needs to know of an exported model.

    `missing` are the words that a CSV may have for a missing value, beside an empty field; a
    signature of before there were any has none, and no `learnt` either. `key` is what a record may
    hold beside the features: the caller's own name of what it is about, which is recorded and no
    model sees.
    """

    format: Literal[1] = FORMAT
    name: Slug
    version: str
    default: bool = False
    description: str = ""
    notes: str = ""
    target: Target
    classes: Labels = ()
    probabilities: bool = False
    features: dict[str, Feature]
    missing: tuple[str, ...] = ()
    key: Name | None = None
    runtime: str
    files: dict[str, Sha256] = {}
    example: Example
    metrics: dict[str, float]
    verdict: Verdict
    parity: Parity
    learnt: Learnt | None = None
    lineage: Lineage
    reference: dict[str, Distribution]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.key is not None and self.key in (*self.features, self.target.name):
            raise ValueError(f"`key` is {self.key!r}, which is a feature or the target")
        return self

    @property
    def record_names(self) -> tuple[str, ...]:
        """The names that a record may have: those of the features, and that of the key."""
        return (*self.features, *(() if self.key is None else (self.key,)))

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

    def is_carried_by(self, document: str) -> bool:
        """Tell whether the copy inside an artifact says the same, whichever keys it left out."""
        try:
            copy = type(self).model_validate_json(document)
        except ValidationError:
            return False
        return copy == self.model_copy(update={"files": {}})

    def embedded(self) -> str:
        """Return the copy that travels inside the artifact: compact, without file digests."""
        return self.model_copy(update={"files": {}}).model_dump_json()


def version_of(
    payload: bytes,
    *,
    features: Mapping[str, Feature],
    target: Target,
    missing: Sequence[str] = (),
    key: str | None = None,
) -> str:
    """Return the version: the first 12 digits of the SHA-256 of contract and model bytes together.

    The bytes are those of the graph before the signature is embedded in it (or of the pickle), so
    that the same model under the same contract always has the same version.
    """
    contract: dict[str, object] = {
        "features": {name: feature.model_dump(mode="json") for name, feature in features.items()},
        "order": list(features),
        "target": target.model_dump(mode="json"),
    }
    if missing:
        contract["missing"] = list(missing)
    if key is not None:
        contract["key"] = key
    sha256 = hashlib.sha256(json.dumps(contract, sort_keys=True).encode())
    sha256.update(payload)
    return sha256.hexdigest()[:VERSION_DIGITS]
