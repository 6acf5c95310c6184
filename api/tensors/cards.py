"""A tensor model → what its card says: inputs, outputs, where it came from."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from api.catalogue.declaration import ImageInput
from api.catalogue.entries import Entry, Origin
from api.tensors.graph import TensorModel, TensorSpec


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
