"""The card of a model without a verdict of ours: what the service knows, and what the file claims.

Who made an uploaded or registered file wrote its verdict, metrics and lineage too. Its version
here is that of its bytes.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from api.inference.graph import TensorModel, TensorSpec
from api.inference.images import ImageInput
from api.models.catalogue import Entry, Origin
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
from treeline.jobs.documents import JobLineage


class TensorDocument(BaseModel):
    """One input or output."""

    name: str
    dtype: str = Field(description="As numpy names it, or `string`")
    shape: list[int | None] | None = Field(
        description="null is a dimension of any size; null instead of a list, any shape at all, as "
        "the graph says nothing of it"
    )
    classes: list[str | int] | None = Field(
        default=None, description="By which the numbers of each row are answered, where they are"
    )
    sequence: bool = Field(
        default=False, description="Whether it is a list of such tensors, each of its own shape"
    )


class TensorCard(BaseModel):
    """All that is known of a model without a signature."""

    name: str
    version: str = Field(description="The first digits of the SHA-256 of its file")
    description: str
    kind: Literal["tensor", "image"]
    origin: Origin
    inputs: list[TensorDocument]
    outputs: list[TensorDocument]
    image: ImageInput | None = Field(description="How pictures become its input, if they may")
    uploaded: datetime | None
    size_bytes: int | None
    job: JobLineage | None = Field(default=None, description="What made it, where a job did")


def card_of(entry: Entry, model: TensorModel) -> TensorCard:
    """Return the card of a tensor model."""
    upload = entry.upload
    return TensorCard(
        name=entry.name,
        version=model.version,
        description=(upload and upload.description) or "",
        kind="tensor" if upload is None or upload.image is None else "image",
        origin=entry.origin,
        inputs=[document_of(spec) for spec in model.inputs],
        outputs=[document_of(spec) for spec in model.outputs],
        image=upload and upload.image,
        uploaded=upload and upload.uploaded,
        size_bytes=upload and upload.size_bytes,
        job=upload and upload.job,
    )


def kind_of(entry: Entry) -> Literal["typed", "tensor", "image"] | None:
    """Return what a model takes, where that is known."""
    if entry.tensor is not None:
        return card_of(entry, entry.tensor).kind
    return "typed" if entry.signature is not None else None


def document_of(spec: TensorSpec) -> TensorDocument:
    """Return what is told of one input or output."""
    return TensorDocument(
        name=spec.name,
        dtype=spec.dtype,
        shape=None if spec.shape is None else list(spec.shape),
        classes=list(spec.classes) or None,
        sequence=spec.sequence,
    )


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
    job: JobLineage | None = Field(default=None, description="What made it, where a job did")


def claimed(entry: Entry, signature: Signature) -> str:
    """Return the JSON of the card of a model that has a signature."""
    if entry.origin == "exported":
        return signature.document()
    said = dict(signature)
    claims = Claims(**{name: said.pop(name) for name in Claims.model_fields})
    job = entry.upload and entry.upload.job
    return ClaimedSignature(**said, claims=claims, job=job).model_dump_json(indent=2) + "\n"


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
