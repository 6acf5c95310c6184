"""A backup of a service that runs, put into an empty folder: the same answers, the same log."""

import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from api.backup import PREFIX, restore, save
from tests.api.uploading import HEADERS, KEYS
from tests.serving import Service, serving
from tests.tiny_graphs import scaled
from tests.tiny_models import SURVIVAL
from tests.waiting import wait_until
from treeline.errors import ConfigError


@pytest.fixture(scope="module")
def service(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with an upload, an unloaded model, predictions and a truth."""
    log = tmp_path_factory.mktemp("saved") / "log"
    with serving(models, log, API_KEYS=KEYS) as service:
        with asking(service) as client:
            uploaded = client.put("/v1/models/double", content=scaled(2).SerializeToString())
            assert uploaded.status_code == 201, uploaded.text
            answer = client.post("/v1/predict", json=SURVIVAL.example).json()
            client.post("/v1/feedback", json={"id": answer["id"], "truth": 1}).raise_for_status()
            client.post("/v2/repository/models/iris/unload").raise_for_status()
            wait_until(lambda: len(exported(client)) == 1, seconds=30, what="it is in the log")
        yield service


@pytest.fixture(scope="module")
def archive(service: Service) -> bytes:
    """What `python -m api.backup save` writes while the service runs."""
    return command("save", service.log.parent / "state", b"")


def asking(service: Service) -> httpx2.Client:
    return httpx2.Client(base_url=service.url, headers=HEADERS, timeout=60)


def exported(client: httpx2.Client) -> list[str]:
    return client.get("/v1/predictions").raise_for_status().text.splitlines()


def command(what: str, state: Path, given: bytes) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "api.backup", what],
        input=given,
        env={"API_STATE_DIR": str(state)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_what_was_restored_answers_as_before(
    service: Service, archive: bytes, models: Path, tmp_path: Path
) -> None:
    command("restore", tmp_path / "state", archive)
    with (
        serving(models, tmp_path / "log", API_KEYS=KEYS) as other,
        asking(service) as former,
        asking(other) as client,
    ):
        values = {"values": [1, 2]}
        answers = [
            each.post("/v1/models/double/predict", json=values).json()["values"]
            for each in (former, client)
        ]
        assert answers == [[2, 4], [2, 4]]
        assert client.post("/v1/models/iris/predict", json={}).status_code == 503  # unloaded
        first = exported(former)[0]
        assert exported(client)[0] == first
        assert '"truth":1' in first


def test_a_prediction_that_waits_for_the_database_is_in_the_archive(
    models: Path, tmp_path: Path
) -> None:
    away = "postgresql://nobody@127.0.0.1:1/none"
    with (
        serving(models, tmp_path / "log", API_KEYS=KEYS, API_PREDICTION_LOG_URL=away) as service,
        asking(service) as client,
    ):
        given = client.post("/v1/predict", json=SURVIVAL.example).json()["id"]
        wait_until(
            lambda: given.encode() in command("save", tmp_path / "state", b""),
            seconds=10,
            what="it is on the disk",
        )
        saved = command("save", tmp_path / "state", b"")
    other = tmp_path / "other"
    command("restore", other / "state", saved)
    with serving(models, other / "log", API_KEYS=KEYS) as service, asking(service) as client:
        wait_until(lambda: len(exported(client)) == 1, seconds=30, what="it was replayed")
        assert given in exported(client)[0]


def test_a_folder_that_holds_something_is_left_as_it_is(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "uploads" / "mine").mkdir(parents=True)
    with pytest.raises(ConfigError, match="it holds uploads already; stop the service"):
        restore(tmp_path, io.BytesIO(archive))
    assert [path.name for path in tmp_path.iterdir()] == ["uploads"]


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_an_archive_that_is_cut_short_leaves_nothing(
    archive: bytes, tmp_path: Path, part: float
) -> None:
    with pytest.raises(ConfigError):
        restore(tmp_path, io.BytesIO(archive[: int(len(archive) * part)]))
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_reaches_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"))
    stream.seek(0)
    (tmp_path / "state").mkdir()
    with pytest.raises(ConfigError, match="outside"):
        restore(tmp_path / "state", stream)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_nothing_is_left_beside_what_was_saved(service: Service, archive: bytes) -> None:
    assert archive
    assert list((service.log.parent / "state").glob(f"{PREFIX}*")) == []


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="API_STATE_DIR"):
        save(tmp_path / "none", io.BytesIO())
