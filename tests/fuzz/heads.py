"""Whole requests as bytes: lines, headers, lengths and chunks that no client would send."""

from collections.abc import Callable
from functools import partial
from random import Random

from tests.fuzz.cases import Format, Mutator, Request, Sample
from tests.fuzz.mutating import BLIND, overwrite_numeral

RECORD = b'{"age": 0.5, "bmi": -0.25}'
PATH = b"/v1/models/diabetes/predict"
HEADERS = (
    b"Content-Length: 0",
    b"Content-Length: 26, 26",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999999",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding:\x0bchunked",
    b"Expect: 100-continue",
    b"Connection: Upgrade, HTTP2-Settings",
    b"Upgrade: websocket",
    b"Upgrade: h2c",
    b'Host: evil.example"><script>',
    b"Host: a",
    b"X-Request-ID: \xc2\x85\xe2\x80\xa8",
    b"X-Request-ID: " + b"x" * 10_000,
    b"traceparent: 00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01",
    b"X-Forwarded-For: 1.2.3.4, " * 100,
    b"Authorization: Bearer " + b"x" * 10_000,
    b"Authorization: Bearer \xff\xfe",
    b"Content-Type: " + b"application/json;" * 1_000,
    b"Content-Encoding: gzip",
    b"Accept: " + b"*/*;q=0.1," * 2_000,
    b"Cookie: " + b"a=b; " * 5_000,
    b"Range: bytes=" + b"0-," * 5_000,
    b"If-None-Match: " + b'"a",' * 5_000,
)
PATHS = (
    b"*",
    b"/",
    b"//evil.example/",
    b"/../../../etc/passwd",
    b"/%2e%2e/%2e%2e/etc/passwd",
    b"/static/..%2f..%2f..%2fetc%2fpasswd",
    b"/%6detrics",
    b"/v1/models/%00/predict",
    b"/v1/models/" + b"x" * 60_000 + b"/predict",
    b"/v1/models/" + b"%f0%9f" * 300 + b"/predict",
    b"/v1/models/%0d%0aX-Forged:%201/predict",
    b"/v1/models/%e2%80%a8/predict/batch",
    b"/v1/predict/batch?bad_rows=" + b"x" * 30_000,
    b"/v1/predictions?since=" + b"9" * 5_000,
    b"/v1/predictions?limit=-1&format=parquet",
    b"/?model=" + b"%3Cscript%3E" * 1_000,
    b"/?model=" + b"x" * 30_000,
    b"/v2/models/a/versions/" + b"9" * 5_000 + b"/infer",
    b"/openapi.json?" + b"a&" * 10_000,
    b"http://evil.example/v1/predict",
    b"/docs#<script>",
)


def raw(
    *headers: bytes,
    path: bytes = PATH,
    method: bytes = b"POST",
    body: bytes = RECORD,
    length: bool = True,
) -> bytes:
    """Return the bytes of a request."""
    lines = [
        method + b" " + path + b" HTTP/1.1",
        b"Host: 127.0.0.1",
        b"Connection: close",
        *headers,
    ]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + body


def chunked(*pieces: bytes) -> bytes:
    """Return a request whose body comes in pieces."""
    return raw(b"Transfer-Encoding: chunked", body=b"".join(pieces), length=False)


def piece(data: bytes, extension: bytes = b"") -> bytes:
    """Return a piece of a body."""
    return b"%x" % len(data) + extension + b"\r\n" + data + b"\r\n"


BODIES: dict[str, Callable[[], bytes]] = {
    "garbage": lambda: b"\x16\x03\x01\x02\x00" + b"\xff" * 500,
    "ends of lines": lambda: b"\r\n" * 100_000 + raw(),
    "a line without end": lambda: b"GET /" + b"x" * 1_000_000,
    "a long path": lambda: raw(path=b"/" + b"x" * 200_000),
    "a long query": lambda: raw(path=b"/?" + b"x" * 200_000),
    "a long method": lambda: raw(method=b"X" * 100_000),
    "many headers": lambda: raw(*[b"X-%d: y" % at for at in range(5_000)]),
    "very many headers": lambda: raw(*[b"X-%d: y" % at for at in range(60_000)]),
    "one header again and again": lambda: raw(*[b"A:"] * 100_000),
    "a long header": lambda: raw(b"X-A: " + b"x" * 900_000),
    "a long name of a header": lambda: raw(b"X" * 900_000 + b": a"),
    "a header without end": lambda: b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"x" * 1_000_000,
    "headers without end": lambda: b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 100_000,
    "folded headers": lambda: raw(b"X-A: b\r\n " + b"c\r\n " * 10_000),
    "pieces": lambda: chunked(piece(RECORD), b"0\r\n\r\n"),
    "tiny pieces": lambda: chunked(*[piece(b" ")] * 200_000, piece(RECORD), b"0\r\n\r\n"),
    "pieces with extensions": lambda: chunked(
        *[piece(b" ", b";" + b"a" * 3_000)] * 300, b"0\r\n\r\n"
    ),
    "a long extension": lambda: chunked(piece(RECORD, b";" + b"a" * 1_000_000), b"0\r\n\r\n"),
    "trailers": lambda: chunked(piece(RECORD), b"0\r\n" + b"X-A: b\r\n" * 50_000 + b"\r\n"),
    "a piece too long": lambda: chunked(b"ffffffffffffffff\r\n", RECORD),
    "a length of zeros": lambda: chunked(b"0" * 100_000 + b"1a\r\n", RECORD),
    "many pieces of a batch": lambda: raw(
        b"Transfer-Encoding: chunked",
        b"Content-Type: text/csv",
        path=b"/v1/predict/batch",
        body=b"".join([piece(b"x\n")] * 200_000) + b"0\r\n\r\n",
        length=False,
    ),
    "two requests": lambda: raw() + raw(),
    "many requests": lambda: (
        raw(method=b"GET", path=b"/healthz", body=b"").replace(b"close", b"keep-alive") * 5_000
    ),
    "a head within a body": lambda: raw(body=raw()),
    **{f"header {each[:24]!r}": partial(raw, each) for each in HEADERS},
    **{f"path {each[:24]!r}": partial(raw, path=each) for each in PATHS},
    **{f"GET {each[:24]!r}": partial(raw, path=each, method=b"GET", body=b"") for each in PATHS},
}


def change_header(random: Random, body: bytes) -> bytes:
    """Add a header."""
    lines = body.split(b"\r\n")
    lines.insert(random.randint(1, max(1, min(5, len(lines)))), random.choice(HEADERS))
    return b"\r\n".join(lines)


def change_line(random: Random, body: bytes) -> bytes:
    """Ask for something else, in another way."""
    method = random.choice(
        (
            b"GET",
            b"POST",
            b"PUT",
            b"DELETE",
            b"PATCH",
            b"OPTIONS",
            b"HEAD",
            b"TRACE",
            b"CONNECT",
            b"QUERY",
        )
    )
    version = random.choice((b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"", b"HTTP/1.1 "))
    _, end, rest = body.partition(b"\r\n")
    return method + b" " + random.choice(PATHS) + b" " + version + end + rest


def change_ends(random: Random, body: bytes) -> bytes:
    """End some lines another way."""
    return body.replace(
        b"\r\n", random.choice((b"\n", b"\r", b"\n\r", b"\r\n ")), random.randint(1, 4)
    )


AWARE: tuple[Mutator, ...] = (change_header, change_line, change_ends, overwrite_numeral)


def of_heads() -> Format:
    """Return the format of whole requests."""
    request = Request("POST", "", raw=b"as built")
    return Format(
        "heads",
        [
            Sample("a record", request, raw),
            Sample("a record in pieces", request, BODIES["pieces"]),
            Sample("a page", request, lambda: raw(method=b"GET", path=b"/", body=b"")),
        ],
        [Sample(name, request, build) for name, build in BODIES.items()],
        (*AWARE, *AWARE, *BLIND),
    )
