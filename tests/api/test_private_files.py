"""What the service writes is closed to every other user of the machine."""

import json
import os
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path

import httpx2
import pytest

from api.private import close_to_others
from tests.recorded import HEADERS, KEY_LINE, ids_in
from tests.serving import serving
from tests.tiny_graphs import identity
from tests.tiny_models import SURVIVAL
from tests.waiting import wait_until


def open_to_others(folder: Path) -> dict[str, str]:
    """Return what below a folder others may use, with its mode."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):  # shipped in this moment
            if (mode := stat.S_IMODE(path.lstat().st_mode)) & 0o077:
                found[str(path.relative_to(folder))] = oct(mode)
    return found


@pytest.fixture
def open_umask() -> object:
    before = os.umask(0)
    yield
    os.umask(before)


def test_every_file_of_a_running_service_is_closed_to_others_whatever_the_umask(
    models: Path, tmp_path: Path, open_umask: None
) -> None:
    state = tmp_path / "state"
    (state / "spool").mkdir(parents=True, mode=0o777)
    (state / "refused-predictions.jsonl").write_text("{}\n")  # as a former release left it
    seen: set[str] = set()
    with (
        serving(models, tmp_path / "log", WEB_CONCURRENCY="1", API_KEYS=KEY_LINE) as service,
        httpx2.Client(base_url=service.url, headers=HEADERS, timeout=60) as client,
    ):
        model = identity((None,)).SerializeToString()
        assert client.put("/v1/models/mine", content=model).status_code == 201
        assert client.post("/v2/repository/models/mine/unload").status_code == 200
        assert client.post("/v1/predict", json=SURVIVAL.example).status_code == 200
        rows = json.dumps([dict(SURVIVAL.example)] * 200)
        batch = client.post(
            "/v1/predict/batch", content=rows, headers={"Content-Type": "application/json"}
        )
        assert batch.status_code == 200

        def all_recorded() -> bool:
            client.post("/v1/predict", json=SURVIVAL.example)
            seen.update(path.name for path in state.rglob("*"))
            assert open_to_others(state) == {}
            return len(ids_in(state / "predictions.sqlite")) > 200

        wait_until(all_recorded, seconds=60, what="the batch is recorded")
        with closing(sqlite3.connect(state / "predictions.sqlite")) as reading:
            reading.execute("SELECT count(*) FROM predictions").fetchone()
            assert (state / "predictions.sqlite-wal").exists()
            assert open_to_others(state) == {}
    assert open_to_others(state) == {}
    assert {"spool", "alive", "uploads", "unloaded", "batches", "predictions.sqlite"} <= seen
    assert {"model.onnx", "current.json"} <= seen
    assert any(name.endswith(".jsonl") and name[0].isdigit() for name in seen)


def test_a_link_is_not_followed_out_of_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o644)
    inside = tmp_path / "state"
    inside.mkdir(mode=0o755)
    (inside / "link").symlink_to(outside)
    close_to_others(inside)
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644
    assert stat.S_IMODE(inside.stat().st_mode) == 0o700
