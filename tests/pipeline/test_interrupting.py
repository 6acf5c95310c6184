"""A killed run leaves nothing half-written that a later run or the service takes for whole."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.checkout import Checkout
from treeline.artifact.store import ArtifactStore
from treeline.errors import ArtifactError

DEADLINE_SECONDS = 120


@pytest.mark.parametrize(
    "first_output",
    ["model/flowers/model.pkl", "model/flowers/metrics.json", "model/flowers/artifact/model.onnx"],
    ids=["train", "evaluate", "export"],
)
def test_kill_minus_nine_between_the_outputs_of(clone: Checkout, first_output: str) -> None:
    lock = (clone.root / "dvc.lock").read_bytes()
    _kill_after(clone, first_output)
    for path in clone.root.glob("dataset/*/*.parquet"):
        pd.read_parquet(path)
    for path in [*clone.root.glob("model/*/*.json"), *clone.root.glob("dataset/*/*.json")]:
        json.loads(path.read_text())
    _is_whole_or_refused(clone)
    clone.run("dvc", "repro")
    assert (clone.root / "dvc.lock").read_bytes() == lock
    assert clone.run("git", "status", "--porcelain").stdout == ""


def _kill_after(clone: Checkout, output: str) -> None:
    """Force the model through the pipeline and kill everything as soon as `output` is new."""
    path = clone.root / output
    before = _written(path)
    running = subprocess.Popen(
        ["dvc", "repro", "--force", "export@flowers"],
        cwd=clone.root,
        env=clone.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while _written(path) in {None, before}:
            assert running.poll() is None and time.monotonic() < deadline, f"{output} never came"
            time.sleep(0.001)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def _written(path: Path) -> int | None:
    """Return when a file was written, in nanoseconds, or None while DVC has it removed."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _is_whole_or_refused(clone: Checkout) -> None:
    store = ArtifactStore(clone.root / "model")
    for name in store.names():
        try:
            model = store.load(name)
        except ArtifactError:
            continue
        assert model.signature.name == name
