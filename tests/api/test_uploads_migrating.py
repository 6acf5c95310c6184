"""Who comes from another ONNX server finds commands in docs/uploads.md; each one works as it is."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tests.api.uploading import KEY, KEYS
from tests.checkout import ROOT
from tests.serving import Service, serving
from tests.tiny_graphs import identity

images = pytest.importorskip("PIL.Image", reason="needs pillow: make setup-full")
SECTION = "## Coming from a plain ONNX server"
ROW = re.compile(r"^\| (?P<to>[^|]+) \| .* \| `(?P<command>curl [^|]+)` \|$", re.MULTILINE)
COMMANDS = [
    (found["to"], found["command"])
    for found in ROW.finditer((ROOT / "docs/uploads.md").read_text().partition(SECTION)[2])
]


@pytest.fixture(scope="module")
def service(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    log = tmp_path_factory.mktemp("service") / "log"
    with serving(models, log, WEB_CONCURRENCY="1", API_KEYS=KEYS) as service:
        yield service


def test_every_command_of_the_table_does_what_it_says(service: Service, tmp_path: Path) -> None:
    flowers, kinds = load_iris(return_X_y=True)
    fitted = LogisticRegression(max_iter=1000).fit(flowers, kinds)
    exported = to_onnx(fitted, flowers[:1].astype(np.float32))
    (tmp_path / "model.onnx").write_bytes(exported.SerializeToString())
    (tmp_path / "net.onnx").write_bytes(identity([None, 3, 224, 224]).SerializeToString())
    images.new("RGB", (30, 20), (200, 100, 50)).save(tmp_path / "cat.jpg")

    answers: dict[str, Any] = {}
    for to, command in COMMANDS:
        found = subprocess.run(
            [shutil.which("bash") or "bash", "-c", f"{command} --silent --fail-with-body"],
            cwd=tmp_path,
            env={"URL": service.url, "KEY": KEY, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, f"{to}: {command}\n{found.stdout}{found.stderr}"
        answers[to] = json.loads(found.stdout) if found.stdout else None

    assert list(answers) == [
        *("upload", "upload for pictures", "describe", "list", "look at inputs and outputs"),
        *("predict from values", "predict from many rows", "predict from a picture"),
        *("predict through `/v2`", "delete"),
    ]
    assert answers["describe"]["description"] == "Iris"
    assert {"my_model", "eye"} <= {each["name"] for each in answers["list"]["models"]}
    assert answers["look at inputs and outputs"]["inputs"][0]["shape"] == [None, 4]
    assert answers["predict from values"]["values"]["output_label"] == [0]
    assert answers["predict from many rows"]["values"]["output_label"] == [0, 1]
    assert np.shape(answers["predict from a picture"]["values"]) == (1, 3, 224, 224)
    assert answers["predict through `/v2`"]["outputs"][0]["data"] == [0]
