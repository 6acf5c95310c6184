"""A disk without room costs what belongs on it, and no answer."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.prediction_log.spool import LINES, Spool
from api.prediction_log.writing import Redaction, Writer
from api.settings import Settings
from tests.recorded import HEADERS, KEY_LINE, log_of
from tests.serving import ROOT, serving
from tests.tiny_models import SURVIVAL
from tests.waiting import wait_until

FEEDBACK = "/v1/feedback"
FILLER = "filler"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    disk = tmp_path / "small"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("to make a small disk takes the right to mount")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path) -> None:
    """Leave no room on a disk."""
    with (disk / FILLER).open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_full_disk_holds_no_empty_segments_and_what_waits_is_written_when_it_can_be(
    small: Path,
) -> None:
    spool = Spool(small)
    alive = spool.create()
    writer = Writer(spool, redaction=Redaction(()), most_bytes=1 << 30)
    fill(small)
    for _ in range(50):
        writer.record((1.0, 0.1, b"{}", b'{"id":"a"}', None))
        writer.flush(now=True)
    assert spool.segments(LINES) == [] and writer.waiting_records == 50
    assert list(spool.folder.glob(".*")) == []
    (small / FILLER).unlink()
    writer.flush(now=True)
    assert writer.waiting_records == writer.lost_total == 0
    assert len(spool.segments(LINES)) == 1
    alive.release()


def test_a_truth_is_accepted_when_it_is_on_disk_and_only_then(models: Path, small: Path) -> None:
    settings = Settings.model_validate({"model_dir": models, "state_dir": small, "keys": KEY_LINE})
    app = create_app(settings)
    truth = {"id": "x", "truth": 1}
    with TestClient(app, headers=HEADERS) as client:
        assert client.post(FEEDBACK, json=truth).status_code == 202
        wait_until(
            lambda: log_of(app).spool.segments(LINES) == [], seconds=30, what="it is shipped"
        )
        fill(small)
        refused = client.post(FEEDBACK, json=[truth] * 5000)
        assert refused.status_code == 503 and int(refused.headers["Retry-After"]) > 0
        assert "No space left" in refused.json()["detail"]
        assert log_of(app).waiting_records == 0
        assert client.post("/v1/predict", json=SURVIVAL.example).status_code == 200
        (small / FILLER).unlink()
        assert client.post(FEEDBACK, json=[truth] * 5000).status_code == 202


COUNTING = """
import sys
from pathlib import Path
from prometheus_client import CollectorRegistry
from api.telemetry.metrics import Metrics, SharedFile, restore

metrics = Metrics()
for number in range(60):
    metrics.request(f"/{number}", "GET", 200, 0.1)
assert SharedFile.in_memory, "the disk was not full"
before = metrics.exposed().decode()
Path(sys.argv[1]).unlink()
restore()
assert not SharedFile.in_memory
metrics.request("/0", "GET", 200, 0.1)
text = metrics.exposed().decode()
assert text.count("treeline_http_requests_total{") == 60
assert 'treeline_http_requests_total{method="GET",route="/0",status="200"} 2.0' in text
"""


@pytest.mark.parametrize("free", [0, 262_144], ids=["none at the start", "none to grow"])
def test_counts_on_a_full_disk_go_on_in_memory_and_are_seen_when_there_is_room(
    small: Path, free: int
) -> None:
    fill(small)
    os.truncate(small / FILLER, (small / FILLER).stat().st_size - free)
    counted = subprocess.run(
        [sys.executable, "-c", COUNTING, small / FILLER],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(small)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert counted.returncode == 0, counted.stderr
    assert "The metrics of this process are not seen by others (No space left" in counted.stderr


def test_a_service_answers_on_with_its_temporary_folder_full(
    models: Path, tmp_path: Path, small: Path
) -> None:
    settings = {"TMPDIR": str(small), "WEB_CONCURRENCY": "1", "API_KEYS": KEY_LINE}
    (small / FILLER).write_bytes(bytes(400_000))  # room for a folder and little more
    with (
        serving(models, tmp_path / "log", **settings) as service,
        httpx2.Client(base_url=service.url, headers=HEADERS, timeout=60) as client,
    ):
        fill(small)
        for number in range(300):
            assert client.post("/v1/predict", json=SURVIVAL.example).status_code == 200
            client.get(f"/v1/models/none-{number}")
        assert client.get("/metrics").status_code == 200
        (small / FILLER).unlink()
        wait_until(
            lambda: "treeline_predictions_total{" in client.get("/metrics").text,
            seconds=30,
            what="its counts are seen again",
        )
    assert "SIGBUS" not in service.log.read_text()
