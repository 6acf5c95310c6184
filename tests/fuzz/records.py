"""JSON of records: one, a list, columns, lines; and the smaller documents of the service."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz.cases import Format, Request, Sample
from tests.fuzz.documents import CONTROL, DEEP, JSON, LONG

TYPE = {"Content-Type": "application/json"}
KEYED = {**TYPE, "Authorization": "Bearer {key}"}
TREE: dict[str, Any] = {
    "Species": "Quercus alba",
    "Light_ISF": 0.25,
    "EMF": 12.5,
    "Phenolics": None,
    "Leaves": 4,
    "Sterile": False,
}
SMALL = {"age": 0.5, "bmi": -0.25}
ACCEPTED = tuple(
    {"Accept": kind}
    for kind in (
        "text/csv",
        "application/json",
        "application/x-ndjson",
        "application/vnd.apache.arrow.stream",
        "application/vnd.apache.parquet",
        "text/*;q=0.1, */*;q=0",
        "x" * 5_000,
        ", ".join(["text/csv;q=0"] * 2_000),
    )
)


def said(value: Any) -> Callable[[], bytes]:
    """Return a maker of the JSON of a value."""
    return lambda: json.dumps(value).encode()


def named(request: Request, bodies: dict[str, Callable[[], bytes]]) -> list[Sample]:
    """Return samples of one request with these bodies."""
    return [Sample(name, request, build) for name, build in bodies.items()]


# What makes any reader of JSON work hard or fail, whatever it looks for in the document.
ANY: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "null": lambda: b"null",
    "a number": lambda: b"1",
    "a text of a megabyte": lambda: b'"' + b"x" * 1_000_000 + b'"',
    "lists without end": lambda: b"[" * 1_000_000,
    "lists to a depth": lambda: b"[" * DEEP + b"]" * DEEP,
    "objects to a depth": lambda: b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "objects without end": lambda: b'{"a":' * 200_000,
    "empty objects": lambda: b"[" + b",".join([b"{}"] * 200_000) + b"]",
    "empty lists": lambda: b"[" + b",".join([b"[]"] * 200_000) + b"]",
    "zeros": lambda: b"[" + b",".join([b"0"] * 400_000) + b"]",
    "many keys": lambda: json.dumps({f"k{at}": at for at in range(60_000)}).encode(),
    "short keys": lambda: json.dumps({f"{at:x}": 0 for at in range(90_000)}).encode(),
    "one key again and again": lambda: b"{" + b",".join([b'"a":1'] * 150_000) + b"}",
    "long keys": lambda: json.dumps({LONG + str(at): at for at in range(8)}).encode(),
    "keys that forge lines": lambda: json.dumps(
        {CONTROL + str(at): 1 for at in range(500)}
    ).encode(),
    "keys raw that forge lines": '{"\x85\u2028\u2029\u202e": 1}'.encode,
    "a number of a megabyte": lambda: b"1" * 1_000_000,
    "a fraction of a megabyte": lambda: b"[0." + b"1" * 1_000_000 + b"]",
    "large numbers": lambda: b"[" + b",".join([b"1" * 4_000] * 200) + b"]",
    "exponents": lambda: b"[" + b",".join([b"1e99999999"] * 50_000) + b"]",
    "not UTF-8": lambda: b'{"\xff\xfe": "\xc0\x80"}',
    "UTF-16": lambda: json.dumps(TREE).encode("utf-16"),
    "a lone surrogate": lambda: b'{"a": "\\ud800"}',
    "white space": lambda: b" " * 1_000_000,
    "escapes": lambda: b'{"a": "' + b"\\u0041" * 150_000 + b'"}',
    "NUL": lambda: b"\x00" * 100_000,
}


def of_record() -> Format:
    """Return the format of one record."""
    tree = Request("POST", "/v1/models/tree-survival/predict", headers=TYPE)
    small = Request("POST", "/v1/models/typed/predict", headers=TYPE)
    own: dict[str, Callable[[], bytes]] = {
        "all of it unknown": lambda: json.dumps({f"x{at}": {} for at in range(80_000)}).encode(),
        "one feature of lists": lambda: json.dumps({**TREE, "EMF": [[0]] * 200_000}).encode(),
        "one feature of a long text": lambda: json.dumps(
            {**TREE, "Species": "x" * 900_000}
        ).encode(),
        "names escaped": lambda: (
            b"{"
            + b",".join(
                b'"%b":%b'
                % (
                    "".join(f"\\u{ord(char):04x}" for char in name).encode(),
                    json.dumps(value).encode(),
                )
                for name, value in TREE.items()
            )
            + b"}"
        ),
        "a whole number too large": lambda: json.dumps({**TREE, "Leaves": 10**300}).encode(),
    }
    turning = Request("POST", "/v1/models/turning/predict", headers=TYPE)
    return Format(
        "record",
        [Sample("tree", tree, said(TREE)), Sample("typed", small, said(SMALL))],
        [
            *named(tree, ANY | own),
            Sample("beyond a threshold", turning, said({"age": 1_001.0, "bmi": 0})),
            Sample("far beyond a threshold", turning, said({"age": 1e30, "bmi": 0})),
        ],
        JSON,
    )


def columns(values: dict[str, Any], count: int) -> dict[str, list[Any]]:
    """Return a record as columns of so many rows."""
    return {name: [value] * count for name, value in values.items()}


def batch(kind: str, *, model: str = "tree-survival", query: str = "") -> Request:
    """Return the request of a batch."""
    return Request(
        "POST", f"/v1/models/{model}/predict/batch{query}", headers={"Content-Type": kind}
    )


def of_json_records() -> Format:
    """Return the format of a list of records."""
    plain, report = batch("application/json"), batch("application/json", query="?bad_rows=report")
    typed = batch("application/json", model="typed")
    own: dict[str, Callable[[], bytes]] = {
        "bad rows": lambda: json.dumps([{**TREE, "EMF": "x" * 50}] * 10_000).encode(),
        "wide bad rows": lambda: json.dumps([{f"u{at}": at for at in range(20_000)}] * 5).encode(),
        "rows of everything": lambda: b"[" + b",".join([b'{"a":[{}]}'] * 100_000) + b"]",
        "very many empty rows": lambda: b"[" + b",".join([b"{}"] * 1_300_000) + b"]",
    }
    return Format(
        "json-records",
        [
            Sample("rows", plain, said([TREE] * 3)),
            Sample("typed rows", typed, said([SMALL] * 40)),
            Sample("reported rows", report, said([TREE, {**TREE, "EMF": -1}])),
        ],
        [
            *named(plain, ANY | own),
            *named(report, own),
            Sample(
                "one beyond a threshold",
                batch("application/json", model="turning"),
                said([{"age": 5_000.0, "bmi": 0}]),
            ),
        ],
        JSON,
        ACCEPTED,
    )


def of_json_columns() -> Format:
    """Return the format of an object of columns."""
    plain, report = batch("application/json"), batch("application/json", query="?bad_rows=report")
    wide = {f"u{at}": [0] for at in range(60_000)}
    own: dict[str, Callable[[], bytes]] = {
        "unknown columns": said(wide),
        "known and unknown columns": lambda: json.dumps({**columns(TREE, 1), **wide}).encode(),
        "unequal columns": lambda: json.dumps({**columns(TREE, 5), "EMF": [1] * 200_000}).encode(),
        "many unequal columns": lambda: json.dumps(
            {f"u{at}": [0] * (at % 9) for at in range(50_000)}
        ).encode(),
        "no lists": lambda: json.dumps({f"u{at}": "x" * 10 for at in range(40_000)}).encode(),
        "long columns": lambda: json.dumps(columns(TREE, 20_000)).encode(),
        "nulls": lambda: json.dumps({name: [None] * 150_000 for name in TREE}).encode(),
        "columns of records": lambda: json.dumps({name: [{}] * 100_000 for name in TREE}).encode(),
    }
    return Format(
        "json-columns",
        [
            Sample("columns", plain, said(columns(TREE, 3))),
            Sample("reported", report, said(columns(TREE, 30))),
        ],
        [*named(plain, own), *named(report, own)],
        JSON,
        ACCEPTED,
    )


def swap_lines(random: Random, body: bytes) -> bytes:
    """End lines in other ways, or in none."""
    other = (
        b"\r\n",
        b"\r",
        b"\n\n",
        b"\x0b",
        b"\x0c",
        "\u2028".encode(),
        "\x85".encode(),
        b"",
        b" \n",
    )
    return body.replace(b"\n", random.choice(other))


def of_json_lines() -> Format:
    """Return the format of records on lines."""
    kind = "application/x-ndjson"
    plain, report = batch(kind), batch(kind, query="?bad_rows=report")
    line = json.dumps(TREE).encode() + b"\n"
    own: dict[str, Callable[[], bytes]] = {
        "empty records": lambda: b"{}\n" * 400_000,
        "blank lines": lambda: b"\n" * 2_000_000,
        "a line without end": lambda: b'{"a": "' + b"x" * 4_000_000,
        "lines of garbage": lambda: b"x\n" * 500_000,
        "deep lines": lambda: (b"[" * 2_000 + b"\n") * 500,
        "wide lines": lambda: (
            (json.dumps({f"u{at}": 0 for at in range(5_000)}).encode() + b"\n") * 20
        ),
        "records over lines": lambda: b"{\n" * 200_000,
        "one wide line": lambda: json.dumps({f"u{at}": 0 for at in range(70_000)}).encode(),
        "a list on each line": lambda: b"[1,2,3]\n" * 200_000,
        "more rows than allowed": lambda: b'{"age":1,"bmi":1}\n' * 250_000,
    }
    return Format(
        "json-lines",
        [
            Sample("lines", plain, lambda: line * 3),
            Sample("reported lines", report, lambda: line * 40),
        ],
        [*named(plain, ANY | own), *named(report, own)],
        (*JSON, swap_lines, swap_lines),
        ACCEPTED,
    )


def of_documents() -> Format:
    """Return the format of what else is sent as JSON: feedback, declarations, the repository."""
    feedback = Request("POST", "/v1/feedback", headers=KEYED)
    declared = Request("PATCH", "/v1/models/cat", headers=KEYED)
    index = Request("POST", "/v2/repository/index", headers=KEYED)
    load = Request("POST", "/v2/repository/models/scaled/load", headers=KEYED)
    truth = {"id": "0" * 32, "truth": 1}
    eye = {"width": 24, "height": 24, "channels": "RGB", "mean": [0.1], "deviation": [1]}
    own: dict[str, Callable[[], bytes]] = {
        "ten thousand truths": said([truth] * 10_000),
        "too many truths": said([truth] * 16_000),
        "bad truths": said([{"id": "", "truth": []}] * 20_000),
        "truths of many keys": lambda: json.dumps([{f"u{at}": 0 for at in range(60_000)}]).encode(),
        "empty truths": lambda: b"[" + b",".join([b"{}"] * 300_000) + b"]",
    }
    every = (feedback, declared, index, load)
    return Format(
        "documents",
        [
            Sample("a truth", feedback, said(truth)),
            Sample("truths", feedback, said([truth, {**truth, "truth": "setosa"}])),
            Sample("a description", declared, said({"description": "Cat or dog", "image": eye})),
            Sample("an index", index, said({"ready": True})),
            Sample("a load", load, said({"parameters": {}})),
        ],
        [*named(feedback, own), *(sample for each in every for sample in named(each, ANY))],
        JSON,
    )
