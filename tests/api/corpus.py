"""Requests of every kind and their answers, recorded: what the service says stays the same.

`python -m tests.api.corpus` records the answers of the service as it is now; the difference of
corpus.json is then what changed for callers. Ids differ from run to run, versions from release to
release, and the last digits of numbers from processor to processor: none of them is recorded.
"""

import base64
import io
import json
import re
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, write_model

FILE = Path(__file__).with_name("corpus.json")
JSON, LINES, CSV = "application/json", "application/x-ndjson", "text/csv"
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
FORM = "application/x-www-form-urlencoded"
BATCH = "/v1/models/diabetes/predict/batch"
INFER = "/v2/models/diabetes/infer"

CHANGING = (  # what is not the same in each run, and what stands for it
    (re.compile(r"(?<![0-9.])[0-9a-f]{12,64}(-\d+)?\b"), "<id>"),  # of a request, and versions
    (re.compile(r"\b\d+\.\d+\.\d+\b"), "<version>"),
)
number = re.compile(r"-?\b\d+\.\d+(e[-+]?\d+)?\b")


@dataclass(frozen=True)
class Request:
    """A request, its body in base64."""

    name: str
    path: str
    body: str = ""
    kind: str = JSON
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, client: TestClient) -> httpx2.Response:
        headers = {"X-Request-ID": "corpus", **self.headers}
        if self.method == "POST":
            headers["Content-Type"] = self.kind
        content = base64.b64decode(self.body)
        return client.request(self.method, self.path, content=content, headers=headers)


@dataclass(frozen=True)
class Answer:
    """What a caller sees: the status, the media type, and the text of the body."""

    status: int
    kind: str
    text: str

    @classmethod
    def of(cls, response: httpx2.Response) -> "Answer":
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        return cls(response.status_code, kind, same(readable(kind, response.content)))


def readable(kind: str, content: bytes) -> str:
    """Return a body as text: a table as its rows."""
    if kind == PARQUET:
        return json.dumps(pq.read_table(io.BytesIO(content)).to_pylist(), default=str)
    if kind == ARROW:
        return json.dumps(pa.ipc.open_stream(content).read_all().to_pylist(), default=str)
    return content.decode()


def same(text: str) -> str:
    """Return a text without what changes from run to run; numbers have six digits."""
    for pattern, name in CHANGING:
        text = pattern.sub(name, text)
    return number.sub(lambda match: f"{float(match[0]):.6g}", text)


def post(name: str, path: str, body: str | bytes, kind: str = JSON, **headers: str) -> Request:
    payload = body.encode() if isinstance(body, str) else body
    return Request(name, path, base64.b64encode(payload).decode(), kind, headers=headers)


def get(name: str, path: str, method: str = "GET") -> Request:
    return Request(name, path, method=method)


def arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def tensors(ages: object, datatype: str = "FP64", shape: tuple[int, ...] = (2,)) -> str:
    inputs = [
        {"name": name, "shape": shape, "datatype": datatype, "data": data}
        for name, data in (("age", ages), ("bmi", [0.5, -0.25]))
    ]
    return json.dumps({"id": "corpus", "inputs": inputs})


def survival(**changed: object) -> str:
    return json.dumps({**SURVIVAL.example, **changed})


def requests() -> list[Request]:
    """Return one request for each door and for each kind of refusal."""
    table = pa.table({"age": [0.1, 0.2], "bmi": [0.5, -0.25]})
    wrong = pa.table({"age": ["old"], "bmi": [0.5]})
    rows = [{"age": 0.1, "bmi": 0.5}, {"age": 0.2, "bmi": -0.25}]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    lacking = {key: value for key, value in SURVIVAL.example.items() if key != "Leaves"}
    return [
        # one record
        post("the default model", "/v1/predict", survival()),
        post("a missing number that may be", "/v1/predict", survival(Phenolics=None)),
        post("a missing number that has a fill", "/v1/predict", survival(EMF=None)),
        post("a model by its name", "/v1/models/iris/predict", json.dumps(IRIS.example)),
        post("a number", "/v1/models/diabetes/predict", json.dumps(DIABETES.example)),
        post("a feature is missing", "/v1/predict", json.dumps(lacking)),
        post("a feature is unknown", "/v1/predict", survival(Height=2)),
        post("a category is unknown", "/v1/predict", survival(Species="Betula")),
        post("a number is too large", "/v1/predict", survival(Light_ISF=1.5)),
        post("a text for a number", "/v1/predict", survival(EMF="12.5")),
        post("a fraction for an integer", "/v1/predict", survival(Leaves=4.5)),
        post("a number for a boolean", "/v1/predict", survival(Sterile=1)),
        post("null where there must be a value", "/v1/predict", survival(Leaves=None)),
        post("several problems", "/v1/predict", survival(EMF=-1, Species=3, Leaves="x")),
        post("a number that is none", "/v1/predict", survival().replace("12.5", "NaN")),
        post("no JSON", "/v1/predict", "{"),
        post("a list for a record", "/v1/predict", "[]"),
        post("no body", "/v1/predict", ""),
        post("a key twice", "/v1/models/diabetes/predict", '{"age": 1, "age": 2, "bmi": 1}'),
        post("a media type that is none of ours", "/v1/predict", "<a/>", "application/xml"),
        post("a model that is not there", "/v1/models/oak/predict", "{}"),
        # tables
        post("records", BATCH, json.dumps(rows)),
        post("columns", BATCH, json.dumps({"age": [0.1, 0.2], "bmi": [0.5, -0.25]})),
        post("lines", BATCH, lines, LINES),
        post("CSV", BATCH, "age,bmi\n0.1,0.5\n0.2,-0.25\n", CSV),
        post("Arrow", BATCH, arrow(table), ARROW),
        post("Parquet", BATCH, parquet(table), PARQUET),
        post("CSV for JSON", BATCH, "age,bmi\n0.1,0.5\n", CSV, Accept=JSON),
        post("bad rows refuse a table", BATCH, "age,bmi\n0.1,0.5\nold,1\n", CSV),
        post("bad rows are reported", f"{BATCH}?bad_rows=report", "age,bmi\n0.1,0.5\nold,1\n", CSV),
        post("a bad record refuses a list", BATCH, json.dumps([*rows, {"age": 1}])),
        post("a bad line refuses lines", BATCH, lines + "{\n", LINES),
        post("a column is missing", BATCH, "age\n0.1\n", CSV),
        post("a column is unknown", BATCH, "age,bmi,shoe\n0.1,0.5,44\n", CSV),
        post("texts for numbers in Arrow", BATCH, arrow(wrong), ARROW),
        post("texts for numbers in Parquet", BATCH, parquet(wrong), PARQUET),
        post("no Arrow", BATCH, "ARROW1", ARROW),
        post("no Parquet", BATCH, "PAR1", PARQUET),
        post("no rows", BATCH, "age,bmi\n", CSV),
        post("an option that is none", f"{BATCH}?bad_rows=maybe", "age,bmi\n", CSV),
        post("a table of no media type of ours", BATCH, "x", "application/xml"),
        # the Open Inference Protocol
        get("what serves", "/v2"),
        get("is a model ready", "/v2/models/diabetes/ready"),
        get("what a model takes", "/v2/models/diabetes"),
        post("tensors", INFER, tensors([0.1, 0.2])),
        post("tensors of single precision", INFER, tensors([0.1, 0.2], "FP32")),
        post("a tensor of another shape", INFER, tensors([0.1, 0.2], shape=(3,))),
        post("a tensor of another type", INFER, tensors(["a", "b"])),
        post("a type that is none", INFER, tensors([0.1, 0.2], "FP12")),
        post("no inputs", INFER, "{}"),
        post("tensors for a model that is not there", "/v2/models/oak/infer", tensors([1, 2])),
        # everything else
        get("is it alive", "/healthz"),
        get("is it ready", "/readyz"),
        get("the models", "/v1/models"),
        get("a model", "/v1/models/iris"),
        get("a model that nobody knows", "/v1/models/oak"),
        get("a path that is none", "/v1/forests"),
        get("a method that is none", "/v1/predict", "DELETE"),
        post("a truth without a log", "/v1/feedback", '{"id": "x", "truth": 1}'),
    ]


def recorded() -> list[tuple[Request, Answer]]:
    """Return the requests and the answers of corpus.json."""
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    return [(Request(**row["request"]), Answer(**row["answer"])) for row in rows]


def record() -> None:
    """Write corpus.json anew."""
    with tempfile.TemporaryDirectory() as folder:
        for recipe in (SURVIVAL, IRIS, DIABETES):
            write_model(Path(folder), recipe)
        settings = Settings(
            model_dir=Path(folder), state_dir=Path(folder) / "state", prediction_log=False
        )
        with TestClient(create_app(settings)) as client:
            rows = [
                {"request": asdict(each), "answer": asdict(Answer.of(each.send(client)))}
                for each in requests()
            ]
    FILE.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()
