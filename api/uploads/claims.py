"""A model that was uploaded or registered → its card: what the service knows, and what it claims.

Who made the file wrote its verdict, metrics and lineage too. Its version here is that of its bytes.
"""

from api.catalogue.entries import Entry
from treeline.contract.features import Closed, Feature, Labels, Target
from treeline.contract.signature import (
    Distribution,
    Example,
    Learnt,
    Lineage,
    Parity,
    Sha256,
    Signature,
    Verdict,
)
from treeline.errors import ArtifactRejectedError

MOST_NAME = 256
MOST_TEXT = 10_000  # of a description, which lists of models and documents repeat
MOST_CLASSES = 1000  # each is a label of metrics
MOST_DOCUMENT = 512 << 10


class Claims(Closed):
    """What a file says of itself, which nobody has checked."""

    metrics: dict[str, float]
    verdict: Verdict
    parity: Parity
    learnt: Learnt | None
    lineage: Lineage
    reference: dict[str, Distribution]


class ClaimedSignature(Closed):
    """The contract of a model that was uploaded or registered."""

    format: int
    name: str
    version: str
    default: bool
    description: str
    notes: str
    target: Target
    classes: Labels
    probabilities: bool
    features: dict[str, Feature]
    missing: tuple[str, ...]
    key: str | None
    runtime: str
    files: dict[str, Sha256]
    example: Example
    claims: Claims


def claimed(entry: Entry, signature: Signature) -> str:
    """Return the JSON of the card of a model that has a signature."""
    if entry.origin == "exported":
        return signature.document()
    said = dict(signature)
    claims = Claims(**{name: said.pop(name) for name in Claims.model_fields})
    return ClaimedSignature(**said, claims=claims).model_dump_json(indent=2) + "\n"


def check_lengths(name: str, signature: Signature) -> None:
    """Raise ArtifactRejectedError for a signature with more, or longer, texts than are repeated."""
    if len(signature.document()) > MOST_DOCUMENT:
        raise ArtifactRejectedError(
            f"{name}: its signature is longer than {MOST_DOCUMENT} bytes; export a smaller one"
        )
    if len(signature.classes) > MOST_CLASSES:
        raise ArtifactRejectedError(
            f"{name}: it has {len(signature.classes)} classes, and {MOST_CLASSES} are admitted"
        )
    names = [signature.target.name, *signature.features, *map(str, signature.classes)]
    for feature in signature.features.values():
        names += feature.categories
    if (longest := max(map(len, names), default=0)) > MOST_NAME:
        raise ArtifactRejectedError(
            f"{name}: its signature has a name of {longest} characters, and {MOST_NAME} are "
            "admitted for features, categories and classes"
        )
    texts = [signature.description, signature.notes, signature.target.description]
    texts += [feature.description for feature in signature.features.values()]
    if (longest := max(map(len, texts))) > MOST_TEXT:
        raise ArtifactRejectedError(
            f"{name}: its signature has a description of {longest} characters, and {MOST_TEXT} are "
            "admitted"
        )
