"""Forms of several parts: their marks, headers, names and number; for pictures and for uploads."""

from collections.abc import Callable
from random import Random

from tests.fuzz.cases import Format, Mutator, Request, Sample
from tests.fuzz.documents import JSON
from tests.fuzz.mutating import BLIND
from tests.fuzz.pictures import pixels, saved
from tests.fuzz.records import named
from tests.tiny_graphs import scaled

MARK = b"--mark"
KIND = "multipart/form-data; boundary=mark"
KEYED = {"Authorization": "Bearer {key}"}
HEADERS = (
    b'Content-Disposition: form-data; name="image"; filename="a.png"',
    b'Content-Disposition: form-data; name="file"; filename="a.onnx"',
    b'Content-Disposition: form-data; name="description"',
    b'Content-Disposition: form-data; name="image"',
    b"Content-Disposition: form-data",
    b"Content-Disposition: attachment; filename*=UTF-8''%00%ff",
    b'Content-Disposition: form-data; name="' + b"x" * 60_000 + b'"',
    b'Content-Disposition: form-data; name="a"; ' + b'b="c"; ' * 5_000,
    b'Content-Disposition: form-data; name="\xc2\x85\xe2\x80\xa8"',
    b"Content-Type: multipart/form-data; boundary=mark",
    b"Content-Type: " + b"x" * 60_000,
    b"Content-Transfer-Encoding: base64",
    b"Content-Length: 99999999999",
    b"",
    b":",
    b"\x00: \x00",
)


def part(*headers: bytes, data: bytes = b"") -> bytes:
    """Return one part of a form, with its mark before it."""
    return MARK + b"\r\n" + b"".join(each + b"\r\n" for each in headers) + b"\r\n" + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    """Return a form of parts."""
    return b"".join(parts) + MARK + b"--\r\n"


def picture() -> bytes:
    """Return a form with a picture."""
    return form(part(HEADERS[0], b"Content-Type: image/png", data=saved(pixels(), "PNG")))


def model(image: bytes = b"null", text: bytes = b"a model") -> bytes:
    """Return a form with a model, and what is said of it."""
    return form(
        part(HEADERS[1], data=scaled(2).SerializeToString()),
        part(HEADERS[2], data=text),
        part(HEADERS[3], data=image),
    )


BODIES: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "an end alone": form,
    "no end": lambda: picture()[:-12],
    "many parts": lambda: form(*[part(HEADERS[3], data=b"x")] * 30_000),
    "many files": lambda: form(*[part(HEADERS[0], data=b"x")] * 30_000),
    "many marks": lambda: (MARK + b"\r\n") * 300_000,
    "marks within": lambda: form(part(HEADERS[0], data=b"\r\n--mar" * 500_000)),
    "line ends within": lambda: form(part(HEADERS[0], data=b"\r\n" * 1_500_000)),
    "carriage returns within": lambda: form(part(HEADERS[0], data=b"\r" * 3_000_000)),
    "hyphens within": lambda: form(part(HEADERS[0], data=b"-" * 3_000_000)),
    "a long text": lambda: form(part(HEADERS[3], data=b"x" * 3_000_000)),
    "many headers": lambda: form(part(*[b"X-A: b"] * 200_000, data=b"x")),
    "a long header": lambda: form(part(b"X-A: " + b"b" * 3_000_000)),
    "a long name of a header": lambda: form(part(b"X" * 3_000_000)),
    "a header without end": lambda: MARK + b"\r\nX-A: " + b"b" * 3_000_000,
    "a long name": lambda: form(part(HEADERS[6], data=b"x")),
    "many parameters": lambda: form(part(HEADERS[7], data=b"x")),
    "backslashes": lambda: form(
        part(b'Content-Disposition: form-data; name="' + b"\\" * 500_000 + b'"')
    ),
    "semicolons": lambda: form(part(b"Content-Disposition: form-data" + b";" * 500_000)),
    "before the first mark": lambda: b"x" * 3_000_000 + picture(),
    "after the last mark": lambda: picture() + b"x" * 3_000_000,
    "after the last mark, ends of lines": lambda: picture() + b"\r\n" * 1_500_000,
    "a form within": lambda: form(part(HEADERS[0], HEADERS[9], data=picture())),
    "a long file": lambda: form(part(HEADERS[0], data=b"\x89PNG\r\n\x1a\n" + bytes(3_900_000))),
}
OF_UPLOADS: dict[str, Callable[[], bytes]] = {
    "a long description": lambda: model(text=b"x" * 300_000),
    "a description that forges lines": lambda: model(text="\x85\u2028\x1b[2J".encode() * 100),
    "a declaration of keys": lambda: model(
        b"{" + b",".join(b'"u%d":0' % at for at in range(20_000)) + b"}"
    ),
    "a deep declaration": lambda: model(b"[" * 120_000),
    "a declaration that ends early": lambda: model(b'null}, "description": {"a": [null'),
    "a large picture declared": lambda: model(b'{"width": 4096, "height": 4096}'),
    "unknown parts": lambda: form(
        part(b'Content-Disposition: form-data; name="' + b"x" * 200_000 + b'"', data=b"x")
    ),
    "a file without a name": lambda: form(
        part(b'Content-Disposition: form-data; name="file"', data=b"x" * 300_000)
    ),
}
TYPES = tuple(
    {"Content-Type": kind}
    for kind in (
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 5_000,
        'multipart/form-data; boundary="mark"',
        "multipart/form-data; boundary=mark; boundary=other",
        "multipart/form-data; boundary=ma\u00a0rk; charset=utf-16",
        "multipart/mixed; boundary=mark",
        "application/x-www-form-urlencoded",
    )
)


def change_header(random: Random, body: bytes) -> bytes:
    """Put another header before a part."""
    parts = body.split(MARK)
    at = random.randrange(len(parts))
    parts[at] = (
        b"\r\n"
        + random.choice(HEADERS)
        + b"\r\n" * random.choice((0, 1, 2))
        + parts[at].lstrip(b"\r\n")
    )
    return MARK.join(parts)


def change_marks(random: Random, body: bytes) -> bytes:
    """Write a mark another way, or put one somewhere."""
    other = random.choice(
        (b"--mark ", b"--mark\n", b"-mark", b"--mark--", b"--mark" * 100, b"--MARK", b"\r\n")
    )
    if random.random() < 0.5:
        return body.replace(MARK, other, random.randint(1, 3))
    at = random.randint(0, len(body))
    return body[:at] + b"\r\n--mark" + random.choice((b"\r\n", b"--", b"")) + body[at:]


def change_ends(random: Random, body: bytes) -> bytes:
    """End lines another way."""
    return body.replace(
        b"\r\n", random.choice((b"\n", b"\r", b"\r\r\n", b"\r\n\r\n")), random.randint(1, 20)
    )


def repeat_parts(random: Random, body: bytes) -> bytes:
    """Send parts again, or in another order."""
    parts = body.split(MARK)
    times = min(random.choice((1, 3, 500)), 1_000_000 // max(1, len(body)) + 1)
    random.shuffle(parts)
    return MARK.join(parts * times)


def change_text(random: Random, body: bytes) -> bytes:
    """Change what a text part says."""
    head, mark, data = body.rpartition(b'name="image"\r\n\r\n')
    text, end, rest = data.partition(b"\r\n")
    return head + mark + random.choice(JSON)(random, text) + end + rest


AWARE: tuple[Mutator, ...] = (change_header, change_marks, change_ends, repeat_parts, change_text)


def of_forms() -> Format:
    """Return the format of forms."""
    asked = Request("POST", "/v1/models/eye/predict", headers={"Content-Type": KIND})
    uploaded = Request("PUT", "/v1/models/formed", headers={"Content-Type": KIND, **KEYED})
    eye = b'{"width": 3, "height": 1, "channels": "L", "mean": [0.5]}'
    return Format(
        "multipart",
        [
            Sample("a picture", asked, picture),
            Sample("a picture again", asked, picture),
            Sample("a picture once more", asked, picture),
            Sample("a model", uploaded, lambda: model(eye)),
        ],
        [*named(asked, BODIES), *named(uploaded, BODIES | OF_UPLOADS)],
        (*AWARE, *AWARE, *BLIND),
        TYPES,
    )
