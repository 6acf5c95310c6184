"""Serving ONNX loads nothing of training: what is not loaded needs no memory, time or patch."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.tiny_models import SURVIVAL

HEAVY = (
    "dvc",
    "google",
    "matplotlib",
    "mlflow",
    "onnx",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "xgboost",
)

PREDICT = """
import asyncio, sys
from pathlib import Path
from api.app import create_app
from api.settings import Settings

app = create_app(Settings(model_dir=Path(sys.argv[1])))
sent = []

async def receive():
    return {"type": "http.request", "body": sys.argv[2].encode(), "more_body": False}

async def send(message):
    sent.append(message)

scope = {
    "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
    "scheme": "http", "path": "/v1/predict", "raw_path": b"/v1/predict", "query_string": b"",
    "root_path": "", "headers": [], "client": ("test", 1), "server": ("test", 80),
}
asyncio.run(app(scope, receive, send))
print(sent[0]["status"], *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def predict_in_a_fresh_interpreter(models: Path, **environment: str) -> list[str]:
    """Return the status of one prediction, and the top-level modules it has loaded."""
    told = subprocess.run(
        [sys.executable, "-c", PREDICT, str(models), json.dumps(SURVIVAL.example)],
        env={name: value for name, value in os.environ.items() if name != "CI"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout.split()


def test_a_prediction_loads_no_training_library(models: Path) -> None:
    status, *loaded = predict_in_a_fresh_interpreter(models)
    assert status == "200"
    assert "onnxruntime" in loaded
    assert sorted(set(HEAVY) & set(loaded)) == []


def test_a_prediction_leaves_nothing_behind_to_report(models: Path, tmp_path: Path) -> None:
    """onnxruntime would keep a device id and a queue of reports below the home folder."""
    predict_in_a_fresh_interpreter(models, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))
    assert list(tmp_path.rglob("*")) == []
