"""Pictures: their chunks and segments changed with the right sums, and small ones that are huge."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

import numpy as np
from PIL import Image

from tests.fuzz.cases import Format, Mutator, Request, Sample
from tests.fuzz.mutating import BLIND, flip_bits
from tests.fuzz.records import named

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIZES = (0, 1, 2, 255, 7_071, 65_535, 65_536, 2**24 - 1, 2**31 - 1, 2**32 - 1)
Chunk = tuple[bytes, bytes]
Build = Callable[[], bytes]


def request(kind: str) -> Request:
    """Return the request of a picture."""
    return Request("POST", "/v1/models/eye/predict", headers={"Content-Type": f"image/{kind}"})


def pixels(height: int = 9, width: int = 7, mode: str = "RGB") -> Image.Image:
    """Return a picture of a pattern."""
    values = np.arange(height * width * 3, dtype=np.uint32).astype(np.uint8) * 7
    return Image.fromarray(values.reshape(height, width, 3)).convert(mode)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """Return a picture as a file."""
    sink = io.BytesIO()
    picture.save(sink, kind, **options)
    return sink.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG, with its sum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def chunks(body: bytes) -> list[Chunk]:
    """Return the chunks of a PNG; none where it is none."""
    at, parts = len(SIGNATURE), []
    while body.startswith(SIGNATURE) and at + 12 <= len(body):
        size = struct.unpack_from(">I", body, at)[0]
        if at + 12 + size > len(body):
            break
        parts.append((body[at + 4 : at + 8], body[at + 8 : at + 8 + size]))
        at += 12 + size
    return parts


def png(*parts: Chunk) -> bytes:
    """Return a PNG of these chunks."""
    return SIGNATURE + b"".join(chunk(*part) for part in parts)


def header(width: int, height: int, *, depth: int = 8, colour: int = 0, woven: int = 0) -> Chunk:
    """Return the first chunk of a PNG."""
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, woven)


def zeros(size: int) -> Chunk:
    """Return a chunk of so many zeros as pixels."""
    return b"IDAT", zlib.compress(bytes(size), 9)


def with_chunks(*parts: Chunk) -> bytes:
    """Return a small PNG that has further chunks before its pixels."""
    first, *rest = chunks(saved(pixels(), "PNG"))
    return png(first, *parts, *rest)


def segments(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the segments of a JPEG begin and end, up to the first of pixels."""
    at = 2
    while at + 4 <= len(body) and body[at] == 0xFF:
        size = struct.unpack_from(">H", body, at + 2)[0]
        yield at, min(len(body), at + 2 + size)
        if body[at + 1] == 0xDA:
            return
        at += 2 + size


def with_size(body: bytes, width: int, height: int) -> bytes:
    """Return a JPEG that says to have another size."""
    for start, _ in segments(body):
        if body[start + 1] in (0xC0, 0xC2):
            return body[: start + 5] + struct.pack(">HH", height, width) + body[start + 9 :]
    return body


def many_scans(scans: int) -> bytes:
    """Return a JPEG that says to be large, and refines its pixels again and again."""
    body = with_size(saved(pixels(64, 64), "JPEG", progressive=True), 7_000, 7_000)
    starts = [at for at in range(len(body) - 1) if body[at : at + 2] == b"\xff\xda"]
    return body[: starts[1]] + body[starts[1] : starts[2]] * scans + b"\xff\xd9"


def exif(entries: bytes, count: int) -> bytes:
    """Return a block of EXIF with these entries."""
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", count) + entries + b"\0\0\0\0"


def with_exif(block: bytes) -> bytes:
    """Return a JPEG with a block of EXIF."""
    body = saved(pixels(), "JPEG")
    return body[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + body[2:]


def frames(kind: str, count: int) -> bytes:
    """Return a picture that moves."""
    pictures = [pixels(40, 40).rotate(at) for at in range(count)]
    return saved(pictures[0], kind, save_all=True, append_images=pictures[1:])


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    """Return an entry of EXIF."""
    return struct.pack("<HHII", tag, kind, count, value)


PNGS: dict[str, Build] = {
    "nothing": lambda: b"",
    "a mark alone": lambda: SIGNATURE,
    "50 million pixels": lambda: png(header(7_000, 7_000), zeros(7_001 * 7_000), (b"IEND", b"")),
    "50 million pixels in colour": lambda: png(
        header(7_000, 7_000, colour=2), zeros(21_001 * 7_000), (b"IEND", b"")
    ),
    "50 million pixels of 16 bits": lambda: png(
        header(7_000, 7_000, depth=16, colour=6), zeros(8 * 7_001 * 700), (b"IEND", b"")
    ),
    "50 million pixels woven": lambda: png(
        header(7_000, 7_000, woven=1), zeros(7_001 * 7_000), (b"IEND", b"")
    ),
    "a line of 50 million": lambda: png(header(50_000_000, 1), zeros(50_000_001), (b"IEND", b"")),
    "a column of 50 million": lambda: png(
        header(1, 50_000_000), zeros(100_000_000), (b"IEND", b"")
    ),
    "more pixels than allowed": lambda: png(header(60_000, 60_000), zeros(1_000), (b"IEND", b"")),
    "pixels without end": lambda: png(header(2**31 - 1, 2**31 - 1), zeros(1_000), (b"IEND", b"")),
    "no pixel": lambda: png(header(0, 0), zeros(1), (b"IEND", b"")),
    "pixels missing": lambda: png(header(7_000, 7_000), (b"IEND", b"")),
    "more data than pixels": lambda: png(header(1, 1), zeros(1 << 28), (b"IEND", b"")),
    "a text of zeros": lambda: with_chunks((b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 27), 9))),
    "an international text of zeros": lambda: with_chunks(
        (b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(1 << 27), 9))
    ),
    "a profile of zeros": lambda: with_chunks(
        (b"iCCP", b"p\0\0" + zlib.compress(bytes(1 << 27), 9))
    ),
    "many texts": lambda: with_chunks(*[(b"tEXt", b"k%d\0v" % at) for at in range(60_000)]),
    "many texts of zeros": lambda: with_chunks(
        *[(b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 20), 9))] * 200
    ),
    "many empty chunks": lambda: with_chunks(*[(b"abCd", b"")] * 80_000),
    "many empty pixels": lambda: png(
        header(7, 9), *[(b"IDAT", b"")] * 80_000, zeros(72), (b"IEND", b"")
    ),
    "EXIF of garbage": lambda: with_chunks((b"eXIf", b"II*\0\x08\0\0\0" + b"\xff" * 60_000)),
    "a profile of garbage": lambda: with_chunks((b"iCCP", b"p\0\0" + b"x" * 1_000)),
    "a palette too short": lambda: png(
        header(9, 9, colour=3), (b"PLTE", b"\0" * 3), zeros(90), (b"IEND", b"")
    ),
    "no palette": lambda: png(header(9, 9, colour=3), zeros(90), (b"IEND", b"")),
    "frames": lambda: frames("PNG", 60),
    "frames without end": lambda: with_chunks((b"acTL", struct.pack(">II", 2**31, 0))),
}
JPEGS: dict[str, Build] = {
    "marks alone": lambda: b"\xff\xd8\xff\xd9",
    "marks again and again": lambda: b"\xff\xd8" + b"\xff" * 1_000_000,
    "49 million pixels of nothing": lambda: with_size(saved(pixels(), "JPEG"), 7_000, 7_000),
    "more pixels than allowed": lambda: with_size(saved(pixels(), "JPEG"), 65_535, 65_535),
    "scans": lambda: many_scans(2),
    "many scans": lambda: many_scans(300),
    "very many scans": lambda: many_scans(20_000),
    "many comments": lambda: (
        b"\xff\xd8" + b"\xff\xfe\x00\x02" * 200_000 + saved(pixels(), "JPEG")[2:]
    ),
    "many profiles": lambda: (
        b"\xff\xd8"
        + (b"\xff\xe2\x00\x12ICC_PROFILE\0\x01\xff") * 40_000
        + saved(pixels(), "JPEG")[2:]
    ),
    "EXIF turned": lambda: with_exif(exif(entry(0x112, 3, 1, 6), 1)),
    "EXIF turned beyond": lambda: with_exif(exif(entry(0x112, 3, 1, 77), 1)),
    "EXIF without end": lambda: with_exif(exif(entry(0x10F, 2, 2**31, 0), 1)),
    "EXIF in a circle": lambda: with_exif(exif(entry(0x8769, 4, 1, 8), 1)),
    "EXIF of many": lambda: with_exif(exif(entry(0x112, 12, 2**28, 8) * 5_000, 5_000)),
    "EXIF of texts": lambda: with_exif(exif(entry(0x112, 2, 60_000, 8) * 5_000, 5_000)),
    "frames of cameras": lambda: with_exif(b"MPF\0II*\0\x08\0\0\0" + b"\xff" * 60_000),
}
OTHERS: dict[str, Build] = {
    "WebP": lambda: saved(pixels(), "WEBP"),
    "WebP without loss": lambda: saved(pixels(), "WEBP", lossless=True),
    "WebP that moves": lambda: frames("WEBP", 60),
    "a large WebP": lambda: saved(
        Image.new("RGB", (7_000, 7_000)), "WEBP", lossless=True, quality=0, method=0
    ),
    "a GIF": lambda: saved(pixels(mode="P"), "GIF"),
    "a BMP": lambda: saved(pixels(), "BMP"),
    "a TIFF": lambda: saved(pixels(), "TIFF"),
    "PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "Photoshop": lambda: b"8BPS\0\1" + b"\0" * 6 + struct.pack(">HIIHH", 3, 30_000, 30_000, 8, 3),
    "an archive": lambda: b"PK\x03\x04" + b"\0" * 100,
}


def change_chunk(random: Random, body: bytes) -> bytes:
    """Change what is in a chunk of a PNG; its sum is right again."""
    if not (parts := chunks(body)):
        return random.choice(BLIND)(random, body)
    at = random.randrange(len(parts))
    name, data = parts[at]
    if name == b"IDAT" and random.random() < 0.6:
        data = squeezed(random, data)
    elif name == b"IHDR" and len(data) == 13:
        place = random.choice((0, 4, 8, 9, 10, 11, 12))
        value = (
            struct.pack(">I", random.choice(SIZES)) if place < 8 else bytes([random.randrange(20)])
        )
        data = data[:place] + value + data[place + len(value) :]
    else:
        data = random.choice(BLIND)(random, data)
    parts[at] = name, data
    return png(*parts)


def squeezed(random: Random, data: bytes) -> bytes:
    """Return other pixels, compressed anew."""
    try:
        plain = zlib.decompress(data)
    except zlib.error:
        return data
    return zlib.compress(flip_bits(random, plain) + bytes(random.choice((0, 0, 1, 100, 1 << 22))))


def shuffle_chunks(random: Random, body: bytes) -> bytes:
    """Put the chunks of a PNG in another order, or one many times."""
    if not (parts := chunks(body)):
        return body
    at = random.randrange(len(parts))
    parts[at:at] = [random.choice(parts)] * random.choice((1, 2, 1_000))
    if random.random() < 0.3:
        random.shuffle(parts)
    return png(*parts)


def add_chunk(random: Random, body: bytes) -> bytes:
    """Give a PNG a chunk of any known kind."""
    if not (parts := chunks(body)):
        return body
    kinds = (
        b"tEXt",
        b"zTXt",
        b"iTXt",
        b"iCCP",
        b"eXIf",
        b"tRNS",
        b"PLTE",
        b"gAMA",
        b"cHRM",
        b"pHYs",
        b"acTL",
        b"fcTL",
        b"fdAT",
        b"sRGB",
        b"IDAT",
        b"IEND",
        b"CgBI",
    )
    data = random.choice((b"", random.randbytes(random.choice((1, 8, 26, 3_000))), bytes(50_000)))
    parts.insert(random.randint(1, len(parts)), (random.choice(kinds), data))
    return png(*parts)


def change_segment(random: Random, body: bytes) -> bytes:
    """Change a segment of a JPEG, and keep its length right; or its size, or leave it out."""
    parts = list(segments(body)) if body[:2] == b"\xff\xd8" else []
    if not parts:
        return random.choice(BLIND)(random, body)
    start, end = random.choice(parts)
    if random.random() < 0.2:
        return with_size(body, random.choice(SIZES) % 65_536, random.choice(SIZES) % 65_536)
    inner = random.choice(BLIND)(random, body[start + 4 : end])[:65_000]
    kind = (
        body[start : start + 2]
        if random.random() < 0.8
        else bytes([0xFF, random.randrange(0xC0, 0xFF)])
    )
    return body[:start] + kind + struct.pack(">H", len(inner) + 2) + inner + body[end:]


def repeat_segment(random: Random, body: bytes) -> bytes:
    """Send a segment of a JPEG many times."""
    parts = list(segments(body)) if body[:2] == b"\xff\xd8" else []
    if not parts:
        return body
    start, end = random.choice(parts)
    times = min(random.choice((1, 10, 1_000)), 1_000_000 // max(1, end - start))
    return body[:end] + body[start:end] * times + body[end:]


AWARE: tuple[Mutator, ...] = (
    change_chunk,
    change_chunk,
    shuffle_chunks,
    add_chunk,
    change_segment,
    change_segment,
    repeat_segment,
)


def of_pictures() -> Format:
    """Return the format of pictures."""
    as_png, as_jpeg, as_webp = request("png"), request("jpeg"), request("webp")
    seeds: dict[str, Build] = {
        mode: partial(saved, pixels(mode=mode), "PNG")
        for mode in ("RGB", "L", "P", "RGBA", "1", "LA")
    }
    kinds = tuple({"Content-Type": f"image/{kind}"} for kind in ("png", "jpeg", "webp", "gif"))
    return Format(
        "pictures",
        [
            *named(as_png, seeds),
            Sample("JPEG", as_jpeg, lambda: saved(pixels(), "JPEG")),
            Sample(
                "JPEG by scans", as_jpeg, lambda: saved(pixels(40, 40), "JPEG", progressive=True)
            ),
            Sample("JPEG with EXIF", as_jpeg, JPEGS["EXIF turned"]),
            Sample("JPEG in grey", as_jpeg, lambda: saved(pixels(mode="L"), "JPEG")),
            Sample("JPEG for print", as_jpeg, lambda: saved(pixels(mode="CMYK"), "JPEG")),
            Sample("WebP", as_webp, OTHERS["WebP"]),
            Sample("WebP without loss", as_webp, OTHERS["WebP without loss"]),
        ],
        [*named(as_png, PNGS), *named(as_jpeg, JPEGS), *named(as_webp, OTHERS)],
        (*AWARE, *AWARE, *BLIND),
        kinds,
    )
