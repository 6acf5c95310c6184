"""Requests that make the most work of the least bytes: each was slow once, or is of that kind.

A model with a signature is behind `/v1/predict`, one without, `identity` of any length, behind
`/v1/models/plain`. Lengths are those that a body may have by default.
"""

from collections.abc import Iterator
from dataclasses import dataclass

ROOM = 900_000  # bytes; a body of a record may have 2^20
SMALL = 60_000  # of what is read where it arrives
PLAIN = "plain"
PREDICT = "/v1/predict"
INFER = "/v2/models/tree-survival/infer"
VALUES = f"/v1/models/{PLAIN}/predict"
FEEDBACK = "/v1/feedback"


@dataclass(frozen=True)
class Worst:
    """One request, with a name for tables."""

    name: str
    path: str
    body: bytes
    method: str = "POST"
    media_type: str = "application/json"


def filled(before: bytes, item: bytes, after: bytes, *, room: int = ROOM) -> bytes:
    """Return a list of as many equal items as there is room for."""
    count = (room - len(before) - len(after)) // (len(item) + 1)
    return before + b",".join([item] * count) + after


def keys(before: bytes, after: bytes, *, room: int = ROOM) -> bytes:
    """Return an object of as many different keys as there is room for."""
    count = (room - len(before) - len(after)) // 11
    return before + b",".join(b'"%x":1' % (at + 65536) for at in range(count)) + after


JSON: dict[str, bytes] = {
    "unknown keys": keys(b"{", b"}"),
    "unknown keys, short": keys(b"{", b"}", room=SMALL),
    "one key, again and again": filled(b"{", b'"Light_ISF":"x"', b"}"),
    "one key, again and again, short": filled(b"{", b'"Light_ISF":"x"', b"}", room=SMALL),
    "lists within lists": filled(b'{"a":[', b"[[[[]]]]", b"]}"),
    "lists within lists, short": filled(b'{"a":[', b"[[[[]]]]", b"]}", room=SMALL),
    "objects": filled(b'{"a":[', b'{"a":1}', b"]}"),
    "objects, short": filled(b'{"a":[', b'{"a":1}', b"]}", room=SMALL),
    "numbers": filled(b'{"Light_ISF":[', b"1", b"]}"),
    "depth": b"[" * ROOM,
    "depth of objects": b'{"a":' * (ROOM // 5),
    "digits": b'{"Light_ISF":' + b"9" * ROOM + b"}",
    "whole numbers of 4,000 digits": filled(b'{"a":[', b"9" * 4000, b"]}"),
    "exponent": b'{"Light_ISF":1e' + b"9" * ROOM + b"}",
    "fraction": b'{"Light_ISF":0.' + b"1" * ROOM + b"}",
    "long text": b'{"Species":"' + b"a" * ROOM + b'"}',
    "escapes": b'{"Species":"' + b"\\u00e9" * (ROOM // 6) + b'"}',
    "no UTF-8": b'{"Species":"' + b"\xff" * ROOM + b'"}',
    "long key": b'{"' + b"k" * ROOM + b'":1}',
    "blanks": b" " * ROOM + b"{}",
}
INPUT = b'{"name":"a","shape":[1],"datatype":"FP64","data":['
INFERS: dict[str, bytes] = {
    **JSON,
    "empty inputs": filled(b'{"inputs":[', b"{}", b"]}"),
    "empty inputs, short": filled(b'{"inputs":[', b"{}", b"]}", room=SMALL),
    "many inputs": filled(b'{"inputs":[', INPUT + b"]}", b"]}"),
    "empty outputs": filled(b'{"inputs":[' + INPUT + b']}],"outputs":[', b"{}", b"]}"),
    "nested data": filled(b'{"inputs":[' + INPUT, b"[[]]", b"]}]}"),
    "flat data": filled(b'{"inputs":[' + INPUT, b"1.5", b"]}]}"),
    "mixed data": filled(b'{"inputs":[' + INPUT, b'1,"a",null', b"]}]}"),
    "a shape of texts": filled(b'{"inputs":[{"shape":[', b'"a"', b"]}]}"),
    "a long shape": filled(b'{"inputs":[{"name":"a","datatype":"FP64","shape":[', b"1", b"]}]}"),
}
ARRAYS: dict[str, bytes] = {
    **JSON,
    "keys beside values": keys(b'{"values":[1],', b"}"),
    "keys beside values, short": keys(b'{"values":[1],', b"}", room=SMALL),
    "keys within values, short": keys(b'{"values":{', b"}}", room=SMALL),
    "texts": filled(b'{"values":[', b'"a"', b"]}"),
    "texts, short": filled(b'{"values":[', b'"a"', b"]}", room=SMALL),
    "values": filled(b'{"values":[', b"1.5", b"]}", room=SMALL),
    "ragged": filled(b'{"values":[', b"[1],[1,2]", b"]}", room=SMALL),
}
TRUTHS: dict[str, bytes] = {
    **JSON,
    "empty truths": filled(b"[", b"{}", b"]"),
    "empty truths, short": filled(b"[", b"{}", b"]", room=SMALL),
    "good truths": filled(b"[", b'{"id":"0123456789abcdef0123456789abcdef","truth":1}', b"]"),
    "one truth of many keys": keys(b"[{", b"}]", room=SMALL),
    "numbers for truths": filled(b"[", b"1", b"]", room=SMALL),
}
DOORS = {PREDICT: JSON, INFER: INFERS, VALUES: ARRAYS, FEEDBACK: TRUTHS}
DOCUMENTS = ("/v2/repository/index", "/v2/repository/models/plain/load")


def worst() -> Iterator[Worst]:
    """Yield all requests."""
    for path, bodies in DOORS.items():
        for name, body in bodies.items():
            yield Worst(f"{path}: {name}", path, body)
    for name, body in JSON.items():
        if len(body) <= SMALL:  # a longer one is refused unread
            for path in DOCUMENTS:
                yield Worst(f"{path}: {name}", path, body)
            path = f"/v1/models/{PLAIN}"
            yield Worst(f"PATCH {path}: {name}", path, body, method="PATCH")
    image = keys(b'{"image":{', b"}}", room=SMALL)
    yield Worst("PATCH: keys within image", f"/v1/models/{PLAIN}", image, method="PATCH")
    means = filled(b'{"image":{"width":1,"height":1,"mean":[', b"{}", b"]}}", room=SMALL)
    yield Worst("PATCH: objects for numbers", f"/v1/models/{PLAIN}", means, method="PATCH")
