"""Models that are fetched from a bucket: what is sent is served, checked, and served on."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("moto", reason="needs moto, a stand-in for S3: make setup-dev")

import httpx2
from starlette.testclient import TestClient

from api.app import create_app
from api.models.bucket.fetching import BucketFetcher
from api.models.bucket.files import Choice
from api.models.bucket.folder import FetchedFolder
from api.models.exported import ModelReloader
from api.models.fetched import FetchedModels
from api.settings import Settings
from tests.objects import ACCESS, s3, store_of_objects
from tests.serving import serving
from tests.signed import key_pair, sign_folder
from tests.tiny_models import ARTIFACT, IRIS, SURVIVAL, write_model
from tests.waiting import wait_until
from treeline.artifact.listing import LIST, Listing
from treeline.artifact.store import ArtifactStore
from treeline.buckets import bucket_at
from treeline.commands.send import send
from treeline.contract.signature import Signature
from treeline.errors import (
    ArtifactRejectedError,
    BucketError,
    ConfigError,
    DeploymentError,
    ObjectAbsentError,
)
from treeline.files import digest

BUCKET = "forest"
SECONDS = 60  # far more than it takes; the machine may be busy with other tests
NEXT = replace(SURVIVAL, weights={"Light_ISF": 0.5, "EMF": 0.01})


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with store_of_objects(BUCKET) as url:
        yield url


@pytest.fixture
def address(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place of its own in the bucket, which the environment opens."""
    for name, value in {**ACCESS, "AWS_ENDPOINT_URL": store}.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for recipe in (SURVIVAL, IRIS):
        write_model(tmp_path / "checkout" / "model", recipe)
    return tmp_path / "checkout"


class Machine:
    """One machine that fetches: its folder, and what it would serve."""

    def __init__(self, state: Path, address: str) -> None:
        self.state, self.address = state, address
        self.folder = FetchedFolder(state)
        self.folder.enter().release()
        self.restart()

    def restart(self, *named: str, left_out: Sequence[str] = ()) -> None:
        bucket = bucket_at(self.address, place="here")
        choice = Choice.of(named, left_out)
        self.fetcher = BucketFetcher(self.folder, bucket, choice=choice)

    def served(self) -> dict[str, str]:
        """Look once, and return the versions of the models that load."""
        self.fetcher.poll()
        served = ArtifactStore(self.settings().served_dir)
        return {name: served.load(name).signature.version for name in served.names()}

    def settings(self, **changed: Any) -> Settings:
        given: dict[str, Any] = {
            "models": self.address,
            "models_seconds": 0.2,
            "prediction_log": False,
        }
        return Settings(state_dir=self.state, **given | changed)


@pytest.fixture
def machine(tmp_path: Path, address: str) -> Machine:
    return Machine(tmp_path / "state", address)


def versions(checkout: Path) -> dict[str, str]:
    paths = (checkout / "model").glob("*/signature.json")
    return {each.name: each.version for each in map(Signature.read, paths)}


def key_of(address: str, path: Path) -> dict[str, str]:
    """Return where a file is in the bucket, as S3's client is told of it."""
    return {"Bucket": BUCKET, "Key": f"{address.rpartition('/')[2]}/files/{digest(path)}"}


def test_what_is_sent_is_fetched_and_what_is_sent_no_more_goes(
    checkout: Path, address: str, machine: Machine
) -> None:
    assert send(checkout, address).endswith("2 models, 4 of 4 files were new")
    assert machine.served() == versions(checkout)
    write_model(checkout / "model", NEXT)
    (checkout / "model" / IRIS.name / "signature.json").unlink()
    assert send(checkout, address).endswith("1 models, 2 of 2 files were new")
    assert machine.served() == versions(checkout)
    assert send(checkout, address).endswith("0 of 2 files were new")


CHOSEN = [
    ((), (), {IRIS.name, SURVIVAL.name}),
    (("*",), (), {IRIS.name, SURVIVAL.name}),
    ((f"{IRIS.name[:2]}*",), (), {IRIS.name}),
    ((SURVIVAL.name,), (), {SURVIVAL.name}),
    ((IRIS.name, f"*{SURVIVAL.name[-3:]}"), (), {IRIS.name, SURVIVAL.name}),
    (("*",), (IRIS.name,), {SURVIVAL.name}),
    ((IRIS.name.upper(), "none-*"), (), set()),
]


@pytest.mark.parametrize("choice", CHOSEN)
def test_a_machine_fetches_what_it_is_to_hold(
    checkout: Path,
    address: str,
    machine: Machine,
    choice: tuple[tuple[str, ...], tuple[str, ...], set[str]],
) -> None:
    named, left_out, fetched = choice
    send(checkout, address)
    machine.restart(*named, left_out=left_out)
    assert set(machine.served()) == fetched
    assert len(list(machine.folder.files.iterdir())) == 2 * len(fetched)


def test_a_model_that_has_not_changed_is_the_same_file_in_the_next_set(
    checkout: Path, address: str, machine: Machine
) -> None:
    send(checkout, address)
    machine.served()
    graph = machine.settings().served_dir / IRIS.name / ARTIFACT
    before = graph.stat().st_ino
    write_model(checkout / "model", NEXT)
    send(checkout, address)
    machine.served()
    assert graph.stat().st_ino == before, "it would be loaded again"


def removed(store: Any, at: dict[str, str]) -> None:
    store.delete_object(**at)


def damaged(store: Any, at: dict[str, str]) -> None:
    length = store.head_object(**at)["ContentLength"]
    store.put_object(**at, Body=b"x" * length)


def grown(store: Any, at: dict[str, str]) -> None:
    store.put_object(**at, Body=b"x" * (8 << 20))


@pytest.mark.parametrize("harm", [removed, damaged, grown])
def test_of_a_model_whose_file_is_not_as_it_is_named_the_former_is_served_beside_the_others(
    checkout: Path, address: str, machine: Machine, store: str, harm: Callable[..., None]
) -> None:
    send(checkout, address)
    before = machine.served()
    write_model(checkout / "model", NEXT)
    write_model(checkout / "model", replace(IRIS, weights={"petal width (cm)": 1.0}))
    send(checkout, address)
    path = checkout / "model" / NEXT.name / ARTIFACT
    harm(s3(store), key_of(address, path))
    now = versions(checkout)
    assert machine.served() == {**now, NEXT.name: before[NEXT.name]}
    assert list(machine.folder.problems()) == [NEXT.name]
    s3(store).put_object(**key_of(address, path), Body=path.read_bytes())
    assert machine.served() == now
    assert machine.folder.problems() == {}


def test_a_store_that_is_away_or_has_a_broken_list_takes_nothing_back(
    checkout: Path, address: str, machine: Machine, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(checkout, address)
    before = machine.served()
    at = {"Bucket": BUCKET, "Key": f"{address.rpartition('/')[2]}/{LIST}"}
    s3(store).put_object(**at, Body=b'{"format": 1, "models": {"../up": {}}}')
    assert machine.served() == before
    assert "is no list of models: models" in machine.folder.away()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    machine.restart()
    assert machine.served() == before
    assert "127.0.0.1:9" in machine.folder.away()
    monkeypatch.setenv("AWS_ENDPOINT_URL", store)
    send(checkout, address)
    machine.restart()
    assert machine.served() == before
    assert machine.folder.away() == ""


def test_a_file_that_was_damaged_on_this_machine_is_fetched_again_at_the_next_start(
    checkout: Path, address: str, machine: Machine
) -> None:
    send(checkout, address)
    machine.served()
    graph = machine.settings().served_dir / IRIS.name / ARTIFACT
    graph.write_bytes(b"x" * graph.stat().st_size)
    with pytest.raises(ArtifactRejectedError, match="its SHA-256 begins"):
        machine.served()
    machine.restart()
    assert machine.served() == versions(checkout)


def test_what_has_no_room_on_the_disk_is_not_begun(
    checkout: Path, address: str, machine: Machine
) -> None:
    send(checkout, address)
    before = machine.served()
    graph = checkout / "model" / IRIS.name / ARTIFACT
    bucket = bucket_at(address, place="here")
    read = bucket.read(LIST, most_bytes=1 << 20)
    assert read is not None
    listing = Listing.parse(read.payload, place="here").to_bytes()
    vast = listing.replace(digest(graph).encode(), b"a" * 64).replace(
        f'"size_bytes": {graph.stat().st_size}'.encode(), f'"size_bytes": {1 << 60}'.encode()
    )
    bucket.write("files/" + "a" * 64, b"x" * 100)
    bucket.write(LIST, vast)
    assert machine.served() == before
    assert f"{1 << 60} bytes of models are not here yet" in machine.folder.away()
    bucket.write(LIST, listing)
    assert machine.served() == before
    assert machine.folder.away() == ""


def test_nothing_is_left_of_a_set_that_cannot_be_laid_out(
    checkout: Path, address: str, machine: Machine
) -> None:
    send(checkout, address)
    machine.served()
    listing = machine.folder.listing()
    assert listing is not None
    machine.folder.path(listing.stored()[0]).unlink()
    releases = sorted((machine.folder.folder / "releases").iterdir())
    with pytest.raises(FileNotFoundError):
        machine.folder.serve(listing)
    assert sorted((machine.folder.folder / "releases").iterdir()) == releases


@pytest.mark.parametrize(
    ("followed", "said"), [(True, "has not been fetched within"), (False, "nobody has asked it")]
)
def test_a_store_that_never_ends_to_answer_is_spoken_of(
    machine: Machine, *, followed: bool, said: str
) -> None:
    """A store may send a byte now and then, for ever: the follower is there, and gets nothing."""
    settings = machine.settings()
    settings.served_dir.mkdir()
    store = ArtifactStore(settings.served_dir)
    reloader = ModelReloader(
        settings.served_dir, store, default=None, changed=lambda *_: None, pause_seconds=1
    )
    models = FetchedModels(settings, reloader)
    lock = machine.folder.follower_lock() if followed else None
    machine.folder.answered()
    assert models.away() == ""
    os.utime(machine.folder.folder / "asked", (0, 0))
    assert said in models.away()
    if lock is not None:
        lock.release()


FILES = {"signature.json": {"sha256": "0" * 64, "size_bytes": 1}}


@pytest.mark.parametrize(
    "model",
    [
        {"name": "../iris", "files": FILES},
        {"name": "iris", "files": {}},
        {"name": "iris", "files": {**FILES, "../../key": FILES["signature.json"]}},
        {"name": "iris", "files": {**FILES, "/etc/passwd": FILES["signature.json"]}},
        {"name": "iris", "files": {**FILES, "artifact/.hidden": FILES["signature.json"]}},
        {"name": "iris", "files": {**FILES, "signature.json/x": FILES["signature.json"]}},
        {"name": "iris", "files": {"signature.json": {"sha256": "../x", "size_bytes": 1}}},
        {"name": "iris", "files": {"signature.json": {"sha256": "0" * 64, "size_bytes": -1}}},
    ],
    ids=["name", "no signature", "up", "absolute", "hidden", "file and folder", "digest", "size"],
)
def test_a_list_leads_nowhere_but_into_the_folders_of_its_models(model: dict[str, Any]) -> None:
    models = {model["name"]: {"version": "1", "files": model["files"]}}
    document = json.dumps({"format": 1, "models": models}).encode()
    with pytest.raises(ArtifactRejectedError, match="here: is no list of models: models"):
        Listing.parse(document, place="here")


def test_a_service_waits_for_its_first_models_follows_and_says_what_is_amiss(
    checkout: Path, address: str, machine: Machine, store: str
) -> None:
    with TestClient(create_app(machine.settings())) as client:
        first = client.get("/readyz")
        assert first.status_code == 503
        assert f"{address} has named no models yet" in first.json()["detail"]
        send(checkout, address)
        ready(client, versions(checkout))
        answer = client.post("/v1/predict", json=SURVIVAL.example)
        assert answer.json()["version"] == versions(checkout)[SURVIVAL.name]
        rows = client.post("/v1/models/iris/predict/batch", json=[IRIS.example])
        assert rows.status_code == 200, rows.text
        assert client.get("/readyz").json()["store"] is None
        assert "treeline_models_store_away 0.0" in client.get("/metrics").text
        write_model(checkout / "model", NEXT)
        (checkout / "model" / IRIS.name / "signature.json").unlink()
        send(checkout, address)
        ready(client, versions(checkout))
        removed(s3(store), {"Bucket": BUCKET, "Key": f"{address.rpartition('/')[2]}/{LIST}"})
        wait_until(lambda: bool(amiss(client)), seconds=SECONDS, what="it is said")
        assert amiss(client) == f"{address}/{LIST}: is not there"
        ready(client, versions(checkout))
        assert "treeline_models_store_away 1.0" in client.get("/metrics").text


def amiss(client: TestClient) -> str | None:
    found: str | None = client.get("/readyz").json()["store"]
    return found


def ready(client: TestClient, models: dict[str, str]) -> None:
    """Wait until a service is ready with these versions."""

    def is_ready() -> bool:
        answer = client.get("/readyz")
        return answer.status_code == 200 and answer.json()["models"] == models

    wait_until(is_ready, seconds=SECONDS, what=f"{models} are served")


def test_only_what_a_trusted_signer_has_signed_is_opened(
    checkout: Path, address: str, machine: Machine
) -> None:
    key = key_pair()
    send(checkout, address)
    with TestClient(create_app(machine.settings(trusted_signers=key.public))) as client:
        wait_until(lambda: bool(machine.folder.mark()), seconds=SECONDS, what="they are here")
        unsigned = client.get("/readyz")
        assert unsigned.status_code == 503
        sign_folder(checkout / "model", key)
        assert ", signed, 1 of 5 files were new" in send(checkout, address)
        ready(client, versions(checkout))
        signed = versions(checkout)
        write_model(checkout / "model", NEXT)  # whoever may write to the bucket sends another
        send(checkout, address)
        wait_until(lambda: bool(refused(client)), seconds=SECONDS, what="it is refused")
        assert "changed after it was released" in refused(client)[NEXT.name]
        ready(client, signed)


def refused(client: TestClient) -> dict[str, str]:
    found: dict[str, str] = client.get("/readyz").json()["refused"]
    return found


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", "'' is no address of a bucket; give s3://BUCKET/PREFIX"),
        ("ftp://forest/models", "is no address of a bucket"),
        ("s3://", "is no address of a bucket"),
        ("s3://key:s3cret@forest/models", "'s3://forest/models' is no address of a bucket"),
    ],
)
def test_an_address_that_is_none_is_refused_before_anything_is_asked(
    address: str, words: str, checkout: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words) as refusal:
        send(checkout, address)
    assert "s3cret" not in str(refusal.value)
    if address:
        with pytest.raises(ConfigError, match=words):
            create_app(Settings(models=address, state_dir=tmp_path))


def test_a_file_that_its_signature_does_not_name_is_not_sent(
    checkout: Path, address: str, machine: Machine
) -> None:
    (checkout / "model" / IRIS.name / ARTIFACT).write_bytes(b"another")
    with pytest.raises(ArtifactRejectedError, match="not the file that its signature names"):
        send(checkout, address)
    with pytest.raises(DeploymentError, match="holds no signature"):
        send(checkout / "model", address)
    assert machine.served() == {}
    assert "is not there" in machine.folder.away()


def test_a_bucket_says_what_it_lacks_and_why_it_says_no(address: str) -> None:
    bucket = bucket_at(address, place="here")
    assert bucket.size_bytes("nothing") is None
    with pytest.raises(ObjectAbsentError, match=f"{address}/nothing: is not there"):
        bucket.read("nothing", most_bytes=10)
    bucket.write("something", b"0123456789")
    read = bucket.read("something", most_bytes=10)
    assert read is not None
    assert read.payload == b"0123456789"
    assert bucket.read("something", most_bytes=10, unless=read.tag) is None
    with pytest.raises(BucketError, match="longer than 9 bytes"):
        bucket.read("something", most_bytes=9)
    with pytest.raises(BucketError, match="look at its credentials"):
        bucket_at("s3://another-bucket/x", place="here").write("something", b"")


def test_no_request_fails_while_models_change_and_the_store_goes_away(
    checkout: Path, address: str, store: str, tmp_path: Path
) -> None:
    send(checkout, address)
    given = {
        "API_MODELS": address,
        "API_MODELS_SECONDS": "0.2",
        "API_PREDICTION_LOG": "0",
        "WEB_CONCURRENCY": "2",
    }
    with (
        serving(tmp_path / "nothing", tmp_path / "log", **given) as service,
        httpx2.Client(base_url=service.url) as client,
    ):
        answers = Answers(client)
        answers.until(versions(checkout), may_wait=True)
        for weight in (0.1, 0.2, 0.3):
            write_model(checkout / "model", replace(SURVIVAL, weights={"Light_ISF": weight}))
            send(checkout, address)
            answers.until(versions(checkout))
        removed(s3(store), {"Bucket": BUCKET, "Key": f"{address.rpartition('/')[2]}/{LIST}"})
        wait_until(
            lambda: client.get("/readyz").json()["store"] is not None,
            seconds=SECONDS,
            what="it is said that the list is gone",
        )
        answers.until(versions(checkout))


class Answers:
    """Asks on a connection of its own each time, so that each worker is asked."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    def until(self, versions: dict[str, str], *, may_wait: bool = False) -> None:
        """Ask until twenty answers in a row come from a version; fail for one that is no answer."""
        seen: list[str] = []

        def settled() -> bool:
            answer = self._client.post(
                "/v1/predict", json=SURVIVAL.example, headers={"Connection": "close"}
            )
            if answer.status_code == 404 and may_wait:
                return False
            assert answer.status_code == 200, answer.text
            seen.append(answer.json()["version"])
            return len(seen) >= 20 and set(seen[-20:]) == {versions[SURVIVAL.name]}

        wait_until(settled, seconds=SECONDS, what="all workers serve what was sent")
