"""A picture and its declaration → the one array of an image model: shape, scale, deviation."""

from collections.abc import Sequence
from io import BytesIO
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from api.errors import UnsupportedMediaTypeError
from api.inference.graph import Array, TensorSpec
from treeline.contract.features import Closed
from treeline.errors import MissingExtraError
from treeline.registry import resolve

MOST_DIMENSION = 4096  # pixels; 4096 by 4096 by 3 of float32 are 200 MB already

Dimension = Annotated[int, Field(gt=0, le=MOST_DIMENSION)]
Numbers = Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(max_length=3)]


class ImageInput(Closed):
    """How a picture becomes the input of a graph: `(pixel * scale - mean) / deviation`.

    An input of integers takes the pixels as they are, from 0 to 255.
    """

    width: Dimension
    height: Dimension
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    channels: Literal["RGB", "BGR", "L"] = "RGB"
    scale: Annotated[float, Field(allow_inf_nan=False)] = 1 / 255
    mean: Numbers = (0.0,)
    deviation: Numbers = (1.0,)
    resize: Literal["stretch", "crop"] = Field(
        default="stretch", description="`crop` keeps the proportions, and the middle"
    )

    @property
    def depth(self) -> int:
        """How many channels there are."""
        return len(self.channels)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for name, given in (("mean", self.mean), ("deviation", self.deviation)):
            if len(given) not in (1, self.depth):
                raise ValueError(
                    f"`{name}` has {len(given)} numbers; give one, or one for each of the "
                    f"{self.depth} channels of {self.channels}"
                )
        if 0 in self.deviation:
            raise ValueError("`deviation` is divided by; give numbers other than 0")
        return self


DECODERS = {"images": "api.inference.pictures:pixels"}
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
