"""A picture and its declaration → the one array of an image model: shape, scale, deviation."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np

from api.catalogue.declaration import ImageInput
from api.errors import UnsupportedMediaTypeError
from api.tensors.graph import Array, TensorSpec
from treeline.errors import MissingExtraError
from treeline.registry import resolve

DECODERS = {"images": "api.tensors.pictures:pixels"}
MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp")
NUMERIC = ("float16", "float32", "float64", "uint8", "uint16", "int16", "int32", "int64", "uint32")


def misfits(image: ImageInput, inputs: Sequence[TensorSpec]) -> list[str]:
    """Return why pictures of this declaration do not fit the inputs of a graph."""
    if len(inputs) != 1:
        names = ", ".join(spec.name for spec in inputs)
        return [f"image: the graph has {len(inputs)} inputs ({names}), and a picture fills one"]
    (spec,) = inputs
    if spec.dtype not in NUMERIC:
        return [f"image: the input {spec.name!r} is of {spec.dtype}; one of numbers is needed"]
    if spec.shape is None:  # the graph declares none, so that any may fit
        return []
    wanted = shape_of(image)
    if is_single(spec):
        wanted = wanted[1:]
    fits = len(spec.shape) == len(wanted) and all(
        given in (None, size) for given, size in zip(spec.shape, wanted, strict=True)
    )
    if fits:
        return []
    given = " by ".join("?" if size is None else str(size) for size in spec.shape) or "one value"
    declared = " by ".join(map(str, wanted))
    return [f"image: the input {spec.name!r} is {given}, and the declaration makes {declared}"]


def shape_of(image: ImageInput) -> tuple[int, ...]:
    """Return the shape of one picture as a batch of one."""
    size = (image.height, image.width)
    return (1, image.depth, *size) if image.layout == "NCHW" else (1, *size, image.depth)


def is_single(spec: TensorSpec) -> bool:
    """Tell whether an input has no axis for the pictures of a batch."""
    return spec.shape is not None and len(spec.shape) == 3


def array_of(picture: bytes, image: ImageInput, spec: TensorSpec) -> Array:
    """Return what the graph is given; raises UnsupportedMediaTypeError and MalformedBodyError."""
    try:
        pixels = resolve(DECODERS, "images", place="pictures")
    except MissingExtraError as error:
        raise UnsupportedMediaTypeError(
            f"This service reads no pictures; send the values as application/json. {error}"
        ) from error
    return arranged(pixels(BytesIO(picture), image), image, spec)


def arranged(pixels: Array, image: ImageInput, spec: TensorSpec) -> Array:
    """Return the array of uint8 pixels of shape (height, width, channels).

    They are scaled in float64, as a person would who checks it, and rounded once.
    """
    if image.channels == "BGR":
        pixels = pixels[:, :, ::-1]
    if spec.dtype.startswith("float"):
        pixels = (pixels * np.float64(image.scale) - np.array(image.mean)) / image.deviation
    if image.layout == "NCHW":
        pixels = pixels.transpose(2, 0, 1)
    batch = pixels if is_single(spec) else pixels[np.newaxis]
    with np.errstate(over="ignore"):  # a declaration may scale beyond what float16 holds
        return np.ascontiguousarray(batch, dtype=spec.dtype)
