"""Clients that public generators make of the OpenAPI document: whole, without a warning, working.

The generators are no part of our environment: each is installed beside it, for these tests alone.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.inference.images import ImageInput
from api.settings import Settings
from tests import calling
from tests.api.uploading import KEY, KEYS, publish
from tests.serving import ROOT, Service, serving
from tests.tiny_graphs import identity, product, scaled
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, Recipe, write_model
from treeline.contract.features import Feature

Json = dict[str, Any]
Operation = tuple[str, str, Json]  # path, method, what is said of it

PYTHON_TOOLS = ("openapi-python-client==0.29.1",)
NODE_TOOLS = (
    *("openapi-typescript@7.13.0", "openapi-fetch@0.17.0"),
    *("@hey-api/openapi-ts@0.95.0", "typescript@5.9.3"),
)
CURL_TOOLS = ("oas@38.6.0", "@readme/oas-to-snippet@29.3.8")
NUMBER = Feature(type="number", minimum=0, maximum=9)
AWKWARD = ("class", "a b", "a_b", "1st", "größe", "id", "import", "Ünïcode (%)", "$ref", "x-y")
KINDS: tuple[Recipe, ...] = (
    *(SURVIVAL, IRIS, DIABETES),
    replace(IRIS, name="halves", classes=(0.5, 1.5, 2.25)),
    replace(IRIS, name="counts", classes=(3, 5, -7), key="order_id"),
    replace(SURVIVAL, name="truths", default=False, classes=(False, True)),
    replace(IRIS, name="alike", classes=("a b", "A B", "a-b", "")),
    replace(IRIS, name="batch", probabilities=False),  # as an operation of the service is called
    replace(
        DIABETES,
        name="2-awkward-names",
        features=dict.fromkeys(AWKWARD, NUMBER),
        example=dict.fromkeys(AWKWARD, 1.0),
        weights={},
    ),
)
RECORDS = [IRIS.example]
TENSORS = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]}
BODIES: Json = {
    "batch": RECORDS,
    "model_batch": RECORDS,
    "version_batch": RECORDS,
    "put_model": "no ONNX",
    "order_job": {"model": "mine", "script": "print(1)"},
    "v2_infer": TENSORS,
    "v2_version_infer": TENSORS,
    "predict_double": {"values": [1, 2]},
    "predict_my_rows": {"values": [1, 2, 3, 4]},
    "predict_any_shape": {"values": [[[1]]]},
    "predict_product": {"values": {"left": [[1]], "right": [[2]]}},
    "predict_eye": {"values": [[[[0.5]]]]},
    "patch_model": {"description": "Another"},
    "v2_load": {},
    "v2_unload": {},
    "v2_index": {"ready": True},
    "version_prediction": IRIS.example,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models and uploads of every kind."""
    folder = tmp_path_factory.mktemp("clients")
    for recipe in KINDS:
        write_model(folder / "models", recipe)
    image = ImageInput(width=6, height=4)
    publish(folder / "state", "double", scaled(2))
    publish(folder / "state", "product", product())
    publish(folder / "state", "eye", identity([1, 3, 4, 6]), image=image)
    publish(folder / "state", "my_rows", identity([None, 4]))  # which take one row as such
    publish(folder / "state", "any_shape", identity(None))
    return folder


@pytest.fixture(scope="module")
def document(folder: Path) -> Json:
    """The document of a service that takes jobs and follows a registry: the most operations."""
    models, state = folder / "models", folder / "state"
    app = create_app(Settings(model_dir=models, state_dir=state, registry=("champion",), jobs=True))
    app.services.uploads.look()
    try:
        found = app.openapi()
    finally:
        app.services.graphs.stop()
    (folder / "openapi.json").write_text(json.dumps(found))
    return found


@pytest.fixture(scope="module")
def operations(document: Json) -> list[Operation]:
    paths = document["paths"].items()
    return [(path, method, each) for path, item in paths for method, each in item.items()]


@pytest.fixture
def service(folder: Path, tmp_path: Path) -> Iterator[Service]:
    """A service of its own: a client that asks for every operation takes models away, too."""
    state = shutil.copytree(folder / "state", tmp_path / "state")
    settings = {"API_KEYS": KEYS, "API_STATE_DIR": str(state), "WEB_CONCURRENCY": "1"}
    with serving(folder / "models", tmp_path / "log", **settings) as service:
        yield service


@pytest.fixture(scope="module")
def python_tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("python-tools")
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]
    installed(PYTHON_TOOLS, [*pip, "--quiet", "--target", folder])
    return folder


@pytest.fixture(scope="module")
def node_tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_node(tmp_path_factory.mktemp("node-tools"), NODE_TOOLS)


@pytest.fixture(scope="module")
def curl_tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_node(tmp_path_factory.mktemp("curl-tools"), CURL_TOOLS)


def with_node(folder: Path, tools: Sequence[str]) -> Path:
    """Install some tools of Node in a folder, or skip the test."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    (folder / "package.json").write_text('{"private": true}')
    installed(tools, ["npm", "install", "--no-audit", "--no-fund", "--prefix", folder])
    return folder


def installed(tools: Sequence[str], command: Sequence[str | Path]) -> None:
    """Install some tools, or skip the test, naming them."""
    made = subprocess.run([*command, *tools], capture_output=True, text=True, check=False)
    if made.returncode:
        reason = (made.stderr.strip() or made.stdout).splitlines()[-1]
        pytest.skip(f"cannot be installed: {', '.join(tools)}: {reason}")


def ran(*command: str | Path, folder: Path, **environment: str) -> str:
    """Run a program, which must succeed, and return what it says."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    return done.stdout + done.stderr


def declared_config() -> str:
    """Return the configuration that our documentation recommends."""
    (found,) = re.findall(r"`client\.yaml` says:\n\n```yaml\n(.*?)```", clients_page(), re.DOTALL)
    return str(found)


def clients_page() -> str:
    return (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")


PYTHON_USE = """
import importlib, io, json, pkgutil, sys
import treeline_client
from treeline_client import AuthenticatedClient, models
from treeline_client.api.log import give_feedback
from treeline_client.api.models import list_models
from treeline_client.api.predict import model_batch, predict_iris
from treeline_client.types import File

url, key, record = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
names = [each.name for each in pkgutil.walk_packages(treeline_client.__path__, "treeline_client.")]
for name in names:
    importlib.import_module(name)
with AuthenticatedClient(base_url=url, token=key) as client:
    one = predict_iris.sync(client=client, body=models.IrisRecord.from_dict(record))
    columns = {name: [value] * 3 for name, value in record.items()}
    columns = models.ModelBatchJsonBody.from_dict(columns)
    as_json = model_batch.sync_detailed("iris", client=client, body=columns)
    csv = ",".join(record) + "\\n" + ",".join(map(str, record.values())) + "\\n"
    as_csv = model_batch.sync_detailed("iris", client=client, body=File(io.BytesIO(csv.encode())))
    form = models.ModelBatchFilesBody(file=File(io.BytesIO(csv.encode()), "a.csv", "text/csv"))
    as_form = model_batch.sync_detailed("iris", client=client, body=form)
    truth = models.Feedback(id=one.id, truth="setosa")
    taken = [give_feedback.sync(client=client, body=each) for each in (truth, [truth, truth])]
    listed = list_models.sync(client=client)
operations = [name for name in names if name.startswith("treeline_client.api.")]
print(json.dumps({
    "operations": [name for name in operations if name.count(".") == 3],
    "prediction": one.to_dict(),
    "rows": len(json.loads(as_json.content)),
    "lines": [len(each.content.splitlines()) for each in (as_csv, as_form)],
    "parsed": as_csv.parsed.payload.read().decode(),
    "accepted": [each.accepted for each in taken],
    "models": [each.name for each in listed.models],
}))
"""


def test_a_client_in_python_has_every_operation_and_asks_the_service(
    folder: Path, operations: list[Operation], service: Service, python_tools: Path
) -> None:
    (folder / "client.yaml").write_text(declared_config())
    generate = ["generate", "--path", "openapi.json", "--config", "client.yaml", "--overwrite"]
    options = ["--fail-on-warning", "--output-path", "python"]
    ran(
        *(sys.executable, "-m", "openapi_python_client", *generate, *options),
        folder=folder,
        PYTHONPATH=str(python_tools),
        PATH=f"{python_tools / 'bin'}:{os.environ['PATH']}",  # it formats what it generates
    )
    said = ran(
        *(sys.executable, "-c", PYTHON_USE, service.url, KEY, json.dumps(IRIS.example)),
        folder=folder,
        PYTHONPATH=f"{folder / 'python'}:{python_tools}",
    )
    found = json.loads(said)
    assert len(found["operations"]) == len(operations)
    assert found["prediction"]["species"] == "setosa"
    assert found["prediction"]["model"] == "iris"
    assert (found["rows"], found["lines"]) == (3, [2, 2])
    assert found["parsed"].startswith("species,")
    assert found["accepted"] == [1, 2]
    assert set(found["models"]) >= {recipe.name for recipe in KINDS}


def test_clients_in_typescript_have_every_operation_and_ask_the_service(
    folder: Path, operations: list[Operation], service: Service, node_tools: Path
) -> None:
    work = node_tools / "work"
    work.mkdir()
    bins = node_tools / "node_modules" / ".bin"
    ran(bins / "openapi-typescript", folder / "openapi.json", "-o", "types.ts", folder=work)
    ran(bins / "openapi-ts", "-i", folder / "openapi.json", "-o", "client", folder=work)
    (work / "each.ts").write_text(each_operation(operations))
    (work / "use.ts").write_text(TYPESCRIPT_USE)
    options = ["--strict", "--target", "es2022", "--module", "commonjs", "--outDir", "out"]
    ran(bins / "tsc", "--skipLibCheck", *options, "each.ts", "use.ts", folder=work)
    client = (work / "client" / "sdk.gen.ts").read_text()
    assert len(re.findall(r"^export const \w+ = <ThrowOnError", client, re.M)) == len(operations)
    said = ran("node", "out/use.js", service.url, KEY, json.dumps(IRIS.example), folder=work)
    found = json.loads(said)
    assert found["prediction"]["species"] == "setosa"
    assert (len(found["rows"]), found["accepted"]) == (2, 1)
    assert found["text"].startswith("species,")
    statuses = json.loads(ran("node", "out/each.js", service.url, KEY, folder=work))
    assert set(statuses) == {each["operationId"] for _, _, each in operations}
    mine = {name: status for name, status in statuses.items() if name.startswith("predict")}
    assert mine == dict.fromkeys(mine, 200) | {"predict_eye": 422}  # which is of another shape


TYPESCRIPT_USE = """
import { giveFeedback, modelBatch, predictIris } from "./client";
import { client } from "./client/client.gen";
declare const process: { argv: string[] };

async function main(url: string, key: string, record: any) {
  client.setConfig({ baseUrl: url, auth: () => key });
  const one = await predictIris({ body: record, throwOnError: true });
  const path = { model: "iris" };
  const rows = await modelBatch({ path, body: [record, record], throwOnError: true });
  const csv = `${Object.keys(record).join(",")}\\n${Object.values(record).join(",")}\\n`;
  const text = await modelBatch({
    path, body: csv as never, bodySerializer: null, headers: { "Content-Type": "text/csv" },
    throwOnError: true,
  });
  const truth = { id: one.data.id, truth: "setosa" };
  const taken = await giveFeedback({ body: truth, throwOnError: true });
  const species: "setosa" | "versicolor" | "virginica" = one.data.species;
  console.log(JSON.stringify({
    prediction: { ...one.data, species }, rows: rows.data, text: text.data,
    accepted: taken.data.accepted,
  }));
}
main(process.argv[2]!, process.argv[3]!, JSON.parse(process.argv[4]!));
"""


def test_commands_of_curl_ask_the_service(service: Service, curl_tools: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (script,) = re.findall(r"```js\n(.*?)```", clients_page(), re.DOTALL)
    (curl_tools / "curl.mjs").write_text(script)
    said = ran("node", "curl.mjs", service.url, KEY, folder=curl_tools)
    parts = re.split(r"^# (\S+)\n", said, flags=re.MULTILINE)[1:]
    commands = dict(zip(parts[::2], parts[1::2], strict=True))
    paths = calling.get(f"{service.url}/openapi.json").json()["paths"].values()
    assert set(commands) == {each["operationId"] for item in paths for each in item.values()}
    status = "--silent --output answer --write-out '%{http_code}'"
    for name in ("predict", "predict_iris", "predict_counts", "list_models", "give_feedback"):
        answered = ran("bash", "-c", f"{commands[name].strip()} {status}", folder=curl_tools)
        assert answered == ("202" if name == "give_feedback" else "200"), name


def each_operation(operations: list[Operation]) -> str:
    """Return a program in TypeScript that asks for each operation, typed as the document says."""
    calls = []
    for path, method, operation in operations:
        options = ['parseAs: "text"']
        if names := re.findall(r"{(\w+)}", path):
            given = {name: "iris" if name == "model" else "1" for name in names}
            options.append(f"params: {{ path: {json.dumps(given)} }}")
        if "requestBody" in operation:
            options.append(f"body: {json.dumps(body_of(operation))}")
        call = f"client.{method.upper()}({json.dumps(path)}, {{ {', '.join(options)} }})"
        name = json.dumps(operation["operationId"])
        calls.append(f"  statuses[{name}] = (await {call}).response.status;")
    return "\n".join(
        [
            'import createClient from "openapi-fetch";',
            'import type { paths } from "./types";',
            "declare const process: { argv: string[] };",
            "async function main(url: string, key: string) {",
            "  const headers = { Authorization: `Bearer ${key}` };",
            "  const client = createClient<paths>({ baseUrl: url, headers });",
            "  const statuses: Record<string, number> = {};",
            *calls,
            "  console.log(JSON.stringify(statuses));",
            "}",
            "main(process.argv[2]!, process.argv[3]!);",
        ]
    )


def body_of(operation: Json) -> Any:
    """Return a body for an operation: one of ours, or its example."""
    if (name := operation["operationId"]) in BODIES:
        return BODIES[name]
    return operation["requestBody"]["content"]["application/json"]["example"]
