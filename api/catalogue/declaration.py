"""What is known of an uploaded model besides its file: `current.json` in the store of uploads."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from treeline.contract.features import Closed
from treeline.contract.signature import VERSION_DIGITS, Sha256

MOST_DIMENSION = 4096  # pixels; 4096 by 4096 by 3 of float32 are 200 MB already

Dimension = Annotated[int, Field(gt=0, le=MOST_DIMENSION)]
Numbers = Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(max_length=3)]
Description = Annotated[str, Field(max_length=10_000)]


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
    def _hangs_together(self) -> Self:
        for name, given in (("mean", self.mean), ("deviation", self.deviation)):
            if len(given) not in (1, self.depth):
                raise ValueError(
                    f"`{name}` has {len(given)} numbers; give one, or one for each of the "
                    f"{self.depth} channels of {self.channels}"
                )
        if 0 in self.deviation:
            raise ValueError("`deviation` is divided by; give numbers other than 0")
        return self


class Changes(Closed):
    """What can be changed of an uploaded model; what is left out stays as it is."""

    description: Description | None = None
    image: ImageInput | None = Field(
        default=None, description="null: it takes pictures no more; left out: as it was"
    )


class Upload(Closed):
    """Which file is served under a name, and what its uploader says of it."""

    sha256: Sha256
    size_bytes: int
    uploaded: datetime
    description: str | None = None
    image: ImageInput | None = None

    @property
    def version(self) -> str:
        """The version of the file: the first digits of its SHA-256."""
        return self.sha256[:VERSION_DIGITS]
