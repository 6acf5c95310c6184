"""Values of tensor models, and infer requests of the Open Inference Protocol, JSON and binary."""

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz.cases import Format, Request, Sample
from tests.fuzz.documents import JSON, Members, read
from tests.fuzz.mutating import BLIND, WIDE, overwrite_integer
from tests.fuzz.records import ANY, SMALL, TREE, TYPE, named, said

LENGTH = "Inference-Header-Content-Length"
INFER = "/v2/models/{}/infer"
DATATYPES = ("BOOL", "UINT8", "INT8", "INT64", "UINT64", "FP16", "FP32", "FP64", "BYTES")
SPLIT = b"\n\x00--document ends--\x00\n"  # in a binary body until it is sent


def predict(model: str) -> Request:
    """Return the request of values of a model."""
    return Request("POST", f"/v1/models/{model}/predict", headers=TYPE)


def infer(model: str, **headers: str) -> Request:
    """Return an infer request of a model."""
    return Request("POST", INFER.format(model), headers={**TYPE, **headers})


def of_values() -> Format:
    """Return the format of values."""
    own: dict[str, Callable[[], bytes]] = {
        "many rows": lambda: b'{"values": [' + b",".join([b"[1,2,3]"] * 400_000) + b"]}",
        "bad rows": lambda: b'{"values": [' + b",".join([b'["a",{},[]]'] * 80_000) + b"]}",
        "empty rows": lambda: b'{"values": [' + b",".join([b"[]"] * 400_000) + b"]}",
        "uneven rows": lambda: b'{"values": [' + b",".join([b"[1,2,3],[1]"] * 60_000) + b"]}",
        "deep values": lambda: b'{"values": ' + b"[" * 60_000 + b"1" + b"]" * 60_000 + b"}",
        "deep short values": lambda: b'{"values": ' + b"[" * 200 + b"1" + b"]" * 200 + b"}",
        "unknown inputs": lambda: json.dumps(
            {"values": {f"u{at}": [] for at in range(60_000)}}
        ).encode(),
        "unknown keys": lambda: json.dumps(
            {"values": [[1, 2, 3]], **{f"u{at}": 0 for at in range(60_000)}}
        ).encode(),
        "numbers too long": lambda: b'{"values": [[1,2,' + b"9" * 200_000 + b"]]}",
        "just below what goes elsewhere": lambda: (
            b'{"values": [' + b",".join([b"[1,2,3]"] * 64_000) + b"]}"
        ),
        "just below, bad": lambda: b'{"values": [' + b",".join([b'["",2,3]'] * 57_000) + b"]}",
        "just below, empty objects": lambda: b'{"values": [' + b",".join([b"{}"] * 170_000) + b"]}",
    }
    words: dict[str, Callable[[], bytes]] = {
        "long words": lambda: json.dumps({"values": ["x" * 2_000_000] * 2}).encode(),
        "many words": lambda: json.dumps({"values": ["x"] * 250_000}).encode(),
        "surrogates": lambda: b'{"values": ["\\ud800"]}',
        "NUL": lambda: b'{"values": ["a\\u0000b"]}',
        "words that forge lines": lambda: json.dumps(
            {"values": ["\x85\u2028\x1b" * 100]}, ensure_ascii=False
        ).encode(),
    }
    # The caller says how long or how much: small requests, whose cost is theirs to choose.
    chosen: dict[str, list[Any]] = {
        "looping": [{"turns": turns, "x": [1]} for turns in (10**6, 10**9, 10**15, 2**63 - 1, -1)],
        "filling": [[n] for n in (10**6, 10**8, 7 * 10**8, 10**10, 2**62, -1)],
        "tiling": [{"x": [1] * 1000, "times": [n]} for n in (10**5, 10**6, 10**9, 2**60, -1)],
        "ranging": [10**6, 10**8, 10**12, 2**63 - 1, -(2**63)],
        "outer": [[1.0] * n for n in (3_000, 20_000, 60_000)],
    }
    hostile = [*named(predict("scaled"), ANY | own), *named(predict("words"), words)]
    for model, values in chosen.items():
        for each in values:
            name = f"{model} {json.dumps(each)[:40]}"
            hostile.append(Sample(name, predict(model), said({"values": each})))
    return Format(
        "values",
        [
            Sample("numbers", predict("scaled"), said({"values": [[1, 2, 3], [0.5, None, -1]]})),
            Sample("words", predict("words"), said({"values": ["a", "ä", ""]})),
            Sample("whole", predict("whole"), said({"values": [1, -128, 127]})),
            Sample("flags", predict("flags"), said({"values": [[True, False]]})),
            Sample("halves", predict("halves"), said({"values": [1.5]})),
            Sample(
                "product",
                predict("product"),
                said({"values": {"left": [[1, 2]], "right": [[3], [4]]}}),
            ),
            Sample("looping", predict("looping"), said({"values": {"turns": 3, "x": [1]}})),
            Sample("tiling", predict("tiling"), said({"values": {"x": [1], "times": [2]}})),
        ],
        hostile,
        JSON,
    )


def tensor(name: str, datatype: str, shape: list[int], data: Any) -> dict[str, Any]:
    """Return one input of an infer request."""
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def asking(*inputs: dict[str, Any], **more: Any) -> Callable[[], bytes]:
    """Return a maker of the document of an infer request."""
    return said({"inputs": list(inputs), **more})


def features(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a record as inputs."""
    kinds = {str: "BYTES", bool: "BOOL", int: "INT64"}
    return [
        tensor(name, kinds.get(type(value), "FP64"), [1], [value]) for name, value in record.items()
    ]


X = tensor("x", "FP32", [1, 3], [1.0, 2.0, 3.0])


def of_oip_json() -> Format:
    """Return the format of infer requests whose tensors are in their document."""
    shapes: tuple[list[int], ...] = (
        [2**31, 2**33],
        [2**62, 4],
        [0, 2**62],
        [1] * 5_000,
        [3, 1],
        [],
        [0],
        [2**63 - 1],
    )
    own: dict[str, Callable[[], bytes]] = {
        "empty inputs": lambda: b'{"inputs": [' + b",".join([b"{}"] * 330_000) + b"]}",
        "inputs that are numbers": lambda: b'{"inputs": [' + b",".join([b"0"] * 450_000) + b"]}",
        "unknown inputs": asking(*[tensor(f"u{at}", "FP32", [1], [0]) for at in range(12_000)]),
        "one input again and again": asking(*[X] * 9_000),
        "inputs without a name": asking(*[{**X, "name": ""}] * 9_000),
        "outputs": asking(X, outputs=[{"name": f"o{at}"} for at in range(50_000)]),
        "empty outputs": lambda: json.dumps({"inputs": [X], "outputs": [{}] * 300_000}).encode(),
        "parameters": asking({**X, "parameters": {f"p{at}": 0 for at in range(60_000)}}),
        "unknown keys": asking(X, **{f"u{at}": 0 for at in range(60_000)}),
        "a long id": asking(X, id="x" * 900_000),
        "an id that forges lines": asking(X, id="\x85\u2028\r\n\x1b"),
        "long data": asking(tensor("x", "FP32", [100_000, 3], [0] * 300_000)),
        "bad data": asking(tensor("x", "FP32", [100_000, 3], ["a"] * 200_000)),
        "nested data": asking(tensor("x", "FP32", [1, 3], [[[[[1.0]]]]] * 3)),
        "deep data": lambda: (
            b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":'
            + b"[" * 60_000
            + b"]" * 60_000
            + b"}]}"
        ),
        "empty data": asking(tensor("x", "FP32", [1, 3], [[]] * 250_000)),
        "a long name": asking({**X, "name": "x" * 900_000}),
        "a long datatype": asking({**X, "datatype": "F" * 900_000}),
        "long shapes": asking({**X, "shape": [1] * 300_000}),
        "bad shapes": asking({**X, "shape": ["a"] * 150_000}),
        **{f"shape {str(shape)[:30]}": asking({**X, "shape": shape}) for shape in shapes},
    }
    tree, scaled = infer("tree-survival"), infer("scaled")
    rows = [
        tensor(each["name"], each["datatype"], [20_000], each["data"] * 20_000)
        for each in features(SMALL)
    ]
    return Format(
        "oip-json",
        [
            Sample("a tensor", scaled, asking(X)),
            Sample(
                "a tensor in binary", scaled, asking(X, parameters={"binary_data_output": True})
            ),
            Sample("features", tree, asking(*features(TREE), id="1", outputs=[{"name": "Event"}])),
            Sample("features of an upload", infer("typed"), asking(*features(SMALL))),
            Sample("words", infer("words"), asking(tensor("x", "BYTES", [2], ["a", "b"]))),
        ],
        [
            *named(scaled, ANY | own),
            *named(tree, ANY | own),
            Sample("many rows", infer("typed"), asking(*rows)),
            Sample(
                "looping",
                infer("looping"),
                asking(tensor("turns", "INT64", [], [10**15]), tensor("x", "FP32", [1], [1])),
            ),
            Sample("filling", infer("filling"), asking(tensor("shape", "INT64", [1], [7 * 10**8]))),
            Sample(
                "beyond a threshold", infer("turning"), asking(*features({"age": 5e3, "bmi": 0.0}))
            ),
        ],
        JSON,
    )


def binary(*inputs: tuple[dict[str, Any], bytes], **more: Any) -> Callable[[], bytes]:
    """Return a maker of a document and what stands behind it."""

    def build() -> bytes:
        described = [
            {
                **{k: v for k, v in each.items() if k != "data"},
                "parameters": {"binary_data_size": len(raw)},
            }
            for each, raw in inputs
        ]
        document = json.dumps({"inputs": described, **more}).encode()
        return document + SPLIT + b"".join(raw for _, raw in inputs)

    return build


def texts(*lengths: int, fill: bytes = b"") -> bytes:
    """Return elements of BYTES that say these lengths."""
    return b"".join(struct.pack("<I", length % 2**32) + fill for length in lengths)


def change_document(random: Random, body: bytes) -> bytes:
    """Change the document, and leave what stands behind it."""
    document, split, raw = body.partition(SPLIT)
    return random.choice(JSON)(random, document) + split + raw


def change_raw(random: Random, body: bytes) -> bytes:
    """Change what stands behind the document."""
    document, split, raw = body.partition(SPLIT)
    return document + split + random.choice(BLIND)(random, raw)


def change_size(random: Random, body: bytes) -> bytes:
    """Write other sizes into the document."""
    document, split, raw = body.partition(SPLIT)
    inputs = dict(read(document) or []).get("inputs") if split else None
    if not isinstance(inputs, list):
        return body
    found = [dict(each) for each in inputs if isinstance(each, Members)]
    for each in found:
        if random.random() < 0.5:
            each["parameters"] = {"binary_data_size": random.choice((*WIDE, len(raw)))}
            each["datatype"] = random.choice(DATATYPES)
            each["shape"] = [random.choice((*WIDE, 1, 2, 3)) for _ in range(random.randrange(4))]
    return json.dumps({"inputs": found}).encode() + split + raw


def of_oip_binary() -> Format:
    """Return the format of infer requests with raw elements behind their document.

    A body is sent without the mark between the two, and the header says where it stood.
    """
    scaled, words, tree = (
        Request("POST", INFER.format(name)) for name in ("scaled", "words", "tree-survival")
    )
    numbers = struct.pack("<3f", 1, 2, 3)
    x, w = {k: v for k, v in X.items() if k != "data"}, {"name": "x", "datatype": "BYTES"}
    own: dict[str, Callable[[], bytes]] = {
        "too many bytes": binary((x, numbers * 100)),
        "many rows": binary(({**x, "shape": [300_000, 3]}, numbers * 300_000)),
        "NaN": binary((x, b"\xff" * 12)),
        "no bytes": binary((x, b"")),
        "an empty shape": binary(({**x, "shape": [0, 3]}, b"")),
        "an endless shape": binary(({**x, "shape": [2**62, 2**62]}, numbers)),
        "a shape of nothing that is endless": binary(({**x, "shape": [0, 2**62]}, b"")),
        "the input twice": binary((x, numbers), (x, numbers)),
        "many inputs": binary(*[({**x, "name": f"u{at}"}, b"") for at in range(12_000)]),
    }
    worded: dict[str, Callable[[], bytes]] = {
        "lengths too long": binary(({**w, "shape": [1]}, texts(2**31, fill=b"ab"))),
        "lengths below zero": binary(({**w, "shape": [1]}, texts(-1, fill=b"ab"))),
        "many empty words": binary(({**w, "shape": [900_000]}, texts(*[0] * 900_000))),
        "fewer words than said": binary(({**w, "shape": [900_000]}, texts(0))),
        "more words than said": binary(({**w, "shape": [1]}, texts(*[0] * 500_000))),
        "not UTF-8": binary(({**w, "shape": [1]}, texts(2, fill=b"\xff\xfe"))),
        "many bad words": binary(
            ({**w, "shape": [300_000]}, texts(*[2] * 300_000, fill=b"\xff\xfe"))
        ),
    }
    packed = {
        "zeros by gzip": ("gzip", lambda: gzip.compress(b" " * (200 << 20), 9)),
        "zeros by deflate": ("deflate", lambda: zlib.compress(b"\x00" * (200 << 20), 9)),
        "a list by gzip": (
            "gzip",
            lambda: gzip.compress(b'{"inputs": [' + b"{}," * 1_300_000 + b"{}]}"),
        ),
        "gzip within gzip": ("gzip", lambda: gzip.compress(gzip.compress(b" " * (50 << 20)))),
        "many members": ("gzip", lambda: gzip.compress(b"") * 40_000),
        "half of it": ("gzip", lambda: gzip.compress(asking(X)())[:-12]),
        "an unknown coding": ("br", lambda: b"x" * 100),
    }
    return Format(
        "oip-binary",
        [
            Sample(
                "a tensor", scaled, binary((x, numbers), parameters={"binary_data_output": True})
            ),
            Sample("two words", words, binary(({**w, "shape": [2]}, texts(1, 1, fill=b"a")))),
            Sample(
                "features",
                tree,
                binary(
                    *[
                        (
                            each,
                            texts(12, fill=b"Quercus alba")
                            if each["datatype"] == "BYTES"
                            else struct.pack(
                                "<?"
                                if each["datatype"] == "BOOL"
                                else "<q"
                                if each["datatype"] == "INT64"
                                else "<d",
                                each["data"][0],
                            ),
                        )
                        for each in features({**TREE, "Phenolics": 0.5})
                    ]
                ),
            ),
        ],
        [
            *named(scaled, own),
            *named(tree, own),
            *named(words, worded),
            *(
                Sample(name, infer("scaled", **{"Content-Encoding": coding}), build)
                for name, (coding, build) in packed.items()
            ),
        ],
        (
            change_document,
            change_document,
            change_raw,
            change_raw,
            change_size,
            change_size,
            overwrite_integer,
            *BLIND,
        ),
        (
            {LENGTH: "0"},
            {LENGTH: "99999999999999999999"},
            {LENGTH: "-1"},
            {LENGTH: "\u0661"},
            {"Content-Encoding": "gzip"},
        ),
        joined,
    )


def joined(request: Request) -> Request:
    """Return an infer request as it is sent: without the mark, with the header instead."""
    document, split, raw = request.body.partition(SPLIT)
    if not split:
        return request
    headers = {
        LENGTH: str(len(document)),
        "Content-Type": "application/octet-stream",
        **request.headers,
    }
    return Request(request.method, request.path, document + raw, headers)
