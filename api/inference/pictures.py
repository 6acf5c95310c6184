"""Bytes of a JPEG, PNG or WebP → pixels: the only file that knows Pillow.

It needs the extra `images`; `api.inference.images` reaches it by name.
"""

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from api.errors import MalformedBodyError
from api.inference.graph import Array
from api.inference.images import ImageInput
from treeline.errors import InvalidInputError, Problem

FORMATS = ("JPEG", "PNG", "WEBP")  # Pillow has decoders for fifty more, each with faults of its own
MOST_PIXELS = 50_000_000  # what a good camera makes; they take 200 MB when they are decoded
MOST_SCANS = 100  # of a progressive JPEG; encoders make about ten
JPEG, SCAN = b"\xff\xd8", b"\xff\xda"  # how a file begins, and each scan; no scan holds either
WIDE_MODES = ("I", "I;16", "I;16B", "I;16L")  # PNGs of 16 bits, which Pillow would clip


def pixels(body: BytesIO, image: ImageInput) -> Array:
    """Return uint8 pixels of shape (height, width, channels), upright, RGB or grey.

    A picture is scaled by bilinear interpolation over all pixels that fall into one. Raises
    MalformedBodyError, and InvalidInputError for one too large to decode.
    """
    try:
        check_scans(body.getvalue())
        with Image.open(body, formats=FORMATS) as picture:
            check_size(picture)
            upright = ImageOps.exif_transpose(eight_bits(picture))
        plain = upright.convert("L" if image.channels == "L" else "RGB")
        size = (image.width, image.height)
        if image.resize == "crop":
            scaled = ImageOps.fit(plain, size, Image.Resampling.BILINEAR)
        else:
            scaled = plain.resize(size, Image.Resampling.BILINEAR)
    except InvalidInputError:
        raise
    except Image.DecompressionBombError as error:
        raise too_large(str(error)) from error
    except UnidentifiedImageError as error:
        raise MalformedBodyError("The body is no picture in JPEG, PNG or WebP.") from error
    except Exception as error:  # broken pictures make decoders fail in many ways
        raise MalformedBodyError(f"The picture cannot be decoded: {error}") from error
    return np.asarray(scaled, dtype=np.uint8).reshape(image.height, image.width, image.depth)


def check_size(picture: Image.Image) -> None:
    """Refuse, by its header, a picture that would fill the memory; raises InvalidInputError."""
    if picture.width * picture.height > MOST_PIXELS:
        raise too_large(f"it has {picture.width} by {picture.height} pixels")


def check_scans(picture: bytes) -> None:
    """Refuse a JPEG of more scans than any encoder makes; raises InvalidInputError.

    Each scan may have a few bytes, and takes a pass over all pixels.
    """
    if picture.startswith(JPEG) and (scans := picture.count(SCAN)) > MOST_SCANS:
        raise too_large(f"it is made in {scans} scans, each over all of it")


def too_large(reason: str) -> InvalidInputError:
    """Return the error for a picture of too many pixels."""
    text = f"{reason}; send one of at most {MOST_PIXELS} pixels and {MOST_SCANS} scans"
    return InvalidInputError([Problem("image", text)])


def eight_bits(picture: Image.Image) -> Image.Image:
    """Return a picture of 16 bits for each pixel with 8, and any other one as it is."""
    if picture.mode not in WIDE_MODES:
        return picture
    return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
